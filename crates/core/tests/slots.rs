//! S33: only what failed is given up, and no slot is lost sight of.

mod world;

use remap_core::engine::commit::Work;
use remap_core::engine::machine::Machine;
use remap_core::engine::release::Released;
use remap_core::engine::relocate::Relocated;
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::Mode;
use remap_core::error::ErrorKind;
use remap_core::format::{encode_table_block, Block, Entry, SlotState};
use remap_core::io::{Device, Op};
use remap_core::lookup::{Run, Table, Use};
use remap_core::units::{Group, Sector, Slot};
use world::{choose, format, reload, served, Disks, Set};

/// A set whose first `groups` groups live in as many slots, those of `bad` being slots that fail writes from now on.
fn in_slots<'d>(disks: &'d mut Disks, groups: u64, bad: &[u32]) -> Set<'d> {
    let mut set = served(disks, 100, 3);
    assert_eq!(set.relocate(0, groups * 8).remapped, groups * 8);
    for slot in bad {
        let sector = slot_sector(&set, *slot);
        set.disks.fail_block(sector, true);
    }
    set.disks.log.clear();
    set
}

fn slot_sector(set: &Set<'_>, slot: u32) -> u64 {
    set.engine.geometry().slot_block(Slot(slot)).first_sector()
}

fn job(sectors: u32, fua: bool) -> Job {
    Job { first: Sector(0), sectors, fua, fua_flushes: false, error: ErrorKind::Io }
}

/// Used and retired slots.
fn used_and_retired(set: &Set<'_>) -> (u32, u32) {
    (set.engine.used(), set.engine.retired())
}

fn usage(set: &Set<'_>, slot: u32) -> Use {
    set.engine.table().record(Slot(slot)).unwrap().usage()
}

#[test]
fn a_write_over_many_slots_of_which_one_fails_retires_that_one() {
    let mut disks = Disks::new();
    // A sequential write of 120 KiB reaches the slots as one bio, fails for slot 4, and is repaired.
    let mut set = in_slots(&mut disks, 30, &[4]);
    assert_eq!(set.repair(0, 240, 0x22), Ok(()));
    assert_eq!(used_and_retired(&set), (30, 1));
    assert!((0..240).all(|s| set.read(s) == Ok(0x22)));
    assert_eq!(usage(&set, 4), Use::Retired);
    let mut set = reload(&mut disks);
    assert_eq!((used_and_retired(&set), set.read(0), set.read(39)), ((30, 1), Ok(0x22), Ok(0x22)));
}

#[test]
fn s33_one_bad_slot_among_many_costs_few_attempts() {
    let mut disks = Disks::new();
    let mut set = in_slots(&mut disks, 30, &[4]);
    assert_eq!(set.repair(0, 240, 0x22), Ok(()));
    let is_slot =
        |s: u64| (0..31).any(|slot| (slot_sector(&set, slot)..slot_sector(&set, slot) + 8).contains(&s));
    let writes =
        set.disks.log.iter().filter(|r| (r.device, r.op) == (Device::Spare, Op::Write) && is_slot(r.sector));
    assert!(writes.clone().count() <= 14, "{:?}", writes.collect::<Vec<_>>());
}

#[test]
fn s33_each_slot_that_fails_is_given_up_and_no_other_whatever_the_length_of_the_write() {
    let bad = [0, 7, 8, 29, 30, 44, 59];
    for (sectors, fua) in [(480, false), (480, true), (473, false)] {
        let mut disks = Disks::new();
        let mut set = in_slots(&mut disks, 60, &bad);
        let machine = Machine::Write(Repair::new(0, job(sectors, fua), &mut set.engine, set.now_ms));
        assert_eq!(set.drive(machine, 0x22), Ok(()));
        assert_eq!(used_and_retired(&set), (60, bad.len() as u32), "{sectors} {fua}");
        assert!(bad.iter().all(|slot| usage(&set, *slot) == Use::Retired));
        assert!((0..u64::from(sectors)).all(|s| set.read(s) == Ok(0x22)));
    }
}

