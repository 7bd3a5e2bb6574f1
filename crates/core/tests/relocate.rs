//! Relocation: content of main moves into slots, one range after the other.

mod world;

use remap_core::engine::machine::{Event, Machine, Next};
use remap_core::engine::order::Range;
use remap_core::engine::relocate::{Relocate, Relocated};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Mode, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks};

fn moved(remapped: u64) -> Relocated {
    Relocated { remapped, ..Relocated::default() }
}

/// Main holds a byte of its own in every sector.
fn numbered() -> Disks {
    let mut disks = Disks::new();
    for (s, sector) in disks.main.chunks_exact_mut(512).enumerate() {
        sector.fill(number(s as u64));
    }
    disks
}

fn number(sector: u64) -> u8 {
    (sector % 251) as u8
}

#[test]
fn s09_content_of_main_is_in_slots_afterwards_and_after_a_reload() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    // Physical blocks have eight sectors: the range is widened to them. 240 sectors are a window.
    assert_eq!(set.relocate(243, 300), moved(304));
    assert_eq!((set.engine.used(), set.engine.counters().remapped_sectors), (38, 304));
    disks.main.fill(0x99);
    let mut set = reload(&mut disks);
    for s in 240..544 {
        assert_eq!(set.read(s), Ok(number(s)), "sector {s}");
    }
    assert_eq!((set.read(239), set.read(544)), (Ok(0x99), Ok(0x99)));
}

#[test]
fn s09_groups_are_held_from_before_they_are_read_until_their_mapping_is_durable() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    set.on_drain = Some(|engine, nth| {
        assert_eq!(nth, 1, "one drain for a window");
        for group in 0..2 {
            let found = engine.table().find(Sector(group * 8), 8);
            assert_eq!(found, Run::Held { sectors: 8 });
        }
        assert!(matches!(engine.table().find(Sector(16), 8), Run::Main { .. }));
    });
    set.hook = Some(|_, table, _| assert_eq!(table.find(Sector(8), 8), Run::Held { sectors: 8 }));
    assert_eq!(set.relocate(0, 16), moved(16));
    assert_eq!(set.drains, 1);
    // What was read before the hold may have been written since: the content comes from the second read.
    let ops: Vec<_> = set.disks.log.iter().map(|r| (r.device, r.op, r.sector)).take(4).collect();
    let slot = |n| set.engine.geometry().slot_block(Slot(n)).first_sector();
    let read = (Device::Main, Op::Read, 0);
    let write = |n| (Device::Spare, Op::Write, slot(n));
    assert_eq!(ops, [read, read, write(0), write(1)]);
}

#[test]
fn s09_a_write_between_the_first_read_and_the_hold_is_not_lost() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    let range = Range { first: Sector(0), sectors: 8 };
    let mut machine = Machine::Relocate(Relocate::new(1, range, &set.engine));
    assert!(matches!(machine.next(&mut set.engine, Event::Go, 0), Next::Io(r) if r.op == Op::Read));
    assert!(matches!(set.engine.table().find(Sector(0), 8), Run::Main { .. }), "users wait for a survey");
    assert!(
        matches!(machine.next(&mut set.engine, Event::Io(Ok(())), 0), Next::Drain(d) if d.within_ms.is_some())
    );
    assert!(matches!(machine.next(&mut set.engine, Event::Drained, 0), Next::Io(r) if r.op == Op::Read));
}

