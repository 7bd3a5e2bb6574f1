//! Write repair, one failed write at a time.

mod world;

use remap_core::engine::commit::Work;
use remap_core::engine::machine::{Event, Machine, Next, CONTEXT_BUFFER_BYTES};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{FailReason, Mode, Notice, Settings};
use remap_core::error::ErrorKind;
use remap_core::format::SlotState;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::{Record, Run, Table, Use};
use remap_core::path::{direct, Access, Direction, Request};
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set};

/// Writes to main that touch `sector`.
fn attempts(disks: &Disks, sector: u64) -> usize {
    let touches = |r: &&IoRequest| {
        r.device == Device::Main && r.sector <= sector && sector < r.sector + u64::from(r.sectors)
    };
    disks.log.iter().filter(touches).count()
}

#[test]
fn s05_a_failed_write_is_narrowed_to_its_physical_block() {
    let mut disks = Disks::new();
    disks.fail_main(100);
    let mut set = served(&mut disks, 20, 3);
    assert_eq!(set.repair(64, 128, 0x11), Ok(()));
    assert_eq!(set.engine.used(), 1);
    let (_, record) = set.engine.table().record_of(Sector(100).group()).unwrap();
    assert_eq!(record.mask(), 0xff);
    for s in 64..192 {
        assert_eq!(set.read(s), Ok(0x11), "sector {s}");
    }
    // 128 sectors are 16 physical blocks: 2 log n and the threshold.
    assert!(attempts(set.disks, 100) <= 3 + 8, "{}", attempts(set.disks, 100));
}

#[test]
fn s05_a_block_counts_as_bad_after_error_threshold_attempts() {
    for threshold in [1, 2, 5] {
        let mut disks = Disks::with_bad_group();
        let mut set = served(&mut disks, 20, 2);
        let mut settings = *set.engine.settings();
        settings.error_threshold = threshold;
        set.engine.set_settings(settings);
        assert_eq!(set.repair(40, 8, 0x22), Ok(()));
        // The user's own write was the first attempt.
        assert_eq!(attempts(set.disks, 40), threshold as usize - 1);
    }
}

#[test]
fn s05_after_the_deadline_what_has_not_proved_good_goes_to_slots() {
    let mut disks = Disks::new();
    disks.main_away(true);
    let mut set = served(&mut disks, 100, 2);
    set.io_ms = 8000;
    assert_eq!(set.repair(0, 240, 0x22), Ok(()));
    // Four attempts take half a minute; to find out about 30 blocks would take more than 60.
    assert_eq!((set.disks.on_main(Op::Write).len(), set.engine.used()), (4, 30));
    assert!((0..240).all(|sector| set.read(sector) == Ok(0x22)));
}

#[test]
fn s05_only_the_sectors_of_the_write_go_to_the_slot() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.repair(42, 3, 0x22), Ok(()));
    assert_eq!(
        (set.read(41), set.read(42), set.read(44), set.read(45)),
        (Ok(0xee), Ok(0x22), Ok(0x22), Ok(0xee))
    );
    assert_eq!(set.repair(46, 1, 0x33), Ok(()));
    assert_eq!(set.engine.used(), 1);
    assert_eq!((set.read(42), set.read(46), set.read(47)), (Ok(0x22), Ok(0x33), Ok(0xee)));
    let mut set = reload(&mut disks);
    assert_eq!((set.read(42), set.read(46), set.read(47)), (Ok(0x22), Ok(0x33), Ok(0xee)));
}

#[test]
fn s06_content_then_flush_then_one_copy_then_the_others_then_visible() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.hook = Some(|_, table: &Table<'_>, _| {
        assert!(matches!(table.find(Sector(40), 8), Run::Main { .. }), "visible before it is durable");
    });
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    let spare: Vec<_> =
        set.disks.log.iter().filter(|r| r.device == Device::Spare).map(|r| (r.op, r.sector)).collect();
    let fua = |copy| (Op::WriteFua, set.table_block(copy, 0));
    assert_eq!(spare, [(Op::Write, slot), (Op::Flush, 0), fua(0), fua(1), fua(2)]);
}

