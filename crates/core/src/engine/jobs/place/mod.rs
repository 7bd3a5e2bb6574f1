//! Placing: content of one group goes from the window of a context's buffer into a slot, of the group's own or a new one.
//!
//! A slot is one block of 4096 bytes, and a write to a part of it that fails may cost the rest (S32). So where a slot holds more of its group than is
//! brought, the group is held (S9), the rest is read, and another slot is taken for both before the part is written.

mod beside;
mod old;

use crate::engine::jobs::protocol::{Event, SCRATCH_SECTOR};
use crate::engine::limits::SLOT_TRIES;
use crate::engine::map::changes::{Change, Kind};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::error::ErrorKind;
use crate::format::{Entry, SlotState};
use crate::io::{Device, IoRequest, Op};
use crate::lookup::Record;
use crate::units::{sector_mask, Group, Sector, Slot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Rest,
    /// The held group is being drained before its slot is given up, or written beside what lives there.
    DrainOld,
    /// A block of the old slot is being read.
    ReadOld { mask: u8 },
    /// The same after a write of a part of it has failed: is the rest still there?
    ReadBack { mask: u8 },
    /// A run of the group's sectors is being written to the slot.
    WriteSlot { mask: u8 },
}

/// How the group at hand is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placing {
    /// Into a slot taken for it.
    New,
    /// Into the slot that it has.
    Extend,
    /// From its slot into another, taken for it.
    Move { from: Slot },
}

/// What a placer asks for, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::jobs) enum Placed {
    /// Carry out this request.
    Io(IoRequest),
    /// Wait until the writes to the group that are under way have ended.
    Drain,
    /// The content is on a slot, and the change that makes it the group's waits for a commit.
    Queued,
    /// It is where it was before, in the slot of the group, which is not held any more. Nothing waits for a commit.
    InPlace,
    /// It cannot be placed: what was mapped stays as it is, and the group is not held any more.
    Failed(ErrorKind),
}

/// What a group is to be given, and how.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::jobs) struct Placement {
    pub(in crate::engine::jobs) group: Group,
    /// Sectors whose content is in the buffer.
    pub(in crate::engine::jobs) need: u8,
    /// A sector at or before them, and where in the buffer its content is, in sectors.
    pub(in crate::engine::jobs) at: Sector,
    pub(in crate::engine::jobs) buffer_sector: u32,
    /// Whether the slot that the group has must be given up (S7).
    pub(in crate::engine::jobs) give_up: bool,
    /// Whether what cannot be read of a slot that is given up may be declared lost.
    pub(in crate::engine::jobs) may_lose: bool,
    /// Whether the content is nowhere else: then an error of the spare that is none of the medium is no reason to give up at once.
    pub(in crate::engine::jobs) rescue: bool,
    /// The error when no slot is free.
    pub(in crate::engine::jobs) error: ErrorKind,
}

/// The part of a machine that places groups, one after the other.
#[derive(Debug)]
pub(in crate::engine::jobs) struct Placer {
    context: u8,
    what: Placement,
    state: State,
    placing: Placing,
    slot: Slot,
    slot_tries: u32,
    to_read: u8,
    to_write: u8,
    kept: u8,
    to_write_kept: u8,
    /// Sectors of the old slot: lost since long; unreadable now; read and already in the new slot.
    lost: u8,
    unread: u8,
    written_kept: u8,
    /// The unreadable ones are being read a second time.
    read_again: bool,
    /// The group was held, and is let go of when the content is in its own slot.
    lets_go: bool,
    /// How a write of a part of the old slot has failed; and what of the rest, which was kept, can no longer be read there.
    error: ErrorKind,
    spoilt: u8,
    /// A slot that was taken for the group, and that neither a lookup nor a change leads to yet. Whatever becomes of the group, it is given
    /// back, retired or queued (S33).
    taken: Option<Slot>,
}

impl Placer {
    /// A placer of a context.
    pub(in crate::engine::jobs) fn new(context: u8) -> Placer {
        let (group, at, error) = (Group(0), Sector(0), ErrorKind::Io);
        Placer {
            context,
            what: Placement {
                group,
                need: 0,
                at,
                buffer_sector: 0,
                give_up: false,
                may_lose: false,
                rescue: false,
                error,
            },
            state: State::Rest,
            placing: Placing::New,
            slot: Slot(0),
            slot_tries: 0,
            to_read: 0,
            to_write: 0,
            kept: 0,
            to_write_kept: 0,
            lost: 0,
            unread: 0,
            written_kept: 0,
            read_again: false,
            lets_go: false,
            error: ErrorKind::Medium,
            spoilt: 0,
            taken: None,
        }
    }

