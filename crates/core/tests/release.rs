//! Release: content of slots goes back to main, one range after the other.

mod world;

use remap_core::engine::commit::Work;
use remap_core::engine::machine::{Event, Machine, Next};
use remap_core::engine::order::Range;
use remap_core::engine::release::{Release, Released};
use remap_core::engine::{Mode, Notice, Settings};
use remap_core::error::ErrorKind;
use remap_core::format::SlotState;
use remap_core::io::{Device, Op};
use remap_core::lookup::{Run, Use};
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set};

fn back(released: u64) -> Released {
    Released { released, ..Released::default() }
}

/// Repairs writes of main that failed, and heals it.
fn mapped<'d>(disks: &'d mut Disks, groups: &[u64], byte: u8) -> Set<'d> {
    groups.iter().for_each(|g| disks.fail_main(g * 8));
    let mut set = served(disks, 60, 3);
    groups.iter().for_each(|g| assert_eq!(set.repair(g * 8, 8, byte), Ok(())));
    set.disks.bad_writes.clear();
    set.disks.log.clear();
    set
}

#[test]
fn s24_content_is_on_main_and_the_slots_are_free_afterwards_and_after_a_reload() {
    let mut disks = Disks::new();
    let groups: Vec<u64> = (0..50).collect();
    let mut set = mapped(&mut disks, &groups, 0x22);
    assert_eq!(set.release(0, 8 * 60), Released { released: 400, main: 80, ..Released::default() });
    assert_eq!((set.engine.used(), set.engine.counters().released_sectors), (0, 400));
    for s in 0..400 {
        assert_eq!(set.read(s), Ok(0x22));
        assert!(matches!(set.engine.table().find(Sector(s), 1), Run::Main { .. }));
    }
    let mut set = reload(&mut disks);
    assert_eq!((set.engine.used(), set.read(0), set.read(399)), (0, Ok(0x22), Ok(0x22)));
    // The slots serve again.
    set.disks.fail_main(0);
    assert_eq!(set.repair(0, 8, 0x33), Ok(()));
    assert_eq!(reload(&mut disks).read(0), Ok(0x33));
}

#[test]
fn s24_hold_drain_copy_flush_read_back_remove_drain_free_in_this_order() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    set.on_drain = Some(|engine, nth| {
        let (find, record) = (engine.table().find(Sector(40), 8), engine.table().record(Slot(0)).unwrap());
        match nth {
            // Whoever was led to main before the group was mapped has to be gone before main is written.
            1 => assert_eq!(find, Run::Slot { slot: Slot(0), sectors: 8 }),
            2 => assert_eq!(find, Run::Held { sectors: 8 }),
            // Nobody finds the slot any more; who found it before still sees the group held, and nobody gets the slot.
            _ => {
                assert_eq!(find, Run::Main { sectors: 8 });
                assert!(record.is_held() && record.serves(Sector(40).group()) && record.usage() != Use::Free);
                assert_eq!(engine.used(), 1);
            }
        }
    });
    set.hook = Some(|_, table, _| assert_eq!(table.find(Sector(40), 8), Run::Held { sectors: 8 }));
    assert_eq!(set.release(40, 8), back(8));
    assert_eq!((set.drains, set.engine.used()), (3, 0));
    let ops: Vec<_> = set.disks.log.iter().map(|r| (r.device, r.op)).collect();
    let (main, spare) = (Device::Main, Device::Spare);
    let copy = [(spare, Op::Read), (main, Op::Write), (main, Op::Flush), (main, Op::Read)];
    let commit = [(spare, Op::Flush), (spare, Op::WriteFua), (spare, Op::WriteFua), (spare, Op::WriteFua)];
    assert_eq!(ops, [copy, commit].concat());
    for copy in 0..3 {
        let entry = set.on_disk(copy, 0);
        assert!(entry.state == SlotState::Free && entry.generation == 2, "{entry:?}");
    }
}

