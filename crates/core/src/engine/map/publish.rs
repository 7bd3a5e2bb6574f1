//! What a commit's end does to the map: make its changes visible, or take them back.

use super::changes::{Change, Kind, Stage};
use super::stamp::Stamp;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::lookup::{Record, Use};
use crate::units::{Sector, Slot};

impl Engine<'_> {
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

    /// Lets lookups find a slot that was taken for a group: one that the group is held by, or one that nothing leads to yet.
    #[must_use]
    pub(super) fn put(&mut self, slot: Slot, record: Record) -> bool {
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

    /// Tells the context that waits for a change what came of it.
    pub(super) fn settle(&mut self, change: &Change, ok: bool) {
        if change.rescues && !ok {
            self.notices.push(Notice::Spoilt { group: change.entry.group.first_sector() });
        }
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
}
