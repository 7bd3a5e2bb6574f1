//! Pending blocks: blocks of main that failed a read and have not been written since (S2). Advisory: where I/O goes never depends
//! on them.
//!
//! Every bio that ends well on main asks [`Pending::any`], which is one relaxed load; only when that says so are its sectors looked up.
//! Groups are added by the machines of repair contexts alone, one at a time under the engine's lock; whoever sees a write or a read of
//! main succeed clears, without a lock.
//!
//! A read that fails while a write of the same block succeeds must not leave the block pending. So a machine first *watches* a block,
//! then reads it, and *confirms* what failed: a write in between has ended the watch.
//!
//! Beside each group stands when blocks of it were last found unreadable, by many attempts. Until some time after that they are *known*: readers
//! get few attempts (S34).

use core::sync::atomic::{AtomicU64, Ordering};

use crate::lookup::hash;
use crate::units::{sector_mask, Group, Sector};

/// Groups that can be remembered, as long as no more than [`WAYS`] of them fall into one set of the hash.
pub const PENDING_GROUPS: usize = SETS * WAYS;
/// Words of memory that a host sets aside.
pub const PENDING_WORDS: usize = FIRST_TIME + PENDING_GROUPS;
/// Cells that a group may be in: a cache line.
const WAYS: usize = 8;
const SETS: usize = 512;
/// Word 0 counts the cells in use; it is never lower than what is there.
const IN_USE: usize = 0;
/// Word 1 counts the groups for which no cell was free.
const DROPPED: usize = 1;
const FIRST_CELL: usize = 8;
/// Behind the cells, for each of them: when blocks of its group were last confirmed, in milliseconds. Written and read under the engine's lock
/// alone.
const FIRST_TIME: usize = FIRST_CELL + PENDING_GROUPS;
/// Past so many groups, clearing looks at every cell instead of at every group.
const SWEEP_GROUPS: u64 = 256;

/// A cell: the group in bits 0 to 39, its pending sectors in bits 40 to 47, its watched ones in bits 48 to 55. Empty when it has neither.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cell(u64);

impl Cell {
    const fn group(self) -> Group {
        Group(self.0 & Group::MAX.0)
    }

    const fn pending(self) -> u8 {
        (self.0 >> 40) as u8
    }

    const fn watched(self) -> u8 {
        (self.0 >> 48) as u8
    }

    const fn new(group: Group, pending: u8, watched: u8) -> Cell {
        if pending == 0 && watched == 0 {
            return Cell(0);
        }
        Cell(group.0 & Group::MAX.0 | (pending as u64) << 40 | (watched as u64) << 48)
    }

    const fn is_of(self, group: Group) -> bool {
        self.0 != 0 && self.group().0 == group.0
    }
}