    /// Begins with a group, which the context has claimed.
    pub(in crate::engine::jobs) fn begin(&mut self, engine: &mut Engine<'_>, what: Placement) -> Placed {
        *self = Placer { what, ..Placer::new(self.context) };
        match engine.table.record_of(what.group) {
            None => self.begin_slot(engine),
            Some((slot, record)) if record.is_reserved_hold() => {
                self.slot = slot;
                self.slot_tries = 1;
                self.begin_writing(engine)
            }
            Some((slot, _)) if what.give_up => self.begin_move(engine, slot),
            Some((slot, record)) => {
                self.placing = Placing::Extend;
                self.slot = slot;
                match record.mask() & !what.need & !engine.lost_mask(slot) {
                    0 => self.begin_writing(engine),
                    _ => self.begin_beside(engine, record),
                }
            }
        }
    }

    /// Whether the group at hand had no slot.
    pub(in crate::engine::jobs) fn is_new(&self) -> bool {
        self.placing == Placing::New
    }

    /// Whether it has gone from one slot to another.
    pub(super) fn is_moved(&self) -> bool {
        matches!(self.placing, Placing::Move { .. })
    }

    /// The next step after what [`Placer::begin`] or this asked for.
    pub(in crate::engine::jobs) fn next(&mut self, engine: &mut Engine<'_>, event: Event) -> Placed {
        match (core::mem::replace(&mut self.state, State::Rest), event) {
            (State::DrainOld, Event::Drained) => self.read_old(engine),
            (State::DrainOld, Event::Undrained) => self.give_up(engine, self.what.error),
            (State::ReadOld { mask }, Event::Io(result)) => self.read_ended(engine, mask, result),
            (State::ReadBack { mask }, Event::Io(result)) => self.read_back_ended(engine, mask, result),
            (State::WriteSlot { mask }, Event::Io(result)) => self.slot_written(engine, mask, result),
            _ => {
                engine.broken("a machine that places a group was told something that it did not ask for");
                self.give_up(engine, ErrorKind::Io)
            }
        }
    }

    /// Takes a slot for the group and begins to fill it.
    fn begin_slot(&mut self, engine: &mut Engine<'_>) -> Placed {
        self.slot_tries += 1;
        match self.taken.or_else(|| engine.take_slot(self.what.group)) {
            Some(slot) => {
                (self.slot, self.taken) = (slot, Some(slot));
                self.begin_writing(engine)
            }
            None => self.give_up(engine, self.what.error),
        }
    }

    fn begin_writing(&mut self, engine: &mut Engine<'_>) -> Placed {
        self.to_write = self.what.need;
        // What is kept of the slot that is written stands there.
        self.to_write_kept = if self.placing == Placing::Extend { 0 } else { self.kept };
        self.write_next(engine)
    }

    /// Writes the next run: first what is brought, then what was kept of the old slot.
    fn write_next(&mut self, engine: &mut Engine<'_>) -> Placed {
        let kept = self.to_write == 0;
        let left = if kept { self.to_write_kept } else { self.to_write };
        if left == 0 && self.placing == Placing::Extend {
            return self.queue_change(engine);
        }
        if left == 0 && self.unread != 0 && !self.read_again {
            return self.read_once_more(engine);
        }
        if left == 0 && self.unread != 0 && !self.what.may_lose {
            return self.give_up(engine, ErrorKind::Medium);
        }
        if left == 0 {
            return self.queue_change(engine);
        }
        let first = left.trailing_zeros();
        let count = (left >> first).trailing_ones();
        let sector = engine.geometry().slot_block(self.slot).first_sector() + u64::from(first);
        self.state = State::WriteSlot { mask: sector_mask(first, count) };
        let from = self.what.group.first_sector().0 + u64::from(first);
        let brought = self.what.buffer_sector.saturating_add(from.saturating_sub(self.what.at.0) as u32);
        let buffer_sector = if kept { SCRATCH_SECTOR + first } else { brought };
        Placed::Io(IoRequest { device: Device::Spare, op: Op::Write, sector, sectors: count, buffer_sector })
    }

