//! Placing: what fails on main goes into slots, group by group.

use super::{Placing, Repair, State, SLOT_TRIES};
use crate::engine::changes::{Change, Kind};
use crate::engine::machine::{Next, SCRATCH_SECTOR};
use crate::engine::{Engine, WINDOW_GROUPS};
use crate::error::ErrorKind;
use crate::format::{Entry, SlotState};
use crate::io::{Device, IoRequest, Op};
use crate::lookup::Use;
use crate::units::{sector_mask, Group, Slot, SECTOR_BYTES};

impl Repair {
    pub(super) fn begin_placing(&mut self, engine: &mut Engine<'_>) -> Next {
        self.nth = 0;
        self.place_next(engine)
    }

    fn group(&self) -> Group {
        Group(self.at.group().0 + u64::from(self.nth))
    }

    fn needed(&self) -> u8 {
        self.need.get(self.nth as usize).copied().unwrap_or(0)
    }

    /// Begins with the next group that needs a slot.
    pub(super) fn place_next(&mut self, engine: &mut Engine<'_>) -> Next {
        while self.nth < WINDOW_GROUPS && self.needed() == 0 {
            self.nth += 1;
        }
        if self.nth >= WINDOW_GROUPS || self.verdict.is_err() {
            self.nth = WINDOW_GROUPS;
            return self.placed(engine);
        }
        if !engine.has_room() {
            return self.make_room(engine);
        }
        self.slot_tries = 0;
        self.to_read = 0;
        self.kept = 0;
        self.written_kept = 0;
        self.unread = 0;
        self.lost = 0;
        self.read_again = false;
        match engine.table.record_of(self.group()) {
            None => {
                self.placing = Placing::New;
                self.begin_slot(engine)
            }
            Some((slot, _)) if self.give_up & (1 << self.nth) != 0 => self.begin_move(engine, slot),
            Some((slot, _)) => {
                self.placing = Placing::Extend;
                self.slot = slot;
                self.begin_writing(engine)
            }
        }
    }

    /// The list of changes is nearly full: have it committed, whoever filled it.
    fn make_room(&mut self, engine: &mut Engine<'_>) -> Next {
        if !engine.mode.remaps() {
            self.fail(self.job.error);
            self.nth = WINDOW_GROUPS;
            return self.placed(engine);
        }
        engine.await_room(usize::from(self.context), true);
        self.state = State::Commit;
        Next::Commit
    }

    /// The group's slot is to be given up: hold the group and wait until nobody is in the slot (S7, S9).
    fn begin_move(&mut self, engine: &mut Engine<'_>, from: Slot) -> Next {
        self.placing = Placing::Move { from };
        if let Some(record) = engine.table.record(from) {
            engine.set_record(from, record.with_held(true));
        }
        self.state = State::DrainOld;
        Next::Drain
    }

    /// The old slot is quiet: read what the write does not bring.
    pub(super) fn read_old(&mut self, engine: &mut Engine<'_>) -> Next {
        let Placing::Move { from } = self.placing else {
            engine.broken("a group was drained that is not moved");
            return self.finish(engine, Err(ErrorKind::Io));
        };
        let mask = engine.table.record(from).filter(|r| r.usage() == Use::Mapped).map_or(0, |r| r.mask());
        let rest = mask & !self.needed();
        self.lost = engine.lost_mask(from) & rest;
        self.to_read = rest & !self.lost;
        self.unread = 0;
        self.read_again = false;
        self.read_next(engine)
    }