/// The pending blocks of a set, in memory that the host set aside. Copies share it.
#[derive(Clone, Copy)]
pub struct Pending<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Pending<'a> {
    /// No block is pending. `None` if there are not [`PENDING_WORDS`] words; they are overwritten.
    pub fn new(words: &'a [AtomicU64]) -> Option<Pending<'a>> {
        if words.len() != PENDING_WORDS {
            return None;
        }
        words.iter().for_each(|w| w.store(0, Ordering::Relaxed));
        Some(Pending { words })
    }

    /// Whether a block may be pending or watched. A stale answer can only be of the last nanoseconds, while a read that fails takes much longer
    /// to be found failing.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.words.first().is_some_and(|w| w.load(Ordering::Relaxed) != 0)
    }

    /// Groups that failed a read and for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.words.get(DROPPED).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// Sectors of main were written, or read, or are of no interest any more: they are not pending.
    pub fn clear(&self, first: Sector, sectors: u64) {
        if sectors == 0 || !self.any() {
            return;
        }
        let last = Sector(first.0.saturating_add(sectors - 1));
        if last.group().0 - first.group().0 >= SWEEP_GROUPS {
            self.cells().for_each(|word| self.clear_cell(word, first, last));
            return;
        }
        for group in first.group().0..=last.group().0 {
            self.set_of(Group(group)).for_each(|word| {
                if Cell(word.load(Ordering::Relaxed)).is_of(Group(group)) {
                    self.clear_cell(word, first, last);
                }
            });
        }
    }

    fn clear_cell(&self, word: &AtomicU64, first: Sector, last: Sector) {
        let _ = self.change(word, |cell| {
            let begin = cell.group().first_sector().0;
            let (from, to) = (first.0.max(begin), last.0.min(begin.saturating_add(7)));
            if cell.0 == 0 || from > to {
                return cell;
            }
            let keep = !sector_mask((from - begin) as u32, (to - from + 1) as u32);
            Cell::new(cell.group(), cell.pending() & keep, cell.watched() & keep)
        });
    }

    /// Watches `sectors` sectors (at most 64) that are about to be read, until they are confirmed or unwatched.
    pub(crate) fn watch(&self, first: Sector, sectors: u32) {
        each_group(first, low_bits(sectors), |group, mask| {
            if let Some((word, _)) = self.find(group) {
                let watched = self.change(word, |c| match c.is_of(group) {
                    true => Cell::new(group, c.pending(), c.watched() | mask),
                    false => c,
                });
                if watched.is_of(group) {
                    return;
                }
                // It was cleared just now.
            }
            self.add(group, mask);
        });
    }

    fn add(&self, group: Group, watched: u8) {
        let counter = |n: usize| self.words.get(n);
        // Counted first, so that a write that ends meanwhile looks.
        counter(IN_USE).map(|w| w.fetch_add(1, Ordering::SeqCst));
        let new = Cell::new(group, 0, watched).0;
        let taken = self
            .set_of(group)
            .any(|w| w.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire).is_ok());
        if !taken {
            counter(IN_USE).map(|w| w.fetch_sub(1, Ordering::AcqRel));
            counter(DROPPED).map(|w| w.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Of the sectors from `first` on, those in `failed` are pending from now on, and known to be unreadable since `now_ms`, as far as they are
    /// watched still. Ends the watch of `sectors` sectors. Returns those that were not pending before.
    pub(crate) fn confirm(&self, first: Sector, sectors: u32, failed: u64, now_ms: u64) -> u64 {
        let mut news = 0;
        each_group(first, low_bits(sectors), |group, mask| {
            let Some((word, time)) = self.find(group) else { return };
            let failed = in_group(first, failed, group);
            let (mut new, mut confirmed) = (0, 0);
            let _ = self.change(word, |c| {
                if !c.is_of(group) {
                    (new, confirmed) = (0, 0);
                    return c;
                }
                confirmed = failed & c.watched();
                new = confirmed & !c.pending();
                Cell::new(group, c.pending() | new, c.watched() & !mask)
            });
            if confirmed != 0 {
                time.store(now_ms, Ordering::Relaxed);
            }
            news |= in_range(first, new, group);
        });
        news
    }

    /// Whether the sector at `first` is pending and was confirmed less than `within_ms` ago, and how many of the `sectors` (at least 1) sectors
    /// from there on it is equally said of.
    pub(crate) fn known(&self, first: Sector, sectors: u32, now_ms: u64, within_ms: u64) -> (bool, u32) {
        if !self.any() {
            return (false, sectors);
        }
        let mut seen: Option<(Group, u8)> = None;
        let mut is_known = |sector: Sector| {
            let group = sector.group();
            let mask = match seen {
                Some((of, mask)) if of == group => mask,
                _ => self.known_mask(group, now_ms, within_ms),
            };
            seen = Some((group, mask));
            mask & sector_mask(sector.in_group(), 1) != 0
        };
        let known = is_known(first);
        let end = first.0.saturating_add(u64::from(sectors));
        let other = (first.0..end).find(|s| is_known(Sector(*s)) != known).unwrap_or(end);
        (known, (other - first.0) as u32)
    }

    fn known_mask(&self, group: Group, now_ms: u64, within_ms: u64) -> u8 {
        let is_recent = |time: &AtomicU64| now_ms.saturating_sub(time.load(Ordering::Relaxed)) < within_ms;
        let found = self.find(group).filter(|(_, time)| is_recent(time));
        // The cell may have become another's meanwhile.
        let cell = found.map(|(word, _)| Cell(word.load(Ordering::Acquire)));
        cell.filter(|cell| cell.is_of(group)).map_or(0, |cell| cell.pending())
    }

    /// The cell of a group, and its time.
    fn find(&self, group: Group) -> Option<(&'a AtomicU64, &'a AtomicU64)> {
        let nth = self.set_of(group).position(|w| Cell(w.load(Ordering::Acquire)).is_of(group))?;
        let at = Self::set_at(group).checked_add(nth)?;
        Some((self.words.get(FIRST_CELL.checked_add(at)?)?, self.words.get(FIRST_TIME.checked_add(at)?)?))
    }

    /// Whether a sector is pending.
    pub fn is_pending(&self, sector: Sector) -> bool {
        self.mask(sector.group()) & sector_mask(sector.in_group(), 1) != 0
    }

    /// The pending sectors of a group.
    pub fn mask(&self, group: Group) -> u8 {
        if !self.any() {
            return 0;
        }
        let cells = self.set_of(group).map(|w| Cell(w.load(Ordering::Acquire)));
        cells.filter(|cell| cell.is_of(group)).fold(0, |mask, cell| mask | cell.pending())
    }

    /// How many sectors are pending. Looks at every cell.
    pub fn sectors(&self) -> u64 {
        if !self.any() {
            return 0;
        }
        self.cells().map(|w| u64::from(Cell(w.load(Ordering::Acquire)).pending().count_ones())).sum()
    }

    /// The pending sectors, in no order: a group, and which of its sectors.
    pub fn groups(&self) -> impl Iterator<Item = (Group, u8)> + 'a {
        let cells = self.cells().map(|w| Cell(w.load(Ordering::Acquire)));
        cells.filter(|c| c.pending() != 0).map(|c| (c.group(), c.pending()))
    }

    fn cells(&self) -> impl Iterator<Item = &'a AtomicU64> {
        self.words.get(FIRST_CELL..FIRST_TIME).unwrap_or(&[]).iter()
    }

    /// Which cell is the first of a group's set.
    fn set_at(group: Group) -> usize {
        (hash(group) as usize % SETS) * WAYS
    }

    fn set_of(&self, group: Group) -> impl Iterator<Item = &'a AtomicU64> {
        let at = FIRST_CELL + Self::set_at(group);
        self.words.get(at..at + WAYS).unwrap_or(&[]).iter()
    }

    /// Changes a cell; what it is then. One that becomes empty is counted as free.
    fn change(&self, word: &AtomicU64, mut f: impl FnMut(Cell) -> Cell) -> Cell {
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let new = f(Cell(seen));
            if new.0 == seen {
                return new;
            }
            match word.compare_exchange(seen, new.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if new.0 == 0 {
                        self.words.get(IN_USE).map(|w| w.fetch_sub(1, Ordering::AcqRel));
                    }
                    return new;
                }
                Err(now) => seen = now,
            }
        }
    }
}