#[test]
fn s33_the_deadline_gives_up_no_slot_that_takes_its_content() {
    let mut disks = Disks::new();
    let mut set = in_slots(&mut disks, 30, &[4, 20]);
    set.io_ms = 20_000;
    assert_eq!(set.repair(0, 240, 0x22), Ok(()));
    assert_eq!(used_and_retired(&set), (30, 2));
    assert!((0..240).all(|s| set.read(s) == Ok(0x22)));
}

#[test]
fn s33_a_relocation_gives_up_only_the_slot_that_fails() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    set.engine.set_settings(remap_core::engine::Settings { physical_sectors: 1, ..*set.engine.settings() });
    for g in 0..30 {
        assert_eq!(set.relocate(g * 8, 8).remapped, 8);
    }
    // Half of each group lives in its slot, and the rest is to join it.
    set.release(0, 240);
    for g in 0..30 {
        assert_eq!(set.relocate(g * 8, 4).remapped, 4);
    }
    let (slot, _) = set.engine.table().record_of(Group(4)).unwrap();
    let sector = slot_sector(&set, slot.0);
    set.disks.fail_block(sector, true);
    assert_eq!(set.relocate(0, 240), Relocated { remapped: 120, mapped: 120, ..Relocated::default() });
    assert_eq!(used_and_retired(&set), (30, 1));
}

#[test]
fn an_error_of_the_link_at_the_second_read_of_the_old_slot_gives_the_new_slot_back() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 3, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = slot_sector(&set, 0);
    set.disks.bad_writes.insert((true, old + 3));
    set.disks.bad_reads.insert((true, old + 6));
    // The first read of the bad sector fails as the medium does; the second, after the new slot took the rest, as the link does.
    set.on_read = Some(|disks, engine, request| {
        let again = disks
            .log
            .iter()
            .any(|r| (r.sector, r.op, r.device) == (request.sector, request.op, request.device));
        let old = engine.geometry().slot_block(Slot(0)).first_sector();
        let bad = request.device == Device::Spare && request.sector == old + 6;
        disks.error = if bad && again { ErrorKind::Transport } else { ErrorKind::Io };
    });
    for _ in 0..3 {
        set.disks.log.clear();
        set.disks.error = ErrorKind::Io;
        assert_eq!(set.repair(42, 3, 0x33), Err(ErrorKind::Transport));
    }
    let reserved = (0..3).filter(|s| usage(&set, *s) == Use::Reserved).count();
    assert_eq!((set.engine.used(), reserved), (1, 0), "slots that nobody owns");
}

#[test]
fn s33_every_request_of_a_repair_may_fail_and_no_slot_is_lost_sight_of() {
    // A write over groups on main, in slots that fail, in slots that cannot be read, and on new slots that fail.
    let run = |fault: Option<(usize, ErrorKind)>| {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 12, 3);
        assert_eq!(set.relocate(16, 32).remapped, 32);
        for slot in [1, 2, 4] {
            let sector = slot_sector(&set, slot);
            set.disks.bad_writes.insert((true, sector + 3));
        }
        let sector = slot_sector(&set, 2);
        set.disks.bad_reads.insert((true, sector + 6));
        (0..2).for_each(|g| set.disks.fail_main(g * 8));
        set.disks.log.clear();
        set.disks.fail_nth = fault;
        // The harness accounts for all slots at the end of each operation.
        let _ = set.repair(2, 42, 0x33);
        let requests = set.disks.log.len();
        set.disks.fail_nth = None;
        set.engine.resume_writes();
        set.work(Work::Resume);
        assert_eq!(set.engine.count_slots().reserved, 0, "{fault:?}");
        let _ = set.repair(0, 64, 0x44);
        assert_eq!(set.engine.mode(), Mode::Rw, "{fault:?}");
        requests
    };
    for nth in 0..run(None) {
        for kind in [ErrorKind::Transport, ErrorKind::Io] {
            run(Some((nth, kind)));
        }
    }
}

