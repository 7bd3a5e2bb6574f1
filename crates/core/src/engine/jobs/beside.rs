//! What a write to main may cost that it does not carry (S32).
//!
//! A disk fails, and spoils, whole physical blocks: to write a part of one it reads the rest, changes it and writes all of it. So before a
//! part is written, what lives on main beside it is known, and either goes to slots first or is kept at hand.

use super::window::{Masks, Window, NO_SECTORS};
use crate::engine::set::Engine;
use crate::extent::Range;
use crate::units::{sector_mask, Group, Sector};

/// Most groups that one physical block touches.
pub(super) const UNIT_GROUPS_MAX: usize = 9;

impl Engine<'_> {
    /// The physical block of main that a sector lies in, as far as main reaches.
    pub(super) fn unit_of(&self, sector: u64) -> Range {
        let unit = self.units().of(sector);
        let end = unit.end().min(self.shape().sectors);
        Range { sectors: end.saturating_sub(unit.first.0), ..unit }
    }

    /// The physical blocks that lie in `range` as a whole.
    pub(super) fn whole_units_in(&self, range: &Range) -> Range {
        let (first_unit, last_unit) = (self.unit_of(range.first.0), self.unit_of(range.end()));
        let first = if first_unit.first < range.first { first_unit.end() } else { range.first.0 };
        // Where main ends, so does the block.
        let end = if range.end() >= self.shape().sectors { range.end() } else { last_unit.first.0 };
        Range { first: Sector(first), sectors: end.saturating_sub(first) }
    }

    /// Sectors of a group that live on main.
    pub(super) fn on_main(&self, group: Group) -> u8 {
        let left = self.shape().sectors.saturating_sub(group.first_sector().0).min(8) as u32;
        sector_mask(0, left) & !self.table.record_of(group).map_or(0, |(_, record)| record.mask())
    }

    /// Whether sectors of `range` that lie in this physical block are in slots and have content that can go back.
    fn goes_back(&self, unit: &Range, range: &Range) -> bool {
        unit.groups().any(|group| {
            self.table.record_of(group).is_some_and(|(slot, record)| {
                record.mask() & !self.lost_mask(slot) & unit.mask(group) & range.mask(group) != 0
            })
        })
    }

    /// The sectors of a window that live on main in physical blocks to which something of `range` is to go back.
    pub(super) fn beside(&self, window: &Window, range: &Range) -> Masks {
        let mut beside = NO_SECTORS;
        let mut at = window.at.0;
        while at < window.end() {
            let unit = self.unit_of(at);
            if self.goes_back(&unit, range) {
                for (nth, mask) in beside.iter_mut().enumerate() {
                    let group = window.group(nth);
                    *mask |= self.on_main(group) & unit.mask(group) & window.mask(nth);
                }
            }
            at = unit.end().max(at + 1);
        }
        beside
    }

    /// Takes out of `from` every sector whose physical block has a sector in `of`, and puts them into `to`.
    pub(super) fn spread(&self, window: &Window, of: &Masks, from: &mut Masks, to: &mut Masks) {
        let mut at = window.at.0;
        while at < window.end() {
            let unit = self.unit_of(at);
            let mask = |nth: usize| unit.mask(window.group(nth));
            if of.iter().enumerate().any(|(nth, of)| of & mask(nth) != 0) {
                for (nth, (from, to)) in from.iter_mut().zip(to.iter_mut()).enumerate() {
                    *to |= *from & mask(nth);
                    *from &= !mask(nth);
                }
            }
            at = unit.end().max(at + 1);
        }
    }
}

impl Window {
    /// The same window, cut between physical blocks: it ends with a whole one.
    pub(super) fn in_whole_units(self, engine: &Engine<'_>, end: u64) -> Window {
        let last = engine.unit_of(self.end());
        let stop = if last.first.0 > self.at.0 { last.first.0 } else { engine.unit_of(self.at.0).end() };
        let stop = if self.end() >= end { end } else { stop.min(end) };
        Window { sectors: stop.saturating_sub(self.at.0) as u32, ..self }
    }
}
