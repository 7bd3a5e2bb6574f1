//! What relocation and release have in common: a range of main, worked on window by window.

use crate::engine::limits::WINDOW_GROUPS;
use crate::io::{Device, IoRequest, Op};
use crate::units::{sector_mask, Group, Sector};

/// For each group of a window, a mask of its sectors.
pub(super) type Masks = [u8; WINDOW_GROUPS as usize];
pub(super) const NO_SECTORS: Masks = [0; WINDOW_GROUPS as usize];

/// How many sectors the masks name.
pub(super) fn count(masks: &Masks) -> u64 {
    masks.iter().map(|m| u64::from(m.count_ones())).sum()
}

/// Part of a range that is worked on at once. Its content lies at the start of the context's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) at: Sector,
    pub(super) sectors: u32,
}

impl Window {
    /// The window that begins at `at`: to the next multiple of [`WINDOW_GROUPS`], in at most `groups` groups.
    pub(super) fn cut(at: Sector, end: u64, groups: u32) -> Window {
        let group = at.group().0;
        let next = (group / u64::from(WINDOW_GROUPS) + 1) * u64::from(WINDOW_GROUPS);
        let stop = next.min(group.saturating_add(groups.max(1).into()));
        let stop = Group(stop).first_sector().0.min(end).max(at.0);
        Window { at, sectors: (stop - at.0) as u32 }
    }

    pub(super) fn end(&self) -> u64 {
        self.at.0 + u64::from(self.sectors)
    }

    pub(super) fn group(&self, nth: usize) -> Group {
        Group(self.at.group().0 + nth as u64)
    }

    pub(super) fn last_group(&self) -> Group {
        Sector((self.at.0 + u64::from(self.sectors)).saturating_sub(1)).group()
    }

    /// Sectors of the `nth` group that lie in the window.
    pub(super) fn mask(&self, nth: usize) -> u8 {
        let first = self.group(nth).first_sector().0;
        let from = self.at.0.max(first);
        let to = self.end().min(first + 8);
        sector_mask((from - first) as u32, to.saturating_sub(from) as u32)
    }

    /// Ends the window before this sector.
    pub(super) fn cut_before(&mut self, sector: u64) {
        self.sectors = sector.saturating_sub(self.at.0).min(self.sectors.into()) as u32;
    }

    /// A request for sectors of the `nth` group, which lie at `first` in it, at their place in the window.
    pub(super) fn main_request(&self, op: Op, nth: usize, first: u32, sectors: u32) -> IoRequest {
        let sector = self.group(nth).first_sector().0 + u64::from(first);
        IoRequest { device: Device::Main, op, sector, sectors, buffer_sector: self.place(nth, first) }
    }

    /// Where a sector of the `nth` group lies in the buffer.
    pub(super) fn place(&self, nth: usize, first: u32) -> u32 {
        (self.group(nth).first_sector().0 + u64::from(first)).saturating_sub(self.at.0) as u32
    }
}
