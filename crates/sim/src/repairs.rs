//! Repair contexts and the committer, as the kernel host drives them.

use remap_core::engine::commit::{self, Step};
use remap_core::engine::host::{self, Draining, Obeyed, Wait};
use remap_core::engine::machine::{reads_at_once, reads_first, Drain, Event, Machine, Next};
use remap_core::engine::repair::{Job, Repair, Unsent};
use remap_core::engine::reread::Reread;
use remap_core::engine::{FailReason, Mode};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::Use;
use remap_core::units::{Sector, Slot};

use crate::disk::ALWAYS;
use crate::hosting::Hosting;
use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::bio::Piece;
use crate::under_way::context::{Running, Work};
use crate::under_way::failed::FailedWrite;
use crate::under_way::flight::{Flight, Owner, Suspect};
use crate::under_way::reading::Reading;
use crate::world::{Failure, World};

impl Session<'_, '_> {
    /// Whether a context can go on, or begin with a job that waits.
    pub fn context_ready(&self, index: usize) -> bool {
        let Some(running) = &self.contexts[index].running else {
            if self.is_for_orders(index) {
                return self.order.is_some();
            }
            return !self.jobs.is_empty() || !self.reads.is_empty() && self.may_read();
        };
        self.over(index, running).is_some()
    }

    /// What the machine of a context can be told.
    fn over(&self, index: usize, running: &Running) -> Option<Event> {
        let is_drained = |draining: &Draining| self.is_drained(running, draining);
        running.wait.over(&self.engine, index, self.world.oracle.step, self.progress, is_drained)
    }

    /// A context takes its next step.
    pub fn step_context(&mut self, index: usize) -> Result<(), Failure> {
        let now_ms = self.world.oracle.step;
        let mut running = match self.contexts[index].running.take() {
            Some(running) => running,
            None => {
                self.unread.retain(|(context, ..)| *context != index);
                let (machine, work, read, flush, unsent) = self.new_machine(index, now_ms);
                let unproven = self.engine.counters().unproven;
                Running {
                    machine,
                    work,
                    wait: Wait::Nothing(Event::Go),
                    read,
                    flush,
                    failed_again: false,
                    unsent,
                    acked: false,
                    breaker: false,
                    unproven,
                    placed: None,
                    request: None,
                }
            }
        };
        if matches!(running.work, Work::Order(_)) && self.world.rng.permille(2) {
            running.machine.stop();
        }
        let event = match self.over(index, &running) {
            Some(Event::Undrained) => self.planted_timeout(),
            Some(event) => event,
            None => return Err(self.world.failure(None, "a context goes on that waits")),
        };
        if event == Event::Io(Ok(())) {
            self.main_took_repair(&running);
        }
        if let Some(read) = &mut running.read {
            self.look_at_known(read);
        }
        self.tell_evidence();
        // Also for a moment, by slots that groups are held by; and a physical block is held as a whole.
        let unit_groups = self.world.plan.settings.physical_sectors / 8 + 1;
        self.exhausted |=
            self.engine.used() + self.engine.retired() + unit_groups > self.engine.slots_total();
        running.breaker |= self.engine.breaker_is_open();
        let next = running.machine.next(&mut self.engine, event, now_ms);
        if let Some(read) = &running.read {
            self.note_found(read);
        }
        let flushed = running.request.is_some_and(|r| r.op == Op::Flush);
        self.flush_failed |= flushed && matches!(event, Event::Io(Err(_)));
        let (first, sectors) = running.work.range();
        self.world.note(first, sectors, format!("context {index}: {event:?} -> {next:?}"));
        self.commit_ready = true;
        if next != Next::Wait {
            self.progress += 1;
        }
        self.contexts[index].writes_first = running.unsent && !running.failed_again;
        self.obey(index, running, next)
    }

    fn is_drained(&self, running: &Running, draining: &Draining) -> bool {
        self.gate.drained(draining.mark, self.planted_lanes(draining.lanes)) || self.planted_drain(running)
    }

    /// When a drain is given up: at its limit or, since a step here may stand for any time, before; or as the job is told to stop.
    pub(crate) fn drain_until(&mut self, machine: &mut Machine, drain: Drain) -> u64 {
        if drain.may_stop && self.world.rng.permille(50) {
            machine.stop();
            return self.world.oracle.step + self.world.rng.below(20);
        }
        let Some(within_ms) = drain.within_ms else { return u64::MAX };
        let steps = self.world.rng.pick(&[2, 20, 100, within_ms]).min(within_ms);
        self.world.oracle.step + self.planted_limit(steps)
    }

    /// Whether what a context writes to main is a user's write that is made for the first time.
    pub(crate) fn writes_first(&self, index: usize) -> bool {
        self.contexts[index].writes_first
    }

