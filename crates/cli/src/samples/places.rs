//! Which groups of main are sampled, those that matter most first.

use super::partitions;
use super::view::View;
use super::volume;
use remap_core::format::samples::RANGES_MAX;

/// Length of the sample at the start of main and of each partition, in bytes: up to the superblock of btrfs, at 64 KiB.
const HEAD_BYTES: u64 = 68 << 10;
/// Length of the sample at the end of main, in bytes. A superblock of md 0.90 begins up to 128 KiB before the end, and the last
/// group may be short.
const TAIL_BYTES: u64 = 132 << 10;

/// Groups that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub group: u64,
    /// How many, 1 to 255.
    pub count: u8,
}

/// Ranges to be, none of which lies in another.
#[derive(Debug)]
pub struct Places {
    groups: u64,
    ranges: Vec<Range>,
}

impl Places {
    fn new(groups: u64) -> Places {
        Places { groups, ranges: Vec::new() }
    }

    /// Adds the groups of `bytes` bytes from byte `at` of `part` on, as far as they lie in it. A range inside another is left out.
    pub fn add(&mut self, part: &View, at: u64, bytes: u64) {
        let Some(place) = part.part(at, bytes) else { return };
        let first = place.start() / 4096;
        let end = (place.start() + place.bytes()).div_ceil(4096).min(self.groups);
        let Some(count) = end.checked_sub(first).filter(|&count| count > 0) else { return };
        let range = Range { group: first, count: u8::try_from(count).unwrap_or(u8::MAX) };
        let end_of = |r: &Range| r.group + u64::from(r.count);
        let covered = self.ranges.iter().any(|r| r.group <= range.group && end_of(&range) <= end_of(r));
        if !covered && self.ranges.len() < RANGES_MAX {
            self.ranges.push(range);
        }
    }
}

/// The ranges of a main to be sampled, in the order of docs/format.md.
pub fn of(main: &View) -> Vec<Range> {
    let mut places = Places::new(main.groups());
    places.add(main, 0, HEAD_BYTES);
    places.add(main, main.bytes().saturating_sub(TAIL_BYTES), TAIL_BYTES);
    let partitions = partitions::of(main);
    for partition in &partitions {
        places.add(partition, 0, HEAD_BYTES);
    }
    let volumes = || std::iter::once(main).chain(&partitions);
    type Step = fn(&View, &mut Places);
    let steps: [Step; 6] = [
        volume::xfs_log,
        volume::md_at_the_end,
        volume::ext_journal,
        volume::btrfs_superblocks,
        volume::lvm_metadata,
        volume::xfs_groups,
    ];
    for step in steps {
        volumes().for_each(|volume| step(volume, &mut places));
    }
    places.ranges
}