#[test]
fn s01_what_cannot_be_read_stays_on_main_and_only_the_rest_of_its_group_is_mapped() {
    let mut disks = numbered();
    disks.bad_reads.extend([(false, 42), (false, 60)]);
    let mut set = served(&mut disks, 100, 3);
    let mut settings = *set.engine.settings();
    settings.physical_sectors = 1;
    set.engine.set_settings(settings);
    let tally = set.relocate(32, 40);
    assert_eq!(tally, Relocated { remapped: 38, unreadable: 2, ..Relocated::default() });
    for s in 32..72 {
        let right = if [42, 60].contains(&s) { Err(ErrorKind::Medium) } else { Ok(number(s)) };
        assert_eq!(set.read(s), right, "sector {s}");
    }
    let mask =
        |set: &world::Set<'_>, s: u64| set.engine.table().record_of(Sector(s).group()).map(|f| f.1.mask());
    assert_eq!((mask(&set, 42), mask(&set, 60)), (Some(0b1111_1011), Some(0b1110_1111)));
    assert_eq!(set.engine.lost_sectors(), 0);
}

#[test]
fn s02_an_unreadable_physical_block_is_found_by_bisection_and_tried_error_threshold_times() {
    let mut disks = numbered();
    disks.bad_reads.insert((false, 100));
    let mut set = served(&mut disks, 100, 3);
    let tally = set.relocate(0, 240);
    assert_eq!(tally, Relocated { remapped: 232, unreadable: 8, ..Relocated::default() });
    let reads = set.disks.log.iter().filter(|r| r.device == Device::Main && r.op == Op::Read);
    let bad = reads.filter(|r| r.sector <= 100 && 100 < r.sector + u64::from(r.sectors)).count();
    // 30 physical blocks: 2 log n and the threshold; no further attempt while the window is held.
    assert!(bad <= 2 * 5 + 3, "{bad} attempts");
    assert_eq!(set.engine.used(), 29);
}

#[test]
fn s15_a_main_that_does_not_answer_relocates_nothing() {
    let mut disks = numbered();
    disks.bad_reads.insert((false, 44));
    disks.error = ErrorKind::Transport;
    let mut set = served(&mut disks, 100, 3);
    assert_eq!(set.relocate(40, 16), Relocated { unreadable: 16, ..Relocated::default() });
    assert_eq!((set.engine.used(), set.disks.on_main(Op::Read).len()), (0, 1));
}

#[test]
fn s09_what_fails_only_under_the_hold_is_let_go() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    let range = Range { first: Sector(0), sectors: 16 };
    let mut machine = Machine::Relocate(Relocate::new(0, range, &set.engine));
    assert!(matches!(machine.next(&mut set.engine, Event::Go, 0), Next::Io(_)));
    assert!(
        matches!(machine.next(&mut set.engine, Event::Io(Ok(())), 0), Next::Drain(d) if d.within_ms.is_some())
    );
    let failed = Event::Io(Err(ErrorKind::Medium));
    assert!(matches!(machine.next(&mut set.engine, Event::Drained, 0), Next::Io(r) if r.sectors == 16));
    // Users of the group behind do not wait for it: it is let go, and read anew.
    assert!(
        matches!(machine.next(&mut set.engine, failed, 0), Next::Io(r) if (r.sector, r.sectors) == (0, 8))
    );
    assert!(matches!(set.engine.table().find(Sector(8), 8), Run::Main { .. }));
    assert!(matches!(machine.next(&mut set.engine, failed, 0), Next::Io(r) if r.sector == 8));
    assert!(matches!(set.engine.table().find(Sector(0), 16), Run::Main { .. }));
    assert!(matches!(machine.next(&mut set.engine, Event::Io(Ok(())), 0), Next::Drain(_)));
    assert!(matches!(machine.next(&mut set.engine, Event::Drained, 0), Next::Io(r) if r.sector == 8));
    assert_eq!(machine.next(&mut set.engine, failed, 0), Next::Done(Ok(())));
    let Machine::Relocate(relocate) = machine else { panic!() };
    assert_eq!(relocate.tally(), Relocated { unreadable: 16, ..Relocated::default() });
    assert_eq!((set.engine.used(), set.read(0), set.read(8)), (0, Ok(0), Ok(8)));
}

