//! Samples of main in the superblock: hashes of some of its groups, each with the positions of these. The tool hashes.

use super::header::{get, get_u64, is_zero, put};
use super::{Block, BlockError, MainShape};
use crate::units::Group;

/// Most ranges of a superblock.
pub const RANGES_MAX: usize = 16;
/// Most groups of the spread samples.
pub const SPREAD_MAX: u8 = 16;

/// The first bytes of a SHA-256 (docs/format.md, The fingerprint of main).
pub type SampleHash = [u8; 6];

pub(super) const AT_SAMPLES: usize = AT_RANGE_COUNT;
pub(super) const AT_SAMPLES_END: usize = AT_RANGES + RANGES_MAX * RANGE_BYTES;

const AT_RANGE_COUNT: usize = 304;
const AT_SPREAD_COUNT: usize = 305;
const AT_SPREAD_HASH: usize = 306;
const AT_RANGES: usize = 312;
const RANGE_BYTES: usize = 12;
/// Bytes of a group's number in a range.
const GROUP_BYTES: usize = 5;

const _: () = assert!(AT_SPREAD_HASH == AT_SPREAD_COUNT + 1 && AT_RANGES == AT_SPREAD_HASH + 6);
const _: () = assert!(RANGE_BYTES == GROUP_BYTES + 1 + 6 && AT_SAMPLES_END == 504);

/// Groups of main that follow one another, and their hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleRange {
    /// The first group, below 2^40.
    pub group: u64,
    /// Number of groups, 1 to 255.
    pub count: u8,
    /// Their hash.
    pub hash: SampleHash,
}

/// The samples of main that a superblock holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Number of spread samples, 0 to 16.
    pub spread_count: u8,
    /// The hash of the spread samples, zero if there are none.
    pub spread_hash: SampleHash,
    ranges: [SampleRange; RANGES_MAX],
    range_count: usize,
}

impl Samples {
    /// No samples.
    pub const NONE: Samples = Samples {
        spread_count: 0,
        spread_hash: [0; 6],
        ranges: [SampleRange { group: 0, count: 0, hash: [0; 6] }; RANGES_MAX],
        range_count: 0,
    };

    /// Samples without a range, but with `count` (0 to 16) spread samples and their hash.
    pub const fn of_spread(count: u8, hash: SampleHash) -> Samples {
        Samples { spread_count: count, spread_hash: hash, ..Samples::NONE }
    }

    /// True when there is nothing to compare.
    pub const fn is_empty(&self) -> bool {
        self.range_count == 0 && self.spread_count == 0
    }

    /// The ranges, in the order of the superblock.
    pub fn ranges(&self) -> &[SampleRange] {
        self.ranges.get(..self.range_count).unwrap_or(&[])
    }

    /// Adds a range; false when there is no room.
    pub fn push(&mut self, range: SampleRange) -> bool {
        match self.ranges.get_mut(self.range_count) {
            Some(place) => {
                *place = range;
                self.range_count = self.range_count.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Group of main that is number `index` of `count` spread samples.
    pub fn spread_group(main: &MainShape, count: u8, index: u8) -> Group {
        let last = main.groups().saturating_sub(1);
        let steps = u64::from(count).saturating_sub(1);
        // At most 2^40 groups and 16 steps.
        Group(u64::from(index).saturating_mul(last).checked_div(steps).unwrap_or(0).min(last))
    }

    /// Reads the samples of the superblock in `block`, which [`super::Superblock::decode`] found valid for a main of this shape.
    pub fn decode(block: &Block, main: &MainShape) -> Result<Samples, BlockError> {
        Samples::check(block, main)?;
        let [spread_count] = get(block, AT_SPREAD_COUNT);
        let mut samples = Samples::of_spread(spread_count, get(block, AT_SPREAD_HASH));
        for index in 0..range_count(block) {
            samples.push(range(block, index));
        }
        Ok(samples)
    }

    /// Checks the fields without keeping them.
    pub(super) fn check(block: &Block, main: &MainShape) -> Result<(), BlockError> {
        let [spread] = get(block, AT_SPREAD_COUNT);
        let ranges = range_count(block);
        let inside = |r: SampleRange| {
            r.count != 0 && r.group.checked_add(u64::from(r.count)).is_some_and(|end| end <= main.groups())
        };
        let unused = AT_RANGES.saturating_add(ranges.saturating_mul(RANGE_BYTES));
        let good = ranges <= RANGES_MAX
            && spread <= SPREAD_MAX
            && (spread != 0 || is_zero(block, AT_SPREAD_HASH..AT_RANGES))
            && (0..ranges).all(|index| inside(range(block, index)))
            && is_zero(block, unused..AT_SAMPLES_END);
        if good {
            Ok(())
        } else {
            Err(BlockError::Field("samples of main"))
        }
    }

    /// Writes the fields into a superblock that is not sealed yet.
    pub(super) fn put(&self, block: &mut Block) {
        let ranges = self.ranges();
        put(block, AT_RANGE_COUNT, [u8::try_from(ranges.len()).unwrap_or(0), self.spread_count]);
        put(block, AT_SPREAD_HASH, self.spread_hash);
        for (index, range) in ranges.iter().enumerate() {
            let at = at_range(index);
            // The number of a group has 40 bits; the bytes above are written over by the count and the hash.
            put(block, at, range.group.to_le_bytes());
            put(block, at.saturating_add(GROUP_BYTES), [range.count]);
            put(block, at.saturating_add(GROUP_BYTES + 1), range.hash);
        }
    }
}

fn range_count(block: &Block) -> usize {
    let [count] = get(block, AT_RANGE_COUNT);
    usize::from(count)
}

fn at_range(index: usize) -> usize {
    AT_RANGES.saturating_add(index.saturating_mul(RANGE_BYTES))
}

fn range(block: &Block, index: usize) -> SampleRange {
    let at = at_range(index);
    let [count] = get(block, at.saturating_add(GROUP_BYTES));
    let group = get_u64(block, at) & ((1 << (8 * GROUP_BYTES)) - 1);
    SampleRange { group, count, hash: get(block, at.saturating_add(GROUP_BYTES + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_samples_reach_from_the_first_group_to_the_last() {
        let main = |sectors| MainShape::new(sectors, 512).unwrap();
        let group = |sectors, count, index| Samples::spread_group(&main(sectors), count, index).0;
        assert_eq!((group(1 << 43, 16, 0), group(1 << 43, 16, 15)), (0, (1 << 40) - 1));
        assert_eq!((group(3, 1, 0), group(17, 3, 1), group(17, 3, 2)), (0, 1, 2));
        // Those of the checksum of version 1.0.
        assert_eq!(group(1 << 20, 16, 7), 7 * ((1 << 17) - 1) / 15);
    }

    #[test]
    fn a_range_too_many_is_told() {
        let mut samples = Samples::NONE;
        for group in 0..16 {
            assert!(samples.push(SampleRange { group, count: 1, hash: [1; 6] }));
        }
        assert!(!samples.push(SampleRange::default()));
        assert_eq!(samples.ranges().len(), 16);
    }
}
