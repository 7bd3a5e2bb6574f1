//! What happened, for the host to tell (S30): log lines, events and counters.

use super::{FailReason, Mode, NoRemapReason};
use crate::units::{Sector, Slot};

/// One state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Sectors of main have their content in a slot from now on.
    Remapped {
        /// First sector of the group.
        group: Sector,
        /// Sectors of the group that live in the slot.
        mask: u8,
        /// The slot.
        slot: Slot,
        /// An administrator ordered it, and hears of it when all of the order is done.
        ordered: bool,
    },
    /// Sectors of main have their content on main again, as an administrator ordered.
    Released {
        /// First sector of the group.
        group: Sector,
        /// Sectors of the group that lived in the slot.
        mask: u8,
        /// The slot.
        slot: Slot,
    },
    /// A slot failed and is never used again.
    Retired(Slot),
    /// Content of sectors could not be read from their slot when it was given up.
    Lost {
        /// First sector of the group.
        group: Sector,
        /// Sectors of the group that are lost.
        mask: u8,
    },
    /// A copy of the metadata could not be written and was evicted.
    Evicted {
        /// The copy.
        copy: u8,
    },
    /// An evicted copy was written anew and is in sync again.
    Readmitted {
        /// The copy.
        copy: u8,
    },
    /// Writing an evicted copy anew failed; it stays out.
    StaysEvicted {
        /// The copy.
        copy: u8,
    },
    /// A commit failed; its groups take no writes (S13).
    CommitFailed,
    /// A write could not be stored anywhere.
    WriteFailed {
        /// First sector of what was to be written.
        sector: Sector,
    },
    /// Blocks of main failed a read and are pending.
    Unreadable {
        /// First of them.
        sector: Sector,
        /// How many sectors; they lie within one physical block, not always one behind the other.
        sectors: u32,
    },
    /// A slot failed to read sectors, which are suspect.
    Suspect {
        /// First of them.
        sector: Sector,
        /// How many sectors of the group.
        sectors: u32,
        /// The slot.
        slot: Slot,
    },
    /// More blocks are unreadable than can be remembered as pending.
    PendingFull,
    /// A write failed, and main gave no evidence of taking writes (S14).
    Unproven {
        /// First sector of the group that failed.
        group: Sector,
    },
    /// What was read of a group could not be stored anywhere after main had failed to take it back.
    Spoilt {
        /// First sector of the group.
        group: Sector,
    },
    /// Slots in use passed this many percent.
    Watermark {
        /// 50, 75, the emergency threshold, or 100.
        percent: u32,
    },
    /// The mode changed.
    Mode(Mode),
    /// The mode became `no-remap`, for this reason.
    NoRemap(NoRemapReason),
    /// The mode became `fail`, for this reason.
    Failed(FailReason),
}

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
    /// Notices that nobody fetched in time.
    pub notices_dropped: u64,
}

const RING: usize = 32;

/// The notices not told yet; the oldest are kept when it is full.
pub(super) struct Notices {
    ring: [Option<Notice>; RING],
    next: usize,
    len: usize,
    dropped: u64,
}

impl Notices {
    pub(super) const fn new() -> Notices {
        Notices { ring: [None; RING], next: 0, len: 0, dropped: 0 }
    }

    pub(super) fn push(&mut self, notice: Notice) {
        if self.len == RING {
            self.dropped += 1;
            return;
        }
        if let Some(place) = self.ring.get_mut((self.next + self.len) % RING) {
            *place = Some(notice);
            self.len += 1;
        }
    }

    pub(super) fn take(&mut self) -> Option<Notice> {
        let notice = self.ring.get_mut(self.next)?.take()?;
        self.next = (self.next + 1) % RING;
        self.len -= 1;
        Some(notice)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
