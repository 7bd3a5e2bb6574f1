//! Bios of users, and the path that the kernel host sends them: gate, lookup, device, and what an error means.

use remap_core::error::ErrorKind;
use remap_core::gate::{Lane, Regions};
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::path::{self, AfterError, Direction, Failed, FlushMark, Place, Request};
use remap_core::units::{Sector, Slot};

use crate::content;
use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::bio::{Bio, Kind, Piece};
use crate::under_way::failed::{FailedRead, FailedWrite};
use crate::under_way::flight::{Flight, Owner};
use crate::world::Failure;

impl Session<'_, '_> {
    /// A task that has nothing to do begins a bio.
    pub fn begin_bio(&mut self, task: usize) -> Result<(), Failure> {
        let (plan, rng) = (&self.world.plan, &mut self.world.rng);
        let block = u64::from(plan.block_sectors());
        let blocks = plan.main_sectors / block;
        // Half of the bios meet in a small part of main.
        let hot = plan.hot_sector / block;
        let place = if rng.percent(50) { rng.below(blocks) } else { hot + rng.below((blocks - hot).min(24)) };
        let most = (plan.bio_sectors_max / block).max(1).min(blocks - place);
        let count = if rng.percent(60) { rng.range(1, most.min(3)) } else { rng.range(1, most) };
        let (first, sectors) = (place * block, (count * block) as u32);
        // Where there are none, nothing is drawn for them: such a history is what it was before there were any.
        if plan.discards_percent > 0 && rng.percent(plan.discards_percent) {
            self.start(task, Bio::new(Kind::Discard, first, sectors, 0));
            return Ok(());
        }
        let nowait = plan.nowait_percent > 0 && rng.percent(plan.nowait_percent);
        match rng.below(100) {
            0..=44 => {
                let fua = self.world.rng.percent(15);
                self.world.tokens += 1;
                let token = self.world.tokens;
                self.world.oracle.write_begins(token, first, sectors, fua);
                let bio = Bio { nowait, ..Bio::new(Kind::Write { token, fua }, first, sectors, 0) };
                if token % 10 == 0 {
                    self.begin_flush(task, bio)?;
                } else {
                    self.start(task, bio);
                }
            }
            45..=89 => {
                let began = self.world.oracle.read_begins();
                self.start(task, Bio { nowait, ..Bio::new(Kind::Read, first, sectors, began) });
            }
            _ => self.begin_flush(task, Bio::new(Kind::Flush, 0, 0, 0))?,
        }
        Ok(())
    }

    fn start(&mut self, task: usize, bio: Bio) {
        self.to_map.push(Piece { task, first: bio.first, sectors: bio.sectors });
        self.bios[task] = Some(bio);
    }

    /// A flush, or the one before a write.
    fn begin_flush(&mut self, task: usize, bio: Bio) -> Result<(), Failure> {
        let began = self.world.oracle.flush_begins();
        let flushed_before = (bio.kind != Kind::Flush).then_some(began);
        let bio = Bio { began, flushed_before, ..bio };
        self.bios[task] = Some(bio.clone());
        if !self.access.flush_begins() {
            self.bios[task].iter_mut().for_each(|bio| bio.failed = true);
            return self.flushed(task);
        }
        self.check_flush_told(bio.first)?;
        let mark = self.dirty.flush_begins();
        let spare = mark.is_some() && self.world.options.planted != Some(Planted::SkipSpareFlush);
        self.bios[task] = Some(Bio { open: 1 + u32::from(spare), ..bio });
        self.submit(Owner::Flush(task, None), Device::Main, Op::Flush, 0, Vec::new(), 0);
        if spare {
            // Both begin in one step, so that what lets the first pass does so for the second.
            let _ = self.access.flush_begins();
            self.submit(Owner::Flush(task, mark), Device::Spare, Op::Flush, 0, Vec::new(), 0);
        }
        Ok(())
    }

    /// One of the flushes of a user's flush has ended.
    pub fn flush_ended(
        &mut self,
        task: usize,
        mark: Option<FlushMark>,
        result: Result<(), ErrorKind>,
    ) -> Result<(), Failure> {
        if let Some(mark) = mark.filter(|_| result.is_ok()) {
            self.dirty.flushed(mark);
        }
        let untold = self.world.options.planted == Some(Planted::ForgetFailedFlush);
        self.access.flush_ended(result.is_ok() || untold);
        if result.is_err() {
            self.access.update(&mut self.engine);
            self.commit_ready = true;
        }
        let Some(bio) = self.bios[task].as_mut() else { return Ok(()) };
        bio.failed |= result.is_err();
        bio.open -= 1;
        match bio.open {
            0 => self.flushed(task),
            _ => Ok(()),
        }
    }

