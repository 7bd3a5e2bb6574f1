//! Changes whose commit failed and may have landed (S13).

use super::changes::{Change, Kind, Stage};
use super::queue::block_of;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::lookup::Record;

impl Engine<'_> {
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

    pub(super) fn set_doubt(&mut self, change: &Change, doubt: bool) {
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
