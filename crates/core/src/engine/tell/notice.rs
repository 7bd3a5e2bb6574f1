//! What happened, for the host to tell (S30): log lines, events and counters.

use crate::engine::trust::mode::{FailReason, Mode, NoRemapReason};
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
    /// So many notices of one kind came faster than they were fetched, and are in no other notice.
    Dropped {
        /// Of this kind.
        class: Class,
        /// How many since the last such notice.
        count: u32,
    },
}

/// How often a notice can come, which decides how it is limited and what it can displace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A change of the state of the set: at most a few in the half minute that a breaker stays open, in the minute after which a copy
    /// is tried again, or for one order of an administrator. A host prints each.
    State,
    /// What a storm of failures multiplies, but must not be lost among them: content that is lost, and notices that were dropped.
    Loss,
    /// What each failing sector can cause.
    Failure,
    /// What each group that moves causes.
    Move,
}

impl Class {
    const ALL: [Class; 4] = [Class::State, Class::Loss, Class::Failure, Class::Move];

    /// Places that notices of the class leave to those that matter more. More changes of state than there is room for cannot come in one
    /// step of a machine: each copy evicted or readmitted, the mode, a failed commit, four watermarks.
    const fn leaves(self) -> usize {
        match self {
            Class::State => 0,
            Class::Loss => 12,
            Class::Failure | Class::Move => 16,
        }
    }
}

impl Notice {
    /// How often it can come.
    pub const fn class(&self) -> Class {
        match self {
            Notice::Mode(_) | Notice::NoRemap(_) | Notice::Failed(_) | Notice::CommitFailed => Class::State,
            Notice::Evicted { .. } | Notice::Readmitted { .. } | Notice::StaysEvicted { .. } => Class::State,
            // One for an activation, and one on the way up, after slots were released.
            Notice::PendingFull | Notice::Watermark { .. } => Class::State,
            Notice::Lost { .. } | Notice::Dropped { .. } => Class::Loss,
            Notice::WriteFailed { .. } | Notice::Unproven { .. } | Notice::Spoilt { .. } => Class::Failure,
            Notice::Unreadable { .. } | Notice::Suspect { .. } | Notice::Retired(_) => Class::Failure,
            Notice::Remapped { .. } | Notice::Released { .. } => Class::Move,
        }
    }
}

/// Notices that can wait to be told: a window of an order fits, as one notice for each of its groups.
pub const NOTICES_MAX: usize = 46;

/// The notices not told yet, in the order in which they came; the oldest are kept when there is no more room for their class.
pub(in crate::engine) struct Notices<'a> {
    ring: &'a mut [Option<Notice>],
    next: usize,
    len: usize,
    dropped: u64,
    /// Of each class, how many were dropped of which nothing was told.
    untold: [u32; Class::ALL.len()],
}

impl<'a> Notices<'a> {
    /// None to tell yet; `None` if the ring is not of [`NOTICES_MAX`] places.
    pub(in crate::engine) fn new(ring: &'a mut [Option<Notice>]) -> Option<Notices<'a>> {
        if ring.len() != NOTICES_MAX {
            return None;
        }
        ring.fill(None);
        Some(Notices { ring, next: 0, len: 0, dropped: 0, untold: [0; Class::ALL.len()] })
    }

    pub(in crate::engine) fn push(&mut self, notice: Notice) {
        let class = notice.class();
        if self.len.saturating_add(class.leaves()) >= NOTICES_MAX {
            self.dropped = self.dropped.saturating_add(1);
            if let Some(untold) = self.untold.get_mut(class as usize) {
                *untold = untold.saturating_add(1);
            }
            return;
        }
        if let Some(place) = self.ring.get_mut((self.next + self.len) % NOTICES_MAX) {
            *place = Some(notice);
            self.len += 1;
        }
    }

    pub(in crate::engine) fn take(&mut self) -> Option<Notice> {
        let Some(notice) = self.ring.get_mut(self.next)?.take() else { return self.take_dropped() };
        self.next = (self.next + 1) % NOTICES_MAX;
        self.len -= 1;
        Some(notice)
    }

    /// Tells of those that were dropped, behind those that were not.
    fn take_dropped(&mut self) -> Option<Notice> {
        let (untold, class) = self.untold.iter_mut().zip(Class::ALL).find(|(untold, _)| **untold != 0)?;
        Some(Notice::Dropped { class, count: core::mem::take(untold) })
    }

    pub(in crate::engine) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Begins to count anew. What was dropped and not told yet is told all the same.
    pub(in crate::engine) fn reset_dropped(&mut self) {
        self.dropped = 0;
    }
}
