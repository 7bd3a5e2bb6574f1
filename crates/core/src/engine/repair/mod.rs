//! Write repair (S5 to S7): from a failed write to content that is stored, on main or in a slot.
//!
//! A failed write is repaired in windows of up to [`WINDOW_GROUPS`] groups. A window is *claimed* (no other context works on
//! its groups), *loaded* (the host copies the content into the context's buffer), *narrowed* (tried again, in ever smaller parts,
//! until what fails is known to the physical block), *placed* (what fails is written to slots) and *committed*. Only then does
//! the next window begin, and the bio completes after the last.

mod narrow;
mod place;

use super::machine::{Event, Next};
use super::{Engine, Notice, WINDOW_GROUPS};
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::units::{Group, Sector, Slot};

/// Slots that are tried for one group before its write fails: more in a row mean that the spare as a whole fails.
pub(super) const SLOT_TRIES: u32 = 4;

/// A write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// First sector, as it was when the bio was mapped.
    pub first: Sector,
    /// Length in sectors, at least 1.
    pub sectors: u32,
    /// Whether the content must be durable when the write completes.
    pub fua: bool,
    /// How it failed.
    pub error: ErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A window is to be claimed.
    Claim,
    /// The host loads it.
    Load,
    /// A part of the window is being written to main.
    NarrowMain { sectors: u32 },
    /// A part of the window is being written to the slots that it is mapped to.
    NarrowSlot { sectors: u32 },
    /// A held group is being drained before its slot is given up.
    DrainOld,
    /// A block of the old slot is being read.
    ReadOld { mask: u8 },
    /// A run of the group's sectors is being written to the slot.
    WriteSlot { mask: u8 },
    /// The commit is under way.
    Commit,
    /// Slots that were given up are being drained.
    DrainGivenUp,
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

/// The machine of one repair context.
#[derive(Debug)]
pub struct Repair {
    context: u8,
    job: Job,
    state: State,
    verdict: Result<(), ErrorKind>,
    deadline_ms: u64,
    /// The window.
    at: Sector,
    sectors: u32,
    /// Per group of the window: sectors that must go to a slot.
    need: [u8; WINDOW_GROUPS as usize],
    /// Groups of the window whose slot must be given up.
    give_up: u64,
    /// Narrowing: where, how much at once, and how often the physical block there has failed.
    cursor: Sector,
    step_sectors: u32,
    attempts: u32,
    /// Placing: which group of the window, how, into which slot, and what is left to do.
    nth: u32,
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
    queued: bool,
    moved: bool,
}

impl Repair {
    /// A machine for one job of repair context `context`, from 0 to [`super::CONTEXTS_MAX`]` - 1`.
    pub fn new(context: u8, job: Job, engine: &mut Engine<'_>, now_ms: u64) -> Repair {
        engine.counters.repairs += 1;
        let deadline_ms = now_ms.saturating_add(engine.settings.repair_deadline_ms);
        Repair {
            context,
            job,
            state: State::Claim,
            verdict: Ok(()),
            deadline_ms,
            at: job.first,
            sectors: 0,
            need: [0; WINDOW_GROUPS as usize],
            give_up: 0,
            cursor: job.first,
            step_sectors: 0,
            attempts: 0,
            nth: 0,
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
            queued: false,
            moved: false,
        }
    }

