//! Content of main that a write of ours does not carry, or must not lose, is kept at hand while the write is made (S32).
//!
//! A write that fails may leave its whole physical block unreadable. Where the block holds more on main than the write brings, the groups
//! of that rest are held (S9), and the rest is read first. After a write that failed it is read again; what can no longer be read goes
//! to slots with what was read before, and a commit makes these its place before anything else is done. Where the rest cannot be read,
//! the write is not made.

use super::kept::{For, Kept};
use super::{Repair, State};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::extent::Range;
use crate::io::{Device, IoRequest, Op};
use crate::units::Group;

impl Repair {
    /// Sectors that live on main in a physical block, and that the window does not bring.
    pub(super) fn rest(&self, engine: &Engine<'_>, unit: &Range, group: Group) -> u8 {
        let window = Range { first: self.at, sectors: self.sectors.into() };
        engine.on_main(group) & unit.mask(group) & !window.mask(group)
    }

    /// Whether a write of `sectors` sectors at the cursor may cost what it does not carry, and how many of them can be written at once then:
    /// no more than that physical block holds of them, or none of it.
    pub(super) fn exposed(&self, engine: &Engine<'_>, sectors: u32) -> (bool, u32) {
        let has_rest = |unit: &Range| unit.groups().any(|group| self.rest(engine, unit, group) != 0);
        let (first, end) = (self.cursor.0, self.cursor.0 + u64::from(sectors));
        let unit = engine.unit_of(first);
        if has_rest(&unit) {
            return (true, (unit.end().min(end) - first) as u32);
        }
        let last = engine.unit_of(end - 1);
        let stop = if last.first.0 > first && has_rest(&last) { last.first.0 } else { end };
        (false, (stop - first) as u32)
    }

    /// Begins to keep the rest of the physical block at the cursor, of which `sectors` sectors are to be written. `None`: it cannot be held.
    pub(super) fn keep_rest(&mut self, engine: &mut Engine<'_>, sectors: u32) -> Option<Next> {
        let unit = engine.unit_of(self.cursor.0);
        let kept = Kept::new(For::Storing(sectors), unit, |group| self.rest(engine, &unit, group));
        self.hold_kept(engine, kept)
    }

    /// Keeps all of a physical block by which main is asked, which this context has claimed. `None`: it cannot be held.
    pub(super) fn keep_all(&mut self, engine: &mut Engine<'_>, unit: Range) -> Option<Next> {
        let kept = Kept::new(For::Asking, unit, |group| unit.mask(group));
        self.hold_kept(engine, kept)
    }

    /// Holds what is to be kept and has the writes drained that are under way there.
    pub(super) fn hold_kept(&mut self, engine: &mut Engine<'_>, kept: Kept) -> Option<Next> {
        let mut lanes = crate::gate::Lanes::NONE;
        for (nth, group) in kept.groups().enumerate() {
            if engine.hold(group).is_none() {
                kept.groups().take(nth).for_each(|group| engine.unhold(group));
                return None;
            }
            lanes = lanes.with(engine.regions().writes_to(group, group));
        }
        self.kept = kept;
        self.state = State::KeptDrain;
        Some(Next::Drain(Drain::while_held(lanes)))
    }

    /// Users have waited long enough for the writes that are under way there.
    pub(super) fn kept_undrained(&mut self, engine: &mut Engine<'_>) -> Next {
        match self.kept.what_for {
            For::Asking => self.probe_undrained(engine),
            _ if self.may_be_flush() && !self.failed_again && self.now_ms < self.deadline_ms => {
                // It may go to no slot before it has failed once more, so the attempt is put off, and users go on meanwhile.
                let unit = self.kept.unit;
                self.let_go_kept(engine);
                self.state = State::KeptMakeWay;
                let last = unit.groups().last().unwrap_or(unit.first.group());
                let lanes = engine.regions().writes_to(unit.first.group(), last);
                let within_ms = Some(self.deadline_ms.saturating_sub(self.now_ms));
                Next::Drain(Drain { lanes, within_ms, may_stop: false })
            }
            _ => self.kept_unreadable(engine),
        }
    }

