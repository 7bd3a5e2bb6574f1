//! Relocation: readable content of main moves into slots (S9).
//!
//! A range is relocated in windows. A window is first read as it is, while users go on, only to find what can be read at all (a failing disk may
//! take seconds for a block). What can be read is *claimed* and *held*; after a drain it is read again, since users may have written
//! meanwhile, then placed and committed. A hold ends with the publication of the group's mapping, or when the group
//! cannot be moved. What cannot be read stays where it is: only a write can move it.
//!
//! Users of a held group wait, and a disk that fails may take its time over a sector: what took long when it was read first gets a window of one group,
//! and a window of which something takes long or fails under the hold ends before it; what was held behind is let go, and read anew.

mod placing;
mod read;

use super::shell::Windows;
use crate::engine::jobs::place::Placer;
use crate::engine::jobs::protocol::{Drain, Event, Next};
use crate::engine::jobs::sweep::Sweep;
use crate::engine::jobs::window::{count, Masks, Window, NO_SECTORS};
use crate::engine::limits::{HELD_MS, WINDOW_GROUPS};
use crate::engine::set::Engine;
use crate::extent::Range;
use crate::units::Sector;

/// What a relocation came to, in sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relocated {
    /// Moved, durably.
    pub remapped: u64,
    /// In slots before.
    pub mapped: u64,
    /// Could not be read, and stay on main.
    pub unreadable: u64,
    /// Could not be stored in a slot, and stay on main.
    pub failed: u64,
    /// Where the relocation stopped before its end.
    pub next: Option<Sector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A window is to begin.
    Begin,
    /// It is being read while users go on.
    Survey,
    /// It is to be claimed.
    Claim,
    /// Held groups are being drained.
    DrainHeld,
    /// Writes took too long for users to wait: nothing is held until they have ended.
    MakeWay,
    /// Held groups are being read.
    Read,
    /// A group is being placed.
    Place,
    /// The commit is under way.
    Commit,
    /// Slots that were given up are being drained.
    DrainGivenUp,
}

/// The machine of a context that relocates.
#[derive(Debug)]
pub struct Relocate {
    context: u8,
    range: Range,
    /// Only what lives beside sectors of this range that are to go back to main; otherwise everything.
    beside: Option<Range>,
    state: State,
    stop: bool,
    tally: Relocated,
    /// Groups of the next window, at most.
    groups: u32,
    window: Window,
    /// How often users of the window were let by.
    tries: u32,
    sweep: Sweep,
    /// When the read under way was asked for, in a survey; and whether something took long.
    asked_ms: u64,
    slow: bool,
    /// When users have waited long enough for what is not theirs, and for what is.
    held_until_ms: u64,
    deadline_ms: u64,
    /// Sectors of the window that are to move; that wait for a commit; and those done with.
    wanted: Masks,
    queued: Masks,
    remapped: Masks,
    unreadable: Masks,
    failed: Masks,
    /// Placing: which group of the window.
    nth: usize,
    placer: Placer,
}

impl Relocate {
    /// A machine that relocates a range, widened to whole physical blocks of main, in repair context `context`.
    pub fn new(context: u8, range: Range, engine: &Engine<'_>) -> Relocate {
        let range = range.widened(engine.units(), engine.shape().sectors);
        let window = Window { at: range.first, sectors: 0 };
        Relocate {
            context,
            range,
            beside: None,
            state: State::Begin,
            stop: false,
            tally: Relocated::default(),
            groups: WINDOW_GROUPS,
            window,
            tries: 0,
            sweep: Sweep::new(engine, &window, 0),
            asked_ms: 0,
            slow: false,
            held_until_ms: 0,
            deadline_ms: 0,
            wanted: NO_SECTORS,
            queued: NO_SECTORS,
            remapped: NO_SECTORS,
            unreadable: NO_SECTORS,
            failed: NO_SECTORS,
            nth: 0,
            placer: Placer::new(context),
        }
    }

    /// A machine that moves into slots what lives on main, in the physical blocks of `window`, beside what is to go back there of `range`:
    /// a write of a part of a physical block may cost the rest (S32). Where some of that rest cannot be read nothing is moved.
    pub(super) fn beside(context: u8, window: &Window, range: Range, engine: &Engine<'_>) -> Relocate {
        let whole = Range { first: window.at, sectors: window.sectors.into() };
        Relocate { beside: Some(range), ..Relocate::new(context, whole, engine) }
    }

    /// The range as widened.
    pub fn range(&self) -> Range {
        self.range
    }

    /// Has it end before the next window.
    pub fn stop(&mut self) {
        self.stop = true;
    }

    /// What came of it so far.
    pub fn tally(&self) -> Relocated {
        self.tally
    }