    /// What a context is at work on.
    pub(crate) fn work_of(&self, index: usize) -> Option<Work> {
        self.contexts[index].running.as_ref().map(|running| running.work)
    }

    /// Whether a context is at work.
    pub(crate) fn is_running(&self, index: usize) -> bool {
        self.contexts[index].running.is_some()
    }

    /// Whether another context may begin with a read.
    fn may_read(&self) -> bool {
        let reading = self.contexts.iter().filter(|c| c.running.as_ref().is_some_and(|r| r.read.is_some()));
        reading.count() < reads_at_once(self.world.plan.contexts)
    }

    fn obey(&mut self, index: usize, mut running: Running, next: Next) -> Result<(), Failure> {
        if matches!(next, Next::Drain(drain) if self.planted_leak(&running, drain.lanes)) {
            return Ok(());
        }
        match host::obey(&mut Hosting { session: self, index, running: &mut running }, next)? {
            Obeyed::Waits(wait) => {
                running.wait = wait;
                self.contexts[index].running = Some(running);
                Ok(())
            }
            Obeyed::Done(verdict) => self.job_done(running, verdict),
        }
    }

    fn job_done(&mut self, running: Running, verdict: Result<(), ErrorKind>) -> Result<(), Failure> {
        if let Some(read) = running.read {
            return self.reread_done(read, verdict);
        }
        self.forget_cost(running.work, verdict);
        match running.work {
            Work::Bio(piece) if !running.acked => {
                let unproven = self.engine.counters().unproven > running.unproven;
                self.check_flush(&running, piece, verdict)?;
                let may_fail = unproven || running.breaker || running.flush != Suspect::None;
                self.repair_done(piece, verdict, may_fail)
            }
            Work::Bio(_) => Ok(()),
            Work::Order(order) => self.order_done(&running.machine, order),
        }
    }

    /// Writes go first.
    fn new_machine(&mut self, index: usize, now_ms: u64) -> (Machine, Work, Option<Reading>, Suspect, bool) {
        if let Some(order) = self.order.take_if(|_| self.contexts.len() == index + 1) {
            let (machine, order) = order.machine(index as u8, &self.engine);
            return (machine, Work::Order(order), None, Suspect::None, false);
        }
        let reads_first = reads_first(index, self.world.plan.contexts);
        if self.jobs.is_empty() || reads_first && !self.reads.is_empty() && self.may_read() {
            let at = self.world.rng.index(self.reads.len());
            let failed = self.reads.swap_remove(at);
            let piece = failed.piece;
            let machine = Machine::Read(Reread::new(index as u8, failed.job(), &mut self.engine, now_ms));
            let deadline = now_ms + self.world.plan.settings.read_deadline_ms;
            let reading = Reading::new(failed, self.world.oracle.now(), deadline);
            return (machine, Work::Bio(piece), Some(reading), Suspect::None, false);
        }
        let at = self.world.rng.index(self.jobs.len());
        let FailedWrite { piece, sent, error, flush } = self.jobs.swap_remove(at);
        let (first, sectors) = (Sector(piece.first), piece.sectors);
        let (_, fua) = self.write_of(piece);
        let fua_flushes = flush != Suspect::None;
        let repair = match sent {
            true => {
                let job = Job { first, sectors, fua, fua_flushes, error };
                Repair::new(index as u8, job, &mut self.engine, now_ms)
            }
            false => Repair::unsent(index as u8, Unsent { first, sectors, fua }, &mut self.engine, now_ms),
        };
        (Machine::Write(repair), Work::Bio(piece), None, flush, !sent)
    }

    pub(crate) fn commit_awaited(&mut self, running: &mut Running) {
        match running.work {
            Work::Bio(piece)
                if self.world.options.planted == Some(Planted::AckBeforeDurable) && !running.acked =>
            {
                running.acked = true;
                self.piece_done(piece, true);
            }
            Work::Order(order) if order.release => {
                // What lives beside it in its physical blocks moves as well.
                let plan = &self.world.plan;
                let first = plan.unit_of(order.first).0;
                let end = plan.unit_of(order.first + order.sectors - 1).1.min(plan.main_sectors);
                self.world.oracle.may_be_released(first, end - first)
            }
            _ => {}
        }
    }

    /// Whoever asked for a flush that failed is told, unless something else failed besides (S8).
    fn check_flush(
        &self,
        running: &Running,
        piece: Piece,
        verdict: Result<(), ErrorKind>,
    ) -> Result<(), Failure> {
        let hidden = running.flush == Suspect::Flush && verdict.is_ok() && !running.failed_again;
        match hidden {
            true => Err(self
                .world
                .failure(Some(piece.first), "a flush failed, and who asked for it is told that all is well")),
            false => Ok(()),
        }
    }

