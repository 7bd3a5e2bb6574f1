//! Repair of writes that must be durable (FUA), where a device may do that as a flush of its whole cache.

mod world;

use remap_core::engine::machine::Machine;
use remap_core::engine::repair::{Job, Repair, Unsent};
use remap_core::engine::{FailReason, Mode, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::units::Sector;
use world::{served, Disks, Set};

/// Repairs a failed write with FUA of `sectors` sectors from 40 on.
fn repair(set: &mut Set<'_>, sectors: u32, fua_flushes: bool) -> Result<(), ErrorKind> {
    let job = Job { first: Sector(40), sectors, fua: true, fua_flushes, error: ErrorKind::Io };
    let machine = Machine::Write(Repair::new(0, job, &mut set.engine, set.now_ms));
    set.drive(machine, 0x33)
}

fn threshold(set: &mut Set<'_>, error_threshold: u32) {
    let settings = *set.engine.settings();
    set.engine.set_settings(remap_core::engine::Settings { error_threshold, ..settings });
}

/// Requests to a device since the log was last cleared.
fn asked(set: &Set<'_>, device: Device) -> Vec<Op> {
    set.disks.log.iter().filter(|r| r.device == device).map(|r| r.op).collect()
}

#[test]
fn s08_what_fua_wrote_to_main_in_a_repair_is_flushed_at_the_end() {
    for fua_flushes in [false, true] {
        let mut disks = Disks::with_bad_group();
        let mut set = served(&mut disks, 20, 2);
        set.disks.log.clear();
        assert_eq!(repair(&mut set, 24, fua_flushes), Ok(()));
        assert_eq!(set.engine.used(), 1);
        let on_main = asked(&set, Device::Main);
        assert_eq!(on_main.last(), Some(&Op::Flush));
        assert_eq!(on_main.iter().filter(|op| **op == Op::Flush).count(), 1);
        assert!(!on_main.contains(&Op::WriteFua));
        for s in 40..64 {
            assert_eq!(set.read(s), Ok(0x33), "sector {s}");
        }
    }
}

#[test]
fn s08_what_fua_wrote_to_a_slot_in_place_is_flushed_at_the_end() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.repair(40, 8, 0x11), Ok(()));
    set.disks.log.clear();
    assert_eq!(repair(&mut set, 8, false), Ok(()));
    assert_eq!(asked(&set, Device::Spare), [Op::Write, Op::Flush]);
    assert_eq!((asked(&set, Device::Main), set.read(40)), (vec![], Ok(0x33)));
}

#[test]
fn s08_a_fua_write_that_may_have_failed_for_its_flush_is_not_remapped_and_its_error_is_told() {
    for error_threshold in [1, 3] {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 20, 2);
        threshold(&mut set, error_threshold);
        assert_eq!(repair(&mut set, 8, true), Err(ErrorKind::Io));
        assert_eq!((set.engine.used(), set.engine.mode()), (0, Mode::Rw));
        assert!(set.notices().contains(&Notice::WriteFailed { sector: Sector(40) }));
        // A device that does FUA itself has no flush to fail: its content is stored now.
        threshold(&mut set, 3);
        assert_eq!(repair(&mut set, 8, false), Ok(()));
        assert_eq!((set.engine.used(), set.read(40)), (0, Ok(0x33)));
    }
}

#[test]
fn s08_a_fua_write_that_may_have_failed_for_its_flush_is_not_remapped_for_want_of_time() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    // Time is up when half of it has been taken, and nothing has failed again.
    set.io_ms = 40_000;
    assert_eq!(repair(&mut set, 24, true), Err(ErrorKind::Io));
    assert_eq!((set.engine.used(), set.engine.mode()), (0, Mode::Rw));
    // What was no flush goes to slots then.
    assert_eq!(repair(&mut set, 24, false), Ok(()));
    assert_eq!(set.engine.used(), 2);
}

#[test]
fn s08_a_flush_that_fails_at_the_end_of_a_repair_stops_writes() {
    for fua_flushes in [false, true] {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 20, 2);
        set.disks.bad_flush = true;
        assert!(repair(&mut set, 8, fua_flushes).is_err());
        assert_eq!((set.engine.used(), set.engine.mode()), (0, Mode::Fail));
        assert!(set.notices().contains(&Notice::Failed(FailReason::Flush)));
    }
}

/// Stores a write of `sectors` sectors from 40 on that no device was asked for.
fn unsent(set: &mut Set<'_>, sectors: u32, fua: bool) -> Result<(), ErrorKind> {
    let write = Unsent { first: Sector(40), sectors, fua };
    let machine = Machine::Write(Repair::unsent(0, write, &mut set.engine, set.now_ms));
    set.drive(machine, 0x33)
}

