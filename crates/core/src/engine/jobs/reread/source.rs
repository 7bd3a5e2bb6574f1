//! Where the content lives that is to be read.

use core::num::NonZeroU32;

use crate::engine::set::Engine;
use crate::lookup::Run;
use crate::units::{sector_mask, Sector, Slot, SECTORS_PER_BLOCK};

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
    /// The unit in which the device fails, in sectors.
    pub(super) fn unit(self, engine: &Engine<'_>) -> NonZeroU32 {
        match self {
            Source::Main => engine.unit_sectors(),
            Source::Slot { .. } | Source::Lost => {
                NonZeroU32::new(SECTORS_PER_BLOCK).unwrap_or(NonZeroU32::MIN)
            }
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
