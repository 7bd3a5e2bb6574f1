//! S32 on the spare: no write of ours to a part of a slot costs what lives in the rest. The spare fails, and spoils, blocks of 4096 bytes.

mod world;

use remap_core::engine::relocate::Relocated;
use remap_core::engine::{Notice, Settings};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set};

/// Sectors 40 to 42 live in slot 0, which takes no more writes and is spoilt by each.
fn failing(disks: &mut Disks) -> Set<'_> {
    disks.fail_main(40);
    let mut set = served(disks, 60, 3);
    set.repair(40, 3, 0x22).unwrap();
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.fail_block(slot, true);
    set.disks.spare_spoils = true;
    set.disks.log.clear();
    set
}

fn content(set: &mut Set<'_>) -> Vec<u8> {
    (40..48).map(|s| set.read(s).unwrap_or(0)).collect()
}

fn limit(set: &mut Set<'_>, slots_max: u32) {
    let settings = *set.engine.settings();
    set.engine.set_settings(Settings { slots_max, ..settings });
}

fn told(set: &mut Set<'_>) -> Vec<Notice> {
    let notices = set.notices().into_iter();
    notices.filter(|n| matches!(n, Notice::Lost { .. } | Notice::Spoilt { .. })).collect()
}

const AFTER: [u8; 8] = [0x22, 0x22, 0x22, 0xee, 0xee, 0x33, 0x33, 0xee];

#[test]
fn s32_sectors_that_join_a_slot_cost_nothing_that_lives_in_it() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    assert_eq!(set.repair(45, 2, 0x33), Ok(()));
    assert_eq!((content(&mut set), told(&mut set)), (AFTER.to_vec(), vec![]));
    assert_eq!((set.engine.used(), set.engine.retired()), (1, 1));
    assert_eq!(content(&mut reload(&mut disks)), AFTER);
}

#[test]
fn s32_a_part_of_a_slot_that_is_written_again_costs_nothing_that_lives_in_the_rest() {
    for first in [40, 41] {
        let mut disks = Disks::new();
        let mut set = failing(&mut disks);
        // The user's own write has failed, and left the slot readable.
        assert_eq!(set.repair(first, 1, 0x33), Ok(()));
        let mut after = [0x22, 0x22, 0x22, 0xee, 0xee, 0xee, 0xee, 0xee];
        after[first as usize - 40] = 0x33;
        assert_eq!((content(&mut set), told(&mut set)), (after.to_vec(), vec![]), "{first}");
        assert_eq!((set.engine.used(), set.engine.retired()), (1, 1));
        assert_eq!(content(&mut reload(&mut disks)), after);
    }
}

#[test]
fn s32_a_part_of_a_slot_that_takes_it_after_all_stays_there() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.fail_block(slot, false);
    let commits = set.engine.counters().commits;
    // With a group before it and one behind that are as they were.
    assert_eq!(set.repair(32, 9, 0x33), Ok(()));
    let after = [0x33, 0x22, 0x22, 0xee, 0xee, 0xee, 0xee, 0xee];
    assert_eq!((content(&mut set), told(&mut set)), (after.to_vec(), vec![]));
    assert_eq!((set.engine.used(), set.engine.retired(), set.engine.counters().commits), (1, 0, commits));
    assert!(!set.engine.table().record_of(Sector(40).group()).unwrap().1.is_held());
}

#[test]
fn s32_content_that_is_moved_joins_a_slot_at_no_cost() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    assert_eq!(set.relocate(40, 8), Relocated { remapped: 5, mapped: 3, ..Relocated::default() });
    let after = [0x22, 0x22, 0x22, 0xee, 0xee, 0xee, 0xee, 0xee];
    assert_eq!((content(&mut set), told(&mut set)), (after.to_vec(), vec![]));
    assert_eq!((set.engine.used(), set.engine.retired()), (1, 1));
    assert_eq!(content(&mut reload(&mut disks)), after);
}

#[test]
fn s32_where_the_rest_of_a_slot_cannot_be_read_nothing_is_moved_there() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_reads.insert((true, slot + 1));
    assert_eq!(set.relocate(40, 8), Relocated { failed: 5, mapped: 3, ..Relocated::default() });
    let on_spare = |r: &&remap_core::io::IoRequest| (r.device, r.op) == (Device::Spare, Op::Write);
    assert_eq!(set.disks.log.iter().filter(on_spare).count(), 0);
    set.disks.bad_reads.clear();
    assert_eq!(content(&mut set), [0x22, 0x22, 0x22, 0xee, 0xee, 0xee, 0xee, 0xee]);
}

#[test]
fn s32_without_a_slot_for_the_rest_no_part_of_a_slot_is_written() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    limit(&mut set, 1);
    for (first, sectors) in [(45, 2), (40, 2)] {
        assert!(set.repair(first, sectors, 0x33).is_err());
        assert_eq!(content(&mut set), [0x22, 0x22, 0x22, 0xee, 0xee, 0xee, 0xee, 0xee]);
    }
    assert_eq!((set.engine.used(), set.engine.retired(), told(&mut set)), (1, 0, vec![]));
}

#[test]
fn s32_what_no_other_slot_takes_is_told() {
    let mut disks = Disks::new();
    let mut set = failing(&mut disks);
    for slot in 1..60 {
        let at = set.engine.geometry().slot_block(Slot(slot)).first_sector();
        set.disks.fail_block(at, true);
    }
    assert!(set.repair(45, 2, 0x33).is_err());
    assert_eq!(content(&mut set)[..3], [0, 0, 0]);
    assert_eq!(told(&mut set), [Notice::Spoilt { group: Sector(40) }]);
    // They are suspect, which a write heals.
    set.disks.bad_writes.clear();
    assert_eq!(set.repair(40, 8, 0x44), Ok(()));
    assert_eq!(content(&mut set), [0x44; 8]);
}

#[test]
fn s32_a_part_of_a_slot_that_was_written_before_another_part_failed_is_not_lost() {
    let mut disks = Disks::new();
    disks.bad_writes.extend([(false, 40), (false, 44)]);
    let mut set = served(&mut disks, 60, 3);
    let settings = *set.engine.settings();
    set.engine.set_settings(Settings { physical_sectors: 1, ..settings });
    set.repair(40, 1, 0x22).unwrap();
    set.repair(44, 1, 0x22).unwrap();
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_writes = [(true, slot + 4)].into();
    set.disks.spare_spoils = true;
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    assert_eq!((content(&mut set), told(&mut set)), (vec![0x33; 8], vec![]));
}

#[test]
fn s32_every_request_of_a_write_to_a_part_of_a_slot_may_fail() {
    for error in [ErrorKind::Medium, ErrorKind::Transport] {
        for nth in 0..40 {
            for (first, sectors) in [(45, 2), (40, 2), (38, 12)] {
                let mut disks = Disks::new();
                let mut set = failing(&mut disks);
                let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
                set.disks.fail_block(slot, false);
                set.disks.fail_nth = Some((nth, error));
                let ok = set.repair(first, sectors, 0x33).is_ok();
                set.disks.fail_nth = None;
                set.disks.log.clear();
                let carried = first..first + u64::from(sectors);
                let spoilt = !told(&mut set).is_empty();
                for s in 40..43 {
                    let right = if carried.contains(&s) { 0x33 } else { 0x22 };
                    let at_risk = carried.contains(&s) && !ok || spoilt;
                    assert!(set.read(s) == Ok(right) || at_risk, "{s} {nth} {error:?} {carried:?}");
                }
            }
        }
    }
}
