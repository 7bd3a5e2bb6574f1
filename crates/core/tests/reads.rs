//! Failed reads, one at a time.

mod world;

use remap_core::engine::list::SectorState;
use remap_core::engine::machine::{reads_at_once, Event, Machine, Next};
use remap_core::engine::repair::{self, Repair};
use remap_core::engine::reread::{self, Reread};
use remap_core::engine::{Engine, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::path::{suspect_read, Access, Direction, Place, Request};
use remap_core::units::{Sector, Slot};
use world::{served, Disks, Set, MAIN_SECTORS};

const MAIN: Place = Place::Main;
const OLD: u8 = 0xee;

/// Makes reads of a sector of main fail.
fn spoil(disks: &mut Disks, sectors: impl IntoIterator<Item = u64>) {
    disks.bad_reads.extend(sectors.into_iter().map(|s| (false, s)));
}

/// How often a sector of main was read.
fn reads_of(disks: &Disks, sector: u64) -> usize {
    let touches = |r: &&IoRequest| {
        (r.device, r.op) == (Device::Main, Op::Read)
            && r.sector <= sector
            && sector < r.sector + u64::from(r.sectors)
    };
    disks.log.iter().filter(touches).count()
}

fn set_retries(set: &mut Set<'_>, read_retries: u32) {
    let settings = *set.engine.settings();
    set.engine.set_settings(remap_core::engine::Settings { read_retries, ..settings });
}

fn set_physical(set: &mut Set<'_>, physical_sectors: u32) {
    let settings = *set.engine.settings();
    set.engine.set_settings(remap_core::engine::Settings { physical_sectors, ..settings });
}

fn pending(set: &Set<'_>) -> Vec<u64> {
    (0..MAIN_SECTORS).filter(|s| set.engine.query(Sector(*s)).state == SectorState::Pending).collect()
}

fn slot_sector(set: &Set<'_>, sector: u64) -> u64 {
    let (slot, _) = set.engine.table().record_of(Sector(sector).group()).unwrap();
    set.engine.geometry().slot_block(slot).first_sector() + sector % 8
}

#[test]
fn s03_lost_sectors_behind_suspect_ones_are_not_given() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 3);
    set.repair(40, 8, 0x22).unwrap();
    let old = slot_sector(&set, 40);
    set.disks.bad_reads.insert((true, old + 6));
    set.disks.bad_writes.insert((true, old));
    // It moves to slot 1, and sector 46 is lost.
    set.repair(40, 1, 0x33).unwrap();
    set.engine.table().mark_suspect(Slot(1), 0b0011_0000);
    set.disks.bad_reads.clear();
    let (verdict, given) = set.reread(44, 4, MAIN);
    assert!(verdict.is_err());
    assert_eq!(given, [Some(0x22), Some(0x22), None, Some(0x22)]);
}

#[test]
fn s02_every_readable_sector_is_delivered_and_the_bio_fails() {
    for physical in [1, 8, 32] {
        let mut disks = Disks::new();
        spoil(&mut disks, [1001, 1003, 1500]);
        let mut set = served(&mut disks, 20, 2);
        set_physical(&mut set, physical);
        // Three windows and more.
        let (verdict, given) = set.reread(900, 1000, MAIN);
        assert_eq!(verdict, Err(ErrorKind::Medium));
        for (i, byte) in given.iter().enumerate() {
            let bad = [1001, 1003, 1500].contains(&(900 + i));
            assert_eq!(*byte, if bad { None } else { Some(OLD) }, "sector {} of {physical}", 900 + i);
        }
        assert_eq!(pending(&set), [1001, 1003, 1500]);
        let counters = set.engine.counters();
        assert_eq!((counters.reads, counters.reads_delivered, counters.reads_failed), (1, 0, 1));
    }
}