#[test]
fn s33_every_request_of_an_order_may_fail_and_no_slot_is_lost_sight_of() {
    let run = |fault: Option<(usize, ErrorKind)>| {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 12, 3);
        let sector = slot_sector(&set, 1);
        set.disks.bad_writes.insert((true, sector + 3));
        set.disks.log.clear();
        set.disks.fail_nth = fault;
        set.relocate(0, 32);
        let moved = set.disks.log.len();
        set.release(8, 16);
        let requests = set.disks.log.len();
        assert!(moved < requests || fault.is_some());
        set.disks.fail_nth = None;
        set.engine.resume_writes();
        set.work(Work::Resume);
        assert_eq!(set.engine.count_slots().reserved, 0, "{fault:?}");
        set.release(0, 32);
        assert_eq!((set.engine.used(), set.engine.mode()), (0, Mode::Rw), "{fault:?}");
        requests
    };
    for nth in 0..run(None) {
        for kind in [ErrorKind::Transport, ErrorKind::Io] {
            run(Some((nth, kind)));
        }
    }
}

/// Has the flush before the first commit fail that comes when slot 1 serves sector 40.
fn no_flush_after_the_move(disks: &mut Disks, table: &Table<'_>, request: &remap_core::io::IoRequest) {
    let moved = matches!(table.find(Sector(40), 8), Run::Slot { slot: Slot(1), .. });
    disks.bad_flush = moved && request.op == Op::Flush;
}

#[test]
fn s33_a_slot_whose_content_moved_is_retired_when_commits_are_possible_again() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = slot_sector(&set, 0);
    set.disks.bad_writes.insert((true, old));
    set.hook = Some(no_flush_after_the_move);
    assert_eq!(set.repair(40, 8, 0x33), Ok(()));
    (set.hook, set.disks.bad_flush) = (None, false);
    // Its retirement was not durable, and it is kept for that.
    assert_eq!((used_and_retired(&set), set.engine.count_slots().reserved), ((2, 0), 1));
    assert!(set.engine.resume_writes() && set.work(Work::Resume));
    assert_eq!((used_and_retired(&set), set.on_disk(0, 0).state), ((1, 1), SlotState::Retired));
}

#[test]
fn s33_a_slot_that_failed_is_free_again_if_its_retirement_was_not_durable() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    let first = slot_sector(&set, 0);
    set.disks.fail_block(first, true);
    set.disks.bad_flush = true;
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!((used_and_retired(&set), set.engine.mode()), ((0, 0), Mode::Fail));
    set.disks.bad_flush = false;
    assert!(set.engine.resume_writes());
    assert_eq!(usage(&set, 0), Use::Free);
    set.disks.fail_main(80);
    assert_eq!((set.repair(40, 8, 0x22), set.repair(80, 8, 0x22)), (Ok(()), Ok(())));
    assert_eq!((used_and_retired(&set), usage(&set, 0)), ((2, 1), Use::Retired));
}

#[test]
fn s33_slots_of_a_commit_that_failed_are_free_when_that_is_settled() {
    for moves in [false, true] {
        let mut disks = Disks::with_bad_group();
        let mut set = served(&mut disks, 4, 3);
        if moves {
            set.repair(40, 8, 0x22).unwrap();
            let old = slot_sector(&set, 0);
            set.disks.bad_writes.insert((true, old));
        }
        // More often than there are slots.
        for _ in 0..6 {
            set.fail_copies(&[1, 2], &[0, 1, 2], true);
            assert!(set.repair(40, 8, 0x33).is_err());
            assert_eq!((set.engine.in_doubt(), set.engine.count_slots().reserved), (true, 1));
            set.fail_copies(&[1, 2], &[0, 1, 2], false);
            assert!(set.work(Work::Resume));
            assert_eq!(used_and_retired(&set), (u32::from(moves), 0));
        }
        assert_eq!((set.repair(40, 8, 0x44), set.read(40)), (Ok(()), Ok(0x44)));
        assert_eq!(used_and_retired(&set), (1, u32::from(moves)));
    }
}

