//! S32: no write of ours costs what it does not carry. The disk fails, and spoils, whole physical blocks.

mod world;

use remap_core::engine::machine::{Event, Machine, Next, CONTEXT_BUFFER_BYTES};
use remap_core::engine::order::Range;
use remap_core::engine::release::{Release, Released};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Notice, Settings};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::path::Place;
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set};

/// A main whose writes to these sectors fail, and leave the physical blocks of `unit` sectors that they touch unreadable.
fn spoiling(unit: u64, fails: std::ops::Range<u64>) -> Disks {
    let mut disks = Disks::new();
    disks.bad_writes.extend(fails.map(|s| (false, s)));
    disks.spoils_whole = unit;
    disks
}

/// A set on it that knows the physical block.
fn set_of(disks: &mut Disks, unit: u64) -> Set<'_> {
    let mut set = served(disks, 60, 3);
    in_units(&mut set, unit);
    set
}

fn in_units(set: &mut Set<'_>, unit: u64) {
    let settings = *set.engine.settings();
    set.engine.set_settings(Settings { physical_sectors: unit as u32, ..settings });
}

/// The first byte of each sector; 0 for what cannot be read.
fn content(set: &mut Set<'_>, sectors: std::ops::Range<u64>) -> Vec<u8> {
    sectors.map(|s| set.read(s).unwrap_or(0)).collect()
}

/// What is there when `written` holds 0x22, and everything else what it held from the start.
fn right(sectors: std::ops::Range<u64>, written: std::ops::Range<u64>) -> Vec<u8> {
    sectors.map(|s| if written.contains(&s) { 0x22 } else { 0xee }).collect()
}

/// Sectors of `byte` are stored in slots, and main can be read again as it was.
fn mapped<'d>(disks: &'d mut Disks, unit: u64, first: u64, sectors: u32) -> Set<'d> {
    disks.spoils_whole = 0;
    let mut set = set_of(disks, unit);
    set.repair(first, sectors, 0x22).unwrap();
    set.disks.spoils_whole = unit;
    set.disks.log.clear();
    set
}

#[test]
fn a_release_that_main_refuses_costs_nothing_that_was_readable() {
    for (unit, around) in [(8, 40..48), (64, 0..64)] {
        let mut disks = spoiling(unit, 40..48);
        let mut set = mapped(&mut disks, unit, 42, 3);
        let failed = set.release(42, 3);
        assert_eq!(failed, Released { failed: 3, aside: unit - 3, ..Released::default() });
        assert!(set.disks.on_main(Op::Write).len() < 9 && !set.disks.bad_reads.is_empty());
        assert_eq!(content(&mut set, around.clone()), right(around.clone(), 42..45));
        let mut set = reload(&mut disks);
        assert_eq!(content(&mut set, around.clone()), right(around, 42..45));
    }
}

#[test]
fn s32_what_was_moved_out_of_the_way_of_a_release_goes_back_with_it() {
    for (unit, around) in [(8, 32..56), (16, 32..64), (64, 0..128)] {
        let mut disks = spoiling(unit, 40..48);
        let mut set = mapped(&mut disks, unit, 42, 3);
        set.disks.bad_writes.clear();
        // All of the block is asked for: what was on main before counts as that.
        let done = set.release(40, 8);
        assert_eq!(done, Released { released: 3, main: 5, ..Released::default() }, "{unit}");
        assert_eq!((set.engine.used(), set.engine.retired()), (0, 0));
        assert_eq!(content(&mut set, around.clone()), right(around.clone(), 42..45));
        let mut set = reload(&mut disks);
        assert_eq!((set.engine.used(), content(&mut set, around.clone())), (0, right(around, 42..45)));
    }
}

