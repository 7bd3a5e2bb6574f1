//! Evicted copies: how they come back, and how they do not.

mod world;

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::commit::{Step, Work};
use remap_core::engine::machine::{Event, Next, CONTEXT_BUFFER_BYTES};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Mode, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{IoRequest, Op};
use remap_core::units::Sector;
use world::{choose, reload, served, Disks, Set};

/// A set of three table blocks on main's bad group of sector 40, with 0x22 in its slot. These copies were evicted by a commit
/// that they failed, hold what was there before it, and take writes again.
fn with_evicted<'d>(disks: &'d mut Disks, copies: u8, evicted: &[u8]) -> Set<'d> {
    let mut set = served(disks, 600, copies);
    set.fail_copies(evicted, &[], true);
    set.repair(40, 8, 0x22).unwrap();
    set.fail_copies(evicted, &[], false);
    let out = evicted.iter().fold(0, |mask, copy| mask | 1 << copy);
    assert_eq!(set.engine.superblock().in_sync, !out & ((1 << copies) - 1));
    set.notices();
    set.disks.log.clear();
    set
}

fn tables(set: &Set<'_>, copy: u8) -> Vec<u64> {
    (0..set.engine.geometry().table_blocks()).map(|index| set.table_block(copy, index)).collect()
}

/// The table blocks of a copy as they are on disk, without what tells copies apart: copy number and checksum.
fn image(disks: &Disks, tables: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        tables.iter().flat_map(|at| &disks.spare[*at as usize * 512..][..4096]).copied().collect();
    bytes.chunks_exact_mut(4096).for_each(|block| block[48..56].fill(0));
    bytes
}

#[test]
fn s12_an_evicted_copy_comes_back_by_a_full_rewrite_and_then_a_superblock() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    let epoch = set.engine.superblock().epoch;
    let (all, first) = (tables(&set, 2), tables(&set, 0));
    // Even blocks that it certainly has are written: what it held counts for nothing.
    set.disks.spare[all[1] as usize * 512 + 70] ^= 1;
    assert!(set.work(Work::Resume));
    let written = set.written();
    assert_eq!(written[..3], all[..]);
    assert_eq!(written[3], set.superblock(2));
    let mut places = written[4..].to_vec();
    places.sort_unstable();
    assert_eq!(places, (0..4).map(|c| set.superblock(c)).collect::<Vec<_>>());
    assert_eq!(image(set.disks, &all), image(set.disks, &first));
    let sb = set.engine.superblock();
    assert_eq!((sb.in_sync, sb.epoch, set.engine.mode()), (0b1111, epoch + 1, Mode::Rw));
    assert_eq!(set.notices(), [Notice::Readmitted { copy: 2 }, Notice::Mode(Mode::Rw)]);
    assert_eq!(set.engine.counters().readmissions, 1);
    // The copies are equal, so that the next activation writes no table block.
    let mut set = world::load(&mut disks).unwrap();
    set.disks.log.clear();
    assert!(set.work(Work::Takeover));
    assert_eq!((set.written().len(), set.read(40)), (4, Ok(0x22)));
}

#[test]
fn s12_several_copies_come_back_one_after_the_other() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 5, &[0, 3]);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.superblock().in_sync, set.engine.mode()), (0b11111, Mode::Rw));
    // What came back is enough to serve all that is mapped.
    for copy in [1, 2, 4] {
        let all = tables(&set, copy);
        all.iter().for_each(|at| set.disks.spare[*at as usize * 512..][..4096].fill(0));
    }
    assert_eq!(reload(&mut disks).read(40), Ok(0x22));
}

