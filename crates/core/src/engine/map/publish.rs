//! What a commit's end does to the map: make its changes visible, take them back, or leave them in doubt.

use super::changes::{Change, Kind, Stage};
use super::stamp::Stamp;
use crate::engine::limits::{CONTEXTS_MAX, SLOT_TRIES};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::{Entry, ENTRIES_PER_BLOCK};
use crate::lookup::{Record, Use};
use crate::units::{Sector, Slot};

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

    /// The commit is durable on every in-sync copy: its changes become visible (S6).
    pub(in crate::engine) fn publish_commit(&mut self) {
        while let Some(change) = self.changes.take(|c| c.stage == Stage::InCommit) {
            self.publish(&change);
            self.settle(&change, true);
        }
        self.counters.commits += 1;
    }

    fn publish(&mut self, change: &Change) {
        let (slot, e) = (change.slot, change.entry);
        let record = Record::mapped(e.group, e.mask, e.lost);
        let old = self.table.record_of(e.group);
        let lost_before = old.map_or(0, |(s, _)| self.lost_mask(s));
        self.set_stamp(slot, Stamp { generation: e.generation, lost: e.lost });
        let done = match change.kind {
            Kind::New => self.put(slot, record),
            Kind::Extend => {
                let suspect = old.map_or(0, |(_, r)| r.bad() & r.mask());
                self.set_record(slot, Record::mapped(e.group, e.mask, suspect | e.lost));
                true
            }
            Kind::Move { from } => {
                self.old_entries += 1;
                self.table.replace(slot, record) && self.supersede(from, change.owner)
            }
            Kind::Retire => return self.publish_retirement(slot),
            Kind::Release { group } => return self.publish_removal(change, group),
        };
        if !done {
            self.broken("a durable change did not fit the map");
            return;
        }
        if matches!(change.kind, Kind::New | Kind::Move { .. }) {
            self.fill_slot();
        }
        let group = e.group.first_sector();
        // What lives in a slot now is of no more interest on main.
        for sector in (0..8).filter(|i| e.mask & (1 << i) != 0) {
            self.pending.clear(Sector(group.0 + sector), 1);
        }
        self.counters.remapped_sectors += u64::from(change.brought.count_ones());
        let ordered = change.owner.and_then(|o| self.contexts.get(usize::from(o))).is_some_and(|c| c.ordered);
        self.notices.push(Notice::Remapped { group, mask: e.mask, slot, ordered });
        if e.lost & !lost_before != 0 {
            self.notices.push(Notice::Lost { group, mask: e.lost & !lost_before });
        }
        self.counters.lost_sectors += u64::from(e.lost.count_ones());
        self.counters.lost_sectors =
            self.counters.lost_sectors.saturating_sub(u64::from(lost_before.count_ones()));
    }

    fn publish_retirement(&mut self, slot: Slot) {
        if self.table.record(slot).is_some_and(|r| r.usage() == Use::Mapped) {
            self.old_entries = self.old_entries.saturating_sub(1);
            self.filled = self.filled.saturating_sub(1);
        }
        self.set_record(slot, Record::retired());
        self.used = self.used.saturating_sub(1);
        self.retired += 1;
        self.notices.push(Notice::Retired(slot));
    }

    /// Lets lookups find a slot that was taken for a group: one that the group is held by, or one that nothing leads to yet.
    #[must_use]
    fn put(&mut self, slot: Slot, record: Record) -> bool {
        if self.table.record_of(record.group()).is_some_and(|(found, _)| found == slot) {
            self.set_record(slot, record);
            return true;
        }
        self.table.insert(slot, record)
    }

    /// Gives back a slot that was taken for a group and never mapped.
    fn unput(&mut self, change: &Change) {
        let group = change.entry.group;
        if self.table.record_of(group).is_some_and(|(found, _)| found == change.slot) {
            let _ = self.table.remove(group);
        }
        self.give_back(change.slot);
    }

    /// Notes that `slot` was given up and is to be retired once nobody can be looking at it.
    pub(in crate::engine) fn supersede(&mut self, slot: Slot, owner: Option<u8>) -> bool {
        let stage = Stage::Superseded;
        self.changes.push(Change { stage, ..Change::new(Kind::Retire, owner, slot, Entry::default()) })
    }

    /// The gate was drained after `context` had given up slots: those that failed are retired, those that were released are free.
    pub(in crate::engine) fn leave_superseded(&mut self, context: u8) {
        while let Some(change) =
            self.changes.take(|c| c.stage == Stage::Superseded && c.owner == Some(context))
        {
            match change.kind {
                Kind::Release { .. } => self.free_filled(change.slot),
                _ => self.queue_retirement(change.slot),
            }
        }
    }

    /// Whether slots wait for a drain, and then for [`Engine::leave_superseded`], that `context` gave up or released.
    pub(in crate::engine) fn has_superseded(&self, context: u8) -> bool {
        self.changes.iter().any(|c| c.stage == Stage::Superseded && c.owner == Some(context))
    }

    /// Tells the context that waits for a change what came of it.
    fn settle(&mut self, change: &Change, ok: bool) {
        if let Some(c) = change.owner.and_then(|o| self.contexts.get_mut(usize::from(o))) {
            c.outstanding = c.outstanding.saturating_sub(1);
            c.failed |= !ok;
        }
    }

    /// Nothing of the commit, or of what waits for one, was written: take it back as if it had never been. The retirement of a slot
    /// whose content has moved waits for a commit that can be: its entry still names the group, so that it can be nothing else.
    pub(in crate::engine) fn take_back(&mut self, stage: Stage) {
        let table = self.table;
        let stays = |c: &Change| {
            let mapped = table.record(c.slot).is_some_and(|r| r.usage() == Use::Mapped);
            c.stage == stage && c.kind == Kind::Retire && mapped
        };
        while let Some(change) = self.changes.take(|c| c.stage == stage && !stays(c)) {
            self.undo(&change);
            self.settle(&change, false);
        }
        for change in self.changes.iter_mut().filter(|c| stays(c)) {
            change.stage = Stage::Queued;
            if let Some(c) = change.owner.take().and_then(|o| self.contexts.get_mut(usize::from(o))) {
                c.outstanding = c.outstanding.saturating_sub(1);
                c.failed = true;
            }
        }
    }

    fn undo(&mut self, change: &Change) {
        match change.kind {
            Kind::New => self.unput(change),
            Kind::Move { from } => {
                self.give_back(change.slot);
                self.release_hold(from);
            }
            Kind::Extend | Kind::Release { .. } => self.release_hold(change.slot),
            Kind::Retire => self.forgo_retirement(change.slot),
        }
    }

    /// Lets the bios of a held group go on.
    pub(in crate::engine) fn release_hold(&mut self, slot: Slot) {
        if let Some(record) = self.table.record(slot) {
            self.set_record(slot, record.with_held(false));
        }
    }

    /// The commit failed and may have landed: its groups take no writes, its slots stay reserved (S13).
    pub(in crate::engine) fn doubt_commit(&mut self) {
        self.counters.commits_failed += 1;
        self.notices.push(Notice::CommitFailed);
        loop {
            let Some(change) = self.changes.iter_mut().find(|c| c.stage == Stage::InCommit) else { return };
            change.stage = Stage::Doubt;
            let change = *change;
            self.set_doubt(&change, true);
            self.settle(&change, false);
        }
    }

    fn set_doubt(&mut self, change: &Change, doubt: bool) {
        let group = match change.kind {
            Kind::Release { group } => group,
            _ => change.entry.group,
        };
        if doubt && matches!(change.kind, Kind::New | Kind::Move { .. }) {
            self.fill_slot();
        }
        match change.kind {
            Kind::New if doubt => {
                if !self.put(change.slot, Record::reserved(group).with_doubt(true)) {
                    self.broken("a group in doubt did not fit the map");
                }
            }
            Kind::New => {
                let _ = self.table.remove(group);
            }
            Kind::Extend | Kind::Move { .. } | Kind::Release { .. } => {
                if let Some((slot, record)) = self.table.record_of(group) {
                    self.set_record(slot, record.with_doubt(doubt).with_held(false));
                }
            }
            Kind::Retire => {}
        }
    }

    /// A table block without the changes in doubt is durable on every in-sync copy: they are settled (S13). Slots that were to get
    /// content are free again at once: lookups lead to no content before its entry is published.
    pub(in crate::engine) fn clear_doubt(&mut self, block: u32) {
        let settled = |c: &Change| c.stage == Stage::Doubt && block_of(c.slot) == block;
        while let Some(change) = self.changes.take(settled) {
            self.set_doubt(&change, false);
            match change.kind {
                Kind::New | Kind::Move { .. } => self.free_filled(change.slot),
                Kind::Retire => self.queue_retirement(change.slot),
                Kind::Extend | Kind::Release { .. } => {}
            }
        }
    }

    /// Whether changes are in doubt.
    pub fn in_doubt(&self) -> bool {
        self.changes.iter().any(|c| c.stage == Stage::Doubt)
    }
}
