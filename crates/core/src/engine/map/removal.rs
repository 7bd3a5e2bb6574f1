//! Taking sectors out of the map, when their content is on main again (S24).

use super::changes::{Change, Kind, Stage};
use super::stamp::Stamp;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::{Entry, SlotState};
use crate::lookup::{Record, Use};
use crate::units::{Group, Slot};

impl Engine<'_> {
    /// Queues the removal of sectors of a held group from its slot: of the entry, if no other sectors are left in it. Lost sectors
    /// stay. False: the change could not be queued.
    #[must_use]
    pub(in crate::engine) fn queue_removal(&mut self, context: u8, slot: Slot, mask: u8) -> bool {
        let old = self.entry(slot);
        let rest = old.mask & !(mask & !old.lost);
        let Some(generation) = self.next_generation() else { return false };
        let entry = match rest {
            0 => Entry { generation, ..Entry::default() },
            mask => {
                let state = if old.lost == 0 { SlotState::Mapped } else { SlotState::Lost };
                Entry { state, group: old.group, mask, lost: old.lost, generation }
            }
        };
        self.queue(Change::new(Kind::Release { group: old.group }, Some(context), slot, entry))
    }

    /// The removal is durable. A slot of which nothing is left in the map stays what a lookup under way can recognise, until a
    /// drain: its group, held (S9). Its entry is free at once, in every block that is written from now on.
    pub(in crate::engine) fn publish_removal(&mut self, change: &Change, group: Group) {
        let (slot, e) = (change.slot, change.entry);
        let Some(old) = self.table.record(slot).filter(|r| r.usage() == Use::Mapped && r.group() == group)
        else {
            return self.broken("sectors were released that are not mapped");
        };
        self.set_stamp(slot, Stamp { generation: e.generation, lost: e.lost });
        if e.mask != 0 {
            self.set_record(slot, Record::mapped(group, e.mask, old.bad() & e.mask | e.lost));
        } else {
            self.set_record(slot, Record::reserved(group).with_held(true));
            let waits = self.changes.push(Change { stage: Stage::Superseded, ..*change });
            if !(waits && self.table.remove(group)) {
                return self.broken("a released group was not in the map");
            }
        }
        let mask = old.mask() & !e.mask;
        self.counters.released_sectors += u64::from(mask.count_ones());
        self.notices.push(Notice::Released { group: group.first_sector(), mask, slot });
    }
}