#[test]
fn s06_a_failed_flush_commits_nothing_and_stops_writes() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.disks.bad_flush = true;
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!((set.engine.mode(), set.engine.used()), (Mode::Fail, 0));
    assert!(!set.disks.log.iter().any(|r| r.op == Op::WriteFua));
    set.disks.bad_flush = false;
    assert!(set.engine.resume_writes());
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
}

/// A set with sectors 40 to 47 in a slot of which one sector takes no writes; the first sector of the slot.
fn with_a_bad_slot(disks: &mut Disks) -> (Set<'_>, u64) {
    let mut set = served(disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_writes.insert((true, old + 3));
    (set, old)
}

#[test]
fn s15_an_error_of_a_slot_that_is_not_the_mediums_gives_nothing_up() {
    let mut disks = Disks::with_bad_group();
    let (mut set, old) = with_a_bad_slot(&mut disks);
    set.disks.error = ErrorKind::Transport;
    assert_eq!(set.repair(42, 3, 0x33), Err(ErrorKind::Transport));
    assert_eq!((set.engine.used(), set.engine.retired(), set.engine.lost_sectors()), (1, 0, 0));
    // Nor does one on the way to the old content, when the slot is to be left.
    set.disks.error = ErrorKind::Io;
    set.disks.bad_reads.insert((true, old + 6));
    set.on_read = Some(|disks, _, request| {
        if request.device == Device::Spare {
            disks.error = ErrorKind::Transport;
        }
    });
    assert_eq!(set.repair(42, 3, 0x33), Err(ErrorKind::Transport));
    assert_eq!((set.engine.used(), set.engine.retired(), set.engine.lost_sectors()), (1, 0, 0));
    set.disks.bad_reads.clear();
    assert_eq!(set.read(46), Ok(0x22));
    assert_eq!(reload(&mut disks).read(46), Ok(0x22));
}

#[test]
fn s15_an_error_of_a_slot_that_is_extended_passes_up() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(42, 3, 0x22).unwrap();
    // What lives beside it on main is read, in three pieces; two attempts there, and the reads again; then the slot.
    set.disks.log.clear();
    set.disks.fail_nth = Some((8, ErrorKind::Transport));
    assert_eq!(set.repair(46, 1, 0x33), Err(ErrorKind::Transport));
    assert_eq!((set.engine.used(), set.engine.retired(), set.read(42)), (1, 0, Ok(0x22)));
    assert_eq!(set.repair(46, 1, 0x33), Ok(()));
    assert_eq!((set.engine.used(), set.read(46)), (1, Ok(0x33)));
}

#[test]
fn s22_watermarks_count_what_was_in_slots_before() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 3);
    assert_eq!(set.relocate(0, 72).remapped, 72);
    let mut set = reload(&mut disks);
    let _ = set.notices();
    assert_eq!(set.relocate(72, 8).remapped, 8);
    assert!(set.notices().contains(&Notice::Watermark { percent: 50 }));
}

#[test]
fn s07_a_slot_that_fails_is_given_up_with_what_can_be_read_of_it() {
    let mut disks = Disks::with_bad_group();
    let (mut set, old) = with_a_bad_slot(&mut disks);
    set.disks.bad_reads.insert((true, old + 6));
    assert_eq!(set.repair(42, 3, 0x33), Ok(()));
    let content: Vec<_> = (40..48).map(|s| set.read(s).ok()).collect();
    let (a, b) = (Some(0x22), Some(0x33));
    assert_eq!(content, [a, a, b, b, b, a, None, a]);
    assert_eq!(set.engine.lost_sectors(), 1);
    // The new entry was durable before the old slot was retired, and both are on every copy.
    for copy in 0..3 {
        assert_eq!(set.on_disk(copy, 0).state, SlotState::Retired);
        assert_eq!(set.on_disk(copy, 1).lost, 0b0100_0000);
    }
    assert!(set.on_disk(0, 0).generation > set.on_disk(0, 1).generation);
    assert_eq!((set.engine.used(), set.engine.retired()), (1, 1));
    let mut set = reload(&mut disks);
    assert_eq!((40..48).map(|s| set.read(s).ok()).collect::<Vec<_>>(), content);
}