#[test]
fn s32_where_the_rest_of_a_physical_block_cannot_be_read_nothing_goes_back() {
    for unit in [8, 64] {
        let mut disks = spoiling(unit, 40..48);
        let mut set = mapped(&mut disks, unit, 42, 3);
        set.disks.bad_writes.clear();
        set.disks.bad_reads.insert((false, 47));
        assert_eq!(set.release(42, 3), Released { failed: 3, ..Released::default() });
        assert_eq!((set.disks.on_main(Op::Write), set.engine.used()), (vec![], 1));
        // Somebody writes it, and the way is free.
        set.disks.bad_reads.clear();
        assert_eq!(set.release(42, 3), Released { released: 3, ..Released::default() });
        assert_eq!((set.engine.used(), set.read(42), set.read(47)), (0, Ok(0x22), Ok(0xee)));
    }
}

#[test]
fn s32_a_release_without_a_slot_for_what_lives_beside_it_is_not_made() {
    let mut disks = spoiling(64, 40..48);
    let mut set = mapped(&mut disks, 64, 42, 3);
    let settings = *set.engine.settings();
    set.engine.set_settings(Settings { slots_max: 3, ..settings });
    assert_eq!(set.release(42, 3), Released { failed: 3, aside: 16, ..Released::default() });
    assert_eq!(set.disks.on_main(Op::Write), []);
    assert_eq!(content(&mut set, 0..64), right(0..64, 42..45));
}

#[test]
fn s24_what_a_release_that_stops_has_moved_out_of_the_way_is_told() {
    let mut disks = spoiling(8, 40..48);
    let mut set = mapped(&mut disks, 8, 42, 3);
    let range = Range { first: Sector(42), sectors: 3 };
    let mut machine = Machine::Release(Release::new(0, range, &set.engine));
    let (mut event, mut buffer) = (Event::Go, vec![0; CONTEXT_BUFFER_BYTES]);
    loop {
        event = match machine.next(&mut set.engine, event, 0) {
            Next::Io(request) => Event::Io(set.disks.run(&request, &mut buffer)),
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            // Readers of main are waited for, and somebody has had enough.
            Next::Drain(drain) if drain.may_stop => {
                machine.stop();
                Event::Undrained
            }
            Next::Drain(_) => Event::Drained,
            next => break assert_eq!(next, Next::Done(Ok(()))),
        };
    }
    let Machine::Release(release) = machine else { panic!() };
    assert_eq!(release.tally(), Released { aside: 5, next: Some(Sector(42)), ..Released::default() });
    // They go back when they are asked for.
    set.disks.bad_writes.clear();
    assert_eq!(set.release(40, 8), Released { released: 8, ..Released::default() });
}

#[test]
fn s32_a_write_that_is_repeated_in_place_costs_nothing_that_lives_beside_it() {
    for (unit, around) in [(8, 32..64), (64, 0..128)] {
        let mut disks = spoiling(unit, 40..48);
        let mut set = set_of(&mut disks, unit);
        assert_eq!(set.repair(42, 3, 0x22), Ok(()));
        assert_eq!(content(&mut set, around.clone()), right(around.clone(), 42..45));
        let mut set = reload(&mut disks);
        assert_eq!(content(&mut set, around.clone()), right(around, 42..45));
    }
}

#[test]
fn s32_an_attempt_that_failed_before_one_that_did_not_costs_nothing_either() {
    let mut disks = spoiling(8, 0..0);
    let mut set = set_of(&mut disks, 8);
    // Two pieces beside it are read, and the first attempt fails.
    set.disks.log.clear();
    set.disks.fail_nth = Some((2, ErrorKind::Medium));
    assert_eq!(set.repair(42, 3, 0x22), Ok(()));
    assert_eq!(set.disks.main[42 * 512], 0x22);
    assert_eq!(content(&mut set, 32..56), right(32..56, 42..45));
    disks.fail_nth = None;
    let mut set = reload(&mut disks);
    assert_eq!(content(&mut set, 32..56), right(32..56, 42..45));
}