#[test]
fn s11_the_generation_of_a_released_slot_is_never_given_again() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    set.release(40, 8);
    let mut set = reload(&mut disks);
    set.disks.fail_main(40);
    set.repair(40, 8, 0x33).unwrap();
    assert_eq!(set.on_disk(0, 0).generation, 3);
}

#[test]
fn s11_a_commit_right_after_a_removal_does_not_bring_the_entry_back() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    let range = Range { first: Sector(40), sectors: 8 };
    let mut machine = Machine::Release(Release::new(1, range, &set.engine));
    let (mut event, mut buffer) = (Event::Go, vec![0; 1 << 17]);
    loop {
        event = match machine.next(&mut set.engine, event, 0) {
            Next::Io(r) => Event::Io(set.disks.run(&r, &mut buffer)),
            Next::Compare(_) => Event::Compared(true),
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            // The drain before the slot is free: others commit to the same table block meanwhile.
            Next::Drain(_) if set.engine.counters().released_sectors > 0 => break,
            Next::Drain(_) => Event::Drained,
            other => panic!("{other:?}"),
        };
    }
    set.disks.fail_main(80);
    assert_eq!(set.repair(80, 8, 0x33), Ok(()));
    assert_eq!((set.on_disk(0, 0).state, set.on_disk(0, 1).state), (SlotState::Free, SlotState::Mapped));
    disks.main[40 * 512..48 * 512].fill(0x44);
    assert_eq!(reload(&mut disks).read(40), Ok(0x44));
}

#[test]
fn s24_a_part_of_a_group_can_go_back() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    assert_eq!(set.release(42, 2), back(2));
    let record = set.engine.table().record_of(Sector(40).group()).unwrap().1;
    assert_eq!((record.mask(), record.is_held()), (0b1111_0011, false));
    assert_eq!((40..48).map(|s| set.read(s)).collect::<Vec<_>>(), [Ok(0x22); 8]);
    assert_eq!(set.on_disk(2, 0).mask, 0b1111_0011);
    let mut set = reload(&mut disks);
    assert_eq!(set.engine.table().record_of(Sector(40).group()).unwrap().1.mask(), 0b1111_0011);
    assert_eq!(set.release(40, 8), Released { released: 6, main: 2, ..Released::default() });
    assert_eq!(set.engine.used(), 0);
}

#[test]
fn s30_a_slot_that_fails_a_read_in_a_release_is_told_once() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 3);
    assert_eq!(set.relocate(40, 8).remapped, 8);
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_reads.insert((true, slot + 2));
    let _ = set.notices();
    for told in [1, 0] {
        assert_eq!(set.release(40, 8).unreadable, 1);
        let (sector, sectors) = (Sector(42), 1);
        let suspect = Notice::Suspect { sector, sectors, slot: Slot(0) };
        assert_eq!(set.notices().iter().filter(|notice| **notice == suspect).count(), told);
        assert_eq!(set.engine.counters().suspected_sectors, 1);
    }
}

#[test]
fn s24_lost_sectors_stay_and_suspect_ones_go_back_if_they_read_well() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    let slot = |set: &Set<'_>, n| set.engine.geometry().slot_block(Slot(n)).first_sector();
    let first = slot(&set, 0);
    set.disks.bad_writes.insert((true, first));
    set.disks.bad_reads.insert((true, first + 6));
    set.disks.fail_main(40);
    set.repair(40, 1, 0x33).unwrap();
    assert_eq!(set.engine.lost_sectors(), 1);
    set.disks.bad_writes.clear();
    let second = slot(&set, 1);
    set.disks.bad_reads.insert((true, second + 3));
    set.engine.table().mark_suspect(Slot(1), 0b0000_0110);
    let tally = set.release(40, 8);
    assert_eq!(tally, Released { released: 6, lost: 1, unreadable: 1, ..Released::default() });
    let (new, old, bad) = (Ok(0x33), Ok(0x22), Err(ErrorKind::Medium));
    let right = [new, old, old, bad, old, old, bad, old];
    assert_eq!((40..48).map(|s| set.read(s)).collect::<Vec<_>>(), right);
    // The one that could not be read is suspect, and goes back once it reads well.
    assert!(matches!(set.engine.table().find(Sector(43), 1), Run::Bad { .. }));
    set.disks.bad_reads.clear();
    assert_eq!(set.release(40, 8), Released { released: 1, main: 6, lost: 1, ..Released::default() });
    assert_eq!((set.engine.used(), set.engine.lost_sectors()), (1, 1));
    assert_eq!((set.read(43), set.read(46)), (old, bad));
}

