//! Telling what is mapped, for messages and the tool.

use crate::engine::set::Engine;
use crate::lookup::{Record, Run, Use};
use crate::units::{sector_mask, Group, Sector, Slot};

/// What is known of some sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorState {
    /// On main.
    Main,
    /// On main, which failed to read it and has not been written since.
    Pending,
    /// In a slot.
    Mapped,
    /// In a slot that failed to read them.
    Suspect,
    /// Lost.
    Lost,
}

impl SectorState {
    /// The word of `list` and `query`.
    pub const fn name(self) -> &'static str {
        match self {
            SectorState::Main => "main",
            SectorState::Pending => "pending",
            SectorState::Mapped => "mapped",
            SectorState::Suspect => "suspect",
            SectorState::Lost => "lost",
        }
    }
}

/// Sectors of one group, one behind the other, in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// First sector.
    pub sector: Sector,
    /// Length in sectors, 1 to 8.
    pub sectors: u32,
    /// What is known of them.
    pub state: SectorState,
    /// The slot they live in, and its sector of the spare's region where `sector` is.
    pub place: Option<(Slot, u64)>,
}

impl Engine<'_> {
    /// The mapped groups from `from` on in ascending order, as many as fit into `out`; returns how many. Looks at every slot
    /// once.
    pub fn list_groups(&self, from: Group, out: &mut [(Group, Slot)]) -> usize {
        let mut len = 0;
        for index in 0..self.table.slots() {
            let slot = Slot(index);
            let Some(record) = self.table.record(slot).filter(|r| r.usage() == Use::Mapped) else { continue };
            let group = record.group();
            // A slot that was given up and not retired yet is not where its group lives.
            let serves = || self.table.record_of(group).is_some_and(|(s, _)| s == slot);
            if group < from || !serves() {
                continue;
            }
            let at = out.get(..len).map_or(0, |sorted| sorted.partition_point(|(g, _)| *g < group));
            let last = (len + 1).min(out.len());
            let mut moved = (group, slot);
            for place in out.iter_mut().take(last).skip(at) {
                core::mem::swap(place, &mut moved);
            }
            len = last;
        }
        len
    }

    /// The runs of a mapped group, in order; `None` after the last.
    pub fn list_run(&self, slot: Slot, from: u32) -> Option<Listed> {
        let record = self.table.record(slot).filter(|r| r.usage() == Use::Mapped)?;
        let first = from + (record.mask().checked_shr(from)?).trailing_zeros();
        if first >= 8 {
            return None;
        }
        let state = |s: u32| self.sector_state(slot, record, s);
        let mut count = 1;
        while first + count < 8 && state(first + count) == state(first) {
            count += 1;
        }
        Some(Listed {
            sector: Sector(record.group().first_sector().0 + u64::from(first)),
            sectors: count,
            state: state(first),
            place: Some((slot, self.geometry().slot_block(slot).first_sector() + u64::from(first))),
        })
    }

    fn sector_state(&self, slot: Slot, record: Record, sector_in_group: u32) -> SectorState {
        let bit = sector_mask(sector_in_group, 1);
        if record.mask() & bit == 0 {
            SectorState::Main
        } else if self.lost_mask(slot) & bit != 0 {
            SectorState::Lost
        } else if record.bad() & bit != 0 {
            SectorState::Suspect
        } else {
            SectorState::Mapped
        }
    }

    /// What is known of one sector.
    pub fn query(&self, sector: Sector) -> Listed {
        let pending = self.pending.is_pending(sector);
        let state = if pending { SectorState::Pending } else { SectorState::Main };
        let on_main = Listed { sector, sectors: 1, state, place: None };
        let Some((slot, record)) = self.table.record_of(sector.group()) else { return on_main };
        match self.sector_state(slot, record, sector.in_group()) {
            SectorState::Main => on_main,
            state => {
                let at = self.geometry().slot_block(slot).first_sector() + u64::from(sector.in_group());
                Listed { sector, sectors: 1, state, place: Some((slot, at)) }
            }
        }
    }

    /// Whether writes to a sector are refused because a commit of its group may have landed (S13).
    pub fn is_in_doubt(&self, sector: Sector) -> bool {
        matches!(self.table.find(sector, 1), Run::Doubt { .. })
    }
}