#[test]
fn s02_a_disk_that_fails_by_the_physical_block_is_not_asked_for_each_sector_each_time() {
    let mut disks = Disks::new();
    spoil(&mut disks, 1000..1008);
    let mut set = served(&mut disks, 20, 2);
    let (verdict, given) = set.reread(900, 200, MAIN);
    assert!(verdict.is_err());
    assert_eq!(given.iter().filter(|b| b.is_none()).count(), 8);
    assert_eq!(pending(&set), (1000..1008).collect::<Vec<_>>());
    // 25 physical blocks are 2 log n; then once alone, four times together, and alone again.
    assert!(reads_of(set.disks, 1003) <= 10 + 6, "{}", reads_of(set.disks, 1003));
    assert!(reads_of(set.disks, 1020) <= 8);
    let in_block = |r: &&IoRequest| r.sector < 1008 && r.sector + u64::from(r.sectors) > 1000;
    let asked = set.disks.log.iter().filter(in_block).count();
    assert!(asked <= 10 + 8 + 4 + 8, "{asked}");
}

#[test]
fn s02_a_block_is_retried_so_often_and_no_more() {
    for (retries, failures, ok) in
        [(0, 1, false), (0, 0, true), (5, 4, true), (5, 5, false), (1, 1, false), (100, 99, true)]
    {
        let mut disks = Disks::new();
        disks.flaky_reads.insert((false, 50), failures);
        let mut set = served(&mut disks, 20, 2);
        set_retries(&mut set, retries);
        // A block alone has had its first read, the bio's own. Before it counts as unreadable it is read once more at least.
        let (verdict, given) = set.reread(50, 1, MAIN);
        assert_eq!((verdict.is_ok(), given[0]), (ok, ok.then_some(OLD)), "{retries} {failures}");
        assert_eq!(reads_of(set.disks, 50), (failures + u32::from(ok)) as usize);
        assert_eq!(pending(&set), if ok { vec![] } else { vec![50] });
    }
}

#[test]
fn s02_neighbours_in_one_physical_block_are_retried_on_their_own() {
    let mut disks = Disks::new();
    spoil(&mut disks, [80]);
    disks.flaky_reads.insert((false, 81), 1);
    let mut set = served(&mut disks, 20, 2);
    let (verdict, given) = set.reread(80, 8, MAIN);
    assert!(verdict.is_err());
    assert_eq!((given[0], given[1], given[7]), (None, Some(OLD), Some(OLD)));
    assert_eq!(pending(&set), [80]);
}

#[test]
fn s02_what_reads_well_after_all_leaves_nothing_behind() {
    let mut disks = Disks::new();
    disks.flaky_reads.insert((false, 83), 2);
    let mut set = served(&mut disks, 20, 2);
    assert_eq!(set.reread(64, 64, MAIN), (Ok(()), vec![Some(OLD); 64]));
    assert!(pending(&set).is_empty() && !set.engine.pending().any());
    assert_eq!(set.engine.take_notice(), None);
    assert_eq!(set.engine.counters().reads_delivered, 1);
}

#[test]
fn s02_after_the_deadline_nothing_is_asked_any_more() {
    let mut disks = Disks::new();
    spoil(&mut disks, 0..MAIN_SECTORS);
    let mut set = served(&mut disks, 20, 2);
    (set.now_ms, set.io_ms) = (5_000, 4_000);
    let (verdict, given) = set.reread(96, 8, MAIN);
    assert_eq!((verdict, given), (Err(ErrorKind::Io), vec![None; 8]));
    // 30 s are eight requests of 4 s: the one under way cannot be cut short.
    assert_eq!(set.disks.log.len(), 8);
    // Of the sectors, only those that failed alone are known to be bad.
    assert_eq!(pending(&set), (96..104).collect::<Vec<_>>());
    set.disks.log.clear();
    let (verdict, _) = set.reread(200, 64, MAIN);
    assert!(verdict.is_err());
    assert_eq!(set.disks.log.len(), 8);
    let named: Vec<u64> = pending(&set).into_iter().filter(|s| *s >= 200).collect();
    assert!(!named.is_empty() && named.len() < 8, "{named:?}");
    assert_eq!(named, (200..200 + named.len() as u64).collect::<Vec<_>>());
}

