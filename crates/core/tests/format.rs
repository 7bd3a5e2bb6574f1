//! Properties of the on-disk format.

mod common;

use common::{sample, sample_samples, Region, ID};
use proptest::prelude::*;
use remap_core::format::{
    encode_table_block, restamp, BlankCheck, Block, BlockError, ChooseError, Chooser, Entry, EntryError,
    Geometry, MainShape, NotBlank, Samples, SetId, SlotState, Superblock, TableBlock, Text64,
};
use remap_core::units::{Group, Slot};
use std::collections::BTreeSet;

const SHAPE: MainShape = MainShape { sectors: 100_003, block_bytes: 512 };

fn entry() -> impl Strategy<Value = Entry> {
    let fields = (0u8..4, 0u64..12_500, 1u8.., any::<u8>(), 0..=Entry::GENERATION_MAX);
    fields.prop_map(|(state, group, mask, lost, generation)| match state {
        0 => Entry { generation, ..Entry::default() },
        1 => Entry { state: SlotState::Mapped, group: Group(group), mask, lost: 0, generation },
        2 => {
            let lost = if lost & mask == 0 { mask } else { lost & mask };
            Entry { state: SlotState::Lost, group: Group(group), mask, lost, generation }
        }
        _ => Entry { state: SlotState::Retired, generation, ..Entry::default() },
    })
}

fn superblock() -> impl Strategy<Value = Superblock> {
    let numbers = (1u64..1 << 56, 1u64.., 2u8..=5, 1u8.., any::<[bool; 4]>(), any::<[u64; 4]>());
    let shape = (1u64..1 << 40, any::<bool>(), 2048u64..1 << 34, 1u32..1900);
    (any::<[u8; 16]>(), numbers, shape, "[a-zäöü ]{0,32}", "[!-~]{0,64}").prop_map(
        |(
            id,
            (seq, epoch, copy_count, in_sync, flags, rest),
            (length, large, region, slots),
            label,
            identity,
        )| {
            let (sectors, block_bytes) = if large { (length * 8, 4096) } else { (length, 512) };
            let main = MainShape::new(sectors, block_bytes).unwrap();
            let geometry = Geometry::new(region, Some(slots)).unwrap();
            let mut s = Superblock::new(SetId(id), main, geometry, copy_count);
            s.in_sync = (in_sync & s.in_sync).max(1);
            (s.seq, s.epoch) = (seq, epoch);
            [s.clean, s.formatting, s.needs_check, s.ro_compat_unknown] = flags;
            [s.created_s, s.activations, s.fingerprint_s, s.fingerprint] = rest;
            s.label = Text64::new(&label).unwrap();
            s.main_identity = Text64::new(&identity).unwrap();
            s
        },
    )
}

fn table_of(entries: &[Entry], seq: u64, copy: u8) -> Block {
    let mut block = [0xaa; 4096];
    encode_table_block(&ID, 1, seq, copy, |e| entries.get(e).copied().unwrap_or_default(), &mut block);
    block
}

