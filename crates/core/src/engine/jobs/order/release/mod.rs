//! Release: content moves from slots back to main (S24).
//!
//! A write of a part of a physical block may cost the rest of it (S32). So what lives on main beside the sectors that are to go back is first
//! moved into slots, and goes back together with them; where it cannot be moved, nothing of its physical block goes back.
//!
//! In windows of whole physical blocks, each: drain the reads, hold, drain, copy to main, flush main, read back, compare, removal durable everywhere, publish, drain, free. Until
//! the removal is durable the slots' content counts, and when it is, main's is durable already; so a crash at any step finds one of
//! the two whole. What main does not take stays mapped, and what it then holds there stays hidden as it was before.
//!
//! Users of a held group wait, and a main that fails may take its time: at the first write that fails the window ends with that
//! group, and so it does when users have waited for half a second; the next windows are small until main takes writes again, and quickly.

mod copy;
mod keep;
mod remove;
mod verify;

use super::relocate::Relocate;
use super::shell::Windows;
use crate::engine::jobs::protocol::{Drain, Event, Next};
use crate::engine::jobs::window::{Masks, Window, NO_SECTORS};
use crate::engine::limits::{HELD_MS, WINDOW_GROUPS};
use crate::engine::set::Engine;
use crate::extent::Range;
use crate::gate::Lanes;
use crate::units::Sector;

/// What a release came to, in sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Live on main again.
    pub released: u64,
    /// Were on main before.
    pub main: u64,
    /// Are lost: there is no content to go back.
    pub lost: u64,
    /// Could not be read from their slot.
    pub unreadable: u64,
    /// Main did not take them or gave something else back, or the map could not be changed.
    pub failed: u64,
    /// Lived on main beside what was to go back, and live in slots now: they were moved out of the way, and did not go back. Those of them that
    /// were asked for count as failed besides.
    pub aside: u64,
    /// Where the release stopped before its end.
    pub next: Option<Sector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A window is to begin.
    Begin,
    /// What lives on main beside its sectors goes to slots.
    Keep,
    /// It is to be claimed.
    Claim,
    /// Slots that were given up for those of the window are being retired.
    Retire,
    /// Reads are being drained, which may have been led to main before what lives there now was in slots.
    DrainReads,
    /// Held groups are being drained.
    DrainHeld,
    /// Writes took too long for users to wait: nothing is held until they have ended.
    MakeWay,
    /// Sectors of a slot are being read.
    ReadSlot { mask: u8 },
    /// They are being written to main.
    WriteMain { mask: u8 },
    /// Main is being flushed.
    Flush,
    /// Sectors are being read back from main.
    ReadBack { mask: u8 },
    /// They are being compared.
    Compare { mask: u8 },
    /// The commit is under way.
    Commit,
    /// Slots of which nothing is mapped any more are being drained.
    DrainFreed,
}

/// The machine of a context that releases.
#[derive(Debug)]
pub struct Release {
    context: u8,
    range: Range,
    /// The range, widened to whole physical blocks.
    whole: Range,
    state: State,
    stop: bool,
    tally: Released,
    /// Groups of the next window, at most.
    groups: u32,
    window: Window,
    /// How often users of the window were let by.
    tries: u32,
    /// When they have waited long enough, and whether they had to wait longer.
    deadline_ms: u64,
    slow: bool,
    /// The part that moves what lives on main beside the window's sectors, and what it has moved.
    keep: Relocate,
    kept: Masks,
    /// Sectors of the window that are to go back; that wait for a commit; and those done with.
    wanted: Masks,
    queued: Masks,
    released: Masks,
    lost: Masks,
    unreadable: Masks,
    failed: Masks,
    /// The group at hand, and what is left to do of it.
    nth: usize,
    left: u8,
    /// A read of the slot at hand has failed: it is read block by block.
    by_block: bool,
}

impl Release {
    /// A machine that releases a range, widened to whole logical blocks of main, in repair context `context`.
    pub fn new(context: u8, range: Range, engine: &Engine<'_>) -> Release {
        let range = range.widened(engine.blocks(), engine.shape().sectors);
        let whole = range.widened(engine.units(), engine.shape().sectors);
        let window = Window { at: whole.first, sectors: 0 };
        Release {
            context,
            range,
            whole,
            state: State::Begin,
            stop: false,
            tally: Released::default(),
            groups: WINDOW_GROUPS,
            window,
            tries: 0,
            deadline_ms: 0,
            slow: false,
            keep: Relocate::beside(context, &window, range, engine),
            kept: NO_SECTORS,
            wanted: NO_SECTORS,
            queued: NO_SECTORS,
            released: NO_SECTORS,
            lost: NO_SECTORS,
            unreadable: NO_SECTORS,
            failed: NO_SECTORS,
            nth: 0,
            left: 0,
            by_block: false,
        }
    }

    /// The range as widened.
    pub fn range(&self) -> Range {
        self.range
    }

    /// Has it end before the next window.
    pub fn stop(&mut self) {
        self.stop = true;
        self.keep.stop();
    }

    /// What came of it so far.
    pub fn tally(&self) -> Released {
        self.tally
    }

