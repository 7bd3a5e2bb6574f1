//! The commit protocol: copies that fail, commits that may have landed, superblocks.

mod world;

use remap_core::engine::commit::Work;
use remap_core::engine::load::LoadError;
use remap_core::engine::{Mode, Notice};
use remap_core::error::ErrorKind;
use remap_core::format::{encode_table_block, Entry, SampleRange, Samples, SetId};
use remap_core::io::{IoRequest, Op};
use remap_core::lookup::Use;
use remap_core::path::{direct, Access, Direction, Request};
use remap_core::units::{Sector, Slot};
use world::{choose, format, load, reload, served, Disks, Set};

#[test]
fn s12_a_copy_that_fails_is_evicted_and_the_commit_goes_on() {
    for bad in 0..5 {
        let mut disks = Disks::with_bad_group();
        let mut set = served(&mut disks, 20, 5);
        set.fail_copies(&[bad], &[], true);
        assert_eq!(set.repair(40, 8, 0x22), Ok(()));
        let sb = set.engine.superblock().clone();
        assert_eq!((sb.in_sync, sb.epoch, set.engine.mode()), (0b11111 & !(1 << bad), 2, Mode::Degraded));
        assert!(set.notices().contains(&Notice::Evicted { copy: bad }));
        // It comes back with what it held before, and does not count.
        disks.bad_writes.retain(|(spare, _)| !spare);
        assert_eq!(choose(&mut disks).in_sync, sb.in_sync);
        let mut set = reload(&mut disks);
        assert_eq!(set.read(40), Ok(0x22));
        // Nothing more of it is written but its superblock, which says that it does not count.
        set.repair(40, 8, 0x33).unwrap();
        let stale = set.table_block(bad, 0);
        assert!(!set.written().contains(&stale));
    }
}

/// Valid and newer than anything else: what the mask leaves out does not count.
#[test]
fn s12_an_evicted_copy_does_not_count_however_new_it_says_it_is() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.fail_copies(&[1], &[], true);
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    assert_eq!(set.engine.superblock().in_sync, 0b101);
    let (id, at) = (set.engine.superblock().id, set.table_block(1, 0) as usize * 512);
    let mut newer = [0; 4096];
    encode_table_block(&id, 0, 1 << 40, 1, |_| Entry::default(), &mut newer);
    set.disks.spare[at..at + 4096].copy_from_slice(&newer);
    disks.bad_writes.retain(|(spare, _)| !spare);
    let mut set = reload(&mut disks);
    assert_eq!((set.read(40), set.engine.superblock().in_sync), (Ok(0x22), 0b101));
}

#[test]
fn s19_a_read_only_table_takes_no_write_whatever_the_mode() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 5);
    let access = Access::read_only();
    let geometry = *set.engine.geometry();
    let writes = |set: &mut Set<'_>| {
        access.update(&mut set.engine);
        let request = Request { first: Sector(40), sectors: 8, write: true, nowait: false };
        direct(&set.engine.table(), &geometry, &access, 1, request) != Direction::Refuse(ErrorKind::Io)
    };
    assert!(!writes(&mut set));
    set.engine.flush_failed();
    assert!(!writes(&mut set));
    assert!(set.engine.resume_writes());
    assert!(!writes(&mut set));
}

#[test]
fn s12_round_two_begins_after_round_one_and_writes_every_copy_in_sync() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 300, 4);
    set.repair(40, 8, 0x22).unwrap();
    let expected: Vec<_> = (0..4).map(|c| set.table_block(c, 0)).collect();
    assert_eq!(set.written(), expected);
}

#[test]
fn s12_an_eviction_needs_more_than_half_of_the_superblocks() {
    // Of four, two are not enough.
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 4);
    set.fail_copies(&[1], &[2, 3], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!((set.engine.mode(), set.engine.copies_in_sync()), (Mode::NoRemap, 4));
    // Three are.
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 4);
    set.fail_copies(&[1], &[1], true);
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    assert_eq!(set.engine.superblock().in_sync, 0b1101);
}

#[test]
fn s12_the_last_copy_is_never_rewritten() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    set.fail_copies(&[0], &[], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!((set.engine.mode(), set.engine.superblock().in_sync), (Mode::NoRemap, 0b10));
    let last = set.table_block(1, 0);
    assert!(!set.written().contains(&last));
    // Nothing of it can have landed on a copy that counts, so nothing is in doubt and the slot is free again.
    assert!(!set.engine.in_doubt());
    assert_eq!((set.read(40), set.engine.used()), (Ok(0xee), 0));
}

#[test]
fn s12_a_commit_whose_round_one_is_done_finishes_on_the_copy_that_is_left() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    set.fail_copies(&[1], &[], true);
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    assert_eq!((set.engine.mode(), set.engine.superblock().in_sync), (Mode::NoRemap, 0b01));
    assert!(set.repair(80, 8, 0x22).is_err());
    assert_eq!(reload(&mut disks).read(40), Ok(0x22));
}