    /// A flush has ended on all devices. A write that it came before follows, whatever came of it.
    fn flushed(&mut self, task: usize) -> Result<(), Failure> {
        let Some(bio) = self.bios[task].as_mut() else { return Ok(()) };
        if bio.kind != Kind::Flush {
            (bio.open, bio.failed) = (1, false);
            let piece = Piece { task, first: bio.first, sectors: bio.sectors };
            return self.map(piece);
        }
        let (began, failed) = (bio.began, bio.failed);
        self.bios[task] = None;
        if !failed {
            self.world.oracle.flush_succeeds(began);
        }
        Ok(())
    }

    pub(crate) fn lane(&self, first: Sector, sectors: u32, write: bool) -> Lane {
        Regions::new(self.engine.shape().sectors).lane(first, sectors, write)
    }

    /// Sends a part of a bio on its way.
    pub fn map(&mut self, piece: Piece) -> Result<(), Failure> {
        self.direct(piece, false)
    }

    /// Sends on a part of a bio that waited, as the kernel host does: as a whole.
    pub fn map_whole(&mut self, piece: Piece) -> Result<(), Failure> {
        self.direct(piece, true)
    }

    fn direct(&mut self, piece: Piece, waited: bool) -> Result<(), Failure> {
        let Some(bio) = self.bios[piece.task].clone() else { return Ok(()) };
        if bio.kind == Kind::Discard {
            return self.discard(piece);
        }
        let write = bio.kind != Kind::Read;
        let ticket = self.gate.enter(self.lane(Sector(piece.first), piece.sectors, write));
        let block = self.world.plan.block_sectors();
        let nowait = self.tells_nowait(&bio) && !waited;
        let first = Sector(piece.first);
        let sectors = match self.world.options.planted {
            Some(Planted::CutWrites) if write => self.table.find(first, piece.sectors).sectors(),
            _ => piece.sectors,
        };
        let request = Request { first, sectors, write, nowait };
        let geometry = *self.engine.geometry();
        let direct = if waited { path::direct_whole } else { path::direct };
        let mut direction = direct(&self.table, &geometry, &self.access, block, request);
        if !waited {
            self.check_goes_on(&bio, piece, direction)?;
        }
        if let Direction::AskEngine { sectors } = direction {
            let request = Request { sectors, ..request };
            direction = path::suspect_read(&self.engine, &self.access, block, request);
        }
        self.world.note(piece.first, piece.sectors.into(), format!("task {}: {direction:?}", piece.task));
        if write && !matches!(direction, Direction::Refuse(_)) {
            self.check_flush_told(piece.first)?;
        }
        match direction {
            Direction::Main { sectors } => {
                let piece = self.split(piece, sectors);
                self.check_may_be_on_main(piece)?;
                self.send(piece, &bio, Place::Main, piece.first, ticket);
            }
            Direction::Spare { sector, slot, sectors } => {
                let piece = self.split(piece, sectors);
                self.send(piece, &bio, Place::Spare(slot), sector, ticket);
            }
            Direction::Defer { sectors } => {
                let piece = self.split(piece, sectors);
                self.gate.leave(ticket);
                self.deferred.push(piece);
            }
            Direction::Repair { sectors } => {
                let piece = self.split(piece, sectors);
                self.gate.leave(ticket);
                match write {
                    true => self.jobs.push(FailedWrite::unsent(piece)),
                    false => self.reads.push(FailedRead::unsent(piece)),
                }
            }
            Direction::AskEngine { .. } => {
                return Err(self
                    .world
                    .failure(Some(piece.first), "the engine was asked and asks to be asked"));
            }
            Direction::Refuse(error) => {
                self.gate.leave(ticket);
                self.refused(piece, &bio, error)?;
            }
        }
        Ok(())
    }

    /// Nothing that changes content or promises it is accepted after a flush that failed, until the administrator says so (S8).
    pub(crate) fn check_flush_told(&self, sector: u64) -> Result<(), Failure> {
        let what = "accepted, although a flush failed and nobody said to go on";
        match self.flush_failed {
            true => Err(self.world.failure(Some(sector), what)),
            false => Ok(()),
        }
    }

    /// Leaves the rest of a part to be mapped by itself.
    pub(crate) fn split(&mut self, piece: Piece, sectors: u32) -> Piece {
        if sectors < piece.sectors {
            let rest =
                Piece { first: piece.first + u64::from(sectors), sectors: piece.sectors - sectors, ..piece };
            self.to_map.push(rest);
            if let Some(bio) = self.bios[piece.task].as_mut() {
                bio.open += 1;
            }
        }
        Piece { sectors, ..piece }
    }

