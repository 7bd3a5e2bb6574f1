//! Changes on their way into a commit.

use super::changes::{Change, Stage};
use crate::engine::limits::{CONTEXTS_MAX, SLOT_TRIES};
use crate::engine::set::Engine;
use crate::format::{Entry, ENTRIES_PER_BLOCK};
use crate::units::Slot;

/// Entries of the list of changes that one group can take: its own, the slot that it leaves, and every slot that is tried in vain.
const CHANGES_PER_GROUP: usize = SLOT_TRIES as usize + 2;

/// The table block that holds the entry of `slot`.
pub(in crate::engine) fn block_of(slot: Slot) -> u32 {
    slot.0 / ENTRIES_PER_BLOCK as u32
}

impl Engine<'_> {
    /// Queues a change for the next commit on behalf of a context. False: there is no room, commit first.
    #[must_use]
    pub(in crate::engine) fn queue(&mut self, change: Change) -> bool {
        let owner = change.owner;
        if !self.changes.push(change) {
            return false;
        }
        if let Some(c) = owner.and_then(|o| self.contexts.get_mut(usize::from(o))) {
            c.outstanding += 1;
        }
        true
    }

    /// Whether the list of changes has room for a group of every context.
    pub(in crate::engine) fn has_room(&self) -> bool {
        self.changes.room() >= CHANGES_PER_GROUP * CONTEXTS_MAX
    }

    /// Whether a change waits for a commit.
    pub(in crate::engine) fn has_queued(&self) -> bool {
        self.changes.iter().any(|c| c.stage == Stage::Queued)
    }

    /// Whether a change waits for a commit that is possible.
    pub fn awaits_commit(&self) -> bool {
        self.has_queued() && self.commits()
    }

    /// Moves queued changes into the commit that begins, as many as fit into `blocks` distinct table blocks; returns how many
    /// blocks there are.
    pub(in crate::engine) fn begin_commit(&mut self, blocks: &mut [u32]) -> usize {
        let mut len = 0;
        for change in self.changes.iter_mut().filter(|c| c.stage == Stage::Queued) {
            let block = block_of(change.slot);
            if !blocks.iter().take(len).any(|b| *b == block) {
                match blocks.get_mut(len) {
                    Some(place) => *place = block,
                    None => continue,
                }
                len += 1;
            }
            change.stage = Stage::InCommit;
        }
        len
    }

    /// The entry of a slot as the commit under way is to write it.
    pub(in crate::engine) fn entry_in_commit(&self, slot: Slot) -> Entry {
        match self.changes.iter().find(|c| c.stage == Stage::InCommit && c.slot == slot) {
            Some(change) => change.entry,
            None => self.entry(slot),
        }
    }
}