#[test]
fn s09_users_do_not_wait_for_reads_for_ever() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    let range = Range { first: Sector(0), sectors: 240 };
    let mut machine = Machine::Relocate(Relocate::new(0, range, &set.engine));
    assert!(matches!(machine.next(&mut set.engine, Event::Go, 0), Next::Io(_)));
    assert!(
        matches!(machine.next(&mut set.engine, Event::Io(Ok(())), 0), Next::Drain(d) if d.within_ms.is_some())
    );
    assert!(matches!(machine.next(&mut set.engine, Event::Drained, 100), Next::Io(_)));
    let late = set.engine.settings().repair_deadline_ms;
    let failed = Event::Io(Err(ErrorKind::Medium));
    assert!(matches!(machine.next(&mut set.engine, failed, late), Next::Io(r) if r.sector == 8));
    assert!(matches!(set.engine.table().find(Sector(0), 240), Run::Main { .. }));
    machine.stop();
    assert_eq!(machine.next(&mut set.engine, Event::Io(Ok(())), late), Next::Done(Ok(())));
    let Machine::Relocate(relocate) = machine else { panic!() };
    let (unreadable, next) = (8, Some(Sector(8)));
    assert_eq!(relocate.tally(), Relocated { unreadable, next, ..Relocated::default() });
    assert_eq!((set.engine.used(), set.read(0)), (0, Ok(0)));
}

#[test]
fn s09_a_group_that_is_mapped_in_part_gets_the_rest_into_the_same_slot() {
    let mut disks = numbered();
    disks.fail_main(40);
    let mut set = served(&mut disks, 100, 3);
    set.repair(42, 3, 0x33).unwrap();
    assert_eq!(set.relocate(40, 8), Relocated { remapped: 5, mapped: 3, ..Relocated::default() });
    assert_eq!(set.engine.used(), 1);
    assert_eq!((set.read(41), set.read(42), set.read(45)), (Ok(41), Ok(0x33), Ok(45)));
    assert_eq!(set.relocate(40, 8), Relocated { mapped: 8, ..Relocated::default() });
}

#[test]
fn s07_a_relocation_tries_other_slots_and_the_bad_ones_are_retired_after_a_drain() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 100, 3);
    for slot in [0, 1] {
        set.disks.bad_writes.insert((true, set.engine.geometry().slot_block(Slot(slot)).first_sector()));
    }
    set.on_drain = Some(|engine, nth| {
        // Until then a lookup that came to the bad slot must find the group held, not on main.
        let held = |slot| engine.table().record(Slot(slot)).is_some_and(|r| r.is_held());
        assert!(nth == 1 || held(0) && held(1));
    });
    assert_eq!(set.relocate(0, 8), moved(8));
    assert_eq!((set.drains, set.engine.retired(), set.engine.used()), (2, 2, 1));
    assert_eq!(set.read(3), Ok(3));
    assert_eq!(reload(&mut disks).engine.retired(), 2);
}

#[test]
fn s03_a_relocation_never_declares_content_lost() {
    let mut disks = numbered();
    disks.fail_main(40);
    let mut set = served(&mut disks, 100, 3);
    set.repair(40, 2, 0x33).unwrap();
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_reads.insert((true, slot));
    set.disks.bad_writes.insert((true, slot + 5));
    assert_eq!(set.relocate(40, 8), Relocated { failed: 6, mapped: 2, ..Relocated::default() });
    assert_eq!((set.engine.lost_sectors(), set.engine.used()), (0, 1));
    set.disks.bad_reads.clear();
    assert_eq!((set.read(40), set.read(45)), (Ok(0x33), Ok(45)));
    assert_eq!(set.relocate(40, 8), Relocated { remapped: 6, mapped: 2, ..Relocated::default() });
}

#[test]
fn s22_without_free_slots_the_rest_stays_on_main() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 3, 3);
    assert_eq!(set.relocate(0, 64), Relocated { remapped: 24, failed: 40, ..Relocated::default() });
    for s in 0..64 {
        assert_eq!(set.read(s), Ok(number(s)));
    }
    // A write that fails finds no group held for ever.
    assert!(set.repair(32, 8, 0x44).is_ok());
}