    pub(crate) fn check_may_be_on_main(&self, piece: Piece) -> Result<(), Failure> {
        for s in piece.first..piece.first + u64::from(piece.sectors) {
            if self.world.oracle.must_be_mapped(s) {
                return Err(self.world.failure(Some(s), "its mapping, acknowledged before, is gone"));
            }
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, piece: Piece, bio: &Bio, place: Place, sector: u64, ticket: u64) {
        let (op, data) = match bio.kind {
            Kind::Write { token, fua } => {
                let op = if fua { Op::WriteFua } else { Op::Write };
                (op, content::data(token, piece.first, piece.sectors))
            }
            _ => (Op::Read, vec![0; piece.sectors as usize * 512]),
        };
        let device = if place == Place::Main { Device::Main } else { Device::Spare };
        self.submit(Owner::Piece(piece, place, ticket), device, op, sector, data, 0);
    }

    /// The device has ended a part of a bio.
    pub fn piece_ended(
        &mut self,
        piece: Piece,
        place: Place,
        ticket: u64,
        flight: &Flight,
        result: Result<(), ErrorKind>,
    ) -> Result<(), Failure> {
        let write = flight.op != Op::Read;
        if write && flight.device == Device::Spare {
            self.dirty.mark();
        }
        if result.is_ok() && place == Place::Main && self.world.options.planted != Some(Planted::KeepPending)
        {
            self.engine.pending().clear(Sector(piece.first), piece.sectors.into());
        }
        if write && result.is_ok() && place == Place::Main {
            self.world.oracle.written_on_main(piece.first, piece.sectors);
        }
        let outcome = match result {
            Ok(()) if write => {
                if flight.device == Device::Main {
                    self.main_took(piece.first, false);
                }
                self.piece_done(piece, true);
                Ok(())
            }
            Ok(()) => self.read_done(piece, &flight.data),
            Err(error) => {
                self.world.note(piece.first, piece.sectors.into(), format!("{place:?} fails: {error:?}"));
                let failed = Failed { write, readahead: false, error };
                match path::after_error(&self.access, failed) {
                    AfterError::Repair if write => {
                        self.jobs.push(FailedWrite { piece, sent: true, error, flush: flight.flush })
                    }
                    AfterError::Repair => self.reads.push(FailedRead::new(piece, place, error, flight)),
                    AfterError::PassUp => self.piece_done(piece, false),
                }
                Ok(())
            }
        };
        self.gate.leave(ticket);
        outcome
    }

    fn read_done(&mut self, piece: Piece, data: &[u8]) -> Result<(), Failure> {
        self.check_read(piece.task, piece.first, data)?;
        self.piece_done(piece, true);
        Ok(())
    }

    /// Checks what a task is given for the sectors from `first` on.
    pub fn check_read(&mut self, task: usize, first: u64, data: &[u8]) -> Result<(), Failure> {
        let began = self.bios[task].as_ref().map_or(0, |b| b.began);
        for (i, bytes) in data.chunks_exact(512).enumerate() {
            let s = first + i as u64;
            let checked = content::token_of(s, bytes).and_then(|t| self.world.oracle.read_ends(began, s, t));
            checked.map_err(|what| self.world.failure(Some(s), format!("a read gives {what}")))?;
        }
        Ok(())
    }

    /// A part of a bio has ended for good.
    pub fn piece_done(&mut self, piece: Piece, ok: bool) {
        let Some(bio) = self.bios[piece.task].as_mut() else { return };
        bio.failed |= !ok;
        bio.open -= 1;
        if bio.open > 0 {
            return;
        }
        let bio = bio.clone();
        self.bios[piece.task] = None;
        self.world.stats.bios += 1;
        if let Kind::Write { token, .. } = bio.kind {
            if !bio.failed {
                self.check_stored(&bio);
            }
            let table = self.table;
            let mapped = |s| matches!(table.find(Sector(s), 1), Run::Slot { .. } | Run::Bad { .. });
            self.world.oracle.write_ends(token, bio.first, bio.sectors, !bio.failed, mapped);
            if let Some(began) = bio.flushed_before.filter(|_| !bio.failed) {
                self.world.oracle.flush_succeeds(began);
            }
        }
    }

    /// Whether a deferred part may be mapped again.
    pub fn may_retry(&self, index: usize) -> bool {
        !matches!(self.table.find(Sector(self.deferred[index].first), 1), Run::Held { .. })
    }

    /// Token of the write that a part belongs to, and whether it is to be durable.
    pub fn write_of(&self, piece: Piece) -> (u64, bool) {
        match self.bios[piece.task].as_ref().map(|b| b.kind) {
            Some(Kind::Write { token, fua }) => (token, fua),
            _ => (0, false),
        }
    }

    /// Reads all of main and checks it.
    pub fn verify(&mut self) -> Result<(), Failure> {
        let total = self.world.plan.main_sectors;
        let step = u64::from(self.world.rng.pick(&[8u32, 24, 128]));
        for first in (0..total).step_by(step as usize) {
            let began = self.world.oracle.read_begins();
            self.start(0, Bio::new(Kind::Read, first, (total - first).min(step) as u32, began));
            self.run_until_idle()?;
        }
        Ok(())
    }

    /// Where the group of a slot's sector lies on main, for what a repair has read there.
    pub fn home_of(&self, slot: Slot) -> Option<u64> {
        self.table.record(slot).map(|r| r.group().first_sector().0)
    }
}