    fn slot_written(&mut self, engine: &mut Engine<'_>, mask: u8, result: Result<(), ErrorKind>) -> Placed {
        match result {
            Ok(()) if self.to_write != 0 => self.to_write &= !mask,
            Ok(()) => self.to_write_kept &= !mask,
            Err(error) => return self.slot_failed(engine, error),
        }
        self.write_next(engine)
    }

    fn slot_failed(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Placed {
        if !error.can_mean_medium() && self.what.rescue && self.slot_tries < SLOT_TRIES {
            // Nothing says that it is the slot. The group stays held.
            self.slot_tries += 1;
            return self.write_next(engine);
        }
        if self.placing == Placing::Extend {
            return self.extension_failed(engine, error);
        }
        if !error.can_mean_medium() {
            return self.give_up(engine, error);
        }
        if engine.table.record_of(self.what.group).is_some_and(|(found, _)| found == self.slot) {
            return self.holder_failed(engine, error);
        }
        self.taken = None;
        engine.queue_retirement(self.slot);
        if self.slot_tries >= SLOT_TRIES {
            return self.give_up(engine, error);
        }
        self.begin_slot(engine)
    }

    /// The slot that failed is the one by which the group is held: another takes over the hold. Until a drain the old one stays as
    /// it is, since a lookup that came to it must not conclude that the group is on main (S9).
    fn holder_failed(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Placed {
        let group = self.what.group;
        let next = if self.slot_tries < SLOT_TRIES { engine.take_slot(group) } else { None };
        let Some(next) = next else {
            let _ = engine.table.remove(group);
            engine.queue_retirement(self.slot);
            return self.give_up(engine, error);
        };
        if !engine.table.replace(next, Record::reserved(group).with_held(true)) {
            engine.broken("a held group is not in the map");
            return self.give_up(engine, ErrorKind::Io);
        }
        if !engine.supersede(self.slot, Some(self.context)) {
            engine.broken("the list of changes is full though there was room");
            return self.give_up(engine, ErrorKind::Io);
        }
        self.slot = next;
        self.slot_tries += 1;
        self.begin_writing(engine)
    }

    /// The group cannot be placed: what was mapped stays as it is, and a slot that was taken for it is free again.
    fn give_up(&mut self, engine: &mut Engine<'_>, error: ErrorKind) -> Placed {
        if self.spoilt != 0 {
            engine.notices.push(Notice::Spoilt { group: self.what.group.first_sector() });
        }
        if let Some(slot) = self.taken.take() {
            engine.give_back(slot);
        }
        engine.unhold(self.what.group);
        Placed::Failed(error)
    }

    /// The content is on the slot: queue the entry that makes it the group's.
    fn queue_change(&mut self, engine: &mut Engine<'_>) -> Placed {
        let need = self.what.need;
        if let Some(slot) = self.taken.take_if(|slot| *slot != self.slot) {
            engine.give_back(slot);
        }
        if core::mem::take(&mut self.lets_go) && self.placing == Placing::Extend {
            engine.unhold(self.what.group);
        }
        let (kind, mask, lost) = match self.placing {
            Placing::New => (Kind::New, need | self.kept, 0),
            Placing::Extend => {
                let old = engine.entry(self.slot);
                if old.mask | need == old.mask {
                    return Placed::InPlace;
                }
                (Kind::Extend, old.mask | need, old.lost)
            }
            Placing::Move { from } => {
                let lost = self.lost | self.unread;
                (Kind::Move { from }, need | self.kept | lost, lost)
            }
        };
        let state = if lost == 0 { SlotState::Mapped } else { SlotState::Lost };
        let Some(generation) = engine.next_generation() else {
            return self.give_up(engine, ErrorKind::Io);
        };
        let entry = Entry { state, group: self.what.group, mask, lost, generation };
        let rescues = self.what.rescue || self.spoilt != 0;
        let change =
            Change { brought: need, rescues, ..Change::new(kind, Some(self.context), self.slot, entry) };
        if !engine.queue(change) {
            engine.broken("the list of changes is full though there was room");
            return self.give_up(engine, ErrorKind::Io);
        }
        self.taken = None;
        Placed::Queued
    }
}
