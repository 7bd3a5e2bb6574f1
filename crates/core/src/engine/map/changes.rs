//! Changes of the map on their way to the disk.

use crate::format::Entry;
use crate::units::{Group, Slot};

/// What becomes of the map when a change is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Kind {
    /// A group that had no slot gets one.
    New,
    /// More sectors of a group live in its slot.
    Extend,
    /// The group's slot takes the place of another (S7).
    Move {
        /// The slot that is given up.
        from: Slot,
    },
    /// The slot is never used again.
    Retire,
    /// Sectors of a group live on main again: its entry loses them, or goes (S24).
    Release {
        /// The group; an entry that goes does not name it.
        group: Group,
    },
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stage {
    /// Waits for a commit.
    Queued,
    /// In the commit under way.
    InCommit,
    /// Its commit failed and may have landed (S13).
    Doubt,
    /// A slot was given up: it waits for a drain before its retirement is queued, or before it is free (S9).
    Superseded,
}

/// One entry of the slot table that is to change.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub(in crate::engine) kind: Kind,
    pub(in crate::engine) stage: Stage,
    /// The repair context that waits for it.
    pub(in crate::engine) owner: Option<u8>,
    pub(in crate::engine) slot: Slot,
    pub(in crate::engine) entry: Entry,
    /// Sectors that a write, or a relocation, brought to the slot.
    pub(in crate::engine) brought: u8,
    /// The slot holds content that stands nowhere else any more, though lookups led elsewhere before.
    pub(in crate::engine) rescues: bool,
}

impl Default for Change {
    fn default() -> Self {
        Change::new(Kind::Retire, None, Slot(0), Entry::default())
    }
}

impl Change {
    pub(in crate::engine) fn new(kind: Kind, owner: Option<u8>, slot: Slot, entry: Entry) -> Change {
        Change { kind, stage: Stage::Queued, owner, slot, entry, brought: 0, rescues: false }
    }
}

/// A list of bounded length over storage of the host; order does not matter, as a slot has one change at a time.
pub(in crate::engine) struct Changes<'a> {
    list: &'a mut [Change],
    len: usize,
}

impl<'a> Changes<'a> {
    pub(in crate::engine) fn new(list: &'a mut [Change]) -> Changes<'a> {
        Changes { list, len: 0 }
    }

    /// Adds a change; false when the list is full.
    #[must_use]
    pub(in crate::engine) fn push(&mut self, change: Change) -> bool {
        match self.list.get_mut(self.len) {
            Some(place) => {
                *place = change;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    pub(in crate::engine) fn room(&self) -> usize {
        self.list.len() - self.len
    }

    pub(in crate::engine) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.list.iter().take(self.len)
    }

    pub(in crate::engine) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Change> {
        self.list.iter_mut().take(self.len)
    }

    /// Takes out one change that `which` names.
    pub(in crate::engine) fn take(&mut self, which: impl Fn(&Change) -> bool) -> Option<Change> {
        let at = self.iter().position(which)?;
        let change = *self.list.get(at)?;
        self.len -= 1;
        if at < self.len {
            let last = *self.list.get(self.len)?;
            *self.list.get_mut(at)? = last;
        }
        Some(change)
    }
}