#[test]
fn s02_pending_is_cleared_by_a_write_on_main_a_good_read_and_a_mapping() {
    let mut disks = Disks::new();
    spoil(&mut disks, [40, 41, 42, 43]);
    let mut set = served(&mut disks, 20, 2);
    assert!(set.reread(40, 8, MAIN).0.is_err());
    assert_eq!(pending(&set), [40, 41, 42, 43]);
    assert_eq!(set.engine.pending().sectors(), 4);
    // A bio that ends well on main.
    set.engine.pending().clear(Sector(41), 1);
    assert_eq!(pending(&set), [40, 42, 43]);
    // A read, narrowed again, as it is when what was found has been known for long.
    set.now_ms += 300_000;
    set.disks.bad_reads.remove(&(false, 42));
    let (_, given) = set.reread(40, 8, MAIN);
    assert_eq!(given[2], Some(OLD));
    assert_eq!(pending(&set), [40, 41, 43]);
    // A write that repair stores on main, and one that it stores in a slot.
    set.repair(41, 1, 0x11).unwrap();
    assert_eq!(pending(&set), [40, 43]);
    set.disks.fail_main(40);
    set.repair(40, 1, 0x11).unwrap();
    assert_eq!(pending(&set), [43]);
    assert_eq!(set.engine.query(Sector(40)).state, SectorState::Mapped);
}

#[test]
fn s02_a_block_that_is_written_while_it_is_read_is_not_pending() {
    let mut disks = Disks::new();
    spoil(&mut disks, [40, 41]);
    let mut set = served(&mut disks, 20, 2);
    set.on_read = Some(|_, engine: &mut Engine<'_>, r: &IoRequest| {
        if r.sector == 41 {
            engine.pending().clear(Sector(40), 1);
        }
    });
    assert!(set.reread(40, 2, MAIN).0.is_err());
    assert_eq!(pending(&set), [41]);
}

#[test]
fn s30_what_is_unreadable_is_told_once() {
    let mut disks = Disks::new();
    spoil(&mut disks, [42, 44]);
    let mut set = served(&mut disks, 20, 2);
    assert!(set.reread(40, 8, MAIN).0.is_err());
    assert_eq!(set.engine.take_notice(), Some(Notice::Unreadable { sector: Sector(42), sectors: 2 }));
    assert!(set.reread(40, 8, MAIN).0.is_err());
    assert_eq!(set.engine.take_notice(), None);
}

#[test]
fn s15_an_error_that_is_not_the_mediums_passes_up_at_once() {
    let mut disks = Disks::new();
    spoil(&mut disks, [150]);
    let mut set = served(&mut disks, 20, 2);
    set.disks.error = ErrorKind::Transport;
    let (verdict, _) = set.reread(100, 100, MAIN);
    assert_eq!(verdict, Err(ErrorKind::Transport));
    assert!(pending(&set).is_empty() && !set.engine.pending().any());
    assert!(reads_of(set.disks, 150) == 1);
}

#[test]
fn s03_a_failed_slot_read_makes_exactly_the_failing_sectors_suspect() {
    let mut disks = Disks::new();
    (0..3).for_each(|n| disks.fail_main(64 + n * 8));
    let mut set = served(&mut disks, 20, 2);
    set.repair(64, 24, 0x22).unwrap();
    while set.engine.take_notice().is_some() {}
    let at = slot_sector(&set, 74);
    set.disks.bad_reads.insert((true, at));
    let slot = set.engine.table().record_of(Sector(64).group()).unwrap().0;
    let (verdict, given) = set.reread(60, 40, Place::Spare(slot));
    assert_eq!(verdict, Err(ErrorKind::Medium));
    for (i, byte) in given.iter().enumerate() {
        let right = match 60 + i {
            74 => None,
            64..=87 => Some(0x22),
            _ => Some(OLD),
        };
        assert_eq!(*byte, right, "sector {}", 60 + i);
    }
    let suspect = |s: &u64| set.engine.query(Sector(*s)).state == SectorState::Suspect;
    assert_eq!((0..MAIN_SECTORS).filter(suspect).collect::<Vec<_>>(), [74]);
    assert!(pending(&set).is_empty());
    let notice = Notice::Suspect { sector: Sector(74), sectors: 1, slot: Slot(slot.0 + 1) };
    assert_eq!(set.engine.take_notice(), Some(notice));
    // A suspect sector is tried again, and never read from main.
    set.disks.log.clear();
    assert!(set.reread(74, 1, Place::Spare(Slot(slot.0 + 1))).0.is_err());
    assert_eq!(reads_of(set.disks, 74), 0);
    assert_eq!((set.engine.take_notice(), set.engine.counters().suspected_sectors), (None, 1));
    set.disks.bad_reads.clear();
    assert_eq!(set.reread(72, 8, MAIN), (Ok(()), vec![Some(0x22); 8]));
}