#[test]
fn s12_copies_are_made_equal_before_the_first_io_and_never_from_the_only_whole_one() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let tables: Vec<_> = (0..3).map(|c| set.table_block(c, 0)).collect();
    // Copies 0 and 1 were torn.
    for torn in &tables[..2] {
        disks.spare[*torn as usize * 512 + 100] ^= 1;
    }
    let mut set = load(&mut disks).unwrap();
    set.disks.log.clear();
    assert!(set.work(Work::Takeover));
    let order: Vec<_> = set.written().into_iter().filter(|s| tables.contains(s)).collect();
    assert_eq!(order, [tables[0], tables[1], tables[2]]);
    assert_eq!(set.on_disk(0, 0), set.on_disk(2, 0));
    // The lowest copy is the only whole one: it is written last.
    for torn in &tables[1..] {
        disks.spare[*torn as usize * 512 + 100] ^= 1;
    }
    let mut set = load(&mut disks).unwrap();
    set.disks.log.clear();
    assert!(set.work(Work::Takeover));
    let order: Vec<_> = set.written().into_iter().filter(|s| tables.contains(s)).collect();
    assert_eq!(order, [tables[1], tables[0], tables[2]]);
    assert_eq!(set.read(40), Ok(0x22));
}

/// A set whose last copy lacks the mapping of sector 40 that the others have.
fn with_an_old_copy(disks: &mut Disks) {
    let mut set = served(disks, 20, 3);
    let at = set.table_block(2, 0) as usize * 512;
    let old = set.disks.spare[at..at + 4096].to_vec();
    set.repair(40, 8, 0x22).unwrap();
    set.disks.spare[at..at + 4096].copy_from_slice(&old);
}

#[test]
fn s12_a_takeover_that_fails_is_begun_again_and_makes_the_copies_equal() {
    let mut disks = Disks::with_bad_group();
    with_an_old_copy(&mut disks);
    let before = disks.spare.clone();
    let mut set = load(&mut disks).unwrap();
    set.fail_copies(&[0, 1, 2], &[0, 1, 2], true);
    for _ in 0..2 {
        assert!(!set.work(Work::Takeover));
    }
    assert_eq!(set.disks.spare, before);
    set.fail_copies(&[0, 1, 2], &[0, 1, 2], false);
    assert!(set.work(Work::Takeover));
    let sb = set.engine.superblock().clone();
    assert_eq!((sb.in_sync, sb.clean, set.engine.mode()), (0b111, false, Mode::Rw));
    assert_eq!((set.on_disk(1, 0), set.on_disk(2, 0)), (set.on_disk(0, 0), set.on_disk(0, 0)));
    assert_eq!((set.read(40), choose(set.disks).in_sync), (Ok(0x22), 0b111));
    assert_eq!(set.repair(44, 4, 0x33), Ok(()));
    assert_eq!(reload(&mut disks).read(44), Ok(0x33));
}

/// Whichever blocks fail at first: a second takeover serves what the first one did not, from copies that are equal.
#[test]
fn s12_a_takeover_goes_on_whatever_the_one_before_it_failed_at() {
    let mut begun = Disks::with_bad_group();
    with_an_old_copy(&mut begun);
    let mut failed = 0;
    for pattern in 0..64u8 {
        let mut disks = begun.clone();
        let mut set = load(&mut disks).unwrap();
        let which = |bits: u8| (0..3).filter(|copy| bits & 1 << copy != 0).collect::<Vec<u8>>();
        let (tables, superblocks) = (which(pattern & 7), which(pattern >> 3));
        set.fail_copies(&tables, &superblocks, true);
        let served = set.work(Work::Takeover);
        set.fail_copies(&tables, &superblocks, false);
        if !served {
            failed += 1;
            assert!(set.work(Work::Takeover), "{pattern:#b}");
        }
        let in_sync = set.engine.superblock().in_sync;
        let mode = [Mode::NoRemap, Mode::NoRemap, Mode::Degraded, Mode::Rw][in_sync.count_ones() as usize];
        if !served {
            assert_eq!(set.engine.mode(), mode, "{pattern:#b}");
        }
        for copy in which(in_sync) {
            assert_eq!(set.on_disk(copy, 0).mask, 0xff, "{pattern:#b}: copy {copy}");
        }
        assert_eq!((set.read(40), choose(set.disks).in_sync), (Ok(0x22), in_sync), "{pattern:#b}");
        assert_eq!(reload(&mut disks).read(40), Ok(0x22));
    }
    assert!(failed > 8);
}

