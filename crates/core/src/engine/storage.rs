//! The memory that a host sets aside for a set.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::context::Context;
use super::limits::{CHANGES_MIN, CONTEXTS_MAX};
use super::map::changes::Change;
use super::tell::notice::{Notice, NOTICES_MAX};
use crate::format::Geometry;
use crate::lookup::TableSizes;
use crate::pending::PENDING_WORDS;

/// The arrays that a host sets aside for one set, as large as [`StorageSizes`] says.
pub struct Storage<'a> {
    /// Records of the slots; shared with readers.
    pub records: &'a [AtomicU64],
    /// Buckets of the hash; shared with readers.
    pub buckets: &'a [AtomicU32],
    /// Summary; shared with readers.
    pub summary: &'a [AtomicU64],
    /// Per slot: generation and lost mask.
    pub generations: &'a mut [u64],
    /// Per table block: its sequence, and which copies hold it whole.
    pub blocks: &'a mut [u64],
    /// Changes on their way to the disk, at least [`CHANGES_MIN`].
    pub changes: &'a mut [Change],
    /// Pending blocks; shared with the callers that see bios end.
    pub pending: &'a [AtomicU64],
    /// The repair contexts, as the engine sees them, [`CONTEXTS_MAX`].
    pub contexts: &'a mut [Context],
    /// Notices that were not told yet, [`NOTICES_MAX`].
    pub notices: &'a mut [Option<Notice>],
}

/// How large the arrays of [`Storage`] must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSizes {
    /// The table's arrays.
    pub table: TableSizes,
    /// `u64` words of `generations`.
    pub generations: usize,
    /// `u64` words of `blocks`.
    pub blocks: usize,
    /// Entries of `changes`.
    pub changes: usize,
    /// `u64` words of `pending`.
    pub pending: usize,
    /// Entries of `contexts`.
    pub contexts: usize,
    /// Entries of `notices`.
    pub notices: usize,
}

impl StorageSizes {
    /// For a set of this geometry.
    pub fn for_geometry(geometry: &Geometry) -> StorageSizes {
        StorageSizes {
            table: TableSizes::for_slots(geometry.slot_count()),
            generations: geometry.slot_count() as usize,
            blocks: geometry.table_blocks() as usize,
            changes: CHANGES_MIN,
            pending: PENDING_WORDS,
            contexts: CONTEXTS_MAX,
            notices: NOTICES_MAX,
        }
    }
}
