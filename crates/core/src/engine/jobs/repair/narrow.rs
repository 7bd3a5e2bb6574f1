//! Narrowing: which physical blocks of the window fail?
//!
//! The window is written again from its start, as much at once as the current step says. A failure halves the step, a success
//! doubles it, so that a single bad block among n costs about 2 log n attempts. A part of one physical block that has failed
//! `error_threshold` times is bad. What the deadline cuts off counts as bad as well: its content is at hand, and a slot is safe.
//!
//! What lives in slots is narrowed likewise, down to the slot: one that fails alone is given up, and no other (S33). The deadline gives up no
//! slot; from then on each is tried once, alone.

use super::{Repair, State};
use crate::engine::jobs::protocol::Next;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::extent::{Range, Units};
use crate::io::Device;
use crate::lookup::Run;
use crate::units::{sector_mask, Group, Sector, Slot};

/// Where sectors go that are not narrowed any further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// To the slot that they have.
    Stays,
    /// To another slot than they have.
    GivesUp,
    /// To the group's slot or to one taken for it, if main takes writes elsewhere.
    Unproved,
}

/// The spare is given up by the slot.
const SLOTS: Units = Units::SLOTS;

impl Repair {
    pub(super) fn begin_narrowing(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Next {
        let units = engine.units();
        self.cursor = self.at;
        // The whole has failed once already, so the first step is half of it; a write of one block has had its first attempt, unless
        // that may have failed for its flush. What was never sent is tried as a whole.
        self.step_sectors = if self.sent { self.sectors / 2 } else { self.sectors }.max(units.sectors());
        let alone = units.is_one(self.job.first.0, self.job.sectors);
        self.attempts = u32::from(alone && self.sent && !self.may_be_flush());
        self.narrow(engine, now_ms)
    }

    pub(super) fn narrow(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Next {
        while self.cursor.0 < self.window_end() {
            if self.stops(engine) {
                // Another context found that main is away: no more of this.
                if self.sent {
                    self.fail(self.job.error);
                    return self.end_window(engine);
                }
                self.in_place = true;
            }
            let left = (self.window_end() - self.cursor.0) as u32;
            let run = engine.table.find(self.cursor, left);
            let sectors = run.sectors();
            match run {
                Run::Main { .. } if self.spent(engine) => {
                    let bad = self.attempt(engine, sectors);
                    self.failed_again = true;
                    self.mark(bad, Mark::Unproved);
                }
                Run::Main { .. } if now_ms >= self.deadline_ms && (self.sent || self.failed_again) => {
                    if self.may_be_flush() && !self.failed_again {
                        // What is known to have failed may be a flush, which is no reason for a slot (S8).
                        self.fail(self.job.error);
                        return self.end_window(engine);
                    }
                    self.mark(sectors, Mark::Unproved);
                }
                Run::Main { .. } => {
                    let sectors = self.attempt(engine, sectors);
                    let (exposed, sectors) = self.exposed(engine, sectors);
                    // What a user's write puts at risk when it is made for the first time is the user's.
                    if exposed && (self.sent || self.failed_again) {
                        match self.keep_rest(engine, sectors).or_else(|| self.leave_out(engine, sectors)) {
                            Some(next) => return next,
                            None => continue,
                        }
                    }
                    self.state = State::NarrowMain { sectors };
                    let at = self.cursor;
                    return Next::Io(self.write_window(Device::Main, at.0, at, sectors));
                }
                Run::Slot { slot, .. } => {
                    if let Some(next) = self.narrow_slot(engine, slot, sectors, now_ms) {
                        return next;
                    }
                }
                Run::Bad { .. } if self.in_place => {
                    self.fail(self.job.error);
                    return self.end_window(engine);
                }
                Run::Bad { .. } => {
                    self.failed_again = true;
                    self.mark(sectors, Mark::GivesUp);
                }
                Run::Doubt { .. } => {
                    self.fail(ErrorKind::Io);
                    self.skip(sectors);
                }
                Run::Held { .. } => {
                    // Groups are held only by who has claimed them, and this context has.
                    engine.broken("a claimed group is held by somebody else");
                    return self.finish(engine, Err(ErrorKind::Io));
                }
            }
        }
        self.begin_placing(engine)
    }

    /// The next `sectors` sectors live from `slot` on; `None` if they are only marked.
    fn narrow_slot(&mut self, engine: &Engine<'_>, slot: Slot, sectors: u32, now_ms: u64) -> Option<Next> {
        let (exposed, sectors) = self.exposed_in_slot(engine, sectors);
        if exposed && !self.in_place && (self.sent || self.failed_again) {
            // Written there with the rest of the slot at hand.
            self.mark(sectors, Mark::Stays);
            return None;
        }
        let step_sectors = if now_ms >= self.deadline_ms { 0 } else { self.step_sectors };
        let sectors = SLOTS.piece(self.cursor.0, sectors, step_sectors);
        self.state = State::NarrowSlot { sectors };
        let in_slot = engine.geometry().slot_block(slot).first_sector();
        let sector = in_slot + u64::from(self.cursor.in_group());
        Some(Next::Io(self.write_window(Device::Spare, sector, self.cursor, sectors)))
    }

    /// Whether the breaker is open, and this repair not the one that finds out.
    pub(super) fn stops(&self, engine: &Engine<'_>) -> bool {
        engine.breaker_is_open() && !self.trial
    }

    /// Whether the block at the cursor has had all its attempts.
    pub(super) fn spent(&self, engine: &Engine<'_>) -> bool {
        self.attempts >= engine.settings.error_threshold.max(1)
    }

    /// How much of a run of `run` sectors on main is tried at once: whole physical blocks, at least to the end of the first.
    fn attempt(&self, engine: &Engine<'_>, run: u32) -> u32 {
        let step_sectors = if self.attempts > 0 { 0 } else { self.step_sectors };
        engine.units().piece(self.cursor.0, run, step_sectors)
    }

    pub(super) fn tried_main(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Next {
        let units = engine.units();
        let at = self.cursor.0;
        self.failed_again |= result.is_err();
        if result.is_err() {
            self.mark_earlier(engine);
        }
        match result {
            Ok(()) => {
                self.stored_on_main(engine, sectors);
                self.go_past(engine, sectors);
            }
            Err(error) if !error.can_mean_medium() || self.in_place => {
                // Not the medium: the bio fails with what the device says (S15). The same where nothing may be mapped.
                self.fail(error);
                return self.end_window(engine);
            }
            Err(_) if !units.is_one(at, sectors) => self.step_sectors = (sectors / 2).max(units.sectors()),
            Err(_) => {
                self.attempts += 1;
                self.step_sectors = units.sectors();
            }
        }
        self.narrow(engine, now_ms)
    }

    /// Main took `sectors` sectors at the cursor.
    pub(super) fn stored_on_main(&mut self, engine: &mut Engine<'_>, sectors: u32) {
        self.wrote_main = true;
        engine.pending.clear(self.cursor, u64::from(sectors));
        self.main_took(engine, self.cursor);
    }

    /// Goes on behind `sectors` sectors at the cursor, which main took.
    pub(super) fn go_past(&mut self, engine: &Engine<'_>, sectors: u32) {
        self.lengthen_step(engine.units());
        self.skip(sectors);
    }

    /// The `sectors` sectors at the cursor are not written to main any more, as that could cost what they do not carry, or has failed.
    pub(super) fn not_written(&mut self, engine: &mut Engine<'_>, sectors: u32) -> Next {
        match self.leave_out(engine, sectors) {
            Some(next) => next,
            None => self.narrow(engine, self.now_ms),
        }
    }

    /// They are to go to a slot; `Some` if they must not, and the job fails.
    fn leave_out(&mut self, engine: &mut Engine<'_>, sectors: u32) -> Option<Next> {
        if self.in_place || self.may_be_flush() && !self.failed_again {
            self.fail(self.job.error);
            return Some(self.end_window(engine));
        }
        self.failed_again = true;
        self.mark(sectors, Mark::Unproved);
        None
    }

    /// A write at the cursor has failed, and may have cost what was written before of the same physical block, where something that is
    /// mapped lies in between: that goes to slots too (S32).
    pub(super) fn mark_earlier(&mut self, engine: &Engine<'_>) {
        let unit = engine.unit_of(self.cursor.0);
        let first_group = self.at.group().0;
        for s in unit.first.0.max(self.at.0)..self.cursor.0 {
            let (group, nth) = (Sector(s).group(), Sector(s).group().0 - first_group);
            let mask = sector_mask(Sector(s).in_group(), 1);
            if let Some(need) = self.need.get_mut(nth as usize).filter(|_| engine.on_main(group) & mask != 0)
            {
                *need |= mask;
                self.unproved |= 1 << (nth & 63);
            }
        }
    }

    /// The same of a slot, of which something lies in between that lives on main: what was written of it before is written again.
    fn mark_earlier_in_slot(&mut self, engine: &Engine<'_>) {
        let group = self.cursor.group();
        let first = group.first_sector().0.max(self.at.0);
        let earlier = Range { first: Sector(first), sectors: self.cursor.0.saturating_sub(first) };
        let in_slot = earlier.mask(group) & !engine.on_main(group);
        if let Some(need) = self.need.get_mut((group.0 - self.at.group().0) as usize) {
            *need |= in_slot;
        }
    }

    pub(super) fn tried_slot(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Next {
        self.failed_again |= result.is_err();
        if result.is_err() {
            self.mark_earlier_in_slot(engine);
        }
        match result {
            Ok(()) => {
                self.wrote_spare = true;
                self.lengthen_step(SLOTS);
                self.skip(sectors);
            }
            Err(error) if !error.can_mean_medium() || self.in_place => {
                self.fail(error);
                return self.end_window(engine);
            }
            Err(_) if !SLOTS.is_one(self.cursor.0, sectors) => {
                self.step_sectors = (sectors / 2).max(SLOTS.sectors());
            }
            // This slot, and no other, is given up (S7, S33).
            Err(_) => {
                self.step_sectors = SLOTS.sectors();
                self.mark(sectors, Mark::GivesUp);
            }
        }
        self.narrow(engine, now_ms)
    }

    /// What was tried succeeded: more at once is next.
    fn lengthen_step(&mut self, units: Units) {
        self.step_sectors = self.step_sectors.saturating_mul(2).min(self.sectors.max(units.sectors()));
    }

    /// How many of the next `sectors` sectors, which live in slots, are written at once, and whether that may cost what else lives in their slot.
    fn exposed_in_slot(&self, engine: &Engine<'_>, sectors: u32) -> (bool, u32) {
        let window = Range { first: self.at, sectors: self.sectors.into() };
        let has_rest = |group: Group| {
            let found = engine.table.record_of(group);
            found.is_some_and(|(slot, r)| r.mask() & !engine.lost_mask(slot) & !window.mask(group) != 0)
        };
        let (first, end) = (self.cursor.group().0, self.cursor.0 + u64::from(sectors));
        let stop = |group: u64| (Group(group).first_sector().0.min(end) - self.cursor.0) as u32;
        if has_rest(Group(first)) {
            return (true, stop(first + 1));
        }
        let next = (first + 1..end.div_ceil(8)).find(|group| has_rest(Group(*group)));
        (false, next.map_or(sectors, stop))
    }

    /// Notes that the next `sectors` sectors must go to slots, and to which, and goes on behind them.
    fn mark(&mut self, sectors: u32, how: Mark) {
        let end = self.cursor.0 + u64::from(sectors);
        let first_group = self.at.group().0;
        while self.cursor.0 < end {
            let group = self.cursor.group();
            let stop = (group.first_sector().0 + 8).min(end);
            let nth = group.0 - first_group;
            if let Some(need) = self.need.get_mut(nth as usize) {
                *need |= sector_mask(self.cursor.in_group(), (stop - self.cursor.0) as u32);
            }
            match how {
                Mark::GivesUp => self.give_up |= 1 << (nth & 63),
                Mark::Unproved => self.unproved |= 1 << (nth & 63),
                Mark::Stays => {}
            }
            self.cursor = Sector(stop);
        }
        self.attempts = 0;
    }

    fn skip(&mut self, sectors: u32) {
        self.cursor = Sector(self.cursor.0 + u64::from(sectors));
        self.attempts = 0;
    }
}
