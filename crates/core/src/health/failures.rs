//! Events that a host tells of: failures, and successes that prove them to be of the place.
//!
//! A disk that is offline fails every read as one with a bad sector fails some. So a failure counts in the score only once main has
//! succeeded elsewhere, at the same time or within the evidence window after it.

use super::burst::Event;
use super::clock::{Now, DAY_S};
use super::counters::Counter;
use super::spot::{Spot, Waiting};
use super::state::Health;
use crate::error::ErrorKind;
use crate::evidence::Success;
use crate::format::MainShape;
use crate::pending::Pending;
use crate::units::{sector_mask, Group, Sector, SECTORS_PER_BLOCK, SECTOR_BYTES};

/// A failure is proved by a success within so many milliseconds.
pub const EVIDENCE_MS: u32 = 5000;

/// Whether a success began elsewhere than in a group.
fn is_elsewhere(success: Success, group: Group) -> bool {
    let first = group.first_sector().0;
    success.is_elsewhere(first, first.saturating_add(u64::from(SECTORS_PER_BLOCK)))
}

/// Sectors of a group, widened to logical blocks and cut at the end of main.
fn whole_blocks(shape: &MainShape, group: Group, mask: u8) -> u8 {
    let widened = if mask != 0 && shape.block_bytes != SECTOR_BYTES { 0xff } else { mask };
    widened & sector_mask(0, shape.sectors_in_group(group))
}

fn event(spot: &Spot, waiting: Waiting, ms: u64, age_s: u32) -> Event {
    Event { ms, age_s, group: spot.group(), medium: waiting.medium, write: waiting.write }
}

/// Only one of the two counts, by whether the device called it the medium's.
fn bump(medium: &mut u16, other: &mut u16, is_medium: bool) {
    let count = if is_medium { medium } else { other };
    *count = count.saturating_add(1);
}

