//! Holding groups: bios for a held group wait, so that its content can be moved (S9).

use super::machine::Drain;
use super::order::{Masks, Window};
use super::{Engine, WINDOW_GROUPS};
use crate::gate::Lanes;
use crate::lookup::Record;
use crate::units::{Group, Slot};

/// The longest that users of held groups wait for what they have nothing to do with, in milliseconds: a disk can take half a minute over a write
/// that is under way or a sector beside theirs, and who holds a group for something that can be done later lets go of it then.
pub(super) const HELD_MS: u64 = 500;
/// How often an order holds the groups of a window and lets go of them again before it stops there.
const HOLD_TRIES: u32 = 8;

impl Engine<'_> {
    /// Lets new bios of `group` wait from now on; writes that were directed before have ended after a drain. The caller has
    /// claimed the group. Returns the slot that serves it, or one that was taken so that it can be held: that one
    /// belongs to the caller, who maps it or lets it go with [`Engine::unhold`]. `None`: the group has no slot and none is
    /// free, or a commit of it is in doubt (S13).
    #[must_use]
    pub(super) fn hold(&mut self, group: Group) -> Option<Slot> {
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
    pub(super) fn unhold(&mut self, group: Group) {
        let Some((slot, record)) = self.table.record_of(group) else { return };
        if record.is_reserved_hold() {
            let _ = self.table.remove(group);
            self.give_back(slot);
        } else {
            self.set_record(slot, record.with_held(false));
        }
    }

    /// Writes under way take too long for users of the wanted groups of a window to wait: lets go of all that `context` claimed and held
    /// for an order. The drain after which it may try again, or `None` if it has tried often enough: nothing
    /// was moved then, and the next order begins with this window.
    #[must_use]
    pub(super) fn make_way(
        &mut self,
        context: u8,
        window: &mut Window,
        wanted: &Masks,
        tries: &mut u32,
    ) -> Option<Drain> {
        for (nth, _) in wanted.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            self.unhold(window.group(nth));
        }
        self.unclaim(usize::from(context));
        *tries += 1;
        let drain = (*tries < HOLD_TRIES).then(|| Drain::of_order(self.writes_to(window)));
        if drain.is_none() {
            window.sectors = 0;
        }
        drain
    }

    /// The window of an order ends before its `nth` group: what was held behind is not any more, and the masks say nothing of it.
    pub(super) fn cut_window<const N: usize>(
        &mut self,
        window: &mut Window,
        nth: usize,
        mut masks: [&mut Masks; N],
    ) {
        for behind in nth..WINDOW_GROUPS as usize {
            let mut any = 0;
            for mask in masks.iter_mut().filter_map(|masks| masks.get_mut(behind)) {
                any |= core::mem::take(mask);
            }
            if any != 0 {
                self.unhold(window.group(behind));
            }
        }
        window.cut_before(nth);
    }

    /// The lanes of all writes to a window.
    pub(super) fn writes_to(&self, window: &Window) -> Lanes {
        self.regions().writes_to(window.at.group(), window.last_group())
    }
}
