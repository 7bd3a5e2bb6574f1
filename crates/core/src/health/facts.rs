//! A host's facts of the set.

use crate::engine::{Mode, NoRemapReason};

/// A host's facts of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetFacts {
    /// Slots in use.
    pub slots_used: u32,
    /// Slots that may be used.
    pub slots_total: u32,
    /// Slots that failed.
    pub slots_retired: u32,
    /// Slots with suspect sectors.
    pub slots_suspect: u32,
    /// Percent of slots in use from which on the room counts as used up, 1 to 100.
    pub emergency_percent: u32,
    /// Copies of the metadata.
    pub copies: u32,
    /// Those in sync.
    pub copies_in_sync: u32,
    /// The mode.
    pub mode: Mode,
    /// Why it is `no-remap`.
    pub no_remap: Option<NoRemapReason>,
    /// Blocks of main that cannot be read.
    pub pending: u32,
}
