//! Where bios go.

use super::*;
use crate::lookup::{Record, TableSizes};
use crate::units::Group;

#[test]
fn s15_an_error_that_is_not_the_mediums_passes_up() {
    let access = Access::new();
    for write in [true, false] {
        let failed = Failed { write, readahead: false, error: ErrorKind::NoSpace };
        assert_eq!(after_error(&access, failed), AfterError::PassUp);
    }
}

#[test]
fn s17_read_ahead_is_not_narrowed() {
    let read = |readahead| Failed { write: false, readahead, error: ErrorKind::Medium };
    assert_eq!(after_error(&Access::new(), read(false)), AfterError::Repair);
    assert_eq!(after_error(&Access::new(), read(true)), AfterError::PassUp);
}

#[test]
fn s02_reads_are_narrowed_as_long_as_reads_are_served() {
    let access = Access::new();
    let read = Failed { write: false, readahead: false, error: ErrorKind::Io };
    for (bits, verdict) in [
        (REPAIR_OFF | WRITES_REFUSED, AfterError::Repair),
        (READS_REFUSED | WRITES_REFUSED, AfterError::PassUp),
    ] {
        access.bits.store(bits, Ordering::Release);
        assert_eq!(after_error(&access, read), verdict);
    }
}

#[test]
fn s08_writes_are_refused_at_once_after_a_failed_flush() {
    let access = Access::new();
    let write = Failed { write: true, readahead: false, error: ErrorKind::Io };
    assert_eq!(after_error(&access, write), AfterError::Repair);
    assert!(access.flush_begins());
    access.flush_ended(false);
    assert_eq!(after_error(&access, write), AfterError::PassUp);
    assert!(!access.flush_begins());
}

#[test]
fn s13_lost_sectors_stay_errors_while_their_group_is_in_doubt() {
    let memory = memory();
    let table = table_of(&memory);
    assert!(table.insert(Slot(0), Record::mapped(Group(0), 0x0f, 0x06).with_doubt(true)));
    let geometry = Geometry::new(2048, Some(1)).unwrap();
    let ask = |first, write| {
        let request = Request { first: Sector(first), sectors: 8 - first as u32, write, nowait: false };
        direct(&table, &geometry, &Access::new(), 1, request)
    };
    assert!(matches!(ask(0, false), Direction::Spare { sectors: 1, .. }));
    assert_eq!(ask(1, false), Direction::AskEngine { sectors: 1 });
    assert!(matches!(ask(3, false), Direction::Spare { sectors: 1, .. }));
    assert_eq!(ask(4, false), Direction::Main { sectors: 4 });
    assert_eq!(ask(1, true), Direction::Refuse(ErrorKind::Io));
}

fn request(first: u64, sectors: u32, write: bool) -> Request {
    Request { first: Sector(first), sectors, write, nowait: false }
}

#[test]
fn s03_suspect_sectors_are_asked_for_and_never_read_from_main() {
    let memory = memory();
    let table = table_of(&memory);
    assert!(table.insert(Slot(0), Record::mapped(Group(1), 0x7e, 0x18)));
    let geometry = Geometry::new(2048, Some(1)).unwrap();
    let ask =
        |first, write| direct(&table, &geometry, &Access::new(), 1, request(first, 16 - first as u32, write));
    assert_eq!(ask(11, false), Direction::AskEngine { sectors: 1 });
    assert_eq!(ask(12, false), Direction::AskEngine { sectors: 1 });
    // With what else of it lives in that slot.
    assert_eq!(ask(11, true), Direction::Repair { sectors: 5 });
}

#[test]
fn s10_a_bio_goes_to_its_own_sectors_of_the_slot() {
    let memory = memory();
    let table = table_of(&memory);
    assert!(table.insert(Slot(0), Record::mapped(Group(1), 0x7e, 0)));
    let geometry = Geometry::new(2048, Some(1)).unwrap();
    let slot = geometry.slot_block(Slot(0)).first_sector();
    for write in [false, true] {
        let ask = |first| direct(&table, &geometry, &Access::new(), 1, request(first, 24, write));
        // Of a write the two sectors of its physical block that live on main stay together.
        assert_eq!(ask(0), Direction::Main { sectors: if write { 8 } else { 9 } });
        for at in 1..7 {
            let there = Direction::Spare { sector: slot + at, slot: Slot(0), sectors: 7 - at as u32 };
            assert_eq!(ask(8 + at), there);
        }
        assert_eq!(ask(15), Direction::Main { sectors: 24 });
    }
}

