//! The table: any number of readers, one writer.

use core::num::{NonZeroU32, NonZeroU64};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::record::{bad_bits, Record, Use};
use super::sizes::TableSizes;
use crate::units::{Group, Sector, Slot, SLOTS_MAX};

const EMPTY: u32 = u32::MAX;
const DELETED: u32 = u32::MAX - 1;
const SLOT_MASK: u32 = (1 << 24) - 1;
/// Groups that one question looks at; the answer is a prefix of the range, so a longer one asks again.
const GROUPS_PER_QUESTION: u64 = 1024;
/// Groups of a region that are asked for when a release may have emptied it.
const SWEEP_GROUPS_MAX: u64 = 65_536;

/// What comes first in a range of sectors. `sectors` is at least 1 and at most the length asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Nothing mapped: main.
    Main {
        /// Length of the run.
        sectors: u32,
    },
    /// In slots, one behind the other.
    Slot {
        /// The slot of the first sector.
        slot: Slot,
        /// Length of the run; it may go on into the following slots.
        sectors: u32,
    },
    /// In one slot, suspect or lost: reads must ask which, writes must go elsewhere.
    Bad {
        /// The slot.
        slot: Slot,
        /// Length of the run, within one group.
        sectors: u32,
    },
    /// The group is held: the bio waits.
    Held {
        /// Length of the run, within one group.
        sectors: u32,
    },
    /// A commit of the group may have landed: writes fail; reads go where `slot` says.
    Doubt {
        /// Where the sectors can be read: a slot, or main.
        slot: Option<Slot>,
        /// In that slot they are suspect or lost: reads must ask which.
        bad: bool,
        /// Length of the run, within one group.
        sectors: u32,
    },
}

impl Run {
    /// Length of the run in sectors.
    pub const fn sectors(self) -> u32 {
        match self {
            Run::Main { sectors }
            | Run::Slot { sectors, .. }
            | Run::Bad { sectors, .. }
            | Run::Held { sectors }
            | Run::Doubt { sectors, .. } => sectors,
        }
    }
}

/// The lookup table over arrays that the host set aside. Copies share the arrays.
///
/// Readers may call [`Table::find`], [`Table::record_of`] and [`Table::mark_suspect`] at any time. The methods that change the
/// map belong to one writer, which [`crate::engine::Engine`] is.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    records: &'a [AtomicU64],
    buckets: &'a [AtomicU32],
    summary: &'a [AtomicU64],
    /// Power of two of groups that share a bit of the summary.
    region_shift: u32,
    /// Slots that lie one behind the other on the spare: a run may not go on past the last of them.
    slots_per_area: NonZeroU32,
}