proptest! {
    #[test]
    fn entry_survives_the_disk(e in entry()) {
        prop_assert_eq!(Entry::from_bytes(&e.to_bytes(), &SHAPE), Ok(e));
    }

    #[test]
    fn entry_is_read_only_from_its_own_bytes(bytes: [u8; 16]) {
        if let Ok(e) = Entry::from_bytes(&bytes, &SHAPE) {
            prop_assert_eq!(e.to_bytes(), bytes);
            prop_assert_eq!(e.check(&SHAPE), Ok(()));
        }
    }

    #[test]
    fn superblock_survives_the_disk(s in superblock(), copy in 0u8..5) {
        let mut block = [0x55; 4096];
        s.encode(copy, &mut block);
        if copy < s.copy_count {
            prop_assert_eq!(Superblock::decode(&block, copy), Ok(s.clone()));
            restamp(0, &mut block);
            prop_assert_eq!(Superblock::decode(&block, 0), Ok(s));
        } else {
            prop_assert!(Superblock::decode(&block, copy).is_err());
        }
    }

    #[test]
    fn s12_any_changed_byte_of_a_superblock_is_noticed(s in superblock(), at in 0usize..4096, by in 1u8..) {
        let mut block = [0; 4096];
        s.encode(1, &mut block);
        block[at] ^= by;
        prop_assert!(Superblock::decode(&block, 1).is_err());
    }

    #[test]
    fn table_block_survives_the_disk(entries in prop::collection::vec(entry(), 0..48), seq in 1u64..1 << 56) {
        let mut block = table_of(&entries, seq, 3);
        for copy in [3, 0] {
            restamp(copy, &mut block);
            let table = TableBlock::parse(&block, &ID, 1, copy, &SHAPE, 300).unwrap();
            prop_assert_eq!(table.seq(), seq);
            for i in 0..300 {
                prop_assert_eq!(table.entry(i), entries.get(i).copied().unwrap_or_default());
            }
        }
    }

    #[test]
    fn s12_any_changed_byte_of_a_table_block_is_noticed(e in entry(), at in 0usize..4096, by in 1u8..) {
        let mut block = table_of(&[e], 5, 2);
        block[at] ^= by;
        prop_assert!(TableBlock::parse(&block, &ID, 1, 2, &SHAPE, 300).is_err());
    }

    /// The checksum is made right, so that the checks behind it are reached.
    #[test]
    fn s27_hostile_blocks_are_refused_or_read_but_never_panic(
        start: [u8; 512], header: bool, copy in 0u8..7, index in 0u32..3, slots: u32,
    ) {
        let mut block = [0; 4096];
        sample(5).encode(0, &mut block);
        let keep = if header { 64 } else { 0 };
        block[keep..512].copy_from_slice(&start[keep..]);
        restamp(copy, &mut block);
        let _ = Superblock::decode(&block, copy);
        block[12] = 2;
        block[32] = index as u8;
        restamp(copy, &mut block);
        if let Ok(table) = TableBlock::parse(&block, &ID, index, copy, &SHAPE, slots) {
            table.entry(usize::MAX);
        }
    }

    #[test]
    fn geometry_fits_and_nothing_overlaps(region in 2048u64..40_000, wish in 1u32..40_000) {
        let max = Geometry::max_slots(region).unwrap();
        prop_assert!(Geometry::new(region, Some(max + 1)).is_err());
        let g = Geometry::new(region, Some(wish.min(max))).unwrap();
        let mut seen = BTreeSet::new();
        for copy in 0..5 {
            prop_assert!(seen.insert(u64::from(copy) * g.area_blocks()), "reserved block");
            prop_assert!(seen.insert(g.superblock(copy).0));
            prop_assert_eq!(Geometry::superblock_at(region, copy), Some(g.superblock(copy)));
            for i in 0..g.table_blocks() {
                prop_assert!(seen.insert(g.table_block(copy, i).0));
            }
            for i in 0..g.health_blocks() {
                prop_assert!(seen.insert(g.health_block(copy, i).0));
            }
        }
        for slot in 0..g.slot_count() {
            prop_assert!(seen.insert(g.slot_block(Slot(slot)).0));
        }
        prop_assert!(seen.last().unwrap() < &region);
        prop_assert!(g.table_blocks() * 252 >= g.slot_count());
    }

    #[test]
    fn geometry_of_large_regions(region in 2048u64..=1 << 34) {
        let max = Geometry::max_slots(region).unwrap();
        let g = Geometry::new(region, Some(max)).unwrap();
        let last = g.slot_block(Slot(max - 1)).0;
        prop_assert!(last < region && last / g.area_blocks() < 5);
        prop_assert!(g.slot_block(Slot(max)).0 > region);
        prop_assert!(Geometry::new(region, None).unwrap().slot_count() <= 1 << 20);
    }

    #[test]
    fn s20_cut_off_format_is_recognised(copies in 2u8..=5, writes in 1usize..40, again in 0usize..40) {
        let region_blocks = 2048;
        let mut region = Region::default();
        let complete = region.format(&sample(copies), 1, writes);
        match region.choose(region_blocks, 0, false) {
            Ok(s) => prop_assert_eq!(s.id, ID),
            // Before the first superblock there is nothing to see but zeros.
            Err(ChooseError::NothingThere) => prop_assert!(!complete && writes <= usize::from(5 - copies)),
            Err(ChooseError::Formatting(id)) => prop_assert!(!complete && id == ID),
            Err(other) => prop_assert!(false, "{other}"),
        }
        if region.choose(region_blocks, 0, false).is_ok() {
            return Ok(());
        }
        // Formatted again as another set, cut off or not, it is one of both or none, but never a mixture.
        let other = Superblock { id: SetId([9; 16]), ..sample(2) };
        let complete = region.format(&other, 3, again);
        match region.choose(region_blocks, 0, false) {
            Ok(s) => prop_assert_eq!(s.id, other.id),
            Err(ChooseError::NothingThere | ChooseError::Formatting(_)) => prop_assert!(!complete),
            Err(e) => prop_assert!(false, "{e}"),
        }
    }
}

