//! Slots that are given up: they failed, or their content lives elsewhere (S7, S33).

use super::changes::{Change, Kind, Stage};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::{Entry, SlotState};
use crate::lookup::{Record, Use};
use crate::units::{Group, Slot};

impl Engine<'_> {
    /// Queues the retirement of a slot that failed. Until it is durable the slot stays what it is, which keeps it from being taken
    /// again.
    pub(in crate::engine) fn queue_retirement(&mut self, slot: Slot) {
        let queued = self.next_generation().is_some_and(|generation| {
            let entry = Entry { state: SlotState::Retired, generation, ..Entry::default() };
            self.changes.push(Change::new(Kind::Retire, None, slot, entry))
        });
        if !queued {
            self.forgo_retirement(slot);
        }
    }

    /// The retirement of a slot will not become durable. One that nothing was ever mapped to is free again, and a later failure finds it bad
    /// once more; one whose content has moved keeps the entry that names its group.
    pub(in crate::engine) fn forgo_retirement(&mut self, slot: Slot) {
        if self.table.record(slot).is_some_and(|r| r.usage() == Use::Reserved) {
            self.give_back(slot);
        }
    }

    pub(super) fn publish_retirement(&mut self, slot: Slot) {
        if self.table.record(slot).is_some_and(|r| r.usage() == Use::Mapped) {
            self.old_entries = self.old_entries.saturating_sub(1);
            self.filled = self.filled.saturating_sub(1);
        }
        self.set_record(slot, Record::retired());
        self.used = self.used.saturating_sub(1);
        self.retired += 1;
        self.notices.push(Notice::Retired(slot));
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

    /// Has `context`, which has claimed these groups, wait until no slot that was given up names one of them in its entry any more.
    /// Such an entry would be the newest of its group once the present one is gone. False: there is none.
    #[must_use]
    pub(in crate::engine) fn await_retirements(&mut self, context: u8, first: Group, last: Group) -> bool {
        if self.old_entries == 0 {
            return false;
        }
        let mut found = false;
        for slot in (0..self.table.slots()).map(Slot) {
            let Some(record) = self.table.record(slot).filter(|r| r.usage() == Use::Mapped) else { continue };
            let group = record.group();
            let serves = || self.table.record_of(group).is_some_and(|(s, _)| s == slot);
            if first <= group && group <= last && !serves() {
                found = true;
                self.await_retirement(context, slot);
            }
        }
        found
    }

    fn await_retirement(&mut self, context: u8, slot: Slot) {
        let waiting = |c: &&mut Change| c.slot == slot && c.stage != Stage::Doubt && c.owner.is_none();
        let waits = match self.changes.iter_mut().find(waiting) {
            Some(change) => {
                change.owner = Some(context);
                true
            }
            None => false,
        };
        let Some(generation) = self.next_generation() else { return };
        let entry = Entry { state: SlotState::Retired, generation, ..Entry::default() };
        let queued = waits || self.queue(Change::new(Kind::Retire, Some(context), slot, entry));
        if let Some(c) = self.contexts.get_mut(usize::from(context)) {
            c.outstanding += u32::from(waits);
            c.failed |= !queued;
        }
    }
}
