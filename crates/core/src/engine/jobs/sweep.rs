//! Reading a window as far as it can be read.

use super::window::{Masks, Window};
use crate::engine::limits::WINDOW_SECTORS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::extent::Units;
use crate::io::{Device, IoRequest, Op};
use crate::units::{sector_mask, Sector};

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
    units: Units,
}

impl Sweep {
    pub(super) fn new(engine: &Engine<'_>, window: &Window, tries: u32) -> Sweep {
        let (cursor, units) = (window.at.0, engine.units());
        Sweep { cursor, piece: 0, step: WINDOW_SECTORS, attempts: 0, tries, units }
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
        self.piece = self.units.piece(self.cursor, (run_end - self.cursor) as u32, step);
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
            Err(_) if !self.units.is_one(self.cursor, self.piece) => {
                self.step = (self.piece / 2).max(self.units.sectors());
            }
            Err(_) => {
                self.attempts += 1;
                self.step = self.units.sectors();
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