/// The first `count` bits.
pub(crate) const fn low_bits(count: u32) -> u64 {
    if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

/// Calls `f` for each group that holds sectors of `mask`, which begins at `first`, with these sectors of it.
fn each_group(first: Sector, mask: u64, mut f: impl FnMut(Group, u8)) {
    let last = first.0.saturating_add(u64::from(63 - mask.leading_zeros().min(63)));
    for group in first.group().0..=Sector(last).group().0 {
        match in_group(first, mask, Group(group)) {
            0 => {}
            part => f(Group(group), part),
        }
    }
}

/// The part of a mask from `first` on that lies in `group`.
fn in_group(first: Sector, mask: u64, group: Group) -> u8 {
    let begin = group.first_sector().0;
    let shifted = match begin.checked_sub(first.0) {
        Some(behind) => mask.checked_shr(u32::try_from(behind).unwrap_or(u32::MAX)),
        None => mask.checked_shl((first.0 - begin) as u32),
    };
    (shifted.unwrap_or(0) & 0xff) as u8
}

/// The other way round.
fn in_range(first: Sector, part: u8, group: Group) -> u64 {
    let begin = group.first_sector().0;
    let part = u64::from(part);
    match begin.checked_sub(first.0) {
        Some(behind) => part.checked_shl(u32::try_from(behind).unwrap_or(u32::MAX)).unwrap_or(0),
        None => part >> (first.0 - begin).min(63),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn words() -> Vec<AtomicU64> {
        (0..PENDING_WORDS).map(|_| AtomicU64::new(7)).collect()
    }

    /// The pending sectors, in order.
    fn all(pending: &Pending<'_>) -> Vec<u64> {
        let sectors =
            |(g, m): (Group, u8)| (0..8).filter(move |i| m & (1 << i) != 0).map(move |i| g.0 * 8 + i);
        let mut all: Vec<u64> = pending.groups().flat_map(sectors).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn s02_what_was_watched_and_failed_is_pending() {
        let words = words();
        let pending = Pending::new(&words).unwrap();
        assert!(!pending.any());
        pending.watch(Sector(5), 64);
        assert!(pending.any() && all(&pending).is_empty());
        assert_eq!(pending.confirm(Sector(5), 64, 0b1001 | 1 << 63, 0), 0b1001 | 1 << 63);
        assert_eq!(all(&pending), [5, 8, 68]);
        assert_eq!(pending.sectors(), 3);
        assert!(pending.is_pending(Sector(8)) && !pending.is_pending(Sector(7)));
        // Once more is nothing new.
        pending.watch(Sector(8), 1);
        assert_eq!(pending.confirm(Sector(8), 1, 1, 0), 0);
        assert_eq!(all(&pending), [5, 8, 68]);
    }

    #[test]
    fn s02_a_write_during_the_read_ends_the_watch() {
        let words = words();
        let pending = Pending::new(&words).unwrap();
        pending.watch(Sector(16), 8);
        pending.clear(Sector(18), 2);
        assert_eq!(pending.confirm(Sector(16), 8, 0xff, 0), 0b1111_0011);
        pending.watch(Sector(32), 8);
        pending.clear(Sector(0), 1 << 40);
        assert_eq!(pending.confirm(Sector(32), 8, 0xff, 0), 0);
        assert!(!pending.any());
    }

    #[test]
    fn s02_clearing_is_exact_for_short_and_for_long_ranges() {
        for sectors in [1, 7, 20, 8 * SWEEP_GROUPS, 8 * SWEEP_GROUPS + 100] {
            let words = words();
            let pending = Pending::new(&words).unwrap();
            let marked: Vec<u64> = (0..4000).step_by(3).collect();
            for s in &marked {
                pending.watch(Sector(*s), 1);
                pending.confirm(Sector(*s), 1, 1, 0);
            }
            pending.clear(Sector(1001), sectors);
            let left: Vec<u64> = marked.into_iter().filter(|s| *s < 1001 || *s >= 1001 + sectors).collect();
            assert_eq!(all(&pending), left);
            pending.clear(Sector(0), u64::MAX);
            assert!(!pending.any() && pending.sectors() == 0);
        }
    }

    #[test]
    fn s02_what_does_not_fit_is_counted_and_nothing_else_is_lost() {
        let words = words();
        let pending = Pending::new(&words).unwrap();
        let groups = 2 * PENDING_GROUPS as u64;
        let mut kept = 0;
        for group in 0..groups {
            pending.watch(Sector(group * 8), 8);
            kept += pending.confirm(Sector(group * 8), 8, 1, 0).count_ones() as u64;
        }
        assert_eq!((pending.sectors(), pending.dropped()), (kept, groups - kept));
        assert!(kept > PENDING_GROUPS as u64 * 9 / 10, "{kept}");
        assert_eq!(all(&pending).len() as u64, kept);
        pending.clear(Sector(0), groups * 8);
        assert!(!pending.any());
    }

    #[test]
    fn s02_an_unwatched_block_leaves_nothing_behind() {
        let words = words();
        let pending = Pending::new(&words).unwrap();
        pending.watch(Sector(100), 30);
        assert_eq!(pending.confirm(Sector(100), 30, 0, 0), 0);
        assert!(!pending.any());
    }
}