/// The power goes away at every request in turn, under which the block is torn.
#[test]
fn s12_a_crash_at_any_step_leaves_the_copy_out_or_in_and_nothing_is_lost() {
    let mut before = Disks::with_bad_group();
    with_evicted(&mut before, 3, &[1]);
    let (mut out, mut back) = (0, 0);
    for cut in 1.. {
        let mut disks = before.clone();
        let mut set = reload(&mut disks);
        assert!(set.committer.order(Work::Resume));
        let done = set.commit_cut_off(cut);
        let mut set = reload(&mut disks);
        assert_eq!((set.read(40), set.engine.in_doubt()), (Ok(0x22), false), "cut off at {cut}");
        match set.engine.superblock().in_sync {
            0b101 => out += 1,
            0b111 => back += 1,
            other => panic!("{other:#b}"),
        }
        // Whatever is in sync is right.
        let good = image(set.disks, &tables(&set, 0));
        for copy in (0..3).filter(|c| set.engine.superblock().in_sync & (1 << c) != 0) {
            assert_eq!(image(set.disks, &tables(&set, copy)), good, "copy {copy} cut off at {cut}");
        }
        if done < cut {
            break;
        }
    }
    assert!(out >= 4 && back >= 2, "{out} {back}");
}

#[test]
fn s12_a_copy_that_fails_its_rewrite_stays_out_and_harms_nothing() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    let before = set.engine.superblock().clone();
    let last = set.table_block(2, 2);
    set.disks.fail_block(last, true);
    assert!(set.work(Work::Resume));
    assert!(set.written().iter().all(|at| tables(&set, 2).contains(at)), "{:?}", set.written());
    assert_eq!((set.engine.superblock(), set.engine.mode()), (&before, Mode::Degraded));
    assert_eq!(set.notices(), [Notice::StaysEvicted { copy: 2 }]);
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    set.disks.fail_block(last, false);
    assert!(set.work(Work::Resume));
    assert_eq!(set.engine.mode(), Mode::Rw);
}

#[test]
fn s12_a_superblock_place_that_fails_shows_before_a_mask_is_proposed() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    let before = set.engine.superblock().clone();
    set.fail_copies(&[], &[2], true);
    assert!(set.work(Work::Resume));
    assert_eq!(set.written()[3..], [set.superblock(2)]);
    assert_eq!((set.engine.superblock(), set.engine.mode()), (&before, Mode::Degraded));
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
}

/// Lets the write of the superblock in `place` succeed once and fail from then on.
fn fails_the_second_time(disks: &mut Disks, place: u64, request: &IoRequest) {
    let written = disks.log.iter().any(|r| r.op == Op::WriteFua && r.sector == place);
    disks.fail_block(place, written && request.sector == place);
}

#[test]
fn s12_a_superblock_place_that_fails_in_the_end_leaves_the_mask_as_it_was() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    let epoch = set.engine.superblock().epoch;
    set.hook = Some(|disks, _, request| {
        let geometry = remap_core::format::Geometry::new(world::REGION_BLOCKS, Some(600)).unwrap();
        fails_the_second_time(disks, geometry.superblock(2).first_sector(), request);
    });
    assert!(set.work(Work::Resume));
    let sb = set.engine.superblock().clone();
    assert_eq!((sb.in_sync, set.engine.mode()), (0b1011, Mode::Degraded));
    assert!(sb.epoch > epoch + 1, "the mask that was proposed in vain is older than the one that counts");
    assert_eq!(set.notices(), [Notice::StaysEvicted { copy: 2 }]);
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    assert_eq!((choose(set.disks).in_sync, set.read(40)), (0b1011, Ok(0x33)));
}

#[test]
fn s12_a_copy_in_sync_that_fails_meanwhile_is_evicted_and_the_other_comes_back() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    set.fail_copies(&[], &[0], true);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.superblock().in_sync, set.engine.mode()), (0b1110, Mode::Degraded));
    let told = set.notices();
    assert!(told.contains(&Notice::Readmitted { copy: 2 }) && told.contains(&Notice::Evicted { copy: 0 }));
    assert_eq!(reload(&mut disks).read(40), Ok(0x22));
}

#[test]
fn s12_a_mask_that_cannot_be_settled_stops_remapping_until_it_can() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    set.fail_copies(&[], &[0, 1, 3], true);
    assert!(!set.work(Work::Resume));
    assert_eq!((set.engine.mode(), set.engine.superblock().in_sync), (Mode::NoRemap, 0b1011));
    // Superblock 2 may say that copy 2 counts: no table block is written to the others alone.
    set.disks.log.clear();
    assert!(set.repair(40, 8, 0x33).is_err());
    assert_eq!(set.written(), []);
    set.fail_copies(&[], &[0, 1, 3], false);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.mode(), set.engine.superblock().in_sync), (Mode::Rw, 0b1111));
}

