//! Failed reads (S1 to S4): from a read that failed to everything that can be read.
//!
//! A failed read is worked on in windows of up to [`WINDOW_GROUPS`] groups. The groups of a window are claimed, so that nothing moves
//! while they are read, and looked up anew: what was mapped since the bio was sent is read from its slot (S4). A window is read in
//! ever smaller parts until what fails is known to the logical block; what reads well is stored in the bio at once, and the bio fails
//! if any block stays unreadable.
//!
//! Blocks that were found unreadable not long ago are *known* (S34). Nothing around them fails for their sake, as it is read apart from them. They
//! get one attempt, all that lie together at once, and few of those for one bio.
//!
//! A window makes way after each request when a failed write waits for its groups, and is begun again where it was.

mod part;
mod parts;
mod source;

use crate::engine::jobs::protocol::{Event, Next};
use crate::engine::limits::WINDOW_GROUPS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::path::Place;
use crate::units::{Group, Sector, SECTORS_PER_BLOCK};
use part::Part;
use source::{source_of, Source};

/// Attempts to read known blocks that may fail for one bio. With the bio's own request that is at most four. A bio of one window with one such
/// run has four requests at most: its own, one before the run, the run, one behind it.
const KNOWN_TRIES: u8 = 3;

/// A read that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// First sector, as it was when the bio was mapped.
    pub first: Sector,
    /// Length in sectors, at least 1.
    pub sectors: u32,
    /// Where it failed.
    pub place: Place,
    /// How it failed.
    pub error: ErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A window is to be claimed.
    Claim,
    /// So many sectors are being read.
    Reading { sectors: u32 },
    /// They are being stored.
    Storing,
}

/// The machine of one repair context.
#[derive(Debug)]
pub struct Reread {
    context: u8,
    job: Job,
    state: State,
    verdict: Result<(), ErrorKind>,
    deadline_ms: u64,
    /// Where to go on, how much is tried at once, and where the window ends.
    cursor: Sector,
    step_sectors: u32,
    window_end: Sector,
    /// The physical block at the cursor, once it has failed as a whole.
    part: Option<Part>,
    /// A part that was left to make way: where it began, and which of its sectors have been stored.
    left_at: Sector,
    left_stored: u64,
    /// The request under way is for known blocks; attempts at such that are left.
    known: bool,
    known_tries: u8,
}

impl Reread {
    /// A machine for one job of repair context `context`, from 0 to [`crate::engine::CONTEXTS_MAX`]` - 1`.
    pub fn new(context: u8, job: Job, engine: &mut Engine<'_>, now_ms: u64) -> Reread {
        engine.counters.reads += 1;
        Reread {
            context,
            job,
            state: State::Claim,
            verdict: Ok(()),
            deadline_ms: now_ms.saturating_add(engine.settings.read_deadline_ms),
            cursor: job.first,
            step_sectors: 0,
            window_end: job.first,
            part: None,
            left_at: job.first,
            left_stored: 0,
            known: false,
            known_tries: KNOWN_TRIES,
        }
    }