    /// The next step after `event`.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        let step = match (self.state, event) {
            (State::Begin, Event::Go) => self.begin_window(engine, now_ms),
            (State::Survey, Event::Io(result)) => self.surveyed(engine, result, now_ms),
            (State::Claim, Event::Go) => self.claim(engine, now_ms),
            (State::DrainHeld, Event::Drained) => {
                self.sweep = Sweep::new(engine, &self.window, 1);
                self.read(engine, now_ms)
            }
            (State::DrainHeld, Event::Undrained) => self.make_way(engine),
            (State::MakeWay, Event::Drained) => self.claim(engine, now_ms),
            (State::MakeWay, Event::Undrained) => {
                // It is to stop, and nothing of the window was moved.
                self.stop = true;
                self.window.sectors = 0;
                None
            }
            (State::Read, Event::Io(result)) => self.held_read(engine, result, now_ms),
            (State::Place, event) => {
                let placed = self.placer.next(engine, event);
                self.obey(engine, placed).or_else(|| self.place_next(engine))
            }
            (State::Commit, Event::Committed) => self.committed(engine),
            (State::DrainGivenUp, Event::Drained) => {
                engine.leave_superseded(self.context);
                self.place_next(engine)
            }
            _ => {
                engine.broken("a relocation was told something that it did not ask for");
                self.stop = true;
                self.window.sectors = 0;
                None
            }
        };
        self.through_windows(engine, step, now_ms)
    }

    fn leave_out_mapped(&mut self, engine: &Engine<'_>) {
        for (nth, wanted) in self.wanted.iter_mut().enumerate() {
            *wanted &= !engine.table.record_of(self.window.group(nth)).map_or(0, |(_, r)| r.mask());
        }
    }

    /// Claims the window and holds what is to move.
    fn claim(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        self.state = State::Claim;
        if self.stop {
            self.window.sectors = 0;
            return None;
        }
        if self.wanted == NO_SECTORS {
            return None;
        }
        let context = usize::from(self.context);
        if !engine.claim(context, self.window.at.group(), self.window.last_group()) {
            return Some(Next::Wait);
        }
        engine.set_ordered(context);
        self.leave_out_mapped(engine);
        let remaps = engine.mode.remaps();
        for (nth, (wanted, failed)) in self.wanted.iter_mut().zip(&mut self.failed).enumerate() {
            if *wanted != 0 && !(remaps && engine.hold(self.window.group(nth)).is_some()) {
                *failed |= core::mem::take(wanted);
            }
        }
        if self.wanted == NO_SECTORS {
            return None;
        }
        self.held_until_ms = now_ms.saturating_add(HELD_MS);
        self.deadline_ms = now_ms.saturating_add(engine.settings.repair_deadline_ms);
        self.state = State::DrainHeld;
        Some(Next::Drain(Drain::while_held(engine.writes_to(&self.window))))
    }

    fn make_way(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        self.state = State::MakeWay;
        let drain = engine.make_way(self.context, &mut self.window, &self.wanted, &mut self.tries);
        self.stop |= drain.is_none();
        drain.map(Next::Drain)
    }
}

impl Windows for Relocate {
    /// Begins with the next window; `None` if nothing in it is to move.
    fn begin_window(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        let at = Sector(self.window.end());
        if self.stop || at.0 >= self.range.end() {
            self.tally.next = (at.0 < self.range.end()).then_some(at);
            return Some(Next::Done(Ok(())));
        }
        self.window = Window::cut(at, self.range.end(), self.groups);
        self.slow = false;
        (self.queued, self.remapped) = (NO_SECTORS, NO_SECTORS);
        (self.unreadable, self.failed) = (NO_SECTORS, NO_SECTORS);
        for (nth, wanted) in self.wanted.iter_mut().enumerate() {
            *wanted = self.window.mask(nth);
        }
        self.leave_out_mapped(engine);
        if let Some(range) = self.beside {
            let beside = engine.beside(&self.window, &range);
            self.wanted.iter_mut().zip(&beside).for_each(|(wanted, beside)| *wanted &= beside);
        }
        if !engine.mode.remaps() {
            (self.failed, self.wanted) = (self.wanted, NO_SECTORS);
            return None;
        }
        self.sweep = Sweep::new(engine, &self.window, engine.settings.error_threshold.max(1));
        self.survey(engine, now_ms)
    }

    fn end_window(&mut self, engine: &mut Engine<'_>) {
        engine.unclaim(usize::from(self.context));
        let (remapped, unreadable) = (count(&self.remapped), count(&self.unreadable));
        let failed = count(&self.failed);
        let sectors = u64::from(self.window.sectors);
        if sectors == 0 {
            return;
        }
        self.tally.remapped += remapped;
        self.tally.unreadable += unreadable;
        self.tally.failed += failed;
        self.tally.mapped += sectors.saturating_sub(remapped + unreadable + failed);
        self.state = State::Begin;
        if !self.slow {
            self.groups = self.groups.saturating_mul(2).min(WINDOW_GROUPS);
        }
    }
}