#[test]
fn s20_smallest_spare() {
    assert!(Geometry::new(2047, None).is_err());
    assert_eq!(Geometry::new(2048, None).unwrap().slot_count(), 1950);
    assert_eq!(Geometry::max_slots(1 << 34), Ok(16_777_214));
    assert!(Geometry::new((1 << 34) + 1, None).is_err());
    assert!(Geometry::new(2048, Some(0)).is_err());
}

#[test]
fn s12_a_minority_of_superblocks_counts_for_readers_only() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    assert!(region.choose(2048, 0b00011, false).is_ok());
    let refused = Err(ChooseError::Minority { readable: 2, of: 5 });
    assert_eq!(region.choose(2048, 0b00111, false), refused);
    assert!(region.choose(2048, 0b00111, true).is_ok());
    assert_eq!(region.choose(2048, 0b11111, true), Err(ChooseError::Unreadable { places: 5 }));
}

/// Writes the superblock of `s` to the copies in `mask`.
fn write_superblock(region: &mut Region, s: &Superblock, mask: u8) {
    for copy in (0..5).filter(|c| mask & 1 << c != 0) {
        let mut block = [0; 4096];
        s.encode(copy, &mut block);
        region.0.insert(s.geometry.superblock(copy).0, block);
    }
}

#[test]
fn s12_newest_superblock_counts() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let evicted = Superblock { seq: 8, epoch: 2, in_sync: 0b00111, ..sample(5) };
    write_superblock(&mut region, &evicted, 0b00111);
    let all = Superblock { valid_places: 0b11111, ..evicted.clone() };
    assert_eq!(region.choose(2048, 0, false), Ok(all));
    let some = Superblock { valid_places: 0b11100, ..evicted };
    assert_eq!(region.choose(2048, 0b00011, false), Ok(some));
}

#[test]
fn s12_what_reached_no_majority_does_not_count() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    // A session that could write copy 3 alone; one that came later and could not read copy 3; now copy 3 is back.
    let stray = Superblock { seq: 90, epoch: 9, in_sync: 0b01000, ..sample(5) };
    write_superblock(&mut region, &stray, 0b01000);
    let chosen = region.choose(2048, 0, false).unwrap();
    assert_eq!((chosen.in_sync, chosen.seq, chosen.epoch), (0b11111, 90, 9));
    let later = Superblock { seq: 3, activations: 8, epoch: 2, in_sync: 0b10111, ..sample(5) };
    write_superblock(&mut region, &later, 0b10111);
    let chosen = region.choose(2048, 0b00011, false).unwrap();
    assert_eq!((chosen.in_sync, chosen.seq, chosen.epoch), (0b10111, 90, 9));
}

#[test]
fn s12_the_next_session_outranks_one_that_reached_no_majority() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let stray = Superblock { seq: 90, activations: 9, in_sync: 0b01000, ..sample(5) };
    write_superblock(&mut region, &stray, 0b01000);
    let chosen = region.choose(2048, 0, false).unwrap();
    assert_eq!((chosen.in_sync, chosen.activations, chosen.seq), (0b11111, 9, 90));
}

#[test]
fn s20_a_format_begun_again_and_cut_off_again_may_be_begun_once_more() {
    let mut region = Region::default();
    let first = Superblock { activations: 0, ..sample(5) };
    let second = Superblock { id: SetId([1; 16]), formatting: true, ..first.clone() };
    region.format(&first, 8, usize::MAX);
    write_superblock(&mut region, &second, 0b10000);
    assert_eq!(region.choose(2048, 0, false), Err(ChooseError::Formatting(SetId([1; 16]))));
    let in_service = Superblock { activations: 1, ..first };
    write_superblock(&mut region, &in_service, 0b00001);
    assert!(matches!(region.choose(2048, 0, false), Err(ChooseError::TwoSets(..))));
}

#[test]
fn s21_spare_of_two_sets_is_refused() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let other = Superblock { id: SetId([1; 16]), ..sample(5) };
    write_superblock(&mut region, &other, 0b00001);
    assert!(matches!(region.choose(2048, 0, true), Err(ChooseError::TwoSets(..))));
}

#[test]
fn s21_region_of_another_length_is_refused() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let refused = Err(ChooseError::OtherLength { formatted_blocks: 2048, region_blocks: 4096 });
    assert_eq!(region.choose(4096, 0, true), refused);
}