#[test]
fn s03_lost_sectors_are_errors_without_a_read() {
    let mut disks = Disks::new();
    disks.fail_main(40);
    let mut set = served(&mut disks, 20, 2);
    set.repair(40, 8, 0x22).unwrap();
    let old = slot_sector(&set, 40);
    set.disks.bad_writes.insert((true, old));
    set.disks.bad_reads.extend([(true, old + 2), (true, old + 3)]);
    set.repair(40, 1, 0x33).unwrap();
    assert_eq!(set.engine.lost_sectors(), 2);
    set.disks.bad_reads.clear();
    set.disks.log.clear();
    let (verdict, given) = set.reread(38, 12, MAIN);
    assert_eq!(verdict, Err(ErrorKind::Medium));
    let (m, a, b) = (Some(OLD), Some(0x33), Some(0x22));
    assert_eq!(given, [m, m, a, b, None, None, b, b, b, b, m, m]);
    let now = slot_sector(&set, 42);
    let touches = |r: &&IoRequest| {
        r.device == Device::Spare && r.sector <= now + 1 && r.sector + u64::from(r.sectors) > now
    };
    assert_eq!(set.disks.log.iter().filter(touches).count(), 0);
    assert_eq!(reads_of(set.disks, 42), 0);
}

#[test]
fn s03_a_read_of_lost_sectors_fails_and_one_of_suspect_sectors_goes_to_the_slot() {
    let mut disks = Disks::with_bad_group();
    let mut set = served(&mut disks, 20, 2);
    set.repair(40, 8, 0x22).unwrap();
    let old = slot_sector(&set, 40);
    set.disks.bad_writes.insert((true, old));
    set.disks.bad_reads.extend([(true, old + 2), (true, old + 3)]);
    set.repair(40, 1, 0x33).unwrap();
    set.disks.bad_reads.clear();
    let (slot, _) = set.engine.table().record_of(Sector(40).group()).unwrap();
    set.engine.table().mark_suspect(slot, 0x30);
    let ask = |first| {
        let request = Request { first: Sector(first), sectors: 1, write: false, nowait: false };
        suspect_read(&set.engine, &Access::new(), 1, request)
    };
    for lost in [42, 43] {
        assert_eq!(ask(lost), Direction::Refuse(ErrorKind::Medium));
    }
    for suspect in [44, 45] {
        let sector = slot_sector(&set, suspect);
        assert_eq!(ask(suspect), Direction::Spare { sector, slot, sectors: 1 });
    }
}

#[test]
fn s04_a_block_that_was_mapped_meanwhile_is_read_from_its_slot() {
    for retries in [0, 5] {
        let mut disks = Disks::new();
        disks.fail_main(80);
        spoil(&mut disks, 80..88);
        let mut set = served(&mut disks, 20, 2);
        set_retries(&mut set, retries);
        // A read is under way on main and fails; a write of the block is stored in a slot before anyone looks.
        set.repair(80, 8, 0x44).unwrap();
        set.disks.log.clear();
        assert_eq!(set.reread(80, 8, MAIN), (Ok(()), vec![Some(0x44); 8]));
        assert_eq!(reads_of(set.disks, 80), 0);
        let (verdict, given) = set.reread(72, 24, MAIN);
        assert_eq!((verdict, given[7], given[8], given[16]), (Ok(()), Some(OLD), Some(0x44), Some(OLD)));
        assert!(pending(&set).is_empty());
    }
}

