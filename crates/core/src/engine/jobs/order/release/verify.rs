//! What main took is flushed, read back and compared.

use super::{Release, State};
use crate::engine::jobs::protocol::{Comparison, Next, SCRATCH_SECTOR};
use crate::engine::jobs::window::NO_SECTORS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::units::sector_mask;

impl Release {
    pub(super) fn flush(&mut self) -> Option<Next> {
        if self.wanted == NO_SECTORS {
            return None;
        }
        self.state = State::Flush;
        Some(Next::Io(IoRequest::flush(Device::Main)))
    }

    pub(super) fn flushed(&mut self, engine: &mut Engine<'_>, result: Result<(), ErrorKind>) -> Option<Next> {
        if result.is_err() {
            // It may have been about a user's write as well, which nobody would be told (S8).
            engine.flush_failed();
            for nth in 0..self.wanted.len() {
                self.nth = nth;
                let wanted = self.wanted();
                if wanted != 0 {
                    self.drop_group(engine, wanted, |r| &mut r.failed);
                }
            }
            return None;
        }
        self.nth = 0;
        self.left = self.wanted();
        self.read_back_next(engine)
    }

    pub(super) fn read_back_next(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        while self.left == 0 {
            self.nth += 1;
            if self.nth >= self.wanted.len() {
                self.nth = 0;
                return self.remove_next(engine);
            }
            self.left = self.wanted();
        }
        let (first, sectors) = Self::piece(self.left, None);
        self.state = State::ReadBack { mask: sector_mask(first, sectors) };
        let request = self.window.main_request(Op::Read, self.nth, first, sectors);
        Some(Next::Io(IoRequest { buffer_sector: SCRATCH_SECTOR + first, ..request }))
    }

    pub(super) fn read_back(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
    ) -> Option<Next> {
        if result.is_err() {
            return self.compared(engine, mask, false);
        }
        let first = mask.trailing_zeros();
        self.state = State::Compare { mask };
        let (one, other) = (self.window.place(self.nth, first), SCRATCH_SECTOR + first);
        Some(Next::Compare(Comparison { one, other, sectors: mask.count_ones() }))
    }

    pub(super) fn compared(&mut self, engine: &mut Engine<'_>, mask: u8, same: bool) -> Option<Next> {
        self.left &= !mask;
        if !same {
            self.drop_group(engine, mask, |r| &mut r.failed);
        }
        self.read_back_next(engine)
    }
}
