//! Counts of what happened.

/// Counts since activation, and the sectors that are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Failed writes that were handed to repair.
    pub repairs: u64,
    /// Of these, stored.
    pub repaired: u64,
    /// Of these, not stored anywhere.
    pub repairs_failed: u64,
    /// Of these, those that were not remapped since main gave no evidence of taking writes.
    pub unproven: u64,
    /// Sectors whose content went to a slot.
    pub remapped_sectors: u64,
    /// Sectors whose content went back to main.
    pub released_sectors: u64,
    /// Failed reads that were narrowed.
    pub reads: u64,
    /// Of these, delivered whole.
    pub reads_delivered: u64,
    /// Of these, those that failed.
    pub reads_failed: u64,
    /// Times that an unreadable block could not be remembered as pending.
    pub pending_dropped: u64,
    /// Sectors that are lost at present.
    pub lost_sectors: u64,
    /// Commits that became durable.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Copies that were evicted.
    pub evictions: u64,
    /// Copies that came back.
    pub readmissions: u64,
    /// Flushes that failed.
    pub flush_failures: u64,
    /// Times that the breaker opened.
    pub breaker_openings: u64,
    /// Sectors that a failed read of their slot made suspect.
    pub suspected_sectors: u64,
    /// Notices that nobody fetched in time.
    pub notices_dropped: u64,
}
