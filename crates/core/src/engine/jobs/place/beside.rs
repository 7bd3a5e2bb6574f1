//! A part of a slot is written that holds more: what else lives there must not be lost if the write fails (S32).

use super::{Placed, Placer, Placing, State};
use crate::engine::jobs::protocol::KEPT_SECTOR;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::lookup::Record;

impl Placer {
    /// A part of the group's slot is to be written that holds more. The slot that is taken for all of it, in case, is given back if it was not wanted.
    /// Without one the part is not written, but to save what is nowhere else.
    pub(super) fn begin_beside(&mut self, engine: &mut Engine<'_>, record: Record) -> Placed {
        self.taken = engine.take_slot(self.what.group);
        if self.taken.is_none() && !self.what.rescue {
            return self.give_up(engine, self.what.error);
        }
        if record.is_held() {
            return self.read_old(engine);
        }
        engine.set_record(self.slot, record.with_held(true));
        self.lets_go = true;
        self.state = State::DrainOld;
        Placed::Drain
    }

    /// The write that failed was to the group's own slot.
    pub(super) fn extension_failed(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Placed {
        self.error = error;
        if self.kept != 0 && !self.what.rescue {
            self.to_read = self.kept;
            return self.next_read_back(engine);
        }
        self.leave_failed(engine)
    }

    /// Another slot is to take all, where it is the slot that failed.
    fn leave_failed(&mut self, engine: &mut Engine<'_>) -> Placed {
        let from = self.slot;
        if !self.error.can_mean_medium() && self.spoilt == 0 {
            return self.give_up(engine, self.error);
        }
        if self.kept == 0 {
            return self.begin_move(engine, from);
        }
        self.placing = Placing::Move { from };
        self.begin_slot(engine)
    }

    /// Is what was kept of the old slot still there? It is read to the second place beside the window, so that what was read before stays at hand.
    /// Where content is rescued that place is taken, and nothing asks.
    fn next_read_back(&mut self, engine: &mut Engine<'_>) -> Placed {
        match (self.old(), self.to_read) {
            (Some(from), 1..) => {
                let mask = self.next_block(engine);
                self.state = State::ReadBack { mask };
                Self::read_request(engine, from, mask, KEPT_SECTOR)
            }
            _ => {
                engine.suspect(self.slot, self.spoilt);
                self.leave_failed(engine)
            }
        }
    }

    pub(super) fn read_back_ended(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
    ) -> Placed {
        self.spoilt |= if result.is_err() { mask } else { 0 };
        self.to_read &= !mask;
        self.next_read_back(engine)
    }
}