/// 64 well-mixed bits of a group number (the finaliser of SplitMix64, by Vigna, public domain).
pub(crate) const fn hash(group: Group) -> u64 {
    let mut x = group.0;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl<'a> Table<'a> {
    /// An empty table for a main of `groups` groups. `None` if an array is not of the size that [`TableSizes`] says or
    /// a number is out of range. The arrays are overwritten.
    pub fn new(
        records: &'a [AtomicU64],
        buckets: &'a [AtomicU32],
        summary: &'a [AtomicU64],
        groups: u64,
        slots_per_area: u32,
    ) -> Option<Table<'a>> {
        let slots = u32::try_from(records.len()).ok()?;
        let sizes = TableSizes::for_slots(slots);
        let fits = slots <= SLOTS_MAX && buckets.len() == sizes.buckets && summary.len() == sizes.summary;
        if !fits || groups == 0 || groups - 1 > Group::MAX.0 {
            return None;
        }
        let slots_per_area = NonZeroU32::new(slots_per_area)?;
        // Never 0, which not every compiler sees by itself.
        let bits = NonZeroU64::new(summary.len() as u64 * 64)?;
        let groups_per_bit = (groups - 1) / bits + 1;
        let region_shift = groups_per_bit.next_power_of_two().trailing_zeros();
        buckets.iter().for_each(|b| b.store(EMPTY, Ordering::Relaxed));
        summary.iter().for_each(|w| w.store(0, Ordering::Relaxed));
        Some(Table { records, buckets, summary, region_shift, slots_per_area })
    }

    /// Number of slots.
    pub fn slots(&self) -> u32 {
        self.records.len() as u32
    }

    /// The record of a slot; `None` past the last slot.
    #[inline]
    pub fn record(&self, slot: Slot) -> Option<Record> {
        self.records.get(slot.0 as usize).map(|w| Record::from_word(w.load(Ordering::Acquire)))
    }

    /// The slot that serves `group`, with its record.
    #[inline]
    pub fn record_of(&self, group: Group) -> Option<(Slot, Record)> {
        self.probe(group).map(|(_, slot, record)| (slot, record))
    }

    /// What comes first in the range of `sectors` (at least 1) sectors from `first` on.
    #[inline]
    pub fn find(&self, first: Sector, sectors: u32) -> Run {
        let last = Sector(first.0.saturating_add(u64::from(sectors.max(1)) - 1));
        if self.summary_is_clear(first.group(), last.group()) {
            return Run::Main { sectors };
        }
        self.find_in_groups(first, sectors)
    }

    /// The part of [`Table::find`] behind the summary: one probe per group.
    fn find_in_groups(&self, first: Sector, sectors: u32) -> Run {
        let end = first.0.saturating_add(u64::from(sectors));
        let mut at = first;
        let mut group = first.group();
        while at.0 < end {
            if group.0 - first.group().0 >= GROUPS_PER_QUESTION {
                break;
            }
            if self.region_is_clear(group) {
                group = Group(((group.0 >> self.region_shift) + 1) << self.region_shift);
                at = group.first_sector();
                continue;
            }
            let stop = (group.first_sector().0 + 8).min(end);
            if let Some((slot, record)) = self.record_of(group) {
                let clear = self.clear_prefix(record, at, stop);
                if clear < stop - at.0 || record.in_doubt() || record.is_held() {
                    let before = at.0 + clear - first.0;
                    if before > 0 {
                        return Run::Main { sectors: before as u32 };
                    }
                    return self.run_in(slot, record, at, end);
                }
            }
            group = Group(group.0 + 1);
            at = group.first_sector();
        }
        Run::Main { sectors: (at.0.min(end) - first.0) as u32 }
    }

    /// How many sectors from `at` on, up to `stop` in the same group, are not the record's business.
    fn clear_prefix(&self, record: Record, at: Sector, stop: u64) -> u64 {
        if record.is_held() || record.in_doubt() {
            return 0;
        }
        let ahead = record.mask() >> at.in_group();
        u64::from(ahead.trailing_zeros()).min(stop - at.0)
    }

    /// The run that begins at `at`, whose first sector is the business of `record`.
    fn run_in(&self, slot: Slot, record: Record, at: Sector, end: u64) -> Run {
        let from = at.in_group();
        let stop = (at.group().first_sector().0 + 8).min(end);
        let rest = (stop - at.0) as u32;
        if record.is_held() {
            return Run::Held { sectors: rest };
        }
        let mask = record.mask() >> from;
        let bad = record.bad() >> from;
        let run_of = |bits: u8| bits.trailing_ones().min(rest);
        if record.in_doubt() {
            let alike = |bits: u8| if bits & 1 != 0 { bits } else { !bits };
            let sectors = run_of(alike(mask) & alike(bad));
            return Run::Doubt { slot: (mask & 1 != 0).then_some(slot), bad: bad & mask & 1 != 0, sectors };
        }
        if bad & mask & 1 != 0 {
            return Run::Bad { slot, sectors: run_of(bad & mask) };
        }
        let sectors = run_of(mask & !bad);
        if from + sectors == 8 && at.0 + u64::from(sectors) < end {
            return Run::Slot { slot, sectors: sectors + self.following(slot, at.group(), end) };
        }
        Run::Slot { slot, sectors }
    }

    /// Sectors of the groups after `group` that lie in the slots after `slot`, without a gap.
    fn following(&self, slot: Slot, group: Group, end: u64) -> u32 {
        let mut total = 0;
        let (mut slot, mut group) = (slot, group);
        for _ in 0..GROUPS_PER_QUESTION {
            let next = Slot(slot.0 + 1);
            group = Group(group.0 + 1);
            let first = group.first_sector().0;
            if first >= end || next.0 % self.slots_per_area == 0 {
                break;
            }
            let Some((found, record)) = self.record_of(group) else { break };
            if found != next || record.is_held() || record.in_doubt() {
                break;
            }
            let want = (end - first).min(8) as u32;
            let here = (record.mask() & !record.bad()).trailing_ones().min(want);
            total += here;
            if here < 8 {
                break;
            }
            slot = next;
        }
        total
    }

    /// Records that sectors of a slot failed to read (S3): memory only, and safe to call while holding the gate, since
    /// a record does not change its group before a drain.
    pub fn mark_suspect(&self, slot: Slot, mask: u8) {
        if let Some(word) = self.records.get(slot.0 as usize) {
            let record = Record::from_word(word.load(Ordering::Acquire));
            if record.usage() == Use::Mapped {
                word.fetch_or(bad_bits(mask & record.mask()), Ordering::AcqRel);
            }
        }
    }

    #[inline]
    fn summary_is_clear(&self, first: Group, last: Group) -> bool {
        let (from, to) = (first.0 >> self.region_shift, last.0 >> self.region_shift);
        if from == to {
            return self.region_is_clear(first);
        }
        to - from < 64 && (from..=to).all(|r| self.region_is_clear(Group(r << self.region_shift)))
    }

    #[inline]
    fn region_is_clear(&self, group: Group) -> bool {
        let region = group.0 >> self.region_shift;
        match self.summary.get((region / 64) as usize) {
            Some(word) => word.load(Ordering::Acquire) & (1 << (region % 64)) == 0,
            // Past the end of main: nothing can be mapped there.
            None => true,
        }
    }

    /// Finds the bucket of `group`: its place, the slot and the record.
    #[inline]
    fn probe(&self, group: Group) -> Option<(usize, Slot, Record)> {
        let h = hash(group);
        let tag = (h as u32) & !SLOT_MASK;
        let mut place = self.home(h);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(place)?.load(Ordering::Acquire);
            if bucket == EMPTY {
                return None;
            }
            // DELETED has a tag as well; its slot number is past the last slot, so `record` says no.
            if bucket & !SLOT_MASK == tag {
                let slot = Slot(bucket & SLOT_MASK);
                match self.record(slot) {
                    Some(record) if record.serves(group) => return Some((place, slot, record)),
                    _ => {}
                }
            }
            place = self.after(place);
        }
        None
    }

    #[inline]
    fn home(&self, h: u64) -> usize {
        (((h >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.buckets.len() {
            0
        } else {
            place + 1
        }
    }
}

/// The writer's half.
impl Table<'_> {
    /// Stores a record that no bucket leads to, or a new state of the same group.
    pub fn set_record(&self, slot: Slot, record: Record) {
        if let Some(word) = self.records.get(slot.0 as usize) {
            word.store(record.word(), Ordering::Release);
        }
    }

    /// Makes `slot` findable as the home of `record.group()`. False when the group has a slot already or there is no
    /// bucket left, which more slots than buckets would take.
    #[must_use]
    pub fn insert(&self, slot: Slot, record: Record) -> bool {
        let group = record.group();
        if self.probe(group).is_some() {
            return false;
        }
        self.set_record(slot, record);
        self.set_region(group, true);
        let h = hash(group);
        let mut place = self.home(h);
        for _ in 0..self.buckets.len() {
            let Some(word) = self.buckets.get(place) else { return false };
            let bucket = word.load(Ordering::Relaxed);
            if bucket == EMPTY || bucket == DELETED {
                word.store(((h as u32) & !SLOT_MASK) | slot.0, Ordering::Release);
                return true;
            }
            place = self.after(place);
        }
        false
    }

    /// Lets lookups of `record.group()` find `slot` instead of the slot that they found so far, whose record stays as
    /// it is until the caller has drained the gate. False when the group has no slot.
    #[must_use]
    pub fn replace(&self, slot: Slot, record: Record) -> bool {
        let group = record.group();
        // The old slot may be found until the store below, so the new record must be whole before it.
        let Some((place, _, _)) = self.probe(group) else { return false };
        self.set_record(slot, record);
        match self.buckets.get(place) {
            Some(word) => {
                word.store(((hash(group) as u32) & !SLOT_MASK) | slot.0, Ordering::Release);
                true
            }
            None => false,
        }
    }

    /// Makes `group` unfindable. The record stays until the caller has drained the gate. False when it has no slot.
    #[must_use]
    pub fn remove(&self, group: Group) -> bool {
        let Some((place, _, _)) = self.probe(group) else { return false };
        if let Some(word) = self.buckets.get(place) {
            word.store(DELETED, Ordering::Release);
        }
        self.clean_deleted(place);
        self.sweep_region(group);
        true
    }

    /// Turns deleted buckets in front of an empty one into empty ones: nothing that is searched for can lie behind.
    fn clean_deleted(&self, place: usize) {
        let is = |p: usize, what: u32| self.buckets.get(p).is_some_and(|b| b.load(Ordering::Relaxed) == what);
        let mut place = place;
        for _ in 0..self.buckets.len() {
            if !is(self.after(place), EMPTY) || !is(place, DELETED) {
                return;
            }
            if let Some(word) = self.buckets.get(place) {
                word.store(EMPTY, Ordering::Release);
            }
            place = if place == 0 { self.buckets.len() - 1 } else { place - 1 };
        }
    }

    fn set_region(&self, group: Group, set: bool) {
        let region = group.0 >> self.region_shift;
        if let Some(word) = self.summary.get((region / 64) as usize) {
            let bit = 1u64 << (region % 64);
            let old = word.load(Ordering::Relaxed);
            word.store(if set { old | bit } else { old & !bit }, Ordering::Release);
        }
    }

    /// Clears the summary bit of the region of `group` if nothing in it is mapped any more.
    fn sweep_region(&self, group: Group) {
        let groups = 1u64 << self.region_shift;
        if groups > SWEEP_GROUPS_MAX {
            return;
        }
        let first = (group.0 >> self.region_shift) << self.region_shift;
        if (first..first + groups).all(|g| self.probe(Group(g)).is_none()) {
            self.set_region(group, false);
        }
    }
}
