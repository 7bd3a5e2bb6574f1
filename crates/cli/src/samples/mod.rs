//! Samples of main: hashes of the places where filesystems, volume managers and partition tables leave their marks
//! (docs/format.md, The fingerprint of main). Core knows where they stand in the superblock; taking and comparing them is here.

mod choice;
mod partitions;
mod places;
mod view;
mod volume;

use places::Range;
use remap_core::format::samples::{SampleHash, SPREAD_MAX};
use remap_core::format::{SampleRange, Samples};
use sha2::{Digest, Sha256};
pub use view::View;

/// Most groups of one range that may fail, so that a damaged range leaves reads to the others.
const FAILED_PER_RANGE_MAX: usize = 5;

/// Samples of main as it is now. Unreadable groups are left out.
pub fn take(main: &View) -> Samples {
    let count = u8::try_from(main.groups().min(u64::from(SPREAD_MAX))).unwrap_or(SPREAD_MAX);
    let spread = hash_spread(main, count);
    let mut samples = spread.map_or(Samples::NONE, |hash| Samples::of_spread(count, hash));
    for range in choice::of(main) {
        for Range { group, count } in readable(main, range) {
            if let Some(hash) = hash_range(main, group, count) {
                // Those that come first matter most.
                samples.push(SampleRange { group, count, hash });
            }
        }
    }
    samples
}

/// The parts of a range that can be read: what lies between the groups that cannot.
fn readable(main: &View, range: Range) -> Vec<Range> {
    let mut found: Vec<Range> = Vec::new();
    let mut failed = 0;
    for group in range.group..range.group + u64::from(range.count) {
        if failed >= FAILED_PER_RANGE_MAX || main.is_spent() {
            break;
        }
        if main.group(group).is_none() {
            failed += 1;
            continue;
        }
        match found.last_mut() {
            Some(last) if last.group + u64::from(last.count) == group => last.count += 1,
            _ => found.push(Range { group, count: 1 }),
        }
    }
    found
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Places of changed content, in words; empty when all that was compared is equal.
    pub changed: Vec<String>,
    /// Some places could not be read, and were not compared.
    pub unreadable: bool,
}

/// Compares main with samples that were taken of it.
pub fn compare(main: &View, samples: &Samples) -> Difference {
    let mut found = Difference::default();
    let mut look = |was: SampleHash, now: Option<SampleHash>, place: String| match now {
        Some(now) if now == was => {}
        Some(_) => found.changed.push(place),
        None => found.unreadable = true,
    };
    for range in samples.ranges() {
        let (first, end) = (range.group * 8, (range.group + u64::from(range.count)) * 8);
        let place = format!("in sectors {first} to {}", end.min(main.sectors()).saturating_sub(1));
        look(range.hash, hash_range(main, range.group, range.count), place);
    }
    if samples.spread_count > 0 {
        let place = format!("in one of {} places that are spread over it", samples.spread_count);
        look(samples.spread_hash, hash_spread(main, samples.spread_count), place);
    }
    found
}

fn hash_range(main: &View, group: u64, count: u8) -> Option<SampleHash> {
    hash(main, group..group + u64::from(count))
}

fn hash_spread(main: &View, count: u8) -> Option<SampleHash> {
    hash(main, (0..count).map(|index| Samples::spread_group(main.shape(), count, index).0))
}

/// The hash of docs/format.md over groups, each with its number; `None` when one cannot be read.
fn hash(main: &View, groups: impl IntoIterator<Item = u64>) -> Option<SampleHash> {
    let mut hasher = Sha256::new();
    for group in groups {
        hasher.update(group.to_le_bytes());
        hasher.update(main.group(group)?);
    }
    hasher.finalize().first_chunk().copied()
}

#[cfg(test)]
mod tests;