impl Health<'_> {
    /// Sectors of a group (bit *s* for sector *s*) failed a read with all its repetitions. Sectors known to be unreadable are counted,
    /// and are no news.
    pub fn read_failed(&mut self, group: Group, mask: u8, kind: ErrorKind, now: Now) {
        let mask = whole_blocks(&self.store.shape, group, mask);
        if mask == 0 || !self.is_of_main(group, kind) {
            return;
        }
        self.count(Counter::ReadErrors, 1);
        let medium = kind == ErrorKind::Medium;
        let waiting = Waiting { read: true, write: false, medium };
        self.fail(group, waiting, now, |spot| {
            bump(&mut spot.counts.read_medium, &mut spot.counts.read_other, medium);
            let known = spot.is_proven() && mask & !spot.unreadable() == 0;
            spot.set_unreadable(spot.unreadable() | mask);
            spot.set_unverified(false);
            !known
        });
    }

    /// A write of a group failed with all its repetitions. One that goes on failing there is news once a day.
    pub fn write_failed(&mut self, group: Group, kind: ErrorKind, now: Now) {
        if !self.is_of_main(group, kind) {
            return;
        }
        self.count(Counter::WriteErrors, 1);
        let (medium, age_s) = (kind == ErrorKind::Medium, self.age_s());
        let waiting = Waiting { read: false, write: true, medium };
        self.fail(group, waiting, now, |spot| {
            let lately = age_s.saturating_sub(spot.seen_s()) < DAY_S;
            let known = spot.is_proven() && spot.counts.writes > 0 && lately;
            spot.counts.writes = spot.counts.writes.saturating_add(1);
            !known
        });
    }

    /// Content was read only by repeating.
    pub fn read_retried(&mut self, group: Group, now: Now) {
        if !self.is_within(group) {
            return;
        }
        self.count(Counter::RetriedReads, 1);
        let age_s = self.age_s();
        self.change(group, |spot| spot.counts.retried = spot.counts.retried.saturating_add(1));
        self.retried.add(Event { ms: now.mono_ms, age_s, group, medium: false, write: false });
    }

    /// A read was slow for its zone ([`super::Zones::sample`] said so).
    pub fn read_slow(&mut self, first: Sector, now: Now) {
        let group = first.group();
        if !self.is_within(group) {
            return;
        }
        self.count(Counter::SlowReads, 1);
        let age_s = self.age_s();
        self.change(group, |spot| spot.counts.slow = spot.counts.slow.saturating_add(1));
        self.slow.add(Event { ms: now.mono_ms, age_s, group, medium: false, write: false });
    }

    /// Sectors of a group went to a slot because a write of them failed.
    pub fn remapped(&mut self, sectors: u32) {
        self.count(Counter::RemappedSectors, u64::from(sectors));
    }

    /// Sectors of a group went to a slot before they failed.
    pub fn relocated(&mut self, group: Group, sectors: u32) {
        if !self.is_within(group) || sectors == 0 {
            return;
        }
        self.count(Counter::RelocatedSectors, u64::from(sectors));
        self.change(group, |spot| spot.counts.relocations = spot.counts.relocations.saturating_add(1));
    }

    /// A transfer on main has succeeded. A host tells of one in some milliseconds while [`Health::waits`], and of the latest before it tells
    /// of a failure.
    pub fn succeeded(&mut self, success: Success, now: Now) {
        self.success = success;
        let Some(ended_ms) = success.ended_ms().filter(|_| self.waiting > 0) else {
            return;
        };
        let age_s = self.age_s();
        let Health { spots, failures, .. } = self;
        let (mut proved, mut bursts) = (false, 0u64);
        spots.change_each(
            |spot| spot.waiting(now.mono_ms).is_some(),
            |spot| {
                let Some((waiting, waits_ms)) = spot.waiting(now.mono_ms) else { return };
                let failed_ms = now.mono_ms.saturating_sub(u64::from(waits_ms));
                let window = failed_ms..=failed_ms.saturating_add(u64::from(EVIDENCE_MS));
                if window.contains(&ended_ms) && is_elsewhere(success, spot.group()) {
                    spot.end_wait(true);
                    proved = true;
                    bursts = bursts
                        .saturating_add(u64::from(failures.add(event(spot, waiting, failed_ms, age_s))));
                }
            },
        );
        self.count(Counter::Bursts, bursts);
        if proved {
            // The sums are another.
            self.store.mark_head();
        }
        self.end_waits(now);
    }

    /// Whether failures wait for a proof.
    pub const fn waits(&self) -> bool {
        self.waiting > 0
    }

    /// Brings the unreadable sectors up to date: a sector that is no longer pending can be read, or was written.
    pub fn settle(&mut self, pending: &Pending<'_>) {
        let shape = self.store.shape;
        let stands = |spot: &Spot| {
            let group = spot.group();
            spot.unreadable() & whole_blocks(&shape, group, pending.mask(group))
        };
        self.spots.change_each(
            |spot| spot.unreadable() != 0 && !spot.is_unverified(),
            |spot| spot.set_unreadable(stands(spot)),
        );
    }

    /// The first group from `from` on with unreadable sectors of an earlier activation that were not tried since, and these sectors.
    pub fn next_unverified(&self, from: Group) -> Option<(Group, u8)> {
        let spots = self.spots.iter().filter(|spot| spot.is_unverified() && spot.group() >= from);
        spots.min_by_key(|spot| spot.group()).map(|spot| (spot.group(), spot.unreadable()))
    }

    /// Such a group was read, or written: of its sectors these still cannot be read.
    pub fn verified(&mut self, group: Group, unreadable: u8) {
        let unreadable = whole_blocks(&self.store.shape, group, unreadable);
        if self.spots.get(group).is_some_and(Spot::is_unverified) {
            self.spots.change(group, self.clock.age_s(), |spot| {
                spot.set_unverified(false);
                spot.set_unreadable(spot.unreadable() & unreadable);
            });
        }
    }

    fn is_within(&self, group: Group) -> bool {
        group.0 < self.store.shape.groups()
    }

    fn is_of_main(&mut self, group: Group, kind: ErrorKind) -> bool {
        if !kind.can_mean_medium() {
            self.count(Counter::OtherErrors, 1);
        }
        kind.can_mean_medium() && self.is_within(group)
    }

    fn change(&mut self, group: Group, f: impl FnOnce(&mut Spot)) {
        let (age_s, before) = (self.age_s(), self.spots.dropped());
        self.spots.change(group, age_s, |spot| {
            f(spot);
            spot.see(age_s);
        });
        self.count(Counter::SpotsDropped, self.spots.dropped().saturating_sub(before));
    }

    /// Notes a failure; `note` says whether it is news.
    fn fail(&mut self, group: Group, waiting: Waiting, now: Now, note: impl FnOnce(&mut Spot) -> bool) {
        let mut news = false;
        self.change(group, |spot| {
            news = note(spot);
            if news {
                spot.wait(waiting, now.mono_ms);
            }
        });
        if !news {
            return;
        }
        self.waiting = self.waiting.saturating_add(1);
        let success = self.success;
        let proved = success.ended_ms().is_some_and(|ms| ms >= now.mono_ms) && is_elsewhere(success, group);
        if proved {
            self.succeeded(success, now);
        }
    }

    /// Ends the waits that are over. Counts the others anew: spots that were given up wait no more.
    pub(super) fn end_waits(&mut self, now: Now) {
        if self.waiting == 0 {
            return;
        }
        let (mut over, mut waiting) = (0u32, 0u32);
        self.spots.change_each(
            |spot| spot.waiting(now.mono_ms).is_some(),
            |spot| match spot.waiting(now.mono_ms) {
                Some((_, ms)) if ms > EVIDENCE_MS => {
                    spot.end_wait(false);
                    over = over.saturating_add(1);
                }
                _ => waiting = waiting.saturating_add(1),
            },
        );
        self.waiting = waiting;
        self.count(Counter::Unproven, u64::from(over));
    }
}