#[test]
fn s23_a_region_that_grew_is_chosen_from_by_the_length_that_it_records() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let grown = region.choose(4096, 0, false).unwrap_err();
    assert_eq!(grown.recorded_blocks(), Some(2048));
    assert_eq!(region.choose(2048, 0, false).unwrap().id, sample(5).id);
    // One that shrank has lost what was there, and another reason is no reason to look elsewhere.
    let shrunk = ChooseError::OtherLength { formatted_blocks: 4096, region_blocks: 2048 };
    assert_eq!(shrunk.recorded_blocks(), None);
    assert_eq!(ChooseError::NothingThere.recorded_blocks(), None);
}

#[test]
fn newer_formats_are_refused() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let at = sample(5).geometry.superblock(4).0;
    let original = region.get(at);
    let mut major = original;
    major[8] = 2;
    restamp(4, &mut major);
    region.0.insert(at, major);
    assert_eq!(region.choose(2048, 0, true), Err(ChooseError::Newer(BlockError::Version(2))));
    let mut feature = original;
    feature[73] = 1;
    restamp(4, &mut feature);
    region.0.insert(at, feature);
    assert_eq!(region.choose(2048, 0, true), Err(ChooseError::Newer(BlockError::Feature(256))));
    // A higher minor version may use what is reserved today.
    let mut minor = original;
    (minor[10], minor[60], minor[4000], minor[64]) = (2, 1, 1, 1);
    restamp(4, &mut minor);
    region.0.insert(at, minor);
    assert!(region.choose(2048, 0, false).is_ok());
}

#[test]
fn s27_samples_that_break_a_rule_are_refused() {
    let samples = sample_samples();
    let mut good = [0; 4096];
    sample(5).encode_with(4, &samples, &mut good);
    assert_eq!(Superblock::decode(&good, 4), Ok(sample(5)));
    assert_eq!(Samples::decode(&good, &sample(5).main), Ok(samples));
    // Main has 12,501 groups. There are 3 ranges from byte 312 on, of which the last is groups 12,496 to 12,500.
    let bad: &[(usize, u8)] = &[
        (304, 17), // more ranges than there are places
        (304, 2),  // a range that is not counted
        (304, 4),  // a range without groups
        (305, 17), // more spread samples than there may be
        (305, 0),  // a hash of no samples
        (317, 0),  // a range without groups
        (341, 6),  // past the end of main
        (316, 1),  // far past it
        (503, 1),  // behind the last range
        (504, 1),  // reserved in minor 1
        (10, 0),   // reserved in minor 0
    ];
    for &(at, byte) in bad {
        let mut block = good;
        assert_ne!(block[at], byte);
        block[at] = byte;
        restamp(4, &mut block);
        let found = Superblock::decode(&block, 4);
        assert!(matches!(found, Err(BlockError::Field(_))), "byte {at} as {byte}: {found:?}");
    }
}

#[test]
fn samples_are_those_of_the_superblock_that_counts() {
    let mut region = Region::default();
    region.format(&sample(5), 8, usize::MAX);
    let mut write = |copies: std::ops::Range<u8>, seq, samples: &Samples| {
        for copy in copies {
            let mut block = [0; 4096];
            Superblock { seq, ..sample(5) }.encode_with(copy, samples, &mut block);
            region.0.insert(sample(5).geometry.superblock(copy).0, block);
        }
        let mut chooser = Chooser::new(2048);
        for copy in 0..5 {
            let _ = chooser.offer(copy, Some(&region.get(sample(5).geometry.superblock(copy).0)));
        }
        let place = chooser.place().unwrap();
        let block = region.get(sample(5).geometry.superblock(place).0);
        Samples::decode(&block, &sample(5).main).unwrap()
    };
    // Storing them was cut off after two places of five: the superblock of before counts, and has none.
    assert_eq!(write(0..2, 3, &sample_samples()), Samples::NONE);
    assert_eq!(write(0..3, 3, &sample_samples()), sample_samples());
    // Taking them away was cut off.
    assert_eq!(write(0..1, 4, &Samples::NONE), sample_samples());
    assert_eq!(write(0..3, 4, &Samples::NONE), Samples::NONE);
    assert_eq!(Chooser::new(2048).place(), None);
}

fn blank_check(region: &Region, region_blocks: u64, buffer_blocks: usize) -> (u64, Result<(), NotBlank>) {
    let mut check = BlankCheck::new(region_blocks);
    let mut blocks_read = 0;
    while let Some(request) = check.next(buffer_blocks * 4096) {
        let blocks = u64::from(request.sectors / 8);
        let first = request.sector / 8;
        let bytes: Vec<u8> = (first..first + blocks).flat_map(|b| region.get(b)).collect();
        blocks_read += blocks;
        if let Err(e) = check.done(Some(&bytes)) {
            return (blocks_read, Err(e));
        }
    }
    (blocks_read, Ok(()))
}