#[test]
fn s24_what_main_does_not_take_stays_mapped_and_the_rest_goes_back() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[1, 2, 3, 4, 5], 0x22);
    set.disks.fail_main(24);
    let tally = set.release(0, 64);
    assert_eq!(tally, Released { released: 32, main: 24, failed: 8, ..Released::default() });
    assert_eq!(set.engine.used(), 1);
    assert_eq!((8..48).map(|s| set.read(s)).collect::<Vec<_>>(), [Ok(0x22); 40]);
    assert_eq!((reload(&mut disks).read(24), disks.main[24 * 512]), (Ok(0x22), 0xee));
}

#[test]
fn s24_what_reads_back_as_something_else_stays_mapped() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5, 6], 0x22);
    let range = Range { first: Sector(40), sectors: 16 };
    let mut machine = Machine::Release(Release::new(1, range, &set.engine));
    let (mut event, mut buffer) = (Event::Go, vec![0; 1 << 17]);
    loop {
        event = match machine.next(&mut set.engine, event, 0) {
            Next::Io(r) => {
                let result = set.disks.run(&r, &mut buffer);
                if r.op == Op::Write && r.sector == 40 {
                    // Main keeps something else than what it was given.
                    set.disks.main[45 * 512 + 100] ^= 1;
                }
                Event::Io(result)
            }
            Next::Compare(what) => Event::Compared(remap_core::engine::machine::same(&buffer, what)),
            Next::Drain(_) => Event::Drained,
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            Next::Done(_) => break,
            other => panic!("{other:?}"),
        };
    }
    let Machine::Release(release) = machine else { panic!() };
    assert_eq!(release.tally(), Released { released: 8, failed: 8, ..Released::default() });
    assert!(matches!(set.engine.table().find(Sector(40), 8), Run::Slot { .. }));
    assert_eq!((set.read(45), set.read(50)), (Ok(0x22), Ok(0x22)));
}

#[test]
fn s24_a_crash_before_the_removal_is_durable_finds_the_content_in_the_slot() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    // The power goes at the first write of the commit: nothing of it lands.
    set.hook = Some(|disks, _, request| disks.fail_block(request.sector, true));
    assert_eq!(set.release(40, 8), Released { failed: 8, ..Released::default() });
    assert_eq!(set.read(40), Ok(0x22));
    disks.bad_writes.clear();
    disks.main[40 * 512..48 * 512].fill(0xee);
    let mut set = reload(&mut disks);
    assert_eq!((set.read(40), set.engine.used()), (Ok(0x22), 1));
}

#[test]
fn s13_a_removal_that_may_have_landed_leaves_reads_right_and_refuses_writes_until_it_is_settled() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    for copy in 1..3 {
        let places = [set.table_block(copy, 0), set.superblock(copy)];
        places.iter().for_each(|s| set.disks.fail_block(*s, true));
    }
    assert_eq!(set.release(40, 8), Released { failed: 8, ..Released::default() });
    assert!(set.engine.is_in_doubt(Sector(40)));
    assert_eq!((set.engine.mode(), set.read(40), set.engine.used()), (Mode::NoRemap, Ok(0x22), 1));
    assert_eq!(set.on_disk(0, 0).state, SlotState::Free);
    set.disks.bad_writes.clear();
    assert!(set.work(Work::Resume));
    assert!(!set.engine.is_in_doubt(Sector(40)));
    assert_eq!((set.on_disk(0, 0).state, set.read(40)), (SlotState::Mapped, Ok(0x22)));
    assert_eq!(set.release(40, 8), back(8));
}