/// A set of 1950 slots, the first slot of each of eight table blocks being as `first` says, as in a set in which slots were
/// released and taken again, and all others as `others`.
fn spread(disks: &mut Disks, first: impl Fn(u32) -> Entry, others: Entry) -> Set<'_> {
    format(disks, 1950, 3);
    let sb = choose(disks);
    for copy in 0..3 {
        for index in 0..8 {
            let slots = 1950 - index * 252;
            let entry = |i: usize| match i {
                0 => first(index),
                i if i < slots as usize => others,
                _ => Entry::default(),
            };
            let mut block: Block = [0; 4096];
            encode_table_block(&sb.id, index, 10, copy, entry, &mut block);
            let at = sb.geometry.table_block(copy, index).0 as usize * 4096;
            disks.spare[at..at + 4096].copy_from_slice(&block);
        }
    }
    let mut set = reload(disks);
    // A commit takes six table blocks; the flush before the second fails.
    set.hook = Some(|disks, _, request| {
        let second = disks.log.iter().any(|r| r.op == Op::WriteFua);
        disks.bad_flush = request.op == Op::Flush && second;
    });
    set
}

fn resume(set: &mut Set<'_>) {
    (set.hook, set.disks.bad_flush) = (None, false);
    assert!(set.engine.resume_writes() && set.work(Work::Resume));
}

fn on_main(set: &Set<'_>) -> usize {
    (0..8u64).filter(|g| matches!(set.engine.table().find(Sector(g * 8), 8), Run::Main { .. })).count()
}

fn mapped(index: u32) -> Entry {
    let generation = 1 + u64::from(index);
    Entry { state: SlotState::Mapped, group: Group(index.into()), mask: 0xff, lost: 0, generation }
}

#[test]
fn what_a_release_did_is_told_and_freed_though_a_later_commit_of_its_window_fails() {
    let mut disks = Disks::new();
    let mut set = spread(&mut disks, mapped, Entry::default());
    assert_eq!(set.engine.used(), 8);
    let told = set.release(0, 64);
    assert_eq!(on_main(&set), 6);
    assert_eq!(told, Released { released: 48, failed: 16, ..Released::default() }, "what was told");
    resume(&mut set);
    let reserved = (0..1950).filter(|s| usage(&set, *s) == Use::Reserved).count();
    assert_eq!((set.engine.used(), reserved), (2, 0), "slots that were not freed");
    assert_eq!(set.engine.counters().released_sectors, 48);
}

#[test]
fn what_a_relocation_did_is_told_though_a_later_commit_of_its_window_fails() {
    let mut disks = Disks::new();
    let retired = Entry { state: SlotState::Retired, generation: 1, ..Entry::default() };
    let mut set = spread(&mut disks, |_| Entry::default(), retired);
    let told = set.relocate(0, 64);
    assert_eq!(on_main(&set), 2);
    assert_eq!(told, Relocated { remapped: 48, failed: 16, ..Relocated::default() }, "what was told");
    resume(&mut set);
    assert_eq!((set.engine.used(), set.engine.counters().remapped_sectors), (6, 48));
}

#[test]
fn sectors_count_as_remapped_when_that_is_durable() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.disks.bad_flush = true;
    assert!(set.repair(40, 8, 0x22).is_err());
    assert_eq!(set.engine.counters().remapped_sectors, 0);
    set.disks.bad_flush = false;
    assert!(set.engine.resume_writes());
    assert_eq!(set.repair(40, 6, 0x22), Ok(()));
    assert_eq!(set.engine.counters().remapped_sectors, 6);
}
