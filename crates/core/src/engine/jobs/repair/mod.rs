//! Write repair (S5 to S7): from a failed write to content that is stored, on main or in a slot.
//!
//! A failed write is repaired in windows of up to [`WINDOW_GROUPS`] groups. A window is *claimed* (no other context works on
//! its groups), *loaded* (the host copies the content into the context's buffer), *narrowed* (tried again, in ever smaller parts,
//! until what fails is known to the physical block), *placed* (what fails is written to slots) and *committed*. Only then does
//! the next window begin, and the bio completes after the last.
//!
//! Where the content has to be durable (FUA) the devices that it went to are flushed at the end, instead of every attempt being one with
//! FUA: many devices do that as a flush of their whole cache, and a failed flush never causes a remapping (S8).

mod fua;
mod keep;
mod kept;
mod narrow;
mod placing;
mod probe;
mod prove;
mod rescue;

use crate::engine::jobs::place::Placer;
use crate::engine::jobs::protocol::{Event, Next, KEPT_WIDE_SECTOR};
use crate::engine::limits::WINDOW_GROUPS;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::units::{Group, Sector, SECTORS_PER_BLOCK};
use kept::Kept;
use probe::Probe;

/// A write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// First sector, as it was when the bio was mapped.
    pub first: Sector,
    /// Length in sectors, at least 1.
    pub sectors: u32,
    /// Whether the content must be durable when the write completes.
    pub fua: bool,
    /// Whether the device that failed a write with FUA may have done it as a flush of its whole cache, so that it may be the
    /// flush that failed.
    pub fua_flushes: bool,
    /// How it failed.
    pub error: ErrorKind,
}

/// A write that no device was asked for yet: it waited, or its slot failed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// First sector.
    pub first: Sector,
    /// Length in sectors, at least 1.
    pub sectors: u32,
    /// Whether the content must be durable when the write completes.
    pub fua: bool,
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
    /// A group is being placed.
    Place,
    /// The commit is under way.
    Commit,
    /// Slots that were given up are being drained.
    DrainGivenUp,
    /// All is stored; what must be durable is being flushed.
    Flush,
    /// Writes took too long for users of the groups by which main is asked to wait: these are let go, and those that are in the way of every
    /// question are being drained.
    ProbeMakeWay,
    /// The groups are being drained of which something is kept while a physical block is written.
    KeptDrain,
    /// Writes took too long for users of those groups to wait: these are let go, and the writes are being drained.
    KeptMakeWay,
    /// So many sectors of that are being read.
    KeptRead { sectors: u32 },
    /// The physical block, or a part of it, is being written.
    KeptWrite,
    /// So many sectors of what is kept are being read again, as the write has failed.
    KeptBack { sectors: u32 },
    /// A group of what can no longer be read is being placed.
    KeptStore,
    /// The commit of those is under way.
    KeptCommit,
}

/// The machine of one repair context.
#[derive(Debug)]
pub struct Repair {
    context: u8,
    job: Job,
    /// A device has failed the job's write.
    sent: bool,
    /// Nothing new may be mapped: what was never sent is stored where it lives, or fails.
    in_place: bool,
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
    /// Groups of the window that failed on main, without evidence so far that main takes writes.
    unproved: u64,
    /// Narrowing: where, how much at once, and how often the physical block there has failed.
    cursor: Sector,
    step_sectors: u32,
    attempts: u32,
    /// Placing: which group of the window.
    nth: u32,
    placer: Placer,
    queued: bool,
    /// Something failed again, so that it was not (only) a flush that failed at first.
    failed_again: bool,
    /// What was written, and may not be durable yet.
    wrote_main: bool,
    wrote_spare: bool,
    probe: Probe,
    kept: Kept,
    /// The breaker is open, and this repair finds out whether it may close.
    trial: bool,
    /// Time of the step.
    now_ms: u64,
}

impl Repair {
    /// A machine for one job of repair context `context`, from 0 to [`crate::engine::CONTEXTS_MAX`]` - 1`.
    pub fn new(context: u8, job: Job, engine: &mut Engine<'_>, now_ms: u64) -> Repair {
        engine.counters.repairs += 1;
        Repair::of(context, job, engine, now_ms)
    }

    fn of(context: u8, job: Job, engine: &Engine<'_>, now_ms: u64) -> Repair {
        let deadline_ms = now_ms.saturating_add(engine.settings.repair_deadline_ms);
        Repair {
            context,
            job,
            sent: true,
            in_place: false,
            state: State::Claim,
            verdict: Ok(()),
            deadline_ms,
            at: job.first,
            sectors: 0,
            need: [0; WINDOW_GROUPS as usize],
            give_up: 0,
            unproved: 0,
            cursor: job.first,
            step_sectors: 0,
            attempts: 0,
            nth: 0,
            placer: Placer::new(context),
            queued: false,
            failed_again: false,
            wrote_main: false,
            wrote_spare: false,
            probe: Probe::default(),
            kept: Kept::default(),
            trial: false,
            now_ms,
        }
    }

    /// A machine for a write that was never sent, which is counted if it fails on the way. No flush of a device can have failed for it, and while nothing new may be mapped it is
    /// stored where its sectors live.
    pub fn unsent(context: u8, write: Unsent, engine: &mut Engine<'_>, now_ms: u64) -> Repair {
        let Unsent { first, sectors, fua } = write;
        let job = Job { first, sectors, fua, fua_flushes: false, error: ErrorKind::Io };
        Repair { sent: false, ..Repair::of(context, job, engine, now_ms) }
    }