#[test]
fn s13_a_relocation_whose_commit_may_have_landed_leaves_reads_right_and_refuses_writes() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 20, 2);
    for copy in 0..2 {
        let places = [set.table_block(copy, 0), set.superblock(copy)];
        places.iter().for_each(|s| set.disks.fail_block(*s, true));
    }
    assert_eq!(set.relocate(0, 8), Relocated { failed: 8, ..Relocated::default() });
    assert!(set.engine.is_in_doubt(Sector(0)) && set.engine.mode() == Mode::NoRemap);
    assert_eq!(set.read(3), Ok(3));
    assert_eq!(set.relocate(0, 16), Relocated { failed: 16, ..Relocated::default() });
    assert_eq!(reload(&mut disks_healed(disks)).read(3), Ok(3));
}

fn disks_healed(mut disks: Disks) -> Disks {
    disks.bad_writes.clear();
    disks
}

#[test]
fn s06_a_flush_that_fails_relocates_nothing() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 20, 3);
    set.disks.bad_flush = true;
    assert_eq!(set.relocate(0, 16), Relocated { failed: 16, ..Relocated::default() });
    assert_eq!((set.engine.mode(), set.engine.used()), (Mode::Fail, 0));
    assert_eq!((set.read(3), set.read(9)), (Ok(3), Ok(9)));
}

#[test]
fn s09_a_repair_and_a_relocation_of_one_group_do_not_run_at_once() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 20, 2);
    let job = Job { first: Sector(8), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut repair = Repair::new(0, job, &mut set.engine, 0);
    assert!(matches!(repair.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
    let range = Range { first: Sector(0), sectors: 24 };
    let mut relocate = Relocate::new(1, range, &set.engine);
    assert!(matches!(relocate.next(&mut set.engine, Event::Go, 0), Next::Io(_)));
    assert_eq!(relocate.next(&mut set.engine, Event::Io(Ok(())), 0), Next::Wait);
    assert_eq!(relocate.next(&mut set.engine, Event::Go, 0), Next::Wait);
    relocate.stop();
    assert_eq!(relocate.next(&mut set.engine, Event::Go, 0), Next::Done(Ok(())));
    assert_eq!(relocate.tally(), Relocated { next: Some(Sector(0)), ..Relocated::default() });
}

#[test]
fn s30_every_group_is_told_and_marked_as_ordered() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 20, 2);
    set.relocate(0, 16);
    let told: Vec<_> = std::iter::from_fn(|| set.engine.take_notice()).collect();
    assert_eq!(told.iter().filter(|n| matches!(n, Notice::Remapped { ordered: true, .. })).count(), 2);
    set.repair(64, 8, 1).unwrap();
    set.disks.fail_main(64);
    set.repair(64, 8, 1).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| set.engine.take_notice()).collect();
    assert_eq!(told.iter().filter(|n| matches!(n, Notice::Remapped { ordered: false, .. })).count(), 1);
}

#[test]
fn s27_a_range_of_a_message_is_checked_before_anything_is_done() {
    let ok = |first, sectors| Range::of_message(first, sectors, 100_000).is_some();
    assert!(ok(0, 1) && ok(99_999, 1) && ok(0, 65_536));
    assert!(!ok(0, 0) && !ok(0, 65_537) && !ok(99_999, 2) && !ok(100_000, 1) && !ok(u64::MAX, 1));
}

#[test]
fn s09_the_end_of_main_is_not_passed() {
    let mut disks = numbered();
    let mut set = served(&mut disks, 20, 2);
    let mut settings = *set.engine.settings();
    settings.physical_sectors = 64;
    set.engine.set_settings(settings);
    let end = world::MAIN_SECTORS;
    assert_eq!(set.relocate(end - 1, 1), moved(64));
    assert_eq!(set.relocate(end, 8), Relocated::default());
}