    /// Reads what is to be kept; behind the last of it the write is made.
    pub(super) fn read_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        if let Some((sector, sectors)) = self.kept.run(false) {
            self.state = State::KeptRead { sectors };
            let buffer_sector = self.kept.place(sector);
            return Next::Io(IoRequest {
                device: Device::Main,
                op: Op::Read,
                sector,
                sectors,
                buffer_sector,
            });
        }
        // Without a commit the content could not be saved if the write spoilt it.
        if !engine.commits() {
            return self.kept_unreadable(engine);
        }
        self.write_beside_kept()
    }

    pub(super) fn kept_read(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
    ) -> Next {
        if let Err(error) = result {
            // A block that cannot be read is bad, so that it was no flush that failed (S8). That main takes writes is asked as ever.
            self.failed_again |= error.can_mean_medium() && self.kept.what_for != For::Asking;
            return self.kept_unreadable(engine);
        }
        self.kept.at = self.kept.run(false).map_or(self.kept.at, |(first, _)| first) + u64::from(sectors);
        self.read_kept(engine)
    }

    /// The write is not made.
    pub(super) fn kept_unreadable(&mut self, engine: &mut Engine<'_>) -> Next {
        let what_for = self.kept.what_for;
        self.let_go_kept(engine);
        match what_for {
            For::Storing(sectors) => self.not_written(engine, sectors),
            _ => self.probe_answers_nothing(engine),
        }
    }

    /// Makes the write, once more if it has failed.
    pub(super) fn write_beside_kept(&mut self) -> Next {
        self.state = State::KeptWrite;
        match self.kept.what_for {
            For::Storing(sectors) => {
                Next::Io(self.write_window(Device::Main, self.cursor.0, self.cursor, sectors))
            }
            _ => {
                let (sector, sectors) = (self.kept.unit.first.0, self.kept.unit.sectors as u32);
                let buffer_sector = self.kept.place(sector);
                Next::Io(IoRequest { device: Device::Main, op: Op::Write, sector, sectors, buffer_sector })
            }
        }
    }

    pub(super) fn kept_written(&mut self, engine: &mut Engine<'_>, result: Result<(), ErrorKind>) -> Next {
        match self.kept.what_for {
            For::Storing(sectors) => self.stored_beside_kept(engine, sectors, result),
            _ => self.probe_written(engine, result),
        }
    }

    /// A part of a physical block was to be written whose rest is kept.
    pub(super) fn stored_beside_kept(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
    ) -> Next {
        self.failed_again |= result.is_err();
        match result {
            Ok(()) if self.kept.failed => {
                // The attempt before may have cost the rest, which this one did not bring back.
                self.kept.stored = true;
                self.stored_on_main(engine, sectors);
                self.read_back_kept(engine)
            }
            Ok(()) => {
                self.let_go_kept(engine);
                self.stored_on_main(engine, sectors);
                self.go_past(engine, sectors);
                self.narrow(engine, self.now_ms)
            }
            Err(error) => {
                self.kept.failed = true;
                self.attempts += 1;
                self.mark_earlier(engine);
                let medium = error.can_mean_medium() && !self.in_place;
                if medium && !self.spent(engine) && self.now_ms < self.deadline_ms && !self.stops(engine) {
                    return self.write_beside_kept();
                }
                self.kept.error = (!medium).then_some(error);
                self.read_back_kept(engine)
            }
        }
    }

    /// Nothing is kept any more.
    pub(super) fn let_go_kept(&mut self, engine: &mut Engine<'_>) {
        let kept = core::mem::take(&mut self.kept);
        kept.groups().for_each(|group| engine.unhold(group));
        if kept.what_for == For::Asking {
            engine.unclaim_probe(usize::from(self.context));
        }
    }
}