    fn read_next(&mut self, engine: &mut Engine<'_>) -> Next {
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
        Next::Io(IoRequest {
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
    ) -> Next {
        match result {
            Ok(()) => self.kept |= mask,
            Err(error) if error.can_mean_medium() => self.unread |= mask,
            Err(error) => return self.give_up_group(engine, error),
        }
        self.to_read &= !mask;
        self.read_next(engine)
    }

    /// Takes a slot for the group and begins to fill it.
    fn begin_slot(&mut self, engine: &mut Engine<'_>) -> Next {
        self.slot_tries += 1;
        match engine.take_slot(self.group()) {
            Some(slot) => {
                self.slot = slot;
                self.begin_writing(engine)
            }
            None => {
                let error = self.job.error;
                self.release_old(engine);
                self.fail(error);
                self.place_next(engine)
            }
        }
    }

    fn begin_writing(&mut self, engine: &mut Engine<'_>) -> Next {
        self.to_write = self.needed();
        self.to_write_kept = self.kept;
        self.write_next(engine)
    }

    /// Writes the next run: first what the bio brings, then what was kept of the old slot.
    fn write_next(&mut self, engine: &mut Engine<'_>) -> Next {
        let kept = self.to_write == 0;
        let left = if kept { self.to_write_kept } else { self.to_write };
        if left == 0 && self.unread != 0 && !self.read_again {
            return self.read_once_more(engine);
        }
        if left == 0 {
            return self.queue_change(engine);
        }
        let first = left.trailing_zeros();
        let count = (left >> first).trailing_ones();
        let sector = engine.geometry().slot_block(self.slot).first_sector() + u64::from(first);
        self.state = State::WriteSlot { mask: sector_mask(first, count) };
        let from = crate::units::Sector(self.group().first_sector().0 + u64::from(first));
        Next::Io(if kept {
            let buffer_sector = SCRATCH_SECTOR + first;
            IoRequest { device: Device::Spare, op: Op::Write, sector, sectors: count, buffer_sector }
        } else {
            self.write_window(Device::Spare, sector, from, count, Op::Write)
        })
    }

    /// What could not be read is lost only if it still cannot be now that the spare has taken a write: a spare that was away
    /// for a moment would otherwise cost content that it has.
    fn read_once_more(&mut self, engine: &mut Engine<'_>) -> Next {
        self.read_again = true;
        self.written_kept = self.kept;
        self.to_read = self.unread;
        self.unread = 0;
        self.read_next(engine)
    }

    pub(super) fn slot_written(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
    ) -> Next {
        match result {
            Ok(()) if self.to_write != 0 => self.to_write &= !mask,
            Ok(()) => self.to_write_kept &= !mask,
            Err(error) => return self.slot_failed(engine, error),
        }
        self.write_next(engine)
    }

    fn slot_failed(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Next {
        if self.placing == Placing::Extend {
            if !error.can_mean_medium() {
                return self.give_up_group(engine, error);
            }
            let slot = self.slot;
            return self.begin_move(engine, slot);
        }
        if !error.can_mean_medium() {
            engine.give_back(self.slot);
            return self.give_up_group(engine, error);
        }
        engine.queue_retirement(self.slot);
        if self.slot_tries >= SLOT_TRIES {
            return self.give_up_group(engine, error);
        }
        self.begin_slot(engine)
    }

    /// The group cannot be placed: the write fails, and what was mapped stays as it is.
    fn give_up_group(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Next {
        self.release_old(engine);
        self.fail(error);
        self.place_next(engine)
    }

    fn release_old(&self, engine: &mut Engine<'_>) {
        if let Placing::Move { from } = self.placing {
            engine.release_hold(from);
        }
    }

    /// The content is on the slot: queue the entry that makes it the group's.
    fn queue_change(&mut self, engine: &mut Engine<'_>) -> Next {
        let need = self.needed();
        let (kind, mask, lost) = match self.placing {
            Placing::New => (Kind::New, need, 0),
            Placing::Extend => {
                let old = engine.entry(self.slot);
                (Kind::Extend, old.mask | need, old.lost)
            }
            Placing::Move { from } => {
                let lost = self.lost | self.unread;
                (Kind::Move { from }, need | self.kept | lost, lost)
            }
        };
        let state = if lost == 0 { SlotState::Mapped } else { SlotState::Lost };
        let Some(generation) = engine.next_generation() else {
            return self.give_up_group(engine, ErrorKind::Io);
        };
        let entry = Entry { state, group: self.group(), mask, lost, generation };
        if !engine.queue(Change::new(kind, Some(self.context), self.slot, entry)) {
            engine.broken("the list of changes is full though there was room");
            return self.give_up_group(engine, ErrorKind::Io);
        }
        engine.counters.remapped_sectors += u64::from(need.count_ones());
        self.queued = true;
        self.moved |= matches!(kind, Kind::Move { .. });
        self.nth += 1;
        self.place_next(engine)
    }
}