    /// The next step after `event`.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        self.now_ms = now_ms;
        match (self.state, event) {
            (State::Claim, Event::Go) => self.claim(engine),
            (State::Load, Event::Loaded) => self.begin_narrowing(engine, now_ms),
            (State::NarrowMain { sectors }, Event::Io(result)) => {
                self.tried_main(engine, sectors, result, now_ms)
            }
            (State::NarrowSlot { sectors }, Event::Io(result)) => {
                self.tried_slot(engine, sectors, result, now_ms)
            }
            (State::Place, event) => {
                let placed = self.placer.next(engine, event);
                self.obey(engine, placed)
            }
            (State::Commit, Event::Committed) => self.committed(engine),
            (State::DrainGivenUp, Event::Drained) => {
                engine.leave_superseded(self.context);
                self.after_commit(engine)
            }
            (State::Flush, Event::Io(result)) => {
                if let Err(error) = result {
                    engine.flush_failed();
                    self.fail(error);
                }
                self.end_job(engine)
            }
            (State::ProbeMakeWay, Event::Drained | Event::Undrained) => self.probe_way_made(engine),
            (State::KeptDrain, Event::Drained) => self.read_kept(engine),
            (State::KeptDrain, Event::Undrained) => self.kept_undrained(engine),
            (State::KeptMakeWay, Event::Drained | Event::Undrained) => self.narrow(engine, now_ms),
            (State::KeptRead { sectors }, Event::Io(result)) => self.kept_read(engine, sectors, result),
            (State::KeptWrite, Event::Io(result)) => self.kept_written(engine, result),
            (State::KeptBack { sectors }, Event::Io(result)) => self.kept_read_back(engine, sectors, result),
            (State::KeptStore, event) => {
                let placed = self.placer.next(engine, event);
                self.kept_placed(engine, placed)
            }
            (State::KeptCommit, Event::Committed) => self.kept_committed(engine),
            _ => {
                engine.broken("a repair was told something that it did not ask for");
                self.finish(engine, Err(ErrorKind::Io))
            }
        }
    }

    /// Whether repairing makes sense at all (S14, S15, and the modes). What was never sent has not failed: it is refused only where
    /// every write is.
    fn refused(&mut self, engine: &mut Engine<'_>) -> bool {
        let repairs = self.job.error.can_mean_medium() && engine.settings.auto_remap;
        self.trial = self.trial || repairs && engine.take_trial(self.now_ms);
        let remaps = repairs && (engine.mode.remaps() || self.trial);
        if self.sent {
            return !remaps;
        }
        self.in_place = !remaps;
        engine.fail_reason().is_some()
    }

    fn claim(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.refused(engine) {
            return self.finish(engine, Err(self.job.error));
        }
        let end = self.job_end();
        let window_end = match engine.units().sectors() {
            ..=SECTORS_PER_BLOCK => {
                (self.at.group().0 / u64::from(WINDOW_GROUPS) + 1) * u64::from(WINDOW_GROUPS)
            }
            // What is kept of a physical block takes the rest of the buffer.
            _ => self.at.group().0.saturating_add((KEPT_WIDE_SECTOR / SECTORS_PER_BLOCK).into()),
        };
        let window_end = Group(window_end);
        // Between physical blocks, so that what one window has stored does not lie beside what another writes (S32).
        let (first_unit, last_unit) =
            (engine.unit_of(self.at.0), engine.unit_of(window_end.first_sector().0));
        let stop = if last_unit.first > self.at { last_unit.first.0 } else { first_unit.end() }.min(end);
        let last = Sector(engine.unit_of(stop - 1).end().max(stop) - 1);
        if !engine.claim(usize::from(self.context), first_unit.first.group(), last.group()) {
            return Next::Wait;
        }
        self.sectors = (stop - self.at.0) as u32;
        self.need = [0; WINDOW_GROUPS as usize];
        self.give_up = 0;
        self.unproved = 0;
        self.queued = false;
        self.state = State::Load;
        Next::Load { offset_sectors: (self.at.0 - self.job.first.0) as u32, sectors: self.sectors }
    }

    fn job_end(&self) -> u64 {
        self.job.first.0.saturating_add(u64::from(self.job.sectors.max(1)))
    }

    fn window_end(&self) -> u64 {
        self.at.0 + u64::from(self.sectors)
    }

    /// A write of `sectors` sectors of the window from `from` on.
    fn write_window(&self, device: Device, sector: u64, from: Sector, sectors: u32) -> IoRequest {
        IoRequest { device, op: Op::Write, sector, sectors, buffer_sector: (from.0 - self.at.0) as u32 }
    }

    fn end_window(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.unclaim(usize::from(self.context));
        self.at = Sector(self.window_end());
        if self.verdict.is_err() || self.at.0 >= self.job_end() {
            return self.end_job(engine);
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
        engine.counters.repairs += u64::from(!self.sent && (self.failed_again || verdict.is_err()));
        match verdict {
            Ok(()) => engine.counters.repaired += u64::from(self.sent || self.failed_again),
            Err(_) => {
                engine.counters.repairs_failed += 1;
                engine.notices.push(Notice::WriteFailed { sector: self.job.first });
            }
        }
        self.state = State::Claim;
        Next::Done(verdict)
    }
}
