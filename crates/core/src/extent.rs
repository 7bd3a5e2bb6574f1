//! Ranges of sectors; and physical blocks, with bisection on their boundaries: what failed as a whole is tried in ever smaller parts (S2, S5).

use core::num::NonZeroU32;

use crate::units::{sector_mask, Group, Sector, SECTORS_PER_BLOCK};

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
    pub(crate) fn end(&self) -> u64 {
        self.first.0.saturating_add(self.sectors)
    }

    /// The range as far as it lies on main, widened to whole units.
    pub(crate) fn widened(self, units: Units, main_sectors: u64) -> Range {
        let end = self.end().min(main_sectors);
        let first = units.of(self.first.0.min(end)).first;
        let end = units.of(end.saturating_sub(1)).end().max(end).min(main_sectors);
        Range { first, sectors: end.saturating_sub(first.0) }
    }

    /// The sectors of a group that lie in the range.
    pub(crate) fn mask(&self, group: Group) -> u8 {
        let first = group.first_sector().0;
        let from = self.first.0.max(first);
        let to = self.end().min(first + 8);
        match from < to {
            true => sector_mask((from - first) as u32, (to - from) as u32),
            false => 0,
        }
    }

    /// The groups that the range touches; none if it is empty.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        (self.first.0 / 8..self.end().div_ceil(8).max(self.first.0 / 8)).map(Group)
    }
}

/// How a device is divided into the units in which it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Units {
    /// Sectors of a unit.
    sectors: NonZeroU32,
    /// Sectors of the first unit that lie before sector 0, fewer than `sectors`.
    lead: u32,
}

impl Units {
    /// Slots.
    pub(crate) const SLOTS: Units = match NonZeroU32::new(SECTORS_PER_BLOCK) {
        Some(sectors) => Units { sectors, lead: 0 },
        None => Units { sectors: NonZeroU32::MIN, lead: 0 },
    };

    /// Units of so many sectors, of which the first that does not begin before sector 0 begins at `first`.
    pub(crate) fn new(sectors: NonZeroU32, first: u32) -> Units {
        let first = first % sectors;
        Units { sectors, lead: if first == 0 { 0 } else { sectors.get() - first } }
    }

    /// In one word, as long as a unit has fewer than 65,536 sectors.
    pub(crate) fn packed(self) -> u32 {
        self.sectors.get() << 16 | self.lead & 0xffff
    }

    /// The other way round; slots if there is nothing in the word.
    pub(crate) fn unpacked(word: u32) -> Units {
        match NonZeroU32::new(word >> 16) {
            Some(sectors) => Units { sectors, lead: word & 0xffff },
            None => Units::SLOTS,
        }
    }

    /// Sectors of a unit.
    pub(crate) const fn sectors(self) -> u32 {
        self.sectors.get()
    }

    /// The number of the unit that a sector lies in.
    pub(crate) fn nth_of(self, sector: u64) -> u64 {
        sector.saturating_add(self.lead.into()) / u64::from(self.sectors.get()).max(1)
    }

    /// The sectors of a unit, of the first only those from sector 0 on.
    pub(crate) fn nth(self, nth: u64) -> Range {
        let border =
            |nth: u64| nth.saturating_mul(self.sectors.get().into()).saturating_sub(self.lead.into());
        let first = border(nth);
        Range { first: Sector(first), sectors: border(nth.saturating_add(1)).saturating_sub(first) }
    }

    /// The unit that a sector lies in.
    pub(crate) fn of(self, sector: u64) -> Range {
        self.nth(self.nth_of(sector))
    }

    /// Whether all of the unit lies behind sector 0.
    pub(crate) fn is_whole(self, unit: &Range) -> bool {
        unit.sectors == u64::from(self.sectors.get())
    }

    /// How much of a run of `run` sectors from `at` on is tried at once: whole units, as many as `step_sectors` reaches, and at least to
    /// the end of the first. With a step of 0 it is no more than that.
    pub(crate) fn piece(self, at: u64, run: u32, step_sectors: u32) -> u32 {
        let first_end = self.of(at).end();
        let step_end = self.of(at.saturating_add(step_sectors.into())).first.0;
        run.min(first_end.max(step_end).saturating_sub(at) as u32)
    }

    /// Whether the `sectors` (at least 1) sectors from `at` on lie in one unit, so that they cannot be divided any more.
    pub(crate) fn is_one(self, at: u64, sectors: u32) -> bool {
        self.nth_of(at) == self.nth_of(at.saturating_add(sectors.max(1).into()).saturating_sub(1))
    }
}
