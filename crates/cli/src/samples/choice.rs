//! Which groups of main are sampled, those that matter most first.

use super::partitions;
use super::places::{Places, Range};
use super::view::View;
use super::volume;

/// Length of the sample at the start of main and of each partition, in bytes: up to the superblock of btrfs, at 64 KiB.
const HEAD_BYTES: u64 = 68 << 10;
/// Length of the sample at the end of main, in bytes. A superblock of md 0.90 begins up to 128 KiB before the end, and the last
/// group may be short.
const TAIL_BYTES: u64 = 132 << 10;

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
    places.into_ranges()
}