#[test]
fn s07_write_to_lost_block_heals() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_reads.insert((true, old + 6));
    set.engine.table().mark_suspect(Slot(0), 0b0100_0000);
    // A write of another sector of the group leaves the suspect one where it is.
    set.repair(40, 1, 0x33).unwrap();
    assert_eq!(set.engine.lost_sectors(), 0);
    set.disks.bad_writes.insert((true, old));
    set.repair(40, 1, 0x33).unwrap();
    assert_eq!((set.read(46), set.engine.lost_sectors()), (Err(ErrorKind::Medium), 1));
    let mut set = reload(&mut disks);
    assert_eq!((set.read(46), set.engine.lost_sectors()), (Err(ErrorKind::Medium), 1));
    assert_eq!(set.repair(46, 1, 0x44), Ok(()));
    assert_eq!((set.read(46), set.read(47), set.engine.lost_sectors()), (Ok(0x44), Ok(0x22), 0));
    assert_eq!(reload(&mut disks).read(46), Ok(0x44));
}

#[test]
fn s03_suspect_sectors_stay_suspect_when_more_of_their_group_is_mapped() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 2, 0x22).unwrap();
    set.engine.table().mark_suspect(Slot(0), 0b10);
    set.repair(44, 1, 0x33).unwrap();
    let found = |s| set.engine.table().find(Sector(s), 1);
    assert_eq!(found(41), Run::Bad { slot: Slot(0), sectors: 1 });
    assert_eq!(found(44), Run::Slot { slot: Slot(0), sectors: 1 });
}

#[test]
fn s09_a_group_is_held_while_it_moves_and_its_old_slot_stays_what_it_is_until_all_have_left_it() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_writes.insert((true, old));
    set.on_drain = Some(|engine, nth| {
        let (table, record) = (engine.table(), engine.table().record(Slot(0)).unwrap());
        assert!(record.usage() == Use::Mapped && record.is_held() && record.serves(Sector(40).group()));
        match nth {
            1 => assert_eq!(table.find(Sector(40), 8), Run::Held { sectors: 8 }),
            // Lookups lead to the new slot; who looked before may still be in the old one.
            _ => assert_eq!(table.find(Sector(40), 8), Run::Slot { slot: Slot(1), sectors: 8 }),
        }
    });
    set.repair(40, 1, 0x33).unwrap();
    assert_eq!((set.engine.retired(), set.drains), (1, 2));
    set.disks.bad_writes.insert((true, old + 8));
    set.on_drain = Some(|engine, nth| assert!(nth < 3 && engine.retired() == 1, "retired too early"));
    set.repair(40, 1, 0x44).unwrap();
    assert_eq!((set.engine.retired(), set.read(40), set.read(41)), (2, Ok(0x44), Ok(0x22)));
}

#[test]
fn s07_two_entries_for_a_group_after_a_crash_the_newer_wins() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_writes.insert((true, old));
    // The crash comes before the commit that retires the old slot: that one changes nothing on disk.
    set.hook = Some(|disks, table, request| {
        let moved = matches!(table.find(Sector(40), 8), Run::Slot { slot: Slot(1), .. });
        if moved && request.op != Op::Flush {
            disks.fail_block(request.sector, true);
        }
    });
    set.repair(40, 8, 0x33).unwrap();
    assert_eq!(set.on_disk(0, 0).state, SlotState::Mapped);
    disks.bad_writes.retain(|(spare, _)| !spare);
    let mut set = reload(&mut disks);
    assert_eq!((set.read(40), set.engine.used(), set.engine.retired()), (Ok(0x33), 1, 1));
    assert_eq!(set.on_disk(0, 0).state, SlotState::Retired);
}