    /// The next step after `event`.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        let step = match (self.state, event) {
            (State::Begin, Event::Go) => self.begin_window(engine, now_ms),
            (State::Keep, event) => self.keep_on(engine, event, now_ms),
            (State::Claim, Event::Go) => self.claim(engine),
            (State::Retire, Event::Committed) => self.retired(engine),
            (State::DrainReads, Event::Drained) => self.hold(engine, now_ms),
            (State::DrainReads | State::MakeWay, Event::Undrained) => {
                // It is to stop, and nothing of the window was moved.
                self.stop = true;
                self.window.sectors = 0;
                None
            }
            (State::DrainHeld, Event::Drained) => self.begin_group(engine, 0, now_ms),
            (State::DrainHeld, Event::Undrained) => self.make_way(engine),
            (State::MakeWay, Event::Drained) => self.claim(engine),
            (State::ReadSlot { mask }, Event::Io(result)) => self.slot_read(engine, mask, result, now_ms),
            (State::WriteMain { mask }, Event::Io(result)) => self.main_written(engine, mask, result, now_ms),
            (State::Flush, Event::Io(result)) => self.flushed(engine, result),
            (State::ReadBack { mask }, Event::Io(result)) => self.read_back(engine, mask, result),
            (State::Compare { mask }, Event::Compared(same)) => self.compared(engine, mask, same),
            (State::Commit, Event::Committed) => self.committed(engine),
            (State::DrainFreed, Event::Drained) => {
                engine.leave_superseded(self.context);
                None
            }
            _ => {
                engine.broken("a release was told something that it did not ask for");
                self.stop = true;
                self.window.sectors = 0;
                None
            }
        };
        self.through_windows(engine, step, now_ms)
    }

    /// Finds what of the window is to go back: what was asked for, and what was moved for its sake.
    fn look(&mut self, engine: &Engine<'_>) {
        (self.queued, self.released) = (NO_SECTORS, NO_SECTORS);
        (self.unreadable, self.failed) = (NO_SECTORS, NO_SECTORS);
        for (nth, (wanted, lost)) in self.wanted.iter_mut().zip(&mut self.lost).enumerate() {
            let group = self.window.group(nth);
            let kept = self.kept.get(nth).copied().unwrap_or(0);
            let found = engine.table.record_of(group);
            let mapped = found.map_or(0, |(_, record)| record.mask());
            let mapped = mapped & self.window.mask(nth) & (self.range.mask(group) | kept);
            *lost = found.map_or(0, |(slot, _)| engine.lost_mask(slot)) & mapped;
            *wanted = mapped & !*lost;
        }
    }

    fn claim(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        self.state = State::Claim;
        if self.stop {
            self.window.sectors = 0;
            return None;
        }
        let context = usize::from(self.context);
        let (first, last) = (self.window.at.group(), self.window.last_group());
        if !engine.claim(context, first, last) {
            return Some(Next::Wait);
        }
        engine.set_ordered(context);
        self.look(engine);
        // What could not be moved out of the way is not put at risk.
        let beside = engine.beside(&self.window, &self.range);
        engine.spread(&self.window, &beside, &mut self.wanted, &mut self.failed);
        self.tell_unreadable_apart(engine);
        if !engine.mode.remaps() {
            self.fail_wanted();
            return None;
        }
        if self.wanted == NO_SECTORS {
            return None;
        }
        if engine.await_retirements(self.context, first, last) {
            self.state = State::Retire;
            return Some(Next::Commit);
        }
        Some(self.drain_reads())
    }

    /// A write that main does not take may leave neither the old content nor the new, and a read that is still there could find it. No read
    /// comes there any more: the groups are mapped, and claimed.
    fn drain_reads(&mut self) -> Next {
        self.state = State::DrainReads;
        Next::Drain(Drain::of_order(Lanes::READS))
    }

    /// No other entry names a group of the window any more, or the commit that was to see to that has failed.
    fn retired(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        if engine.commit_outcome(usize::from(self.context)) != Some(true) {
            self.fail_wanted();
            return None;
        }
        Some(self.drain_reads())
    }

    /// Nothing of the window goes back.
    fn fail_wanted(&mut self) {
        for (wanted, failed) in self.wanted.iter_mut().zip(&mut self.failed) {
            *failed |= core::mem::take(wanted);
        }
    }

    fn hold(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        for (nth, (wanted, failed)) in self.wanted.iter_mut().zip(&mut self.failed).enumerate() {
            if *wanted != 0 && engine.hold(self.window.group(nth)).is_none() {
                *failed |= core::mem::take(wanted);
            }
        }
        if self.wanted == NO_SECTORS {
            return None;
        }
        self.deadline_ms = now_ms.saturating_add(HELD_MS);
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

impl Windows for Release {
    /// Begins with the next window; `None` if nothing in it is mapped.
    fn begin_window(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        let at = Sector(self.window.end());
        if self.stop || at.0 >= self.range.end() {
            self.tell_aside(engine, at.0..u64::MAX);
            self.tally.next = (at.0 < self.range.end()).then_some(at.max(self.range.first));
            return Some(Next::Done(Ok(())));
        }
        let end = self.whole.end();
        self.carry_kept(at);
        self.window = Window::cut(at, end, self.groups).in_whole_units(engine, end);
        self.slow = false;
        self.look(engine);
        if self.wanted == NO_SECTORS {
            return None;
        }
        self.tries = 0;
        self.move_aside(engine, now_ms)
    }

    fn end_window(&mut self, engine: &mut Engine<'_>) {
        engine.unclaim(usize::from(self.context));
        self.state = State::Begin;
        if self.window.sectors == 0 {
            return;
        }
        let failed = self.tell_window();
        self.tell_aside(engine, self.window.at.0..self.window.end());
        if self.slow {
            self.groups = 1;
        } else if failed == 0 {
            self.groups = self.groups.saturating_mul(2).min(WINDOW_GROUPS);
        }
    }
}