    fn repair_done(
        &mut self,
        piece: Piece,
        verdict: Result<(), ErrorKind>,
        may_fail: bool,
    ) -> Result<(), Failure> {
        match verdict {
            Ok(()) => self.world.stats.repaired += 1,
            Err(_) => self.world.stats.unrepaired += 1,
        }
        self.exhausted |= self.engine.used() + self.engine.retired() >= self.engine.slots_total();
        let may_fail = may_fail || self.engine.breaker_is_open();
        if verdict.is_err() && !may_fail && self.world.plan.spare_is_healthy() && !self.exhausted {
            let what = "a write fails, although the spare is healthy and has room";
            return Err(self.world.failure(Some(piece.first), what));
        }
        self.piece_done(piece, verdict.is_ok());
        Ok(())
    }

    pub(crate) fn submit_from(&mut self, owner: Owner, request: IoRequest, context: usize) {
        let buffer = &self.contexts[context].buffer;
        let data = section(buffer, &request).to_vec();
        self.submit(owner, request.device, request.op, request.sector, data, request.buffer_sector);
    }

    /// A request of a repair has ended.
    pub fn repair_io_ended(&mut self, index: usize, flight: &Flight, result: Result<(), ErrorKind>) {
        let at = flight.buffer_sector as usize * 512;
        match (flight.op, result) {
            (Op::Read, Ok(())) => {
                self.contexts[index].buffer[at..at + flight.data.len()].copy_from_slice(&flight.data);
            }
            (Op::Read, Err(error)) => {
                if error.can_mean_medium() {
                    self.slot_read_failed(flight);
                }
                let sectors = flight.sector..flight.sector + flight.data.len() as u64 / 512;
                self.unread.extend(sectors.map(|s| (index, flight.device, s)));
            }
            (Op::Write | Op::WriteFua, _) if flight.device == Device::Spare => self.dirty.mark(),
            _ => {}
        }
        let lie = self.world.options.planted == Some(Planted::DeliverFailedRead);
        let spoilt = self.contexts[index].running.as_ref().is_some_and(|r| self.planted_spoilt(r, flight));
        if let Some(running) = &mut self.contexts[index].running {
            running.failed_again |= result.is_err();
            let result = match &mut running.read {
                Some(_) if lie => Ok(()),
                Some(read) => {
                    read.ended(flight, result);
                    result
                }
                None if spoilt => Ok(()),
                None => result,
            };
            running.wait = Wait::Nothing(Event::Io(result));
        }
    }

    /// The medium of a slot has failed: an error is the right answer for what lived there.
    fn slot_read_failed(&mut self, flight: &Flight) {
        if flight.device != Device::Spare {
            return;
        }
        let geometry = *self.engine.geometry();
        let block = u64::from(self.world.plan.block_sectors());
        for bad in &flight.culprits {
            let mut slots = (0..geometry.slot_count()).map(Slot);
            let slot = slots.find(|s| geometry.slot_block(*s).first_sector() == bad / 8 * 8);
            let Some(home) = slot.and_then(|s| self.home_of(s)) else { continue };
            for i in 0..block {
                self.world.oracle.place_failed(home + bad % 8 / block * block + i);
            }
        }
    }

    /// The committer takes its next step.
    pub fn step_committer(&mut self) {
        match self.committer.next(&mut self.engine, &mut self.commit_buffer) {
            Step::Io(request, tag) => {
                self.world.note(0, 0, format!("commit: {:?} at {} tag {tag}", request.op, request.sector));
                if self.planted_skips(&request) {
                    self.committer.done(&mut self.engine, tag, true);
                    return;
                }
                let data = section(&self.commit_buffer, &request).to_vec();
                let (owner, at) = (Owner::Commit(tag), request.buffer_sector);
                self.submit(owner, request.device, request.op, request.sector, data, at);
            }
            Step::Wait | Step::Idle => self.commit_ready = false,
            Step::Ended(work, ok) => {
                self.world.note(0, 0, format!("{work:?} ended: {ok}"));
                self.ended = Some((work, ok));
            }
        }
    }

    fn planted_skips(&self, request: &IoRequest) -> bool {
        let geometry = self.engine.geometry();
        let block = request.sector / 8;
        let (copy, in_area) = (block / geometry.area_blocks(), block % geometry.area_blocks());
        let table = request.op == Op::WriteFua && in_area >= 2;
        let first = u64::from(self.engine.superblock().in_sync.trailing_zeros());
        match self.world.options.planted {
            Some(Planted::SkipCommitFlush) => request.op == Op::Flush,
            Some(Planted::SkipSecondRound) => table && copy != first,
            Some(Planted::SkipEqualising) => table && !self.serving,
            Some(Planted::ReleaseBeforeDurable) => table && self.a_release_waits(),
            Some(Planted::ReadmitWithoutRewrite) => {
                table && u64::from(self.engine.superblock().in_sync) & (1 << copy) == 0
            }
            _ => false,
        }
    }