#[test]
fn s04_a_block_that_moved_to_another_slot_is_read_there() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = served(&mut disks, 20, 2);
    set.repair(80, 8, 0x44).unwrap();
    let (old, was) = (slot_sector(&set, 80), set.engine.table().record_of(Sector(80).group()).unwrap().0);
    set.disks.bad_writes.insert((true, old));
    set.repair(80, 8, 0x55).unwrap();
    set.disks.log.clear();
    assert_eq!(set.reread(80, 8, Place::Spare(was)), (Ok(()), vec![Some(0x55); 8]));
    assert!(set.disks.log.iter().all(|r| r.sector != old));
}

/// A machine that reads, up to its first request.
fn reading(engine: &mut Engine<'_>, context: u8, first: u64, sectors: u32) -> (Machine, Next) {
    let job = reread::Job { first: Sector(first), sectors, place: MAIN, error: ErrorKind::Io };
    let mut machine = Machine::Read(Reread::new(context, job, engine, 0));
    let next = machine.next(engine, Event::Go, 0);
    (machine, next)
}

fn writing(engine: &mut Engine<'_>, context: u8, first: u64) -> (Machine, Next) {
    let job = repair::Job {
        first: Sector(first),
        sectors: 8,
        fua: false,
        fua_flushes: false,
        error: ErrorKind::Io,
    };
    let mut machine = Machine::Write(Repair::new(context, job, engine, 0));
    let next = machine.next(engine, Event::Go, 0);
    (machine, next)
}

#[test]
fn s09_a_read_and_a_write_never_work_on_one_group_and_the_read_makes_way() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let engine = &mut set.engine;
    let (mut read, next) = reading(engine, 0, 80, 16);
    assert!(matches!(next, Next::Io(_)));
    // A write of other groups goes on, one of these waits.
    assert!(matches!(writing(engine, 1, 0).1, Next::Load { .. }));
    let (mut write, next) = writing(engine, 2, 88);
    assert_eq!(next, Next::Wait);
    // A read that comes later does not overtake it.
    let (_, next) = reading(engine, 3, 88, 8);
    assert_eq!(next, Next::Wait);
    // The request under way ends, and the write has the group before the retries.
    assert_eq!(read.next(engine, Event::Io(Err(ErrorKind::Medium)), 10), Next::Yield);
    assert_eq!(read.next(engine, Event::Go, 10), Next::Wait);
    assert!(matches!(write.next(engine, Event::Go, 10), Next::Load { .. }));
    assert_eq!(read.next(engine, Event::Go, 10), Next::Wait);
    assert!(!engine.pending().any());
    // Time passes for the read all the same.
    assert_eq!(read.next(engine, Event::Go, 30_000), Next::Done(Err(ErrorKind::Io)));
}

#[test]
fn s02_reads_leave_a_context_to_writes() {
    assert_eq!([1, 2, 4].map(reads_at_once), [1, 1, 3]);
}

#[test]
fn s02_what_was_given_before_a_write_had_to_be_let_by_stays_given() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let engine = &mut set.engine;
    let (mut read, _) = reading(engine, 0, 80, 8);
    let medium = Event::Io(Err(ErrorKind::Medium));
    // The block is read sector by sector: the first can be read, the second cannot, and there a write comes.
    assert_eq!(read.next(engine, Event::Io(Ok(())), 0), Next::Store { offset_sectors: 0, sectors: 1 });
    assert!(matches!(read.next(engine, Event::Stored, 0), Next::Io(_)));
    let (mut write, _) = writing(engine, 1, 80);
    assert_eq!(read.next(engine, medium, 0), Next::Yield);
    assert!(matches!(write.next(engine, Event::Go, 0), Next::Load { .. }));
    assert!(matches!(write.next(engine, Event::Loaded, 0), Next::Io(_)));
    // The write does not succeed, for a reason of its own.
    assert!(matches!(write.next(engine, Event::Io(Err(ErrorKind::Transport)), 0), Next::Done(Err(_))));
    // The first sector is not read any more, so that it does no harm if it cannot be now.
    let Next::Io(request) = read.next(engine, Event::Go, 0) else { panic!("the read goes on") };
    assert_eq!((request.sector, request.sectors), (81, 7));
    let Next::Io(request) = read.next(engine, medium, 0) else { panic!("the read goes on") };
    assert_eq!((request.sector, request.sectors), (81, 1));
}
