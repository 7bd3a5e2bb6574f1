//! The slot that a group gives up: what is not brought is read from it (S7).

use super::{Placed, Placer, Placing, State};
use crate::engine::jobs::protocol::SCRATCH_SECTOR;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::lookup::Use;
use crate::units::{sector_mask, Slot, SECTOR_BYTES};

impl Placer {
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
        let Placing::Move { from } = self.placing else {
            engine.broken("a group was drained that is not moved");
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
        let Placing::Move { from } = self.placing else { return self.begin_slot(engine) };
        if self.to_read == 0 && self.read_again {
            // The new slot has all but what was read this time.
            self.to_write_kept = self.kept & !self.written_kept;
            return self.write_next(engine);
        }
        if self.to_read == 0 {
            return self.begin_slot(engine);
        }
        let block_sectors = engine.shape().block_bytes / SECTOR_BYTES;
        let first = self.to_read.trailing_zeros();
        let mask = sector_mask(first, block_sectors);
        self.state = State::ReadOld { mask };
        Placed::Io(IoRequest {
            device: Device::Spare,
            op: Op::Read,
            sector: engine.geometry().slot_block(from).first_sector() + u64::from(first),
            sectors: mask.count_ones(),
            buffer_sector: SCRATCH_SECTOR + first,
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
            Err(error) if error.can_mean_medium() || self.what.rescue => self.unread |= mask,
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