#[test]
fn s12_with_one_copy_left_a_second_brings_remapping_back() {
    let mut disks = Disks::with_bad_group();
    disks.fail_main(80);
    let mut set = served(&mut disks, 600, 2);
    set.fail_copies(&[1], &[], true);
    set.repair(40, 8, 0x22).unwrap();
    assert_eq!((set.engine.mode(), set.engine.copies_in_sync()), (Mode::NoRemap, 1));
    set.fail_copies(&[1], &[], false);
    let mut set = reload(&mut disks);
    assert_eq!(set.engine.mode(), Mode::NoRemap);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.mode(), set.engine.copies_in_sync()), (Mode::Rw, 2));
    assert_eq!(set.repair(80, 8, 0x33), Ok(()));
    let mut set = reload(&mut disks);
    assert_eq!((set.read(40), set.read(80)), (Ok(0x22), Ok(0x33)));
}

/// What a commit left in doubt on the last copy cannot be settled there, as it is never rewritten.
#[test]
fn s13_a_second_copy_settles_what_is_in_doubt_on_the_last() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 600, 2);
    // Round one lands on copy 0, round two fails on copy 1, and so does its eviction.
    set.fail_copies(&[1], &[0, 1], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    assert!(set.engine.in_doubt());
    set.fail_copies(&[], &[0, 1], false);
    assert!(!set.work(Work::Resume));
    assert_eq!((set.engine.copies_in_sync(), set.engine.in_doubt()), (1, true));
    assert_eq!(set.on_disk(0, 0).mask, 0xff);
    set.fail_copies(&[1], &[], false);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.mode(), set.engine.in_doubt()), (Mode::Rw, false));
    assert_eq!((set.on_disk(0, 0).mask, set.on_disk(1, 0).mask), (0, 0));
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    assert_eq!(reload(&mut disks).read(40), Ok(0x33));
}

#[test]
fn s12_nothing_comes_back_while_writes_are_refused() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    set.committer.tick(&set.engine, 0);
    set.engine.flush_failed();
    assert!(!set.work(Work::Resume));
    assert_eq!((set.committer.tick(&set.engine, 10_000_000), set.written()), (None, vec![]));
    assert!(set.engine.resume_writes());
    assert_eq!(set.engine.mode(), Mode::Degraded);
    assert!(set.work(Work::Resume));
    assert_eq!(set.engine.mode(), Mode::Rw);
}

/// A set of 32 table blocks, which takes two batches to write, with copy 2 evicted.
fn large(disks: &mut Disks) -> Set<'_> {
    (0..40).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(disks, 32 * 252, 3);
    set.fail_copies(&[2], &[], true);
    set.repair(40, 8, 0x22).unwrap();
    set.fail_copies(&[2], &[], false);
    set.notices();
    set.disks.log.clear();
    set
}

#[test]
fn s12_a_block_that_a_commit_changes_between_batches_is_written_again() {
    let mut disks = Disks::with_region(12_000);
    let mut set = large(&mut disks);
    assert_eq!(set.committer.tick(&set.engine, 0), Some(60_000));
    assert!(set.committer.tick(&set.engine, 60_000).is_some_and(|ms| ms < 1000));
    set.commit();
    let all = tables(&set, 2);
    assert_eq!(set.written(), all[..24]);
    // Only the copies in sync take part in a commit, and the copy has a block of before it.
    assert_eq!(set.repair(80, 8, 0x33), Ok(()));
    assert!(!set.written()[24..].contains(&all[0]));
    set.disks.log.clear();
    set.commit();
    assert_eq!(set.written(), [], "a batch that nobody ordered waits for its time");
    set.committer.tick(&set.engine, 60_010);
    set.commit();
    let written = set.written();
    assert_eq!((&written[..8], written[8], written[9]), (&all[24..], all[0], set.superblock(2)));
    assert_eq!((set.engine.mode(), set.engine.superblock().in_sync), (Mode::Rw, 0b111));
    assert_eq!(image(set.disks, &all), image(set.disks, &tables(&set, 0)));
}