#[test]
fn s15_an_error_that_is_not_the_mediums_ends_the_repair() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let job = Job { first: Sector(8), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::NoSpace };
    let mut repair = Repair::new(0, job, &mut set.engine, 0);
    assert_eq!(repair.next(&mut set.engine, Event::Go, 0), Next::Done(Err(ErrorKind::NoSpace)));
}

#[test]
fn s09_two_repairs_of_one_group_do_not_run_at_once() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let job = Job { first: Sector(8), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut first = Repair::new(0, job, &mut set.engine, 0);
    let mut second = Repair::new(1, Job { first: Sector(10), sectors: 2, ..job }, &mut set.engine, 0);
    let mut other = Repair::new(2, Job { first: Sector(16), ..job }, &mut set.engine, 0);
    assert!(matches!(first.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
    assert_eq!(second.next(&mut set.engine, Event::Go, 0), Next::Wait);
    assert!(matches!(other.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
    assert!(matches!(first.next(&mut set.engine, Event::Loaded, 0), Next::Io(_)));
    while first.next(&mut set.engine, Event::Io(Ok(())), 0) != Next::Done(Ok(())) {}
    assert!(matches!(second.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
}

#[test]
fn s22_a_full_spare_fails_new_writes_with_their_own_error_and_serves_the_rest() {
    let mut disks = Disks::new();
    (0..5).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 3, 3);
    for g in 0..3 {
        assert_eq!(set.repair(g * 8, 8, g as u8), Ok(()));
    }
    for error in [ErrorKind::Medium, ErrorKind::Target] {
        let job = Job { first: Sector(24), sectors: 16, fua: false, fua_flushes: false, error };
        let machine = Machine::Write(Repair::new(0, job, &mut set.engine, set.now_ms));
        assert_eq!(set.drive(machine, 0x55), Err(error));
    }
    let told = std::iter::from_fn(|| set.engine.take_notice());
    let marks: Vec<_> = told.filter(|n| matches!(n, Notice::Watermark { .. })).collect();
    assert_eq!(marks.last(), Some(&Notice::Watermark { percent: 100 }));
    assert_eq!((set.engine.mode(), set.engine.used()), (Mode::Rw, 3));
    for g in 0..3 {
        assert_eq!(set.read(g * 8), Ok(g as u8));
        assert_eq!(set.repair(g * 8, 8, 0x66), Ok(()));
    }
}

#[test]
fn s22_an_administrators_limit_is_kept_though_slots_are_free() {
    let mut disks = Disks::new();
    (0..5).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 20, 3);
    let settings = *set.engine.settings();
    set.engine.set_settings(Settings { slots_max: 2, ..settings });
    assert_eq!((set.repair(0, 8, 1), set.repair(8, 8, 2)), (Ok(()), Ok(())));
    assert_eq!(set.repair(16, 8, 3), Err(ErrorKind::Io));
    assert_eq!((set.engine.used(), set.read(0), set.read(8)), (2, Ok(1), Ok(2)));
    set.engine.set_settings(settings);
    assert_eq!(set.repair(16, 8, 3), Ok(()));
}

#[test]
fn s30_a_write_that_is_stored_nowhere_is_told() {
    let mut disks = Disks::new();
    (0..2).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 1, 3);
    assert_eq!(set.repair(0, 8, 1), Ok(()));
    let failed = |n: &Notice| matches!(n, Notice::WriteFailed { .. });
    assert!(!set.notices().iter().any(failed));
    assert!(set.repair(8, 8, 2).is_err());
    assert!(set.notices().contains(&Notice::WriteFailed { sector: Sector(8) }));
}

/// Whatever it is that cannot be: nothing is served any more, what it is is told, and nobody can order it away.
#[test]
fn s28_a_broken_invariant_is_never_swallowed() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    let access = Access::new();
    let machine = &mut Repair::new(
        0,
        Job { first: Sector(40), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io },
        &mut set.engine,
        0,
    );
    // A machine is told something that it did not ask for.
    assert_eq!(machine.next(&mut set.engine, Event::Drained, 0), Next::Done(Err(ErrorKind::Io)));
    access.update(&mut set.engine);
    assert_eq!((set.engine.mode(), set.engine.reason_name()), (Mode::Fail, Some("invariant")));
    let told = |n: &Notice| matches!(n, Notice::Failed(FailReason::Invariant(what)) if !what.is_empty());
    assert!(set.notices().iter().any(told));
    for attempt in 0..2 {
        for write in [false, true] {
            let request = Request { first: Sector(0), sectors: 8, write, nowait: false };
            let direction = direct(&set.engine.table(), set.engine.geometry(), &access, 1, request);
            assert_eq!(direction, Direction::Refuse(ErrorKind::Io), "{attempt} {write}");
        }
        assert!(!access.flush_begins());
        assert!(!access.resume(&mut set.engine) && !set.work(Work::Resume));
    }
    assert!(set.repair(40, 8, 1).is_err());
}

#[test]
fn s22_taking_a_slot_looks_at_no_other() {
    let mut disks = Disks::new();
    (0..20).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 1800, 2);
    let table = set.engine.table();
    // Whatever else stood in the list of free slots, only the head and its link are asked for.
    let poisoned: Vec<_> = (5..table.slots()).map(Slot).collect();
    poisoned.iter().for_each(|slot| table.set_record(*slot, Record::retired()));
    set.tampered = true;
    for g in 0..4 {
        assert_eq!(set.repair(g * 8, 8, 1), Ok(()));
    }
    assert_eq!(set.engine.used(), 4);
    let untouched = |slot: &Slot| table.record(*slot).is_some_and(|r| r.usage() == Use::Retired);
    assert!(poisoned.iter().all(untouched));
}

#[test]
fn a_close_comes_after_the_changes_that_wait() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    set.repair(40, 8, 0x22).unwrap();
    assert!(set.work(Work::Close));
    assert!(set.engine.superblock().clean);
    let last = set.disks.log.last().map(|r| r.sector);
    assert_eq!(last, Some(set.superblock(1)));
}