    /// The next step after `event`.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        match (self.state, event) {
            (State::Claim, Event::Go) => self.claim(engine),
            (State::Load, Event::Loaded) => self.begin_narrowing(engine, now_ms),
            (State::NarrowMain { sectors }, Event::Io(result)) => {
                self.tried_main(engine, sectors, result, now_ms)
            }
            (State::NarrowSlot { sectors }, Event::Io(result)) => {
                self.tried_slot(engine, sectors, result, now_ms)
            }
            (State::DrainOld, Event::Drained) => self.read_old(engine),
            (State::ReadOld { mask }, Event::Io(result)) => self.read_ended(engine, mask, result),
            (State::WriteSlot { mask }, Event::Io(result)) => self.slot_written(engine, mask, result),
            (State::Commit, Event::Committed) => self.committed(engine),
            (State::DrainGivenUp, Event::Drained) => {
                engine.retire_superseded(self.context);
                self.after_commit(engine)
            }
            _ => {
                engine.broken("a repair was told something that it did not ask for");
                self.finish(engine, Err(ErrorKind::Io))
            }
        }
    }

    /// Whether repairing makes sense at all (S14, S15, and the modes).
    fn refused(&self, engine: &Engine<'_>) -> bool {
        !self.job.error.can_mean_medium() || !engine.settings.auto_remap || !engine.mode.remaps()
    }

    fn claim(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.refused(engine) {
            return self.finish(engine, Err(self.job.error));
        }
        let end = self.job_end();
        let window_end = Group((self.at.group().0 / u64::from(WINDOW_GROUPS) + 1) * u64::from(WINDOW_GROUPS));
        let stop = window_end.first_sector().0.min(end);
        if !engine.claim(usize::from(self.context), self.at.group(), Sector(stop - 1).group()) {
            return Next::Wait;
        }
        self.sectors = (stop - self.at.0) as u32;
        self.need = [0; WINDOW_GROUPS as usize];
        self.give_up = 0;
        self.queued = false;
        self.moved = false;
        self.state = State::Load;
        Next::Load { offset_sectors: (self.at.0 - self.job.first.0) as u32, sectors: self.sectors }
    }

    fn job_end(&self) -> u64 {
        self.job.first.0.saturating_add(u64::from(self.job.sectors.max(1)))
    }

    fn window_end(&self) -> u64 {
        self.at.0 + u64::from(self.sectors)
    }

    fn write_op(&self) -> Op {
        if self.job.fua {
            Op::WriteFua
        } else {
            Op::Write
        }
    }

    /// A write of `sectors` sectors of the window from `from` on.
    fn write_window(&self, device: Device, sector: u64, from: Sector, sectors: u32, op: Op) -> IoRequest {
        IoRequest { device, op, sector, sectors, buffer_sector: (from.0 - self.at.0) as u32 }
    }

    /// The window is placed: commit what was queued, or go on.
    fn placed(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.queued {
            self.state = State::Commit;
            return Next::Commit;
        }
        self.end_window(engine)
    }

    fn committed(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.await_room(usize::from(self.context), false);
        match engine.commit_outcome(usize::from(self.context)) {
            Some(true) => {}
            _ => self.fail(ErrorKind::Io),
        }
        self.queued = false;
        if self.moved {
            self.moved = false;
            self.state = State::DrainGivenUp;
            return Next::Drain;
        }
        self.after_commit(engine)
    }

    /// A commit may come in the middle of a window, when the list of changes was full.
    fn after_commit(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.verdict.is_ok() && self.nth < WINDOW_GROUPS {
            return self.place_next(engine);
        }
        self.end_window(engine)
    }

    fn end_window(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.unclaim(usize::from(self.context));
        self.at = Sector(self.window_end());
        if self.verdict.is_err() || self.at.0 >= self.job_end() {
            return self.finish(engine, self.verdict);
        }
        self.state = State::Claim;
        self.claim(engine)
    }

    fn fail(&mut self, error: ErrorKind) {
        if self.verdict.is_ok() {
            self.verdict = Err(error);
        }
    }

    fn finish(&mut self, engine: &mut Engine<'_>, verdict: Result<(), ErrorKind>) -> Next {
        engine.unclaim(usize::from(self.context));
        match verdict {
            Ok(()) => engine.counters.repaired += 1,
            Err(_) => {
                engine.counters.repairs_failed += 1;
                engine.notices.push(Notice::WriteFailed { sector: self.job.first });
            }
        }
        self.state = State::Claim;
        Next::Done(verdict)
    }
}
