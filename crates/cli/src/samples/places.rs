//! Places of main that are to be sampled.

use super::view::View;
use remap_core::format::samples::RANGES_MAX;

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
    /// None yet, of a main of so many groups.
    pub fn new(groups: u64) -> Places {
        Places { groups, ranges: Vec::new() }
    }

    /// The ranges, in the order in which they were added.
    pub fn into_ranges(self) -> Vec<Range> {
        self.ranges
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
