//! Where the content lives that is to be read.

use crate::engine::set::Engine;
use crate::extent::Units;
use crate::lookup::Run;
use crate::units::{sector_mask, Sector, Slot};

/// Where sectors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Main,
    /// In this slot and the following ones.
    Slot {
        slot: Slot,
    },
    /// Nowhere.
    Lost,
}

impl Source {
    /// The units in which the device fails.
    pub(super) fn units(self, engine: &Engine<'_>) -> Units {
        match self {
            Source::Main => engine.units(),
            Source::Slot { .. } | Source::Lost => Units::SLOTS,
        }
    }
}

/// Where the content of the sectors from `at` on lives now, and how many of `left` do so; `None` if their group is held.
pub(super) fn source_of(engine: &Engine<'_>, at: Sector, left: u32) -> Option<(Source, u32)> {
    Some(match engine.table.find(at, left) {
        Run::Main { sectors } | Run::Doubt { slot: None, sectors, .. } => (Source::Main, sectors),
        Run::Slot { slot, sectors } | Run::Doubt { slot: Some(slot), bad: false, sectors } => {
            (Source::Slot { slot }, sectors)
        }
        Run::Bad { slot, sectors } | Run::Doubt { slot: Some(slot), bad: true, sectors } => {
            let lost = (engine.lost_mask(slot) & sector_mask(0, at.in_group() + sectors)) >> at.in_group();
            match lost.trailing_zeros() {
                0 => (Source::Lost, lost.trailing_ones().min(sectors)),
                readable => (Source::Slot { slot }, readable.min(sectors)),
            }
        }
        Run::Held { .. } => return None,
    })
}