#[test]
fn s05_parts_of_a_write_in_one_physical_block_or_slot_stay_together() {
    let memory = memory();
    let table = table_of(&memory);
    // Sectors 10, 11 and 14 live in a slot.
    assert!(table.insert(Slot(0), Record::mapped(Group(1), 0b0100_1100, 0)));
    let geometry = Geometry::new(2048, Some(1)).unwrap();
    let slot = |sector: u64, sectors| {
        let first = geometry.slot_block(Slot(0)).first_sector();
        Direction::Spare { sector: first + sector % 8, slot: Slot(0), sectors }
    };
    let (main, together) = (|sectors| Direction::Main { sectors }, |sectors| Direction::Repair { sectors });
    for (unit, aligned_at, first, sectors, right) in [
        (8, 0, 0, 64, main(8)),
        (8, 0, 8, 56, together(8)),
        (8, 0, 9, 6, together(6)),
        // Nothing is cut, or nothing of it lies in one block.
        (8, 0, 0, 10, main(10)),
        (8, 0, 0, 11, main(10)),
        (8, 0, 14, 20, slot(14, 1)),
        (8, 0, 15, 20, main(20)),
        // Blocks of one sector; the slot is one of eight.
        (1, 0, 8, 4, main(2)),
        (1, 0, 8, 56, main(2)),
        (1, 0, 10, 54, together(6)),
        (64, 0, 0, 64, together(64)),
        (64, 0, 0, 128, together(64)),
        // Blocks from 3 and 11 on: what lives on main of 3 to 10 does so in one piece.
        (8, 3, 0, 10, main(10)),
        (8, 3, 0, 64, main(10)),
        (8, 3, 10, 54, together(9)),
        (8, 3, 12, 52, together(7)),
    ] {
        let access = Access::new();
        let units = Units::new(core::num::NonZeroU32::new(unit).unwrap(), aligned_at);
        access.units.store(units.packed(), Ordering::Relaxed);
        let what = std::format!("{sectors} from {first} on, blocks of {unit} from {aligned_at} on");
        let r = request(first, sectors, true);
        assert_eq!(direct(&table, &geometry, &access, 1, r), right, "{what}");
        let nowait = direct(&table, &geometry, &access, 1, Request { nowait: true, ..r });
        let kept = matches!(right, Direction::Repair { .. });
        assert_eq!(nowait, if kept { Direction::Refuse(ErrorKind::Again) } else { right }, "{what}");
        // A read goes where each sector lives.
        let read = direct(&table, &geometry, &access, 1, request(first, sectors, false));
        assert!(!matches!(read, Direction::Repair { .. }));
    }
}

fn table_of<'a>(words: &'a (Words, std::vec::Vec<AtomicU32>, Words)) -> Table<'a> {
    Table::new(&words.0, &words.1, &words.2, 10, 1).unwrap()
}

type Words = std::vec::Vec<AtomicU64>;

fn memory() -> (Words, std::vec::Vec<AtomicU32>, Words) {
    let sizes = TableSizes::for_slots(1);
    let words = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
    (words(sizes.records), (0..sizes.buckets).map(|_| AtomicU32::new(0)).collect(), words(sizes.summary))
}

#[test]
fn s18_a_discard_goes_to_what_lives_on_main_and_nowhere_else() {
    let memory = memory();
    let table = table_of(&memory);
    // Group 2: sectors 16 to 23, of which 18 to 20 are mapped, 20 badly.
    assert!(table.insert(Slot(0), Record::mapped(Group(2), 0x1c, 0x10)));
    let ask = |first| discard(&table, &Access::new(), Sector(first), 80 - first as u32);
    assert_eq!(ask(0), Discard::Main { sectors: 18 });
    assert_eq!(ask(18), Discard::Leave { sectors: 2 });
    assert_eq!(ask(20), Discard::Leave { sectors: 1 });
    assert_eq!(ask(21), Discard::Main { sectors: 59 });
    for record in [
        Record::mapped(Group(2), 0x1c, 0).with_held(true),
        Record::mapped(Group(2), 0x1c, 0).with_doubt(true),
    ] {
        table.set_record(Slot(0), record);
        for at in 16..24 {
            assert!(matches!(ask(at), Discard::Leave { .. }), "{at}: {:?}", ask(at));
        }
        assert_eq!(ask(24), Discard::Main { sectors: 56 });
    }
}

