//! What becomes of slots, seen from behind: when they are used anew (S9), and that none is lost sight of (S33).

use remap_core::gate::Lanes;
use remap_core::lookup::{Record, Table, Use};
use remap_core::units::{Group, Slot};

use crate::under_way::gate::Gate;

/// What is remembered of the slots that lookups lead to.
pub struct SlotWatch {
    /// Per slot: the group whose lookups led there when the map changed last.
    leads: Vec<Option<Group>>,
    /// Slots that lookups led to, for which group, and the last bio that may have been led there.
    left: Vec<(Slot, Group, u64)>,
    commits: Option<u64>,
}

impl SlotWatch {
    /// Nothing is known of a table.
    pub fn new(table: &Table<'_>) -> SlotWatch {
        SlotWatch { leads: vec![None; table.slots() as usize], left: Vec::new(), commits: None }
    }

    /// Looks at the slots after a step. A slot that lookups led to stays what they take it for until every bio has ended that was
    /// under way when they ceased to. `commits` tells whether the map may have changed.
    pub fn look(&mut self, table: &Table<'_>, gate: &Gate, commits: u64) -> Result<(), String> {
        if self.commits != Some(commits) {
            self.commits = Some(commits);
            self.map_changed(table, gate);
        }
        self.left.retain(|(_, _, last)| !gate.drained(*last, Lanes::ALL));
        for (slot, group, _) in &self.left {
            let same = |r: Record| matches!(r.usage(), Use::Mapped | Use::Reserved) && r.group() == *group;
            if !table.record(*slot).is_some_and(same) {
                return Err(format!(
                    "{slot:?} of {group:?} is given up while bios that it served are under way"
                ));
            }
        }
        Ok(())
    }

    fn map_changed(&mut self, table: &Table<'_>, gate: &Gate) {
        for (index, before) in self.leads.iter_mut().enumerate() {
            let slot = Slot(index as u32);
            let mapped = table.record(slot).filter(|r| r.usage() == Use::Mapped).map(Record::group);
            let now = mapped.filter(|g| table.record_of(*g).is_some_and(|(s, _)| s == slot));
            if let Some(group) = before.filter(|g| now != Some(*g)) {
                self.left.push((slot, group, gate.mark()));
            }
            *before = now;
        }
    }
}
