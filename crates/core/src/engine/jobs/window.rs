//! What relocation and release have in common: a range of main, worked on window by window.

use core::num::{NonZeroU32, NonZeroU64};

use super::bisect::{is_in_one_unit, piece};
use crate::engine::limits::{WINDOW_GROUPS, WINDOW_SECTORS};
use crate::engine::set::Engine;
use crate::error::ErrorKind;
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

/// Reads the wanted sectors of a window from main: as much at once as goes well, and less where it does not, down to the
/// physical block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    cursor: u64,
    /// Length of the read under way, in sectors.
    piece: u32,
    step: u32,
    /// How often the physical block at the cursor has failed, and how often it may.
    attempts: u32,
    tries: u32,
    unit: NonZeroU32,
}

impl Sweep {
    pub(super) fn new(engine: &Engine<'_>, window: &Window, tries: u32) -> Sweep {
        let (cursor, unit) = (window.at.0, engine.unit_sectors());
        Sweep { cursor, piece: 0, step: WINDOW_SECTORS, attempts: 0, tries, unit }
    }

    /// The next read; `None` after the last.
    pub(super) fn next(&mut self, window: &Window, wanted: &Masks) -> Option<IoRequest> {
        let is_wanted = |sector: u64| {
            let nth = (Sector(sector).group().0 - window.at.group().0) as usize;
            wanted.get(nth).is_some_and(|m| m & sector_mask(Sector(sector).in_group(), 1) != 0)
        };
        let end = window.end();
        self.cursor = (self.cursor..end).find(|s| is_wanted(*s))?;
        let run_end = (self.cursor..end).find(|s| !is_wanted(*s)).unwrap_or(end);
        let step = if self.attempts > 0 { 0 } else { self.step };
        self.piece = piece(self.cursor, (run_end - self.cursor) as u32, step, self.unit);
        Some(IoRequest {
            device: Device::Main,
            op: Op::Read,
            sector: self.cursor,
            sectors: self.piece,
            buffer_sector: (self.cursor - window.at.0) as u32,
        })
    }

    /// The read has ended. What cannot be read goes over from `wanted` to `unreadable`.
    pub(super) fn ended(
        &mut self,
        window: &Window,
        wanted: &mut Masks,
        unreadable: &mut Masks,
        result: Result<(), ErrorKind>,
    ) {
        let end = self.cursor + u64::from(self.piece.max(1));
        match result {
            Ok(()) => {
                self.step = self.step.saturating_mul(2).min(WINDOW_SECTORS);
                self.go_on();
            }
            // Not the medium: main does not answer at all.
            Err(error) if !error.can_mean_medium() => self.give_up(window, wanted, unreadable),
            Err(_) if !is_in_one_unit(self.cursor, self.piece, self.unit) => {
                self.step = (self.piece / 2).max(self.unit.get());
            }
            Err(_) => {
                self.attempts += 1;
                self.step = self.unit.get();
                if self.attempts >= self.tries {
                    self.drop_until(end, window, wanted, unreadable);
                    self.go_on();
                }
            }
        }
    }

    /// The group of the window at which it is: everything in those before has been read, or counts as unreadable.
    pub(super) fn nth(&self, window: &Window) -> usize {
        Sector(self.cursor).group().0.saturating_sub(window.at.group().0) as usize
    }

    fn go_on(&mut self) {
        self.cursor += u64::from(self.piece);
        self.attempts = 0;
    }

    /// Nothing more is read: the rest counts as unreadable.
    pub(super) fn give_up(&mut self, window: &Window, wanted: &mut Masks, unreadable: &mut Masks) {
        self.drop_until(window.end(), window, wanted, unreadable);
        self.cursor = window.end();
    }

    fn drop_until(&self, end: u64, window: &Window, wanted: &mut Masks, unreadable: &mut Masks) {
        for (nth, (wanted, unreadable)) in wanted.iter_mut().zip(unreadable).enumerate() {
            let first = window.group(nth).first_sector().0;
            let from = self.cursor.saturating_sub(first).min(8) as u32;
            let to = end.saturating_sub(first).min(8) as u32;
            let gone = *wanted & sector_mask(from, to.saturating_sub(from));
            *wanted &= !gone;
            *unreadable |= gone;
        }
    }
}
