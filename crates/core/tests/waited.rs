//! Bios that waited for a held group, and where they go then.

use std::sync::atomic::{AtomicU32, AtomicU64};

use remap_core::format::Geometry;
use remap_core::lookup::{Record, Table, TableSizes};
use remap_core::path::{direct, direct_whole, Access, Direction, Request};
use remap_core::units::{Group, Sector, Slot};

fn request(first: u64, sectors: u32, write: bool) -> Request {
    Request { first: Sector(first), sectors, write, nowait: false }
}

#[test]
fn s10_a_bio_that_waited_goes_on_as_a_whole() {
    let sizes = TableSizes::for_slots(1);
    let words = |n| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let (records, summary) = (words(sizes.records), words(sizes.summary));
    let buckets: Vec<_> = (0..sizes.buckets).map(|_| AtomicU32::new(0)).collect();
    let table = Table::new(&records, &buckets, &summary, 10, 1).unwrap();
    let mapped = Record::mapped(Group(1), 0x3c, 0);
    assert!(table.insert(Slot(0), mapped.with_held(true)));
    let (geometry, access) = (Geometry::new(2048, Some(1)).unwrap(), Access::new());
    let slot = geometry.slot_block(Slot(0)).first_sector();
    for write in [false, true] {
        table.set_record(Slot(0), mapped.with_held(true));
        assert_eq!(
            direct(&table, &geometry, &access, 1, request(0, 24, write)),
            Direction::Main { sectors: 8 }
        );
        let waits = direct(&table, &geometry, &access, 1, request(8, 16, write));
        assert_eq!(waits, Direction::Defer { sectors: 8 });
        let goes_on =
            |first, sectors| direct_whole(&table, &geometry, &access, 1, request(first, sectors, write));
        assert_eq!(goes_on(8, 8), waits);
        // Not held any more, and in two places.
        table.set_record(Slot(0), mapped);
        assert_eq!(goes_on(8, 8), Direction::Repair { sectors: 8 });
        assert_eq!(goes_on(8, 2), Direction::Main { sectors: 2 });
        let there = Direction::Spare { sector: slot + 2, slot: Slot(0), sectors: 4 };
        assert_eq!(goes_on(10, 4), there);
        table.set_record(Slot(0), Record::mapped(Group(1), 0xff, 0));
        let there = Direction::Spare { sector: slot, slot: Slot(0), sectors: 8 };
        assert_eq!(goes_on(8, 8), there);
        let _ = table.remove(Group(1));
        assert_eq!(goes_on(8, 8), Direction::Main { sectors: 8 });
        assert!(table.insert(Slot(0), mapped));
    }
}
