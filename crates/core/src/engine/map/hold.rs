//! Holding groups: bios for a held group wait, so that its content can be moved (S9).

use crate::engine::set::Engine;
use crate::lookup::Record;
use crate::units::{Group, Slot};

impl Engine<'_> {
    /// Lets new bios of `group` wait from now on; writes that were directed before have ended after a drain. The caller has
    /// claimed the group. Returns the slot that serves it, or one that was taken so that it can be held: that one
    /// belongs to the caller, who maps it or lets it go with [`Engine::unhold`]. `None`: the group has no slot and none is
    /// free, or a commit of it is in doubt (S13).
    #[must_use]
    pub(in crate::engine) fn hold(&mut self, group: Group) -> Option<Slot> {
        if let Some((slot, record)) = self.table.record_of(group) {
            if record.in_doubt() {
                return None;
            }
            if record.is_held() {
                // Only who has claimed a group holds it.
                self.broken("a claimed group is held by somebody else");
                return None;
            }
            self.set_record(slot, record.with_held(true));
            return Some(slot);
        }
        let slot = self.take_slot(group)?;
        if !self.table.insert(slot, Record::reserved(group).with_held(true)) {
            self.broken("a group to be held did not fit the map");
            return None;
        }
        Some(slot)
    }

    /// Lets the bios of a held group go on, to where they would have gone. A slot that was taken only to hold it is free again,
    /// at once: lookups lead to no content before its entry is published.
    pub(in crate::engine) fn unhold(&mut self, group: Group) {
        let Some((slot, record)) = self.table.record_of(group) else { return };
        if record.is_reserved_hold() {
            let _ = self.table.remove(group);
            self.give_back(slot);
        } else {
            self.set_record(slot, record.with_held(false));
        }
    }
}