#[test]
fn s12_every_superblock_of_a_session_carries_its_number_and_comes_before_table_blocks() {
    let mut disks = Disks::new();
    format(&mut disks, 20, 3);
    let set = load(&mut disks).unwrap();
    let before = choose(set.disks).activations;
    let table = set.table_block(0, 0);
    set.disks.spare[table as usize * 512 + 100] ^= 1;
    let mut set = load(&mut disks).unwrap();
    set.disks.log.clear();
    set.disks.fail_block(table, true);
    assert!(set.work(Work::Takeover));
    let sb = set.engine.superblock().clone();
    assert_eq!((sb.activations, sb.in_sync, sb.clean), (before + 1, 0b110, false));
    assert_eq!(set.written()[..3], [set.superblock(0), set.superblock(1), set.superblock(2)]);
    assert!(set.work(Work::Close));
    assert_eq!(choose(&mut disks).activations, before + 1);
}

#[test]
fn s12_a_spoilt_superblock_is_written_before_a_whole_one() {
    let mut disks = Disks::new();
    format(&mut disks, 20, 2);
    let set = load(&mut disks).unwrap();
    let places = [set.superblock(0), set.superblock(1)];
    disks.spare[places[1] as usize * 512] ^= 1;
    let mut set = load(&mut disks).unwrap();
    set.disks.log.clear();
    set.disks.fail_block(places[1], true);
    // Served, as the copies are equal, but nothing can be mapped; and the last superblock was not put at risk.
    assert!(set.work(Work::Takeover));
    assert_eq!((set.written(), set.engine.mode()), (vec![places[1]], Mode::NoRemap));
}

#[test]
fn s13_a_failed_commit_may_have_landed_until_a_later_one_without_it_is_durable() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    // Round one lands, round two fails, and so does the eviction.
    set.fail_copies(&[1, 2], &[0, 1, 2], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!((set.engine.mode(), set.engine.in_doubt()), (Mode::NoRemap, true));
    assert!(set.notices().contains(&Notice::CommitFailed));
    assert_eq!(set.on_disk(0, 0).mask, 0xff);
    // Reads see what was there before, writes of the whole group are refused, its slot stays reserved.
    assert_eq!(set.read(40), Ok(0xee));
    assert!(set.engine.is_in_doubt(Sector(40)) && set.engine.is_in_doubt(Sector(47)));
    assert!(set.repair(40, 8, 0x33).is_err());
    assert_eq!(set.engine.used(), 1);
    // While it cannot be settled, it stays in doubt.
    assert!(!set.work(Work::Resume));
    assert!(set.engine.in_doubt());
    set.fail_copies(&[1, 2], &[0, 1, 2], false);
    assert!(set.work(Work::Resume));
    assert_eq!((set.engine.mode(), set.engine.in_doubt()), (Mode::Rw, false));
    // Lookups led to no content of the slot, so that it is free at once (S33).
    assert_eq!(
        (set.engine.used(), set.engine.table().record(Slot(0)).map(|r| r.usage())),
        (0, Some(Use::Free))
    );
    for copy in 0..3 {
        assert_eq!(set.on_disk(copy, 0).mask, 0, "copy {copy}");
    }
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    assert_eq!(reload(&mut disks).read(40), Ok(0x33));
}

#[test]
fn s12_a_mask_that_was_proposed_in_vain_is_overwritten_before_any_table_block() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    // The eviction of copy 0 lands on superblock 1 only.
    set.fail_copies(&[0], &[0, 2], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    let true_mask = set.engine.superblock().in_sync;
    set.fail_copies(&[0], &[0, 2], false);
    set.disks.log.clear();
    assert!(set.work(Work::Resume));
    let superblocks: Vec<_> = (0..3).map(|c| set.superblock(c)).collect();
    assert!(set.written()[..3].iter().all(|s| superblocks.contains(s)), "{:?}", set.written());
    assert_eq!((true_mask, set.engine.superblock().in_sync), (0b111, 0b111));
    assert_eq!(choose(set.disks).in_sync, 0b111);
}

#[test]
fn s13_a_set_that_is_closed_in_doubt_is_not_called_clean() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.fail_copies(&[1, 2], &[0, 1, 2], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    set.fail_copies(&[1, 2], &[0, 1, 2], false);
    let _ = set.work(Work::Close);
    assert_eq!((set.engine.in_doubt(), choose(set.disks).clean), (true, false));
    assert!(set.work(Work::Resume) && set.work(Work::Close));
    assert!(choose(set.disks).clean);
}