#[test]
fn s20_first_and_last_mib_have_to_be_zero() {
    for buffer_blocks in [1, 7, 1000] {
        let mut region = Region::default();
        assert_eq!(blank_check(&region, 2048, buffer_blocks), (512, Ok(())));
        region.0.insert(256, [1; 4096]);
        region.0.insert(1791, [1; 4096]);
        assert_eq!(blank_check(&region, 2048, buffer_blocks), (512, Ok(())));
        for place in [0, 255, 1792, 2047] {
            let mut region = region.clone();
            let mut block = [0; 4096];
            block[4095] = 1;
            region.0.insert(place, block);
            let sector = place * 8 + 7;
            assert_eq!(blank_check(&region, 2048, buffer_blocks).1, Err(NotBlank::Content { sector }));
        }
    }
}

/// Entries of which each breaks one rule; the block around them is right.
#[test]
fn s27_an_entry_that_breaks_a_rule_is_refused() {
    let last = SHAPE.groups() - 1;
    let good = Entry { state: SlotState::Mapped, group: Group(last), mask: 0x07, lost: 0, generation: 1 };
    let parse = |e: Entry| TableBlock::parse(&table_of(&[e], 5, 2), &ID, 1, 2, &SHAPE, 300).map(|_| ());
    assert_eq!(parse(good), Ok(()));
    let refused = |e: Entry, rule: EntryError| {
        assert_eq!(parse(e), Err(BlockError::Entry { index: 0, why: rule }), "{e:?}");
    };
    refused(Entry { group: Group(last + 1), mask: 1, ..good }, EntryError::Group(last + 1));
    // Main ends within its last group.
    refused(Entry { mask: 0x0f, ..good }, EntryError::Mask);
    refused(Entry { mask: 0, ..good }, EntryError::Mask);
    refused(Entry { lost: 1, ..good }, EntryError::LostMask);
    refused(Entry { state: SlotState::Lost, ..good }, EntryError::LostMask);
    refused(Entry { state: SlotState::Lost, mask: 0x03, lost: 0x04, ..good }, EntryError::LostMask);
    refused(Entry { state: SlotState::Retired, ..good }, EntryError::NotEmpty);
    refused(Entry { state: SlotState::Free, ..good }, EntryError::NotEmpty);
}

#[test]
fn s27_reserved_bits_of_an_entry_have_to_be_zero() {
    let good = Entry { state: SlotState::Mapped, group: Group(0), mask: 0x07, lost: 0, generation: 1 };
    let with = |bit: u32| (u128::from_le_bytes(good.to_bytes()) | 1 << bit).to_le_bytes();
    assert_eq!(Entry::from_bytes(&good.to_bytes(), &SHAPE), Ok(good));
    for bit in 60..64 {
        assert_eq!(Entry::from_bytes(&with(bit), &SHAPE), Err(EntryError::Pool(1 << (bit - 60))), "{bit}");
    }
    for bit in 112..128 {
        assert_eq!(Entry::from_bytes(&with(bit), &SHAPE), Err(EntryError::Reserved), "{bit}");
    }
}

/// A superblock of which one field is out of range, with the checksum that belongs to it.
#[test]
fn s27_a_field_of_a_superblock_out_of_range_is_refused() {
    let decode = |change: fn(&mut Superblock)| {
        let mut superblock = sample(3);
        change(&mut superblock);
        let mut block = [0; 4096];
        superblock.encode(0, &mut block);
        Superblock::decode(&block, 0).map(|_| ())
    };
    assert_eq!(decode(|_| ()), Ok(()));
    for count in [0, 1, 6, 255] {
        let change: fn(&mut Superblock) = match count {
            0 => |s| s.copy_count = 0,
            1 => |s| (s.copy_count, s.in_sync) = (1, 1),
            6 => |s| s.copy_count = 6,
            _ => |s| s.copy_count = 255,
        };
        assert_eq!(decode(change), Err(BlockError::Field("copy_count")), "{count}");
    }
    assert_eq!(decode(|s| s.in_sync = 0), Err(BlockError::Field("in_sync")));
    assert_eq!(decode(|s| s.in_sync = 0x0f), Err(BlockError::Field("in_sync")));
    assert_eq!(decode(|s| s.epoch = 0), Err(BlockError::Field("epoch")));
}
