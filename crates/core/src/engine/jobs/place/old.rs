//! The slot that a group gives up: what is not brought is read from it (S7).

use super::{Placed, Placer, Placing, State};
use crate::engine::jobs::protocol::SCRATCH_SECTOR;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::lookup::Use;
use crate::units::{sector_mask, Slot, SECTOR_BYTES};

impl Placer {
    /// The slot that the group has.
    pub(super) fn old(&self) -> Option<Slot> {
        match self.placing {
            Placing::New => None,
            Placing::Extend => Some(self.slot),
            Placing::Move { from } => Some(from),
        }
    }

    /// The group's slot is to be given up: hold the group and wait until nobody writes to the slot (S7, S9).
    pub(super) fn begin_move(&mut self, engine: &mut Engine<'_>, from: Slot) -> Placed {
        self.placing = Placing::Move { from };
        if let Some(record) = engine.table.record(from) {
            engine.set_record(from, record.with_held(true));
        }
        self.state = State::DrainOld;
        Placed::Drain
    }

    /// The old slot is quiet: read what is not brought.
    pub(super) fn read_old(&mut self, engine: &mut Engine<'_>) -> Placed {
        let Some(from) = self.old() else {
            engine.broken("a group was drained that has no slot");
            return self.give_up(engine, ErrorKind::Io);
        };
        let mask = engine.table.record(from).filter(|r| r.usage() == Use::Mapped).map_or(0, |r| r.mask());
        let rest = mask & !self.what.need;
        self.lost = engine.lost_mask(from) & rest;
        self.to_read = rest & !self.lost;
        self.unread = 0;
        self.read_again = false;
        self.read_next(engine)
    }

    pub(super) fn read_next(&mut self, engine: &mut Engine<'_>) -> Placed {
        let Some(from) = self.old() else { return self.begin_slot(engine) };
        if self.to_read == 0 && self.read_again {
            // The new slot has all but what was read this time.
            self.to_write_kept = self.kept & !self.written_kept;
            return self.write_next(engine);
        }
        match (self.to_read, self.placing) {
            (0, Placing::Extend) if self.unread != 0 && !self.what.may_lose => {
                self.give_up(engine, ErrorKind::Medium)
            }
            // Without a commit the rest could not be saved if the write spoilt it.
            (0, Placing::Extend) if !engine.commits() => self.give_up(engine, self.what.error),
            (0, Placing::Extend) => self.begin_writing(engine),
            (0, _) => self.begin_slot(engine),
            _ => {
                let mask = self.next_block(engine);
                self.state = State::ReadOld { mask };
                Self::read_request(engine, from, mask, SCRATCH_SECTOR)
            }
        }
    }

    /// The next block of the old slot that is to be read.
    pub(super) fn next_block(&self, engine: &Engine<'_>) -> u8 {
        sector_mask(self.to_read.trailing_zeros(), engine.shape().block_bytes / SECTOR_BYTES)
    }

    /// A read of sectors of a slot to their places in a group of the buffer.
    pub(super) fn read_request(engine: &Engine<'_>, slot: Slot, mask: u8, buffer_sector: u32) -> Placed {
        let first = mask.trailing_zeros();
        Placed::Io(IoRequest {
            device: Device::Spare,
            op: Op::Read,
            sector: engine.geometry().slot_block(slot).first_sector() + u64::from(first),
            sectors: mask.count_ones(),
            buffer_sector: buffer_sector + first,
        })
    }

    pub(super) fn read_ended(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
    ) -> Placed {
        match result {
            Ok(()) => self.kept |= mask,
            Err(error) if error.can_mean_medium() || self.what.rescue => {
                self.unread |= mask;
                if self.placing == Placing::Extend {
                    engine.suspect(self.slot, mask);
                }
            }
            Err(error) => return self.give_up(engine, error),
        }
        self.to_read &= !mask;
        self.read_next(engine)
    }

    /// What could not be read is lost only if it still cannot be now that the spare has taken a write: a spare that was away
    /// for a moment would otherwise cost content that it has.
    pub(super) fn read_once_more(&mut self, engine: &mut Engine<'_>) -> Placed {
        self.read_again = true;
        self.written_kept = self.kept;
        self.to_read = self.unread;
        self.unread = 0;
        self.read_next(engine)
    }
}