#[test]
fn s12_what_a_session_writes_is_newer_than_everything_before() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    for first in [40, 42, 44] {
        assert_eq!(set.repair(first, 1, 0x22), Ok(()));
    }
    let at = set.table_block(0, 0) as usize * 512;
    // As docs/format.md has it, 40 bytes into each block.
    let seq = |disks: &Disks| u64::from_le_bytes(disks.spare[at + 40..at + 48].try_into().unwrap());
    let before = seq(set.disks);
    let superblock = set.engine.superblock().seq;
    assert!(before > superblock, "{before} {superblock}");
    let mut set = reload(&mut disks);
    assert!(set.engine.superblock().seq > before);
    assert_eq!(set.repair(46, 1, 0x33), Ok(()));
    assert!(seq(set.disks) > before);
}

#[test]
fn s21_the_fingerprint_of_the_last_close_does_not_outlive_an_activation() {
    let mut disks = Disks::new();
    drop(served(&mut disks, 20, 3));
    let mut closed = choose(&mut disks);
    (closed.fingerprint, closed.fingerprint_s, closed.clean) = (5, 1_700_000_000, true);
    let mut samples = Samples::NONE;
    samples.push(SampleRange { group: 0, count: 1, hash: [7; 6] });
    for copy in 0..3 {
        let mut block = [0; 4096];
        closed.encode_with(copy, &samples, &mut block);
        let at = closed.geometry.superblock(copy).0 as usize * 4096;
        disks.spare[at..at + 4096].copy_from_slice(&block);
    }
    let on_disk = |disks: &Disks, copy| {
        let at = closed.geometry.superblock(copy).0 as usize * 4096;
        Samples::decode(disks.spare[at..at + 4096].try_into().unwrap(), &closed.main).unwrap()
    };
    let before = choose(&mut disks);
    assert_eq!((before.fingerprint, before.fingerprint_s), (5, 1_700_000_000));
    assert_eq!(on_disk(&disks, 2), samples);
    drop(reload(&mut disks));
    let now = choose(&mut disks);
    assert_eq!((now.fingerprint, now.fingerprint_s, now.clean), (0, 0, false));
    assert!((0..3).all(|copy| on_disk(&disks, copy).is_empty()));
}

#[test]
fn s13_after_a_crash_what_is_on_disk_counts() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.fail_copies(&[1, 2], &[0, 1, 2], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    disks.bad_writes.retain(|(spare, _)| !spare);
    let mut set = reload(&mut disks);
    assert_eq!(set.read(40), Ok(0x22));
    assert_eq!(set.on_disk(2, 0).mask, 0xff);
}

#[test]
fn s13_accepting_writes_again_does_not_take_up_remapping() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.fail_copies(&[1, 2], &[0, 1, 2], true);
    assert!(set.repair(40, 8, 0x22).is_err());
    set.engine.flush_failed();
    assert!(set.engine.resume_writes());
    assert_eq!(set.engine.mode(), Mode::NoRemap);
}

#[test]
fn a_commit_carries_many_changes_in_two_rounds() {
    let mut disks = Disks::new();
    (0..20).for_each(|g| disks.fail_main(g * 16));
    let mut set = served(&mut disks, 300, 3);
    set.repair(0, 240, 0x22).unwrap();
    assert_eq!((set.engine.used(), set.engine.counters().commits), (15, 1));
    let flushes = set.disks.log.iter().filter(|r: &&IoRequest| r.op == Op::Flush).count();
    assert_eq!((flushes, set.written().len()), (1, 3));
}

/// Another set's blocks, newer than any of ours, in the places of a copy in sync.
#[test]
fn s12_table_blocks_of_another_set_do_not_count_and_are_overwritten() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let at = set.table_block(1, 0) as usize * 512;
    let mut foreign = [0; 4096];
    encode_table_block(&SetId([8; 16]), 0, 1 << 40, 1, |_| Entry::default(), &mut foreign);
    set.disks.spare[at..at + 4096].copy_from_slice(&foreign);
    let mut set = reload(&mut disks);
    assert_eq!(set.read(40), Ok(0x22));
    assert_eq!((set.on_disk(1, 0), set.engine.mode()), (set.on_disk(0, 0), Mode::Rw));
}

#[test]
fn s12_a_block_that_cannot_be_read_is_taken_from_another_copy_and_written_anew() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 600, 3);
    set.repair(40, 8, 0x22).unwrap();
    let places = [set.table_block(0, 0), set.table_block(1, 0), set.table_block(2, 0)];
    set.disks.bad_reads.extend([(true, places[0] + 3), (true, places[2])]);
    let mut set = load(&mut disks).unwrap();
    set.disks.log.clear();
    assert!(set.work(Work::Takeover));
    let written: Vec<_> = set.written().into_iter().filter(|at| places.contains(at)).collect();
    assert_eq!((set.read(40), written), (Ok(0x22), vec![places[0], places[1], places[2]]));
    // It is unreadable in every copy.
    disks.bad_reads.insert((true, places[1] + 7));
    assert_eq!(load(&mut disks).err(), Some(LoadError::BlockLost(0)));
}
