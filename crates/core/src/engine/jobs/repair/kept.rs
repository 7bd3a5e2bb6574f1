//! Content of main that a write of ours does not carry, or must not lose, is kept at hand while the write is made (S32).
//!
//! A write that fails may leave its whole physical block unreadable. Where the block holds more on main than the write brings, the groups
//! of that rest are held (S9), and the rest is read first. After a write that failed it is read again; what can no longer be read goes
//! to slots with what was read before, and a commit makes these its place before anything else is done. Where the rest cannot be read,
//! the write is not made.

use super::{Repair, State};
use crate::engine::jobs::beside::UNIT_GROUPS_MAX;
use crate::engine::jobs::place::{Placed, Placement};
use crate::engine::jobs::protocol::{Drain, Next, KEPT_SECTOR, KEPT_WIDE_SECTOR, SCRATCH_SECTOR};
use crate::engine::jobs::window::Range;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::units::{Group, Sector, SECTORS_PER_BLOCK};

/// What the write is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum For {
    /// None is made.
    #[default]
    Nothing,
    /// To ask main whether it takes writes; it carries all that is kept.
    Asking,
    /// To store so many sectors of the window at its cursor.
    Storing(u32),
}

/// The physical block of which content is kept, and of each of its groups the sectors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) what_for: For,
    pub(super) unit: Range,
    masks: [u8; UNIT_GROUPS_MAX],
    /// Sectors that could not be read again; groups of them that wait for a commit.
    spoilt: [u8; UNIT_GROUPS_MAX],
    queued: [bool; UNIT_GROUPS_MAX],
    /// From where the next sectors are read.
    at: u64,
    /// The write has failed, once at least; and it was made in the end.
    failed: bool,
    stored: bool,
    /// The error after which the write is not tried again, if that was none of the medium.
    error: Option<ErrorKind>,
}

impl Kept {
    fn new(what_for: For, unit: Range, mask_of: impl Fn(Group) -> u8) -> Kept {
        let mut masks = [0; UNIT_GROUPS_MAX];
        for (mask, group) in masks.iter_mut().zip(unit.groups()) {
            *mask = mask_of(group) & unit.mask(group);
        }
        Kept { what_for, unit, masks, at: unit.first.0, ..Kept::default() }
    }

    fn group(&self, nth: usize) -> Group {
        Group(self.unit.first.group().0 + nth as u64)
    }