#[test]
fn s08_a_flush_of_main_that_fails_releases_nothing_and_stops_writes() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5, 6], 0x22);
    set.disks.bad_flush = true;
    assert_eq!(set.release(40, 16), Released { failed: 16, ..Released::default() });
    assert_eq!((set.engine.mode(), set.engine.used(), set.read(44)), (Mode::Fail, 2, Ok(0x22)));
    assert!(!set.disks.log.iter().any(|r| r.op == Op::WriteFua));
}

#[test]
fn s24_a_removal_that_was_never_written_leaves_the_group_as_it_was() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    set.hook = Some(|disks, _, _| disks.bad_flush = true);
    assert_eq!(set.release(40, 8), Released { failed: 8, ..Released::default() });
    // Not held for ever either.
    assert_eq!(set.engine.table().find(Sector(40), 8), Run::Slot { slot: Slot(0), sectors: 8 });
    assert_eq!((set.read(40), set.engine.used(), set.engine.mode()), (Ok(0x22), 1, Mode::Fail));
}

#[test]
fn s07_a_group_is_not_released_while_the_entry_of_its_old_slot_stands() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks, &[5], 0x22);
    let old = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.bad_writes.insert((true, old));
    set.disks.fail_main(40);
    // The second commit of the move, which retires the old slot, does not take place: the list of changes was full.
    set.hook = Some(|disks, table, request| {
        let moved = matches!(table.find(Sector(40), 8), Run::Slot { slot: Slot(1), .. });
        disks.bad_flush = moved && request.op == Op::Flush;
    });
    set.repair(40, 8, 0x33).unwrap();
    set.hook = None;
    set.disks.bad_flush = false;
    assert!(set.engine.resume_writes());
    assert_eq!((set.on_disk(0, 0).state, set.engine.retired()), (SlotState::Mapped, 0));
    set.disks.bad_writes.clear();
    set.disks.log.clear();
    assert_eq!(set.release(40, 8), back(8));
    assert_eq!((set.on_disk(0, 0).state, set.on_disk(0, 1).state), (SlotState::Retired, SlotState::Free));
    assert_eq!((set.engine.retired(), set.engine.used()), (1, 0));
    // In one commit they could land one without the other.
    let table = set.table_block(0, 0);
    assert_eq!(set.disks.log.iter().filter(|r| r.sector == table).count(), 2);
    let mut set = reload(&mut disks);
    assert!(matches!(set.engine.table().find(Sector(40), 8), Run::Main { .. }));
    assert_eq!(set.read(40), Ok(0x33));
}

#[test]
fn s22_watermarks_are_told_again_after_slots_came_back() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 10, 3);
    let marks = |set: &mut Set<'_>| {
        let told = std::iter::from_fn(|| set.engine.take_notice());
        told.filter(|n| matches!(n, Notice::Watermark { .. })).count()
    };
    set.relocate(0, 80);
    assert_eq!(marks(&mut set), 3);
    set.relocate(80, 8);
    assert_eq!((marks(&mut set), set.engine.used()), (1, 10));
    set.release(0, 48);
    assert_eq!((marks(&mut set), set.engine.used()), (0, 4));
    set.relocate(0, 48);
    assert_eq!(marks(&mut set), 3);
}