/// Has other contexts fill the list of changes and stop before their commit: of the slots that each group tries, three fail.
fn others_fill_the_list(set: &mut Set<'_>) {
    let slots = set.engine.geometry().slot_count();
    for slot in (0..slots).map(Slot).filter(|s| s.0 % 4 != 3) {
        set.disks.bad_writes.insert((true, set.engine.geometry().slot_block(slot).first_sector()));
    }
    let mut buffer = vec![0x11; CONTEXT_BUFFER_BYTES];
    for context in 1..=4u8 {
        let first = Sector(u64::from(context) * 240);
        let job = Job { first, sectors: 240, fua: false, fua_flushes: false, error: ErrorKind::Io };
        let mut repair = Repair::new(context, job, &mut set.engine, 0);
        let mut event = Event::Go;
        loop {
            set.tick();
            event = match repair.next(&mut set.engine, event, set.now_ms) {
                Next::Load { .. } => Event::Loaded,
                Next::Io(request) => Event::Io(set.disks.run(&request, &mut buffer)),
                Next::Commit => break,
                other => panic!("{other:?}"),
            };
        }
    }
}

#[test]
fn s05_a_write_waits_for_room_in_the_list_of_changes_that_others_fill() {
    let mut disks = Disks::new();
    (0..160).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 600, 3);
    others_fill_the_list(&mut set);
    // It is not told to go on before the others' changes are committed.
    assert_eq!(set.repair(40, 8, 0x22), Ok(()));
    assert_eq!((set.read(40), set.engine.counters().commits_failed), (Ok(0x22), 0));
}

#[test]
fn s05_a_write_that_waits_for_room_fails_when_remapping_stops() {
    let mut disks = Disks::new();
    (0..160).for_each(|g| disks.fail_main(g * 8));
    let mut set = served(&mut disks, 600, 3);
    others_fill_the_list(&mut set);
    set.disks.bad_flush = true;
    assert_eq!(set.repair(40, 8, 0x22), Err(ErrorKind::Io));
    // Nothing of it was ever begun.
    assert_eq!((set.read(40), set.engine.in_doubt()), (Ok(0xee), false));
}