    /// The groups of which something is kept.
    fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.masks.iter().enumerate().filter(|(_, mask)| **mask != 0).map(|(nth, _)| self.group(nth))
    }

    fn has(&self, sector: u64) -> bool {
        let nth = Sector(sector).group().0.checked_sub(self.unit.first.group().0);
        let mask = nth.and_then(|n| self.masks.get(usize::try_from(n).ok()?)).copied().unwrap_or(0);
        mask & (1 << Sector(sector).in_group()) != 0
    }

    /// The next sectors that lie together, up to the end of their group if it is to be `by_group`: the first and how many.
    fn run(&self, by_group: bool) -> Option<(u64, u32)> {
        let end = self.unit.end();
        let first = (self.at..end).find(|s| self.has(*s))?;
        let stop = if by_group { end.min((first / 8 + 1) * 8) } else { end };
        let behind = (first..stop).find(|s| !self.has(*s)).unwrap_or(stop);
        Some((first, (behind - first) as u32))
    }

    /// Where in the buffer it is kept.
    fn base(&self) -> u32 {
        match self.unit.sectors <= u64::from(SECTORS_PER_BLOCK) {
            true => KEPT_SECTOR,
            false => KEPT_WIDE_SECTOR,
        }
    }

    /// Where in the buffer a sector is kept.
    fn place(&self, sector: u64) -> u32 {
        self.base().saturating_add(sector.saturating_sub(self.unit.first.0) as u32)
    }

    /// Notes that sectors of one group cannot be read any more.
    fn spoil(&mut self, first: u64, sectors: u32) {
        let nth = Sector(first).group().0.saturating_sub(self.unit.first.group().0) as usize;
        let range = Range { first: Sector(first), sectors: sectors.into() };
        if let Some(spoilt) = self.spoilt.get_mut(nth) {
            *spoilt |= range.mask(Sector(first).group());
        }
    }
}

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
    fn hold_kept(&mut self, engine: &mut Engine<'_>, kept: Kept) -> Option<Next> {
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
    fn kept_unreadable(&mut self, engine: &mut Engine<'_>) -> Next {
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
    fn stored_beside_kept(
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

    /// The write has failed: can what is kept still be read where it is?
    pub(super) fn read_back_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        self.kept.at = self.kept.unit.first.0;
        self.kept.spoilt = [0; UNIT_GROUPS_MAX];
        self.next_read_back(engine)
    }

    fn next_read_back(&mut self, engine: &mut Engine<'_>) -> Next {
        match self.kept.run(true) {
            Some((sector, sectors)) => {
                self.state = State::KeptBack { sectors };
                let buffer_sector = SCRATCH_SECTOR + Sector(sector).in_group();
                Next::Io(IoRequest { device: Device::Main, op: Op::Read, sector, sectors, buffer_sector })
            }
            None => {
                let spoilt = self.kept.spoilt;
                for (nth, _) in spoilt.iter().enumerate().filter(|(_, spoilt)| **spoilt == 0) {
                    // What is still there need not be held any longer.
                    let group = self.kept.group(nth);
                    if let Some(mask) = self.kept.masks.get_mut(nth).filter(|mask| **mask != 0) {
                        *mask = 0;
                        engine.unhold(group);
                    }
                }
                self.store_kept(engine)
            }
        }
    }

    pub(super) fn kept_read_back(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
    ) -> Next {
        if let Some((first, _)) = self.kept.run(true) {
            if result.is_err() {
                self.kept.spoil(first, sectors);
            }
            self.kept.at = first + u64::from(sectors);
        }
        self.next_read_back(engine)
    }

    /// The groups that were spoilt go to slots, one after the other; behind the last they are committed.
    fn store_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        loop {
            if !engine.commits() {
                self.tell_spoilt(engine);
            }
            let Some(nth) = self.kept.spoilt.iter().position(|mask| *mask != 0) else {
                if self.kept.queued.contains(&true) {
                    self.state = State::KeptCommit;
                    return Next::Commit;
                }
                return self.drain_given_up(engine);
            };
            if !engine.has_room() {
                engine.await_room(usize::from(self.context), true);
                self.state = State::KeptCommit;
                return Next::Commit;
            }
            let (group, need) = (self.kept.group(nth), self.kept.spoilt.get(nth).copied().unwrap_or(0));
            let (at, buffer_sector) = (self.kept.unit.first, self.kept.base());
            let error = ErrorKind::Medium;
            // A slot that is bad itself is no reason to lose what is at hand; of it goes over what can be read.
            let give_up = engine.table.record_of(group).is_some_and(|(_, record)| record.bad() != 0);
            let what =
                Placement { group, need, at, buffer_sector, give_up, may_lose: true, rescue: true, error };
            let placed = self.placer.begin(engine, what);
            if let Some(next) = self.obey_kept(engine, placed) {
                return next;
            }
        }
    }

    /// Nothing can be stored any more: what was spoilt is lost.
    fn tell_spoilt(&mut self, engine: &mut Engine<'_>) {
        let spoilt = core::mem::take(&mut self.kept.spoilt);
        for (nth, _) in spoilt.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            engine.notices.push(Notice::Spoilt { group: self.kept.group(nth).first_sector() });
        }
    }

    pub(super) fn kept_placed(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Next {
        match self.obey_kept(engine, placed) {
            Some(next) => next,
            None => self.store_kept(engine),
        }
    }

    /// What is asked for to place the group at hand; `None` when that is done with.
    fn obey_kept(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Option<Next> {
        self.state = State::KeptStore;
        let nth = self.kept.spoilt.iter().position(|mask| *mask != 0).unwrap_or(0);
        let group = self.kept.group(nth);
        match placed {
            Placed::Io(request) => return Some(Next::Io(request)),
            Placed::Drain => return Some(self.drain_writes(engine, group)),
            Placed::Queued => {
                if let Some(queued) = self.kept.queued.get_mut(nth) {
                    *queued = true;
                }
                // What was held by a slot keeps it: that is a slot more on the evidence there is (S14, S16).
                if self.placer.is_new() {
                    engine.count_slot(self.now_ms);
                }
            }
            Placed::Failed(_) => engine.notices.push(Notice::Spoilt { group: group.first_sector() }),
        }
        // A group that is queued is let go by its commit, one that failed has been.
        for masks in [&mut self.kept.spoilt, &mut self.kept.masks] {
            if let Some(mask) = masks.get_mut(nth) {
                *mask = 0;
            }
        }
        None
    }

    /// Slots are those groups' places now, or the commit has failed.
    pub(super) fn kept_committed(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.await_room(usize::from(self.context), false);
        let ok = engine.commit_outcome(usize::from(self.context)) == Some(true);
        for nth in 0..UNIT_GROUPS_MAX {
            let queued = self.kept.queued.get_mut(nth).is_some_and(core::mem::take);
            if queued && !ok {
                engine.notices.push(Notice::Spoilt { group: self.kept.group(nth).first_sector() });
            }
        }
        if !ok {
            self.fail(ErrorKind::Io);
        }
        self.store_kept(engine)
    }

    /// All that a write has spoilt is stored, and the repair goes on where it was.
    pub(super) fn after_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        let Kept { what_for, error, stored, .. } = self.kept;
        self.let_go_kept(engine);
        match (what_for, error) {
            (For::Storing(sectors), None) if stored => {
                self.go_past(engine, sectors);
                match self.verdict {
                    Ok(()) => self.narrow(engine, self.now_ms),
                    Err(_) => self.end_window(engine),
                }
            }
            (For::Storing(_), Some(error)) => {
                self.fail(error);
                self.end_window(engine)
            }
            (For::Storing(_), None) if self.verdict.is_err() => self.end_window(engine),
            (For::Storing(sectors), None) => self.not_written(engine, sectors),
            _ if self.verdict.is_err() => self.end_window(engine),
            _ => self.place_next(engine),
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