#[test]
fn s22_a_slot_that_is_only_held_is_no_slot_in_use_to_a_watermark() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 10, 3);
    let marks = |set: &mut Set<'_>| {
        let told = std::iter::from_fn(|| set.engine.take_notice());
        told.filter(|n| matches!(n, Notice::Watermark { .. })).collect::<Vec<_>>()
    };
    set.relocate(0, 32);
    // A main that is asked and takes nothing.
    set.disks.main_away(true);
    set.busy = false;
    set.now_ms += 60_000;
    assert!(set.repair(480, 8, 0x22).is_err());
    set.disks.main_away(false);
    assert_eq!((marks(&mut set), set.engine.used()), (vec![], 4));
    set.relocate(40, 8);
    assert_eq!((marks(&mut set), set.engine.used()), (vec![Notice::Watermark { percent: 50 }], 5));
    set.relocate(48, 32);
    assert_eq!((marks(&mut set).len(), set.engine.used()), (2, 9));
    // One of two finds a slot.
    set.relocate(80, 16);
    assert_eq!((marks(&mut set), set.engine.used()), (vec![Notice::Watermark { percent: 100 }], 10));
    // The refusal before was of a spare on which a slot could still have come back; this one is not, and is the last that is told.
    set.relocate(88, 8);
    assert_eq!(marks(&mut set), [Notice::Watermark { percent: 100 }]);
    set.relocate(88, 8);
    assert_eq!(marks(&mut set), []);
}

#[test]
fn s22_the_percent_that_was_asked_for_is_told_on_the_way_up() {
    for (asked, wanted) in [(60, vec![50, 60, 75]), (1, vec![1, 50, 75]), (75, vec![50, 75])] {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 10, 3);
        let settings = *set.engine.settings();
        set.engine.set_settings(Settings { emergency_percent: asked, ..settings });
        let mut told = Vec::new();
        for group in 0..10 {
            set.relocate(group * 8, 8);
            told.extend(set.notices().into_iter().filter_map(|n| match n {
                Notice::Watermark { percent } => Some((group + 1, percent)),
                _ => None,
            }));
        }
        let in_order: Vec<_> = told.iter().map(|(_, percent)| *percent).collect();
        assert_eq!(in_order, wanted, "{asked}");
        // With the first slot that makes it so many, of ten.
        assert!(told.iter().all(|(used, percent)| *used == u64::from(percent.div_ceil(10))), "{told:?}");
    }
}

#[test]
fn s24_back_and_forth_many_times() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 60, 3);
    for round in 0..40 {
        assert_eq!(set.relocate(0, 320).remapped, 320, "round {round}");
        assert_eq!(set.release(round % 8, 300).released, 300);
        assert_eq!(set.release(0, 320).failed, 0);
        assert_eq!(set.engine.used(), 0);
    }
    // In eight rounds 56 sectors lay on main in the physical blocks of the ends, and went to slots and back with the rest.
    assert_eq!(set.engine.counters().released_sectors, 40 * 320 + 5 * 56);
    assert_eq!((0..320).filter(|s| set.read(*s) == Ok(0xee)).count(), 320);
}

#[test]
fn s19_a_release_stops_before_the_next_window_and_says_where() {
    let mut disks = Disks::new();
    let groups: Vec<u64> = (0..40).collect();
    let mut set = mapped(&mut disks, &groups, 0x22);
    let range = Range { first: Sector(0), sectors: 320 };
    let mut machine = Machine::Release(Release::new(1, range, &set.engine));
    if let Machine::Release(release) = &mut machine {
        assert!(matches!(release.next(&mut set.engine, Event::Go, 0), Next::Drain(_)));
        release.stop();
    }
    let mut buffer = vec![0; 1 << 17];
    let mut event = Event::Drained;
    loop {
        event = match machine.next(&mut set.engine, event, 0) {
            Next::Io(r) => Event::Io(set.disks.run(&r, &mut buffer)),
            Next::Compare(_) => Event::Compared(true),
            Next::Drain(_) => Event::Drained,
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            Next::Done(_) => break,
            other => panic!("{other:?}"),
        };
    }
    let Machine::Release(release) = machine else { panic!() };
    assert_eq!(release.tally(), Released { released: 240, next: Some(Sector(240)), ..Released::default() });
    assert_eq!(set.engine.used(), 10);
}