    /// The next step after `event`.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        match (self.state, event) {
            (State::Claim, Event::Go) => self.claim(engine, now_ms),
            (State::Reading { sectors }, Event::Io(Ok(()))) => {
                self.state = State::Storing;
                let offset_sectors = (self.reading_at().0 - self.job.first.0) as u32;
                self.read_well(engine, sectors);
                Next::Store { offset_sectors, sectors }
            }
            (State::Reading { .. }, Event::Io(Err(error))) if !error.can_mean_medium() => {
                // Not the medium: the bio fails with what the device says (S15).
                self.drop_part(engine);
                self.finish(engine, Err(error))
            }
            (State::Reading { sectors }, Event::Io(Err(error))) => {
                self.read_failed(engine, sectors, error);
                self.go_on(engine, now_ms)
            }
            (State::Storing, Event::Stored) => self.go_on(engine, now_ms),
            _ => {
                engine.broken("a read was told something that it did not ask for");
                self.finish(engine, Err(ErrorKind::Io))
            }
        }
    }

    fn claim(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Next {
        let refused = engine.fail_reason().is_some_and(|reason| !reason.serves_reads());
        if refused || now_ms >= self.deadline_ms {
            return self.finish(engine, Err(self.job.error));
        }
        let at = self.cursor.group();
        let window_end = Group((at.0 / u64::from(WINDOW_GROUPS) + 1) * u64::from(WINDOW_GROUPS));
        let stop = window_end.first_sector().0.min(self.job_end());
        if !engine.claim_to_read(usize::from(self.context), at, Sector(stop - 1).group()) {
            self.state = State::Claim;
            return Next::Wait;
        }
        self.window_end = Sector(stop);
        self.step_sectors = (stop - self.cursor.0) as u32;
        if self.known(engine, self.step_sectors, now_ms) != (false, self.step_sectors) {
            // That is why it failed.
            self.step_sectors = WINDOW_GROUPS * SECTORS_PER_BLOCK;
        } else if self.cursor == self.job.first && stop == self.job_end() {
            // The whole has failed once already.
            self.step_sectors /= 2;
        }
        self.go_on(engine, now_ms)
    }

    fn job_end(&self) -> u64 {
        self.job.first.0.saturating_add(u64::from(self.job.sectors.max(1)))
    }

    /// Reads what comes next.
    fn go_on(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Next {
        loop {
            if let Some(next) = self.go_on_in_part(engine, now_ms) {
                return next;
            }
            if self.cursor.0 >= self.job_end() {
                return self.finish(engine, self.verdict);
            }
            if self.cursor >= self.window_end {
                return self.let_go(engine);
            }
            if self.stored_from(self.cursor) & 1 != 0 {
                self.cursor = Sector(self.cursor.0 + 1);
                continue;
            }
            let left = (self.window_end.0 - self.cursor.0) as u32;
            let Some((source, run)) = source_of(engine, self.cursor, left) else {
                // Groups are held only by who has claimed them, and this context has.
                engine.broken("a claimed group is held by somebody else");
                return self.finish(engine, Err(ErrorKind::Io));
            };
            if source == Source::Lost {
                self.fail(ErrorKind::Medium);
                self.cursor = Sector(self.cursor.0 + u64::from(run));
                continue;
            }
            let (known, run) = match source {
                Source::Main => self.known(engine, run, now_ms),
                _ => (false, run),
            };
            if known {
                match self.try_known(engine, run, now_ms) {
                    Some(next) => return next,
                    None => continue,
                }
            }
            let sectors = self.attempt(engine, source, run);
            if self.was_the_failed_one(engine, source, sectors) {
                self.begin_part(engine, source, sectors);
                continue;
            }
            return self.read(engine, source, self.cursor, sectors, now_ms);
        }
    }

    /// Whether the sector at the cursor is known to be unreadable on main, and how many of the next `sectors` sectors are like it.
    fn known(&self, engine: &Engine<'_>, sectors: u32, now_ms: u64) -> (bool, u32) {
        engine.pending.known(self.cursor, sectors, now_ms, engine.settings.reread_after_ms)
    }

    /// The next `sectors` sectors are known to be unreadable on main: they are read once, or fail at once if the bio's own request was that, or if
    /// enough others were tried.
    fn try_known(&mut self, engine: &mut Engine<'_>, sectors: u32, now_ms: u64) -> Option<Next> {
        let whole = self.cursor == self.job.first && sectors == self.job.sectors;
        if self.known_tries == 0 || whole && self.job.place == Place::Main {
            self.fail(self.job.error);
            self.cursor = Sector(self.cursor.0 + u64::from(sectors));
            return None;
        }
        self.known = true;
        Some(self.read(engine, Source::Main, self.cursor, sectors, now_ms))
    }

    /// Whether the read of `sectors` sectors at the cursor would be nothing but the bio's own again, in one physical block.
    fn was_the_failed_one(&self, engine: &Engine<'_>, source: Source, sectors: u32) -> bool {
        let same_place = match (source, self.job.place) {
            (Source::Main, Place::Main) => true,
            (Source::Slot { slot, .. }, Place::Spare(failed)) => slot == failed,
            _ => false,
        };
        let whole = self.cursor == self.job.first && sectors == self.job.sectors;
        same_place && whole && self.is_one_unit(engine, source, sectors)
    }

    fn is_one_unit(&self, engine: &Engine<'_>, source: Source, sectors: u32) -> bool {
        source.units(engine).is_one(self.cursor.0, sectors)
    }

    /// How much of a run of `run` sectors is read at once: whole physical blocks, at least to the end of the first.
    fn attempt(&self, engine: &Engine<'_>, source: Source, run: u32) -> u32 {
        source.units(engine).piece(self.cursor.0, run, self.step_sectors)
    }

    /// Asks for `sectors` sectors from `from` on, unless time is up or a write waits.
    fn read(
        &mut self,
        engine: &mut Engine<'_>,
        source: Source,
        from: Sector,
        sectors: u32,
        now_ms: u64,
    ) -> Next {
        if now_ms >= self.deadline_ms {
            self.end_part(engine, now_ms);
            return self.finish(engine, Err(self.job.error));
        }
        if engine.is_in_the_way(usize::from(self.context)) {
            self.leave_part(engine);
            return self.let_go(engine);
        }
        let (device, sector) = match source {
            Source::Slot { slot, .. } => {
                let in_slot = engine.geometry().slot_block(slot).first_sector();
                (Device::Spare, in_slot + (from.0 - self.cursor.group().first_sector().0))
            }
            Source::Main | Source::Lost => (Device::Main, from.0),
        };
        self.state = State::Reading { sectors };
        Next::Io(IoRequest { device, op: Op::Read, sector, sectors, buffer_sector: 0 })
    }

    fn let_go(&mut self, engine: &mut Engine<'_>) -> Next {
        self.known = false;
        engine.unclaim(usize::from(self.context));
        self.state = State::Claim;
        Next::Yield
    }

    /// Where the request under way begins.
    fn reading_at(&self) -> Sector {
        self.part.as_ref().map_or(self.cursor, Part::reading_at)
    }

    fn read_well(&mut self, engine: &Engine<'_>, sectors: u32) {
        self.known = false;
        if self.part.is_some() {
            self.part_read_well(engine, sectors);
            return;
        }
        engine.pending.clear(self.cursor, u64::from(sectors));
        self.cursor = Sector(self.cursor.0 + u64::from(sectors));
        self.step_sectors = self.step_sectors.saturating_mul(2).clamp(1, WINDOW_GROUPS * SECTORS_PER_BLOCK);
    }

    fn read_failed(&mut self, engine: &mut Engine<'_>, sectors: u32, error: ErrorKind) {
        if self.part.is_some() {
            return self.part_read_failed(engine, sectors, error);
        }
        if core::mem::take(&mut self.known) {
            // Only here: of what reads well again no reader is to be spared.
            self.known_tries = self.known_tries.saturating_sub(1);
            self.fail(error);
            self.cursor = Sector(self.cursor.0 + u64::from(sectors));
            return;
        }
        // Under the claim this is still what was read.
        let Some((source, _)) = source_of(engine, self.cursor, sectors) else { return };
        if self.is_one_unit(engine, source, sectors) {
            return self.begin_part(engine, source, sectors);
        }
        self.step_sectors = sectors / 2;
    }

    fn fail(&mut self, error: ErrorKind) {
        if self.verdict.is_ok() {
            self.verdict = Err(error);
        }
    }

    fn finish(&mut self, engine: &mut Engine<'_>, verdict: Result<(), ErrorKind>) -> Next {
        engine.unclaim(usize::from(self.context));
        match verdict {
            Ok(()) => engine.counters.reads_delivered += 1,
            Err(_) => engine.counters.reads_failed += 1,
        }
        self.state = State::Claim;
        Next::Done(verdict)
    }
}