#[test]
fn s08_a_discard_is_refused_where_writes_are() {
    let memory = memory();
    let (table, access) = (table_of(&memory), Access::new());
    assert!(access.flush_begins());
    access.flush_ended(false);
    assert_eq!(discard(&table, &access, Sector(0), 8), Discard::Refuse(ErrorKind::Io));
    assert_eq!(discard(&table, &Access::read_only(), Sector(0), 8), Discard::Refuse(ErrorKind::Io));
}

#[test]
fn s19_a_read_only_table_takes_no_write() {
    let memory = memory();
    let (table, geometry) = (table_of(&memory), Geometry::new(2048, Some(1)).unwrap());
    let ask = |write| {
        let request = Request { first: Sector(0), sectors: 8, write, nowait: false };
        direct(&table, &geometry, &Access::read_only(), 1, request)
    };
    assert_eq!(ask(true), Direction::Refuse(ErrorKind::Io));
    assert_eq!(ask(false), Direction::Main { sectors: 8 });
    assert!(Access::read_only().flush_begins());
}

#[test]
fn s17_what_would_wait_is_refused_to_whoever_must_not() {
    let memory = memory();
    let (table, geometry) = (table_of(&memory), Geometry::new(2048, Some(1)).unwrap());
    let ask = |write| {
        let request = Request { first: Sector(0), sectors: 8, write, nowait: true };
        direct(&table, &geometry, &Access::new(), 1, request)
    };
    let mapped = Record::mapped(Group(0), 0xff, 0);
    assert!(table.insert(Slot(0), mapped));
    for write in [false, true] {
        table.set_record(Slot(0), mapped);
        assert!(matches!(ask(write), Direction::Spare { sectors: 8, .. }));
        table.set_record(Slot(0), mapped.with_held(true));
        assert_eq!(ask(write), Direction::Refuse(ErrorKind::Again));
        table.set_record(Slot(0), Record::mapped(Group(0), 0xff, 0xff));
        assert_eq!(ask(write), Direction::Refuse(ErrorKind::Again));
    }
    table.set_record(Slot(0), Record::mapped(Group(0), 0xff, 0xff).with_doubt(true));
    assert_eq!(ask(false), Direction::Refuse(ErrorKind::Again));
}

fn clean() -> SpareDirty {
    let dirty = SpareDirty::new();
    dirty.flushed(dirty.flush_begins().unwrap());
    assert_eq!(dirty.flush_begins(), None);
    dirty
}

#[test]
fn s08_the_first_flush_covers_what_an_earlier_activation_wrote() {
    assert!(SpareDirty::new().flush_begins().is_some());
}

#[test]
fn s08_the_spare_is_flushed_once_per_batch_of_slot_writes() {
    let dirty = clean();
    dirty.mark();
    dirty.mark();
    let mark = dirty.flush_begins().unwrap();
    dirty.flushed(mark);
    assert_eq!(dirty.flush_begins(), None);
}

#[test]
fn s08_a_flush_does_not_rely_on_one_that_is_under_way_or_failed() {
    let dirty = clean();
    dirty.mark();
    let first = dirty.flush_begins().unwrap();
    assert_eq!(dirty.flush_begins(), Some(first));
    dirty.flushed(first);
    assert_eq!(dirty.flush_begins(), None);
}

#[test]
fn s08_a_write_that_ends_under_a_flush_needs_the_next() {
    let dirty = clean();
    dirty.mark();
    let first = dirty.flush_begins().unwrap();
    dirty.mark();
    dirty.flushed(first);
    let second = dirty.flush_begins().unwrap();
    dirty.flushed(second);
    dirty.flushed(first);
    assert_eq!(dirty.flush_begins(), None);
}
