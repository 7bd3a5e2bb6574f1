//! Golden images: what a released format version wrote is read for ever, byte for byte.
//!
//! `cargo test --test golden -- --ignored` wrote them; it leaves alone those that are there.

mod common;

use common::{sample, sample_samples, Region, ID};
use remap_core::format::{
    encode_table_block, Entry, Geometry, SampleRange, Samples, SlotState, Superblock, TableBlock,
};
use remap_core::units::Group;
use std::path::PathBuf;

const SUPERBLOCKS: &str = "v1.0/superblocks.txt";
const REGION: &str = "v1.0/region.txt";
/// Superblocks of minor 1. Other blocks are those of minor 0.
const WITH_SAMPLES: &str = "v1.1/superblocks.txt";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
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

/// As many samples as fit, at the extremes of what a field can hold.
fn full_samples() -> Samples {
    let mut samples = Samples::of_spread(1, [0xff; 6]);
    for n in 0..16 {
        let range = SampleRange { group: 12_501 - 255 - u64::from(n), count: 255 - n, hash: [n; 6] };
        assert!(samples.push(range));
    }
    samples
}

fn with_samples() -> Region {
    let mut region = Region::default();
    for (number, samples) in [sample_samples(), full_samples()].iter().enumerate() {
        let mut block = [0; 4096];
        sample(3).encode_with(2, samples, &mut block);
        region.0.insert(number as u64, block);
    }
    region
}

#[test]
#[ignore = "writes the images of a new format version"]
fn write_images() {
    let images = [(SUPERBLOCKS, superblocks()), (REGION, formatted()), (WITH_SAMPLES, with_samples())];
    for (name, region) in images {
        // The images of a released version stay as they are.
        if !path(name).exists() {
            std::fs::write(path(name), region.to_text()).unwrap();
        }
    }
}

#[test]
fn golden_samples_are_read() {
    let region = read(WITH_SAMPLES);
    for (number, samples) in [sample_samples(), full_samples()].iter().enumerate() {
        let block = region.get(number as u64);
        assert_eq!(Superblock::decode(&block, 2), Ok(sample(3)));
        assert_eq!(Samples::decode(&block, &sample(3).main).as_ref(), Ok(samples));
    }
    assert_eq!(Samples::decode(&read(SUPERBLOCKS).get(0), &sample(3).main), Ok(Samples::NONE));
}

/// Software that knows only 1.0 goes by these fields of a superblock with samples, and by nothing else.
#[test]
fn what_version_1_0_knows_is_the_same_in_1_1() {
    let (mut old, mut new) = (read(SUPERBLOCKS).get(0), read(WITH_SAMPLES).get(0));
    assert_eq!((&old[8..12], &new[8..12]), (&[1, 0, 0, 0][..], &[1, 0, 1, 0][..]));
    for block in [&mut old, &mut new] {
        block[10] = 0;
        block[48..52].fill(0); // the checksum
    }
    assert_eq!(old[..304], new[..304]);
    assert_eq!(old[304..], [0; 4096 - 304]);
    assert_eq!(new[512..], [0; 4096 - 512], "one sector, whole or absent");
}

#[test]
fn golden_superblocks_are_read() {
    let region = read(SUPERBLOCKS);
    assert_eq!(Superblock::decode(&region.get(0), 2), Ok(sample(3)));
    assert_eq!(Superblock::decode(&region.get(1), 2), Ok(odd_superblock()));
}

#[test]
fn golden_region_is_read() {
    let region = read(REGION);
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
    assert_eq!(read(SUPERBLOCKS), superblocks());
    assert_eq!(read(REGION), formatted());
    assert_eq!(read(WITH_SAMPLES), with_samples());
}

/// The layout that other software relies on, by hand: `blkid` and `wipefs` look for the magic at byte 4096.
#[test]
fn offsets_are_those_of_the_document() {
    let block = read(SUPERBLOCKS).get(0);
    assert_eq!(Geometry::superblock_at(2048, 0).unwrap().0 * 4096, 4096);
    assert_eq!(&block[..8], b"dm-remap");
    assert_eq!(block[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(block[16..32], ID.0);
    assert_eq!(block[52], 2);
    assert_eq!(block[88..90], [3, 0b111]);
    assert_eq!(block[96..104], 100_003u64.to_le_bytes());
    assert_eq!(&block[176..198], b"wwn-0x5000c500a1b2c3d4");
    assert_eq!(&block[240..252], "Büro-Archiv".as_bytes());
    let block = read(WITH_SAMPLES).get(0);
    assert_eq!(block[304..312], [3, 16, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5]);
    assert_eq!(block[312..324], [0, 0, 0, 0, 0, 17, 17, 2, 3, 4, 5, 6]);
    assert_eq!(block[324..330], [0xb4, 0x30, 0, 0, 0, 28]);
}