#[test]
fn s32_what_lives_beside_a_write_that_is_repeated_stays_where_it_can_be_read() {
    let mut disks = Disks::new();
    disks.fail_main(40);
    let mut set = set_of(&mut disks, 8);
    assert_eq!(set.repair(42, 3, 0x22), Ok(()));
    let slot = remap_core::units::Slot(0);
    assert_eq!((set.engine.used(), set.engine.entry(slot).mask), (1, 0b0001_1100));
    // A transient failure costs no slot at all.
    let mut disks = Disks::new();
    let mut set = set_of(&mut disks, 8);
    assert_eq!(set.repair(82, 3, 0x22), Ok(()));
    assert_eq!((set.engine.used(), set.read(82), set.disks.main[82 * 512]), (0, Ok(0x22), 0x22));
}

#[test]
fn s32_a_write_is_not_repeated_in_place_where_the_rest_cannot_be_read() {
    for unit in [8, 64] {
        let mut disks = Disks::new();
        disks.bad_reads.insert((false, 47));
        let mut set = set_of(&mut disks, unit);
        assert_eq!(set.repair(42, 3, 0x22), Ok(()));
        assert_eq!((set.disks.on_main(Op::Write), set.engine.used()), (vec![], 1));
        assert_eq!((set.read(42), set.read(46), set.read(47).is_err()), (Ok(0x22), Ok(0xee), true));
    }
}

#[test]
fn s32_the_ends_of_a_long_write_are_repeated_apart_and_the_rest_of_their_blocks_is_kept() {
    for unit in [8, 16, 64] {
        // Both ends lie in the middle of a physical block that fails, and what lies between them takes the write.
        let mut disks = spoiling(unit, 68..72);
        disks.bad_writes.extend((256 + 320..256 + 328).map(|s| (false, s)));
        let mut set = set_of(&mut disks, unit);
        assert_eq!(set.repair(68, 510, 0x22), Ok(()), "{unit}");
        assert_eq!(content(&mut set, 0..704), right(0..704, 68..578), "{unit}");
        let mut set = reload(&mut disks);
        assert_eq!(content(&mut set, 0..704), right(0..704, 68..578), "{unit}");
    }
}

#[test]
fn s32_what_a_repair_wrote_before_of_a_physical_block_is_not_lost_by_what_it_writes_after() {
    // Of one group the middle is in a slot; main takes what is before it, and fails what is behind.
    let mut disks = spoiling(8, 42..45);
    let mut set = mapped(&mut disks, 8, 42, 3);
    set.disks.bad_writes = (45..48).map(|s| (false, s)).collect();
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    assert_eq!(content(&mut set, 32..56), right(32..56, 40..48));
    // The windows of a long write end between physical blocks, so that nothing of it lies beside what is written.
    let mut disks = spoiling(64, 180..186);
    let mut set = set_of(&mut disks, 64);
    assert_eq!(set.repair(0, 512, 0x22), Ok(()));
    assert_eq!(set.disks.on_main(Op::Read), []);
    assert_eq!(content(&mut set, 0..600), right(0..600, 0..512));
}

#[test]
fn s32_a_question_to_main_costs_nothing_of_a_large_physical_block() {
    let mut disks = spoiling(64, 0..world::MAIN_SECTORS);
    let mut set = set_of(&mut disks, 64);
    set.busy = false;
    assert_eq!(set.repair(640, 64, 0x22), Err(ErrorKind::Io));
    let asked: Vec<_> =
        set.disks.log.iter().filter(|r| r.device == Device::Main && r.sector / 64 != 10).collect();
    assert!(asked.iter().any(|r| r.op == Op::Write && r.sectors == 64), "{asked:?}");
    assert!(asked.iter().all(|r| r.op != Op::Write || r.sectors == 64 && r.sector % 64 == 0));
    for s in (0..world::MAIN_SECTORS).filter(|s| s / 64 != 10) {
        assert_eq!(set.read(s), Ok(0xee), "sector {s}");
    }
    assert!(set.engine.used() > 0);
    let mut set = reload(&mut disks);
    for s in (0..world::MAIN_SECTORS).filter(|s| s / 64 != 10) {
        assert_eq!(set.read(s), Ok(0xee), "sector {s}");
    }
}