    fn a_release_waits(&self) -> bool {
        let waits = |r: &Running| matches!((r.work, r.wait), (Work::Order(o), Wait::Commit) if o.release);
        self.contexts.iter().any(|c| c.running.as_ref().is_some_and(waits))
    }

    /// A request of the committer has ended.
    pub fn commit_io_ended(
        &mut self,
        tag: u8,
        flight: &Flight,
        result: Result<(), ErrorKind>,
    ) -> Result<(), Failure> {
        let at = flight.buffer_sector as usize * 512;
        if self.commit_buffer[at..at + flight.data.len()] != flight.data {
            return Err(self.world.failure(None, "the committer changed a buffer under a request"));
        }
        self.world.note(0, 0, format!("commit: tag {tag} {result:?}"));
        self.metadata_failed |= result.is_err();
        self.check_clean(flight, result.is_ok())?;
        self.committer.done(&mut self.engine, tag, result.is_ok());
        self.commit_ready = true;
        Ok(())
    }

    /// What goes wrong at random, and what an administrator does about it.
    pub fn disturb(&mut self) {
        self.maybe_order();
        let World { plan, rng, main, spare, .. } = &mut *self.world;
        if rng.permille(plan.growth_permille) {
            plan.grow(main, rng);
        }
        if plan.slot_faults_percent > 0 && rng.permille(30) {
            // A slot in use goes bad.
            let table = &self.table;
            let mapped = |slot: &Slot| table.record(*slot).is_some_and(|r| r.usage() == Use::Mapped);
            let in_use: Vec<Slot> = (0..table.slots()).map(Slot).filter(mapped).collect();
            let slot = if in_use.is_empty() { Slot(0) } else { rng.pick(&in_use) };
            let sector = self.engine.geometry().slot_block(slot).first_sector() + rng.below(8);
            match rng.below(4) {
                0 => spare.fail_writes(sector, ALWAYS),
                1 => spare.fail_writes(sector, rng.range(1, 3) as u32),
                _ => spare.fail_reads(sector, rng.pick(&[2, ALWAYS])),
            }
        }
        if plan.copy_faults && rng.permille(4) {
            let g = self.engine.geometry();
            let copy = rng.below(plan.copies.into()) as u8;
            let table = g.table_block(copy, rng.below(g.table_blocks().into()) as u32);
            let place = if rng.percent(70) { table } else { g.superblock(copy) };
            spare.fail_writes(place.first_sector(), rng.pick(&[1, 2, 5, ALWAYS]));
        }
        if plan.copy_faults && rng.permille(4) {
            for copy in 0..plan.copies {
                spare.heal_writes(self.engine.geometry().superblock(copy).first_sector());
                for index in 0..self.engine.geometry().table_blocks() {
                    spare.heal_writes(self.engine.geometry().table_block(copy, index).first_sector());
                }
            }
        }
        if plan.spare_outages && rng.permille(4) {
            spare.writes_fail = true;
        }
        if spare.writes_fail && rng.permille(15) {
            spare.writes_fail = false;
        }
        if plan.main_outages && rng.permille(6) {
            main.writes_fail = true;
        }
        // Long enough for the breaker to open.
        if main.writes_fail && rng.permille(1) {
            main.writes_fail = false;
        }
        if plan.flush_faults && rng.permille(2) {
            let disk = if rng.percent(50) { main } else { spare };
            disk.flushes_fail += 1;
        }
        let (resume, accept) = (rng.permille(15), rng.permille(15));
        if resume && self.world.options.planted == Some(Planted::CloseEarly) {
            self.order_commit(commit::Work::Close);
        }
        let lacking = matches!(self.engine.mode(), Mode::NoRemap | Mode::Degraded);
        if resume && self.serving && lacking {
            self.order_commit(commit::Work::Resume);
        }
        if accept && self.engine.fail_reason() == Some(FailReason::Flush) {
            self.flush_failed &= !self.access.resume(&mut self.engine);
            // What waited for a commit may become durable.
            self.commit_ready = true;
        }
    }
}

/// The part of a buffer that a request is about.
fn section<'b>(buffer: &'b [u8], request: &IoRequest) -> &'b [u8] {
    &buffer[request.buffer_sector as usize * 512..][..request.sectors as usize * 512]
}