#[test]
fn s08_a_fua_write_that_waited_and_is_stored_succeeds() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.repair(40, 8, 0x11), Ok(()));
    set.disks.log.clear();
    // As a write that failed on a main that does FUA as a flush it would be told of the flush.
    assert!(repair(&mut set, 8, true).is_err());
    assert_eq!(unsent(&mut set, 8, true), Ok(()));
    assert_eq!(asked(&set, Device::Main), []);
    assert_eq!(asked(&set, Device::Spare).last(), Some(&Op::Flush));
    assert_eq!(set.read(40), Ok(0x33));
    // Nothing of it may have failed, on main either.
    assert_eq!(unsent(&mut set, 24, true), Ok(()));
    assert_eq!(asked(&set, Device::Main), [Op::Write, Op::Flush]);
}

#[test]
fn s10_a_write_that_waited_and_lives_in_two_places_is_written_in_one_piece_to_each() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.repair(40, 4, 0x11), Ok(()));
    set.disks.bad_writes.clear();
    set.disks.log.clear();
    assert_eq!(unsent(&mut set, 24, false), Ok(()));
    let sent: Vec<_> = set.disks.log.iter().map(|r| (r.device, r.op, r.sectors)).collect();
    assert_eq!(sent, [(Device::Spare, Op::Write, 4), (Device::Main, Op::Write, 20)]);
    assert!((40..64).all(|s| set.read(s) == Ok(0x33)));
}

#[test]
fn s05_a_write_that_waited_needs_no_mode_that_maps() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.repair(40, 4, 0x11), Ok(()));
    let settings = *set.engine.settings();
    set.engine.set_settings(remap_core::engine::Settings { auto_remap: false, ..settings });
    // The rest of the group still fails on main, and nothing may be mapped.
    assert_eq!(unsent(&mut set, 8, false), Err(ErrorKind::Medium));
    assert_eq!((set.read(40), set.read(44), set.engine.used()), (Ok(0x33), Ok(0xee), 1));
    set.disks.bad_writes.clear();
    assert_eq!(unsent(&mut set, 8, false), Ok(()));
    assert_eq!((set.read(40), set.read(44), set.engine.used()), (Ok(0x33), Ok(0x33), 1));
}

#[test]
fn s05_the_end_of_a_write_of_several_windows_has_not_failed_alone() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    threshold(&mut set, 1);
    // A window and one physical block.
    let sectors = remap_core::engine::WINDOW_SECTORS + 8;
    assert_eq!(set.repair(0, sectors, 0x44), Ok(()));
    assert_eq!(set.engine.used(), 0);
}

/// Repairs a failed write of sectors 42 and 43, a part of a physical block.
fn repair_part(set: &mut Set<'_>, fua: bool, fua_flushes: bool) -> Result<(), ErrorKind> {
    let job = Job { first: Sector(42), sectors: 2, fua, fua_flushes, error: ErrorKind::Medium };
    let machine = Machine::Write(Repair::new(0, job, &mut set.engine, set.now_ms));
    set.drive(machine, 0x33)
}

#[test]
fn s05_a_part_with_fua_of_a_block_that_cannot_be_read_is_stored() {
    for (fua, fua_flushes) in [(false, false), (true, false), (true, true)] {
        let mut disks = Disks::with_bad_group();
        disks.bad_reads.extend((40..48).map(|s| (false, s)));
        let mut set = served(&mut disks, 20, 2);
        assert_eq!(repair_part(&mut set, fua, fua_flushes), Ok(()), "{fua} {fua_flushes}");
        assert_eq!((set.read(42), set.read(43), set.engine.used()), (Ok(0x33), Ok(0x33), 1));
        // The attempt could have cost the rest, so none was made (S32).
        assert_eq!(set.disks.on_main(Op::Write), []);
    }
}

#[test]
fn s08_a_rest_that_fails_to_be_read_for_another_reason_than_the_medium_is_no_reason_for_a_slot() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    set.disks.fail_nth = Some((0, ErrorKind::Transport));
    assert!(repair_part(&mut set, true, true).is_err());
    assert_eq!(set.engine.used(), 0);
}

#[test]
fn s05_a_part_with_fua_waits_for_slow_writes_beside_it_and_is_stored() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    set.slow_drains = 1;
    assert_eq!(repair_part(&mut set, true, true), Ok(()));
    assert_eq!((set.read(42), set.engine.used()), (Ok(0x33), 1));
}
