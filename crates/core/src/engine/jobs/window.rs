//! What relocation and release have in common: a range of main, worked on window by window.

use core::num::{NonZeroU32, NonZeroU64};

use crate::engine::limits::WINDOW_GROUPS;
use crate::io::{Device, IoRequest, Op};
use crate::units::{sector_mask, Group, Sector};

/// Most sectors that one message names.
pub const MESSAGE_SECTORS_MAX: u64 = 65_536;

/// Sectors of main, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First sector.
    pub first: Sector,
    /// Length in sectors.
    pub sectors: u64,
}

impl Range {
    /// What a message names. `None` if the length is 0 or above [`MESSAGE_SECTORS_MAX`], or if the range goes past the end of main.
    pub fn of_message(first: u64, sectors: u64, main_sectors: u64) -> Option<Range> {
        let fits = first.checked_add(sectors).is_some_and(|end| end <= main_sectors);
        let range = Range { first: Sector(first), sectors };
        (fits && 0 < sectors && sectors <= MESSAGE_SECTORS_MAX).then_some(range)
    }

    /// The first sector after the range.
    pub(super) fn end(&self) -> u64 {
        self.first.0.saturating_add(self.sectors)
    }

    /// The range as far as it lies on main, widened to whole units.
    pub(super) fn widened(self, unit: NonZeroU32, main_sectors: u64) -> Range {
        let unit = NonZeroU64::from(unit);
        let end = self.end().min(main_sectors);
        let first = self.first.0.min(end);
        let widened = (first / unit * unit.get(), end.div_ceil(unit.get()).saturating_mul(unit.get()));
        Range { first: Sector(widened.0), sectors: widened.1.min(main_sectors).saturating_sub(widened.0) }
    }

    /// The sectors of a group that lie in the range.
    pub(super) fn mask(&self, group: Group) -> u8 {
        let first = group.first_sector().0;
        let from = self.first.0.max(first);
        let to = self.end().min(first + 8);
        match from < to {
            true => sector_mask((from - first) as u32, (to - from) as u32),
            false => 0,
        }
    }

    /// The groups that the range touches; none if it is empty.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        (self.first.0 / 8..self.end().div_ceil(8).max(self.first.0 / 8)).map(Group)
    }
}

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

    /// Ends the window before its `nth` group.
    pub(super) fn cut_before(&mut self, nth: usize) {
        let sectors = self.group(nth).first_sector().0.saturating_sub(self.at.0);
        self.sectors = sectors.min(self.sectors.into()) as u32;
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
