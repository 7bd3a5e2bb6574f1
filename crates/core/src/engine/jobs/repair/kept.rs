//! What is kept at hand of a physical block while a part of it is written (S32).

use crate::engine::jobs::beside::UNIT_GROUPS_MAX;
use crate::engine::jobs::protocol::{KEPT_SECTOR, KEPT_WIDE_SECTOR};
use crate::error::ErrorKind;
use crate::extent::Range;
use crate::units::{Group, Sector, SECTORS_PER_BLOCK};

/// What the write is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum For {
    /// None is made.
    #[default]
    Nothing,
    /// To ask main whether it takes writes; it carries all that is kept.
    Asking,
    /// To store so many sectors of the window at its cursor.
    Storing(u32),
}

/// The physical block of which content is kept, and of each of its groups the sectors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) what_for: For,
    pub(super) unit: Range,
    pub(super) masks: [u8; UNIT_GROUPS_MAX],
    /// Sectors that could not be read again; and whether groups of them wait for a commit.
    pub(super) spoilt: [u8; UNIT_GROUPS_MAX],
    pub(super) queued: bool,
    /// From where the next sectors are read.
    pub(super) at: u64,
    /// The write has failed, once at least; and it was made in the end.
    pub(super) failed: bool,
    pub(super) stored: bool,
    /// The error after which the write is not tried again, if that was none of the medium.
    pub(super) error: Option<ErrorKind>,
}

impl Kept {
    pub(super) fn new(what_for: For, unit: Range, mask_of: impl Fn(Group) -> u8) -> Kept {
        let mut masks = [0; UNIT_GROUPS_MAX];
        for (mask, group) in masks.iter_mut().zip(unit.groups()) {
            *mask = mask_of(group) & unit.mask(group);
        }
        Kept { what_for, unit, masks, at: unit.first.0, ..Kept::default() }
    }

    pub(super) fn group(&self, nth: usize) -> Group {
        Group(self.unit.first.group().0 + nth as u64)
    }

    /// The groups of which something is kept.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.masks.iter().enumerate().filter(|(_, mask)| **mask != 0).map(|(nth, _)| self.group(nth))
    }

    pub(super) fn has(&self, sector: u64) -> bool {
        let nth = Sector(sector).group().0.checked_sub(self.unit.first.group().0);
        let mask = nth.and_then(|n| self.masks.get(usize::try_from(n).ok()?)).copied().unwrap_or(0);
        mask & (1 << Sector(sector).in_group()) != 0
    }

    /// The next sectors that lie together, up to the end of their group if it is to be `by_group`: the first and how many.
    pub(super) fn run(&self, by_group: bool) -> Option<(u64, u32)> {
        let end = self.unit.end();
        let first = (self.at..end).find(|s| self.has(*s))?;
        let stop = if by_group { end.min((first / 8 + 1) * 8) } else { end };
        let behind = (first..stop).find(|s| !self.has(*s)).unwrap_or(stop);
        Some((first, (behind - first) as u32))
    }

    /// Where in the buffer it is kept.
    pub(super) fn base(&self) -> u32 {
        match self.unit.sectors <= u64::from(SECTORS_PER_BLOCK) {
            true => KEPT_SECTOR,
            false => KEPT_WIDE_SECTOR,
        }
    }

    /// Where in the buffer a sector is kept.
    pub(super) fn place(&self, sector: u64) -> u32 {
        self.base().saturating_add(sector.saturating_sub(self.unit.first.0) as u32)
    }

    /// Notes that sectors of one group cannot be read any more.
    pub(super) fn spoil(&mut self, first: u64, sectors: u32) {
        let nth = Sector(first).group().0.saturating_sub(self.unit.first.group().0) as usize;
        let range = Range { first: Sector(first), sectors: sectors.into() };
        if let Some(spoilt) = self.spoilt.get_mut(nth) {
            *spoilt |= range.mask(Sector(first).group());
        }
    }
}
