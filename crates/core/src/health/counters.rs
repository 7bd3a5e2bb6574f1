//! Counters for the life of a set. Each is one that an event increments.

/// Number of counters.
pub const COUNTERS: usize = 10;

/// One of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// Reads of main that failed, by groups.
    ReadErrors = 0,
    /// Writes of main that failed, by groups.
    WriteErrors = 1,
    /// Transfers that failed for a reason that cannot mean the medium.
    OtherErrors = 2,
    /// Reads that succeeded only when repeated, by groups.
    RetriedReads = 3,
    /// Reads that were slow for their zone.
    SlowReads = 4,
    /// Failures after which main did not succeed elsewhere within the evidence window, by groups. No part of the score counts them.
    Unproven = 5,
    /// Bursts of failures that were proved.
    Bursts = 6,
    /// Sectors that went to slots because a write failed.
    RemappedSectors = 7,
    /// Sectors that went to slots before they failed.
    RelocatedSectors = 8,
    /// Spots that were given up because the table was full.
    SpotsDropped = 9,
}

/// The counters of a set. They saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub(super) [u64; COUNTERS]);

impl Counters {
    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Counts `n` more.
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(count) = self.0.get_mut(counter as usize) {
            *count = count.saturating_add(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_place_and_saturates() {
        let mut counters = Counters::default();
        counters.add(Counter::SpotsDropped, u64::MAX);
        counters.add(Counter::SpotsDropped, 1);
        assert_eq!(counters.get(Counter::SpotsDropped), u64::MAX);
        assert_eq!(counters.0.iter().filter(|n| **n != 0).count(), 1);
    }
}