#[test]
fn s12_a_commit_waits_for_one_batch_and_not_for_the_copy() {
    let mut disks = Disks::with_region(12_000);
    let mut set = large(&mut disks);
    assert!(set.committer.order(Work::Resume));
    let mut buffer = vec![0; COMMIT_BUFFER_BYTES];
    let step = |set: &mut Set<'_>, buffer: &mut Vec<u8>| match set.committer.next(&mut set.engine, buffer) {
        Step::Io(request, tag) => {
            let ok = set.disks.run(&request, buffer).is_ok();
            set.committer.done(&mut set.engine, tag, ok);
            request
        }
        other => panic!("{other:?}"),
    };
    let first = step(&mut set, &mut buffer);
    assert_eq!(first.sector, set.table_block(2, 0));
    let job = Job { first: Sector(80), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut repair = Repair::new(0, job, &mut set.engine, 0);
    let (mut event, mut content) = (Event::Go, vec![0x33; CONTEXT_BUFFER_BYTES]);
    loop {
        event = match repair.next(&mut set.engine, event, 0) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(request) => Event::Io(set.disks.run(&request, &mut content)),
            Next::Commit => break,
            other => panic!("{other:?}"),
        };
    }
    for _ in 1..24 {
        assert_ne!(step(&mut set, &mut buffer).op, Op::Flush);
    }
    // Flush, round one, round two; then the copy goes on.
    let next: Vec<_> = (0..4).map(|_| step(&mut set, &mut buffer)).collect();
    assert_eq!((next[0].op, set.engine.commit_outcome(0)), (Op::Flush, Some(true)));
    assert_eq!(next[3].sector, set.table_block(2, 24));
    assert_eq!(set.commit(), Some((Work::Resume, true)));
    assert_eq!(set.engine.mode(), Mode::Rw);
    assert_eq!(image(set.disks, &tables(&set, 2)), image(set.disks, &tables(&set, 0)));
}

#[test]
fn s12_an_eviction_between_batches_goes_its_way_and_the_copy_comes_back() {
    let mut disks = Disks::with_region(12_000);
    let mut set = large(&mut disks);
    set.committer.tick(&set.engine, 0);
    set.committer.tick(&set.engine, 60_000);
    set.commit();
    set.fail_copies(&[1], &[], true);
    assert_eq!(set.repair(80, 8, 0x33), Ok(()));
    assert_eq!((set.engine.superblock().in_sync, set.engine.mode()), (0b001, Mode::NoRemap));
    set.committer.tick(&set.engine, 60_010);
    set.commit();
    assert_eq!((set.engine.superblock().in_sync, set.engine.mode()), (0b101, Mode::Degraded));
    let mut set = reload(&mut disks);
    assert_eq!((set.read(40), set.read(80)), (Ok(0x22), Ok(0x33)));
}

#[test]
fn s12_attempts_are_made_ever_less_often_until_somebody_orders_one() {
    let mut disks = Disks::with_bad_group();
    let mut set = with_evicted(&mut disks, 4, &[2]);
    set.fail_copies(&[2], &[], true);
    let mut now_ms = 5;
    for wait_ms in [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000] {
        assert_eq!(set.committer.tick(&set.engine, now_ms), Some(wait_ms));
        set.commit();
        assert_eq!(set.notices(), []);
        now_ms += wait_ms;
        set.committer.tick(&set.engine, now_ms);
        set.commit();
        assert_eq!(set.notices(), [Notice::StaysEvicted { copy: 2 }]);
    }
    assert!(set.work(Work::Resume));
    assert_eq!(set.committer.tick(&set.engine, now_ms), Some(60_000));
    // One that comes back and fails again has to wait longer as well.
    set.fail_copies(&[2], &[], false);
    set.committer.tick(&set.engine, now_ms + 60_000);
    set.commit();
    assert_eq!((set.engine.mode(), set.committer.tick(&set.engine, now_ms)), (Mode::Rw, None));
    set.fail_copies(&[2], &[], true);
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    // A write to a slot that is there changes no metadata.
    assert_eq!(set.engine.mode(), Mode::Rw);
    set.disks.fail_main(80);
    assert_eq!(set.repair(80, 8, 0x33), Ok(()));
    assert_eq!(set.engine.mode(), Mode::Degraded);
    assert_eq!(set.committer.tick(&set.engine, now_ms), Some(120_000));
}
