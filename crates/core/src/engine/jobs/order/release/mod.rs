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

mod keep;

use super::relocate::Relocate;
use crate::engine::jobs::protocol::{Comparison, Drain, Event, Next, SCRATCH_SECTOR};
use crate::engine::jobs::window::{Masks, Range, Window, NO_SECTORS};
use crate::engine::limits::{HELD_MS, WINDOW_GROUPS};
use crate::engine::set::Engine;
use crate::engine::trust::success::Success;
use crate::error::ErrorKind;
use crate::gate::Lanes;
use crate::io::{Device, IoRequest, Op};
use crate::units::{sector_mask, Sector, Slot};

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
        let block = core::num::NonZeroU32::new(engine.block_sectors()).unwrap_or(core::num::NonZeroU32::MIN);
        let range = range.widened(block, engine.shape().sectors);
        let whole = range.widened(engine.unit_sectors(), engine.shape().sectors);
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
        let mut step = match (self.state, event) {
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
        // Windows in which there is nothing to do follow one another here.
        loop {
            match step {
                Some(next) => return next,
                None => {
                    self.end_window(engine);
                    step = self.begin_window(engine, now_ms);
                }
            }
        }
    }

    /// Begins with the next window; `None` if nothing in it is mapped.
    fn begin_window(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        let at = Sector(self.window.end());
        if self.stop || at.0 >= self.range.end() {
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

    fn wanted(&self) -> u8 {
        self.wanted.get(self.nth).copied().unwrap_or(0)
    }

    fn slot(&self, engine: &Engine<'_>) -> Option<Slot> {
        engine.table.record_of(self.window.group(self.nth)).map(|(slot, _)| slot)
    }

    /// Begins to copy the next group that is to go back.
    fn begin_group(&mut self, engine: &mut Engine<'_>, from: usize, now_ms: u64) -> Option<Next> {
        self.nth = from;
        self.slow |= now_ms >= self.deadline_ms;
        while self.nth < self.wanted.len() && self.wanted() == 0 {
            self.nth += 1;
        }
        if self.nth >= self.wanted.len() {
            return self.flush();
        }
        let first = self.window.group(self.nth).first_sector();
        let between = engine.unit_of(first.0).first == first;
        if self.slow && between && self.wanted.iter().take(self.nth).any(|m| *m != 0) {
            // Users have waited long enough.
            self.cut_before(engine, self.nth);
            return self.flush();
        }
        self.left = self.wanted();
        self.by_block = false;
        self.read_slot(engine)
    }

    /// The next sectors of the mask in one piece, or its first block.
    fn piece(left: u8, block_sectors: Option<u32>) -> (u32, u32) {
        let first = left.trailing_zeros().min(7);
        let run = (left >> first).trailing_ones();
        (first, block_sectors.map_or(run, |block| block.min(run)))
    }

    fn read_slot(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let Some(slot) = self.slot(engine) else {
            engine.broken("a held group is not in the map");
            self.stop = true;
            return None;
        };
        let (first, sectors) = Self::piece(self.left, self.by_block.then_some(engine.block_sectors()));
        self.state = State::ReadSlot { mask: sector_mask(first, sectors) };
        Some(Next::Io(IoRequest {
            device: Device::Spare,
            op: Op::Read,
            sector: engine.geometry().slot_block(slot).first_sector() + u64::from(first),
            sectors,
            buffer_sector: self.window.place(self.nth, first),
        }))
    }

    fn slot_read(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        match result {
            Ok(()) => self.left &= !mask,
            Err(_) if !self.by_block && mask.count_ones() > engine.block_sectors() => self.by_block = true,
            Err(error) => {
                if let Some(slot) = self.slot(engine).filter(|_| error.can_mean_medium()) {
                    engine.suspect(slot, mask);
                }
                self.left &= !mask;
                self.drop_group(engine, mask, |r| &mut r.unreadable);
            }
        }
        if self.left != 0 {
            return self.read_slot(engine);
        }
        self.left = self.wanted();
        self.write_main(engine, now_ms)
    }

    /// Sectors of the group at hand stay mapped. Without any others the group is not held any more.
    fn drop_group(&mut self, engine: &mut Engine<'_>, mask: u8, to: impl Fn(&mut Self) -> &mut Masks) {
        let nth = self.nth;
        if let Some(to) = to(self).get_mut(nth) {
            *to |= mask;
        }
        if let Some(wanted) = self.wanted.get_mut(nth) {
            *wanted &= !mask;
            if *wanted == 0 {
                engine.unhold(self.window.group(nth));
            }
        }
    }

    fn write_main(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        if self.left == 0 {
            return self.begin_group(engine, self.nth + 1, now_ms);
        }
        let (first, sectors) = Self::piece(self.left, None);
        self.state = State::WriteMain { mask: sector_mask(first, sectors) };
        Some(Next::Io(self.window.main_request(Op::Write, self.nth, first, sectors)))
    }

    fn main_written(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        if result.is_ok() {
            self.left &= !mask;
            let first =
                Sector(self.window.group(self.nth).first_sector().0 + u64::from(mask.trailing_zeros()));
            engine.main_took(Success::new(first, now_ms));
            return self.write_main(engine, now_ms);
        }
        self.drop_unit(engine);
        self.cut_before(engine, self.nth + 1);
        self.groups = 1;
        self.flush()
    }

    /// The window ends before this group; what was held behind is not any more.
    fn cut_before(&mut self, engine: &mut Engine<'_>, nth: usize) {
        let masks = [&mut self.wanted, &mut self.lost, &mut self.unreadable, &mut self.failed];
        engine.cut_window(&mut self.window, nth, masks);
    }

    fn flush(&mut self) -> Option<Next> {
        if self.wanted == NO_SECTORS {
            return None;
        }
        self.state = State::Flush;
        Some(Next::Io(IoRequest::flush(Device::Main)))
    }

    fn flushed(&mut self, engine: &mut Engine<'_>, result: Result<(), ErrorKind>) -> Option<Next> {
        if result.is_err() {
            // It may have been about a user's write as well, which nobody would be told (S8).
            engine.flush_failed();
            for nth in 0..self.wanted.len() {
                self.nth = nth;
                let wanted = self.wanted();
                if wanted != 0 {
                    self.drop_group(engine, wanted, |r| &mut r.failed);
                }
            }
            return None;
        }
        self.nth = 0;
        self.left = self.wanted();
        self.read_back_next(engine)
    }

    fn read_back_next(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        while self.left == 0 {
            self.nth += 1;
            if self.nth >= self.wanted.len() {
                self.nth = 0;
                return self.remove_next(engine);
            }
            self.left = self.wanted();
        }
        let (first, sectors) = Self::piece(self.left, None);
        self.state = State::ReadBack { mask: sector_mask(first, sectors) };
        let request = self.window.main_request(Op::Read, self.nth, first, sectors);
        Some(Next::Io(IoRequest { buffer_sector: SCRATCH_SECTOR + first, ..request }))
    }

    fn read_back(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
    ) -> Option<Next> {
        if result.is_err() {
            return self.compared(engine, mask, false);
        }
        let first = mask.trailing_zeros();
        self.state = State::Compare { mask };
        let (one, other) = (self.window.place(self.nth, first), SCRATCH_SECTOR + first);
        Some(Next::Compare(Comparison { one, other, sectors: mask.count_ones() }))
    }

    fn compared(&mut self, engine: &mut Engine<'_>, mask: u8, same: bool) -> Option<Next> {
        self.left &= !mask;
        if !same {
            self.drop_group(engine, mask, |r| &mut r.failed);
        }
        self.read_back_next(engine)
    }

    /// Queues the removal of what main has, group by group.
    fn remove_next(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        while self.nth < self.wanted.len() {
            let wanted = self.wanted();
            if wanted == 0 {
                self.nth += 1;
            } else if engine.mode.remaps() && !engine.has_room() {
                engine.await_room(usize::from(self.context), true);
                self.state = State::Commit;
                return Some(Next::Commit);
            } else {
                self.remove(engine, wanted);
                self.nth += 1;
            }
        }
        if self.queued != NO_SECTORS {
            self.state = State::Commit;
            return Some(Next::Commit);
        }
        self.state = State::DrainFreed;
        engine.has_superseded(self.context).then_some(Next::Drain(Drain::ALL))
    }

    fn remove(&mut self, engine: &mut Engine<'_>, wanted: u8) {
        let slot = self.slot(engine).filter(|_| engine.mode.remaps());
        if !slot.is_some_and(|slot| engine.queue_removal(self.context, slot, wanted)) {
            return self.drop_group(engine, wanted, |r| &mut r.failed);
        }
        if let (Some(from), Some(to)) = (self.wanted.get_mut(self.nth), self.queued.get_mut(self.nth)) {
            *to = core::mem::take(from);
        }
    }

    fn committed(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let context = usize::from(self.context);
        engine.await_room(context, false);
        // Several commits may have carried the window, and some of them may have failed: the map says what is durable.
        let done = self.released.iter_mut().zip(&mut self.failed);
        for (nth, (queued, (released, failed))) in self.queued.iter_mut().zip(done).enumerate() {
            let (queued, mapped) = (core::mem::take(queued), engine.mapped_mask(self.window.group(nth)));
            *released |= queued & !mapped;
            *failed |= queued & mapped;
        }
        self.remove_next(engine)
    }

    fn end_window(&mut self, engine: &mut Engine<'_>) {
        engine.unclaim(usize::from(self.context));
        self.state = State::Begin;
        if self.window.sectors == 0 {
            return;
        }
        let failed = self.tell_window();
        if self.slow {
            self.groups = 1;
        } else if failed == 0 {
            self.groups = self.groups.saturating_mul(2).min(WINDOW_GROUPS);
        }
    }
}
