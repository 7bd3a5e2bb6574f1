//! Golden images: what a released format version wrote is read for ever, byte for byte.
//!
//! `cargo test --test golden -- --ignored` wrote them; it refuses to touch the images of a released version.

mod common;

use common::{sample, Region, ID};
use remap_core::format::{encode_table_block, Entry, Geometry, SlotState, Superblock, TableBlock};
use remap_core::units::Group;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.0").join(name)
}

fn read(name: &str) -> Region {
    Region::from_text(&std::fs::read_to_string(path(name)).unwrap())
}

/// Every state of an entry, and the extremes of its fields, for a main of 100,003 sectors.
fn entries() -> Vec<Entry> {
    let entry =
        |state, group, mask, lost, generation| Entry { state, group: Group(group), mask, lost, generation };
    vec![
        Entry::default(),
        entry(SlotState::Mapped, 0, 0xff, 0, 1),
        entry(SlotState::Mapped, 12_499, 0x80, 0, Entry::GENERATION_MAX),
        entry(SlotState::Mapped, 12_500, 0x07, 0, 3),
        entry(SlotState::Lost, 77, 0xf0, 0x90, 4),
        entry(SlotState::Lost, 78, 0x01, 0x01, 5),
        entry(SlotState::Retired, 0, 0, 0, 6),
        entry(SlotState::Free, 0, 0, 0, 7),
    ]
}

fn table(seq: u64, copy: u8) -> [u8; 4096] {
    let mut block = [0; 4096];
    let entries = entries();
    encode_table_block(&ID, 0, seq, copy, |e| entries.get(e).copied().unwrap_or_default(), &mut block);
    block
}

/// The superblock with the flags and the mask that a formatted one never has.
fn odd_superblock() -> Superblock {
    let mut s = sample(5);
    (s.seq, s.epoch, s.in_sync) = ((1 << 56) - 1, 3, 0b10110);
    (s.clean, s.formatting, s.needs_check) = (false, true, true);
    s
}

fn formatted() -> Region {
    let mut region = Region::default();
    assert!(region.format(&sample(3), 4, usize::MAX));
    for copy in 0..3 {
        let at = sample(3).geometry.table_block(copy, 0);
        region.0.insert(at.0, table(9, copy));
    }
    region
}

fn superblocks() -> Region {
    let mut region = Region::default();
    for (number, superblock) in [sample(3), odd_superblock()].iter().enumerate() {
        let mut block = [0; 4096];
        superblock.encode(2, &mut block);
        region.0.insert(number as u64, block);
    }
    region
}

#[test]
#[ignore = "writes the images of a new format version"]
fn write_images() {
    for (name, region) in [("superblocks.txt", superblocks()), ("region.txt", formatted())] {
        assert!(!path(name).exists(), "{name} is released and stays as it is");
        std::fs::write(path(name), region.to_text()).unwrap();
    }
}

#[test]
fn golden_superblocks_are_read() {
    let region = read("superblocks.txt");
    assert_eq!(Superblock::decode(&region.get(0), 2), Ok(sample(3)));
    assert_eq!(Superblock::decode(&region.get(1), 2), Ok(odd_superblock()));
}

#[test]
fn golden_region_is_read() {
    let region = read("region.txt");
    let chosen = region.choose(2048, 0, false).unwrap();
    assert_eq!(chosen, Superblock { seq: 2, valid_places: 0b111, ..sample(3) });
    let geometry = chosen.geometry;
    for copy in 0..3 {
        let block = region.get(geometry.table_block(copy, 0).0);
        let table = TableBlock::parse(&block, &ID, 0, copy, &chosen.main, geometry.slot_count()).unwrap();
        assert_eq!(table.seq(), 9);
        let read: Vec<Entry> = (0..8).map(|i| table.entry(i)).collect();
        assert_eq!(read, entries());
        let block = region.get(geometry.table_block(copy, 1).0);
        assert!(TableBlock::parse(&block, &ID, 1, copy, &chosen.main, geometry.slot_count()).is_ok());
    }
}

#[test]
fn the_writer_still_writes_the_golden_bytes() {
    assert_eq!(read("superblocks.txt"), superblocks());
    assert_eq!(read("region.txt"), formatted());
}

/// The layout that other software relies on, by hand: `blkid` and `wipefs` look for the magic at byte 4096.
#[test]
fn offsets_are_those_of_the_document() {
    let block = read("superblocks.txt").get(0);
    assert_eq!(Geometry::superblock_at(2048, 0).unwrap().0 * 4096, 4096);
    assert_eq!(&block[..8], b"dm-remap");
    assert_eq!(block[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(block[16..32], ID.0);
    assert_eq!(block[52], 2);
    assert_eq!(block[88..90], [3, 0b111]);
    assert_eq!(block[96..104], 100_003u64.to_le_bytes());
    assert_eq!(&block[176..198], b"wwn-0x5000c500a1b2c3d4");
    assert_eq!(&block[240..252], "Büro-Archiv".as_bytes());
}
