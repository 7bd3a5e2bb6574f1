//! The table of spots, found by group. When it is full the weakest is given up.

use super::spot::Spot;
use crate::lookup::hash;
use crate::units::Group;

/// Most spots of a set.
pub const SPOTS_MAX: usize = 4096;
/// Heads of the chains that spots are found by.
pub const HEADS: usize = 1024;
/// Spots in one block of the spare.
pub(super) const SPOTS_PER_BLOCK: usize = 125;

const NONE: u16 = u16::MAX;

const _: () = assert!(SPOTS_MAX < NONE as usize);

/// The table, in memory that the host set aside.
pub struct Spots<'a> {
    spots: &'a mut [Spot],
    heads: &'a mut [u16],
    free: u16,
    used: usize,
    dropped: u64,
    /// Blocks of the spare whose spots have changed, bit *n* for spots `125 * n` and on.
    changed: u64,
}

impl<'a> Spots<'a> {
    /// An empty table in `spots` (at most [`SPOTS_MAX`]) and `heads` (at least one); both are overwritten. `None` otherwise.
    pub fn new(spots: &'a mut [Spot], heads: &'a mut [u16]) -> Option<Spots<'a>> {
        if spots.is_empty() || spots.len() > SPOTS_MAX || heads.is_empty() {
            return None;
        }
        spots.fill(Spot::default());
        let mut table = Spots { spots, heads, free: NONE, used: 0, dropped: 0, changed: 0 };
        table.index();
        Some(table)
    }

    /// Number of spots.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Spots that were given up since activation because the table was full.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All spots, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().filter(|spot| spot.is_used())
    }

    /// The spot of a group.
    pub fn get(&self, group: Group) -> Option<&Spot> {
        self.spots.get(self.find(group)?)
    }

    /// The next spot from a group on, in order of groups. Looks at every spot.
    pub fn next_from(&self, group: Group) -> Option<&Spot> {
        self.iter().filter(|spot| spot.group() >= group).min_by_key(|spot| spot.group())
    }

    fn head(&self, group: Group) -> usize {
        hash(group).checked_rem(self.heads.len() as u64).unwrap_or(0) as usize
    }

    fn find(&self, group: Group) -> Option<usize> {
        let mut at = *self.heads.get(self.head(group))?;
        // A chain is never longer than the table.
        for _ in 0..self.spots.len() {
            let spot = self.spots.get(usize::from(at))?;
            if spot.group() == group {
                return Some(usize::from(at));
            }
            at = spot.next;
        }
        None
    }

    /// Changes the spot of a group, which there is afterwards.
    pub(super) fn change(&mut self, group: Group, age_s: u32, f: impl FnOnce(&mut Spot)) {
        let found = self.find(group);
        let Some(index) = found.or_else(|| self.insert(group, age_s)) else {
            return;
        };
        self.change_at(index, f);
    }

    /// Changes every spot for which `wanted` says so.
    pub(super) fn change_each(&mut self, wanted: impl Fn(&Spot) -> bool, mut f: impl FnMut(&mut Spot)) {
        for index in 0..self.spots.len() {
            if self.spots.get(index).is_some_and(|spot| spot.is_used() && wanted(spot)) {
                self.change_at(index, &mut f);
            }
        }
    }

    fn change_at(&mut self, index: usize, f: impl FnOnce(&mut Spot)) {
        if let Some(spot) = self.spots.get_mut(index) {
            let before = spot.to_bytes();
            f(spot);
            if spot.to_bytes() != before {
                self.mark(index);
            }
        }
    }

    fn mark(&mut self, index: usize) {
        let block = (index / SPOTS_PER_BLOCK) as u32;
        self.changed |= 1u64.checked_shl(block).unwrap_or(0);
    }

    fn insert(&mut self, group: Group, age_s: u32) -> Option<usize> {
        if self.free == NONE {
            let weakest = self.spots.iter().enumerate().min_by_key(|(_, spot)| spot.strength(age_s));
            let (index, _) = weakest?;
            self.remove(index);
            self.dropped = self.dropped.saturating_add(1);
        }
        let index = self.free;
        let head = self.head(group);
        let head = self.heads.get_mut(head)?;
        let spot = self.spots.get_mut(usize::from(index))?;
        self.free = spot.next;
        *spot = Spot::new(group, age_s, *head);
        *head = index;
        self.used = self.used.saturating_add(1);
        self.mark(usize::from(index));
        Some(usize::from(index))
    }

    fn remove(&mut self, index: usize) {
        let Some(&spot) = self.spots.get(index).filter(|spot| spot.is_used()) else {
            return;
        };
        let head = self.head(spot.group());
        let mut at = self.heads.get(head).copied().unwrap_or(NONE);
        if usize::from(at) == index {
            if let Some(head) = self.heads.get_mut(head) {
                *head = spot.next;
            }
        } else {
            for _ in 0..self.spots.len() {
                let Some(before) = self.spots.get_mut(usize::from(at)) else { break };
                if usize::from(before.next) == index {
                    before.next = spot.next;
                    break;
                }
                at = before.next;
            }
        }
        if let Some(place) = self.spots.get_mut(index) {
            *place = Spot::unused(self.free);
            self.free = index as u16;
        }
        self.used = self.used.saturating_sub(1);
        self.mark(index);
    }

    /// Blocks whose spots have changed since the last call, as bits.
    pub(super) fn take_changed(&mut self) -> u64 {
        core::mem::take(&mut self.changed)
    }

    /// The spots of a block of the spare, as they are saved.
    pub(super) fn block(&self, block: usize) -> impl Iterator<Item = &Spot> {
        self.spots.iter().skip(block.saturating_mul(SPOTS_PER_BLOCK)).take(SPOTS_PER_BLOCK)
    }

    /// The places of a block of the spare, to be read into. [`Spots::index`] has to follow.
    pub(super) fn block_mut(&mut self, block: usize) -> impl Iterator<Item = &mut Spot> {
        self.spots.iter_mut().skip(block.saturating_mul(SPOTS_PER_BLOCK)).take(SPOTS_PER_BLOCK)
    }

    /// Makes chains of the spots in the table. Of two spots of one group the one seen later stays.
    pub(super) fn index(&mut self) {
        self.heads.fill(NONE);
        (self.free, self.used) = (NONE, 0);
        for index in (0..self.spots.len()).rev() {
            let Some(&spot) = self.spots.get(index) else { continue };
            if !spot.is_used() {
                self.set_free(index);
                continue;
            }
            match self.find(spot.group()) {
                None => self.link(index),
                Some(other) if self.spots.get(other).is_some_and(|o| o.seen_s() >= spot.seen_s()) => {
                    self.set_free(index);
                    self.mark(index);
                }
                Some(other) => {
                    self.remove(other);
                    self.link(index);
                }
            }
        }
    }

    fn link(&mut self, index: usize) {
        let Some(group) = self.spots.get(index).map(Spot::group) else { return };
        let head = self.head(group);
        if let (Some(head), Some(spot)) = (self.heads.get_mut(head), self.spots.get_mut(index)) {
            spot.next = *head;
            *head = index as u16;
            self.used = self.used.saturating_add(1);
        }
    }

    fn set_free(&mut self, index: usize) {
        if let Some(place) = self.spots.get_mut(index) {
            *place = Spot::unused(self.free);
            self.free = index as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;

    #[test]
    fn a_full_table_gives_up_the_weakest_and_counts_it() {
        let (mut spots, mut heads) = (vec![Spot::default(); 10], vec![0; 4]);
        let mut table = Spots::new(&mut spots, &mut heads).unwrap();
        for group in 0..10 {
            table.change(Group(group), 5, |s| s.counts.read_other = 10 + group as u16);
        }
        table.change(Group(3), 5, |s| s.counts.read_other = 1);
        table.change(Group(0), 5, |s| {
            s.counts.read_other = 0;
            s.set_unreadable(1);
        });
        table.change(Group(99), 6, |s| s.counts.slow = 1);
        assert_eq!((table.used(), table.dropped()), (10, 1));
        assert!(table.get(Group(3)).is_none() && table.get(Group(99)).is_some());
        assert!(table.get(Group(0)).is_some(), "what is unreadable is never the weakest");
        assert_eq!(table.next_from(Group(10)).map(Spot::group), Some(Group(99)));
    }

    #[test]
    fn evidence_loses_strength_with_age() {
        let mut spot = Spot::new(Group(1), 100, 0);
        spot.counts.writes = u16::MAX;
        let year = 365 * 86_400;
        assert!(spot.strength(100) > spot.strength(year) && spot.strength(year) > spot.strength(4 * year));
        assert_eq!(spot.strength(0), spot.strength(100));
        spot.counts = super::super::spot::SpotCounts { read_medium: u16::MAX, ..spot.counts };
        spot.set_unreadable(0xff);
        assert!(spot.strength(u32::MAX) >= u32::MAX / 2);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_map(ops in proptest::collection::vec((0u64..60, any::<bool>()), 1..300)) {
            let (mut spots, mut heads) = (vec![Spot::default(); 40], vec![0; 8]);
            let mut table = Spots::new(&mut spots, &mut heads).unwrap();
            let mut model: BTreeMap<u64, u16> = BTreeMap::new();
            let mut dropped = 0;
            for (group, again) in ops {
                table.change(Group(group), 0, |s| s.counts.slow += 1);
                if !model.contains_key(&group) && model.len() == 40 {
                    let weakest = model.keys().copied().find(|g| table.get(Group(*g)).is_none());
                    let weakest = weakest.expect("one was given up");
                    let least = model.values().min().copied();
                    prop_assert_eq!(model.remove(&weakest), least);
                    dropped += 1;
                }
                *model.entry(group).or_default() += 1;
                if again {
                    table.index();
                }
            }
            let found: BTreeMap<u64, u16> = table.iter().map(|s| (s.group().0, s.counts.slow)).collect();
            prop_assert_eq!((found, table.used(), table.dropped()), (model.clone(), model.len(), dropped));
            prop_assert!(model.keys().all(|g| table.get(Group(*g)).is_some()));
        }
    }
}