#[test]
fn s14_slots_for_what_lives_beside_a_failed_write_count() {
    // Of a part the sixteenth slot is that of the rest, and main is asked before the part itself goes there.
    for (sectors, at, after) in [(8, 0, 16), (1, 3, 15)] {
        let mut disks = spoiling(8, 800..1600);
        let mut set = served(&mut disks, 100, 2);
        set.busy = false;
        set.now_ms = 100_000;
        // One success elsewhere, which is evidence for sixteen slots.
        set.evidence.written(set.now_ms, Sector(4000), || 100_000);
        let asked_after = (0..40).find(|n| {
            set.disks.log.clear();
            let _ = set.repair(800 + n * 8 + at, sectors, 0x22);
            set.disks.log.iter().any(|r| r.device == Device::Main && r.sector / 8 != 100 + n)
        });
        assert_eq!(asked_after, Some(after), "{sectors}");
    }
}

#[test]
fn s09_a_physical_block_that_changes_during_a_job_changes_no_content() {
    let mut disks = spoiling(8, 236..237);
    let mut set = served(&mut disks, 60, 2);
    let job = Job { first: Sector(2), sectors: 235, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut machine = Machine::Write(Repair::new(0, job, &mut set.engine, set.now_ms));
    let mut buffer = vec![0; CONTEXT_BUFFER_BYTES];
    let mut event = Event::Go;
    let verdict = loop {
        set.tick();
        event = match machine.next(&mut set.engine, event, set.now_ms) {
            Next::Load { sectors, .. } => {
                buffer[..sectors as usize * 512].fill(0x22);
                // Another context begins with a job, and the host has read anew what main says of itself.
                in_units(&mut set, 64);
                Event::Loaded
            }
            Next::Io(request) => Event::Io(set.disks.run(&request, &mut buffer)),
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            Next::Drain(_) => Event::Drained,
            Next::Done(verdict) => break verdict,
            other => panic!("{other:?}"),
        };
    };
    assert_eq!(verdict, Ok(()));
    assert_eq!(content(&mut set, 0..256), right(0..256, 2..237));
}

#[test]
fn s32_what_lives_beside_a_failed_write_is_stored_though_the_slot_of_its_group_is_bad() {
    for suspect in [false, true] {
        let mut disks = spoiling(8, 40..48);
        let mut set = mapped(&mut disks, 8, 40, 2);
        let at = set.engine.geometry().slot_block(Slot(0)).first_sector();
        set.disks.fail_block(at, true);
        set.disks.bad_reads.extend((at..at + 8).map(|s| (true, s)));
        if suspect {
            let _ = set.reread(40, 2, Place::Spare(Slot(0)));
        }
        // Sector 44 is written; what is beside it on main goes to another slot with it.
        assert_eq!(set.repair(44, 1, 0x22), Ok(()));
        let spoilt = |notice: &Notice| matches!(notice, Notice::Spoilt { .. });
        assert!(!set.notices().iter().any(spoilt));
        assert_eq!(content(&mut set, 42..48), right(42..48, 44..45), "{suspect}");
        // What lived in the bad slot alone cannot be had from anywhere.
        assert_eq!((set.read(40).is_err(), set.engine.retired()), (true, 1));
    }
}

#[test]
fn s32_one_error_of_the_spares_link_costs_nothing_that_is_at_hand() {
    // Every request of a repair fails once, but the flush of the spare: after that nothing is mapped any more (S8).
    for nth in 0..30 {
        let mut disks = spoiling(8, 40..48);
        let mut set = set_of(&mut disks, 8);
        set.disks.fail_nth = Some((nth, ErrorKind::Transport));
        let _ = set.repair(42, 1, 0x22);
        set.disks.fail_nth = None;
        let request = set.disks.log.get(nth).copied();
        if request.is_some_and(|r| r.op == Op::Flush) {
            continue;
        }
        let lost: Vec<_> = (32..56).filter(|s| *s != 42 && set.read(*s).is_err()).collect();
        assert_eq!(lost, [], "request {nth}: {request:?}");
    }
}
