//! One session: a set in service, from loading to a crash or a close. Whatever is ready may go next; the seed decides.

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::commit::{Committer, Work};
use remap_core::engine::{Class, Engine, FailReason, NoRemapReason, Notice};
use remap_core::error::ErrorKind;
use remap_core::evidence::Evidence;
use remap_core::io::{Device, Op};
use remap_core::lookup::Table;
use remap_core::path::{Access, SpareDirty};

use crate::metadata::slot_changed;
use crate::slots::SlotWatch;
use crate::under_way::bio::{Bio, Piece};
use crate::under_way::context::Context;
use crate::under_way::cost::Cost;
use crate::under_way::failed::{FailedRead, FailedWrite};
use crate::under_way::flight::{Flight, Owner, Suspect};
use crate::under_way::gate::Gate;
use crate::under_way::order::Order;
use crate::under_way::successes::Successes;
use crate::under_way::tries::Found;
use crate::world::{Failure, World};

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At a step that the seed chose, the power went away.
    Crash,
    /// Everything was quiet, and the set was closed.
    Closed,
    /// The set could not be taken into service.
    NotServed,
}

/// A set in service.
pub struct Session<'w, 'e> {
    /// What outlives the session.
    pub world: &'w mut World,
    /// The engine.
    pub engine: Engine<'e>,
    /// Its table, as readers have it.
    pub table: Table<'e>,
    /// What the modes mean for bios.
    pub access: Access,
    /// Whether a flush must reach the spare.
    pub dirty: SpareDirty,
    /// What writes on main tell.
    pub evidence: Evidence,
    /// What is known of them here.
    pub successes: Successes,
    /// The gate.
    pub gate: Gate,
    /// Requests under way.
    pub flights: Vec<Flight>,
    /// Bios, by task.
    pub bios: Vec<Option<Bio>>,
    /// Parts of bios that are to be mapped.
    pub to_map: Vec<Piece>,
    /// Parts that wait because their group is held.
    pub deferred: Vec<Piece>,
    /// Failed writes that wait for a repair context.
    pub jobs: Vec<FailedWrite>,
    /// Failed reads that wait for one.
    pub reads: Vec<FailedRead>,
    /// Repair contexts, and behind them one for orders.
    pub contexts: Vec<Context>,
    /// Counts the steps of repairs, for those who wait for one.
    pub progress: u64,
    /// The committer.
    pub committer: Committer,
    /// Its buffer.
    pub commit_buffer: Vec<u8>,
    /// Whether the committer is to be asked.
    pub commit_ready: bool,
    /// When the committer is told the time again.
    tick_at: u64,
    /// Bios are accepted.
    pub serving: bool,
    /// Work that the committer has ended.
    pub ended: Option<(Work, bool)>,
    /// The spare is or was full.
    pub exhausted: bool,
    /// What the administrator wants next.
    pub order: Option<Order>,
    /// A flush has failed, and nobody has said since that writes are to be accepted again.
    pub flush_failed: bool,
    /// A request of the committer has failed.
    pub metadata_failed: bool,
    /// Places that a superblock was written to in this session.
    pub superblocks: u8,
    /// The set is being closed.
    pub closing: bool,
    /// Content that a failed write of a context cost, which did not carry it.
    pub cost: Vec<Cost>,
    /// A write of a user has succeeded, and was not stored.
    pub unstored: Option<Failure>,
    /// Sectors of the devices that a machine of a context could not read, until the context begins with another.
    pub unread: Vec<(usize, Device, u64)>,
    /// Sectors of main that reads found unreadable.
    pub found: Found,
    watch: SlotWatch,
}

enum Action {
    End(usize),
    Map(usize),
    Retry(usize),
    Context(usize),
    Commit,
    Begin(usize),
}

impl<'w, 'e> Session<'w, 'e> {
    /// A session of a set that was just loaded.
    pub fn new(world: &'w mut World, engine: Engine<'e>) -> Session<'w, 'e> {
        let (tasks, contexts) = (world.plan.tasks, world.plan.contexts);
        Session {
            table: engine.table(),
            watch: SlotWatch::new(&engine.table()),
            flush_failed: false,
            superblocks: 0,
            closing: false,
            cost: Vec::new(),
            unread: Vec::new(),
            unstored: None,
            found: Found::new(),
            metadata_failed: false,
            exhausted: engine.used() + engine.retired() >= engine.slots_total(),
            engine,
            access: Access::new(),
            dirty: SpareDirty::new(),
            evidence: Evidence::new(),
            successes: Successes::default(),
            gate: Gate::default(),
            order: None,
            flights: Vec::new(),
            bios: (0..tasks).map(|_| None).collect(),
            to_map: Vec::new(),
            deferred: Vec::new(),
            jobs: Vec::new(),
            reads: Vec::new(),
            contexts: (0..=contexts).map(|_| Context::default()).collect(),
            progress: 0,
            committer: Committer::new(),
            commit_buffer: vec![0; COMMIT_BUFFER_BYTES],
            commit_ready: true,
            tick_at: 0,
            serving: false,
            ended: None,
            world,
        }
    }

    /// Runs for at most `steps` steps; whether it crashes or is closed in the end is up to the seed.
    pub fn run(&mut self, steps: u64) -> Result<End, Failure> {
        self.order_commit(Work::Takeover);
        let crash_at = self.world.oracle.step + self.world.rng.range(5, steps.max(6));
        let close = self.world.rng.percent(30);
        while self.world.oracle.step < crash_at {
            if let Some((Work::Takeover, ok)) = self.ended.take() {
                if !ok {
                    return Ok(End::NotServed);
                }
                if self.engine.mode().remaps() {
                    self.world.copies_agree(&self.engine)?;
                }
                self.serving = true;
            }
            self.disturb();
            if !self.step(self.serving)? && self.serving {
                break;
            }
        }
        if !(close && self.serving) {
            self.crash();
            return Ok(End::Crash);
        }
        self.settle()?;
        self.closing = true;
        self.order_commit(Work::Close);
        self.run_until_idle()?;
        Ok(End::Closed)
    }

    /// Takes the set into service, checks all of main, and ends.
    pub fn verify_only(&mut self) -> Result<End, Failure> {
        self.order_commit(Work::Takeover);
        self.run_until_idle()?;
        if self.ended.take() != Some((Work::Takeover, true)) {
            return Ok(End::NotServed);
        }
        self.serving = true;
        self.settle()?;
        Ok(End::Closed)
    }

    /// Lets everything end, and checks that what is in memory is what is on disk.
    fn settle(&mut self) -> Result<(), Failure> {
        self.run_until_idle()?;
        self.check_pending()?;
        if self.bios.iter().any(Option::is_some) {
            return Err(self.world.failure(None, "a bio never ends"));
        }
        // The last copy is never rewritten, even if memory knows better; and after a write of metadata that failed, and whose copy could not be
        // evicted either, copies differ until that is settled.
        let settled = self.engine.no_remap_reason() != Some(NoRemapReason::Commit);
        let equal = self.engine.copies_in_sync() >= 2 && !self.engine.in_doubt() && settled;
        if equal && self.engine.fail_reason().is_none() {
            self.world.copies_agree(&self.engine)?;
        }
        self.verify()
    }

    /// Runs without new bios until nothing moves any more.
    pub fn run_until_idle(&mut self) -> Result<(), Failure> {
        for _ in 0..100_000 {
            if !self.step(false)? {
                return Ok(());
            }
        }
        Err(self.world.failure(None, "it never becomes quiet"))
    }

    /// Orders work of the committer, unless other work is under way.
    pub fn order_commit(&mut self, work: Work) {
        self.commit_ready |= self.committer.order(work);
    }

    /// One thing that is ready happens; false when nothing is.
    fn step(&mut self, begin_bios: bool) -> Result<bool, Failure> {
        self.world.oracle.step += 1;
        self.world.stats.steps += 1;
        self.tell_time();
        let now = self.world.oracle.step;
        let due = (0..self.flights.len()).filter(|i| self.flights[*i].due <= now);
        let mut ready: Vec<Action> = due.map(Action::End).collect();
        ready.extend((0..self.to_map.len()).map(Action::Map));
        ready.extend((0..self.deferred.len()).filter(|i| self.may_retry(*i)).map(Action::Retry));
        ready.extend((0..self.contexts.len()).filter(|i| self.context_ready(*i)).map(Action::Context));
        if self.commit_ready {
            ready.push(Action::Commit);
        }
        if begin_bios {
            ready.extend((0..self.bios.len()).filter(|i| self.bios[*i].is_none()).map(Action::Begin));
        }
        if ready.is_empty() {
            ready.extend((0..self.flights.len()).map(Action::End));
        }
        if ready.is_empty() {
            return Ok(false);
        }
        let action = self.world.rng.index(ready.len());
        let works = matches!(ready[action], Action::Context(_) | Action::Commit);
        match ready[action] {
            Action::End(i) => self.end_flight(i)?,
            Action::Map(i) => {
                let piece = self.to_map.swap_remove(i);
                self.map(piece)?;
            }
            Action::Retry(i) => {
                let piece = self.deferred.swap_remove(i);
                self.map_whole(piece)?;
            }
            Action::Context(i) => self.step_context(i)?,
            Action::Commit => self.step_committer(),
            Action::Begin(task) => self.begin_bio(task)?,
        }
        self.tell_evidence();
        self.access.update(&mut self.engine);
        self.hear_notices()?;
        self.check_cost()?;
        self.forget_found();
        self.look_at_slots()?;
        if works {
            self.check_slots()?;
        }
        Ok(true)
    }

    fn look_at_slots(&mut self) -> Result<(), Failure> {
        let commits = self.engine.counters().commits;
        let looked = self.watch.look(&self.table, &self.gate, commits);
        looked.map_err(|what| self.world.failure(None, what))
    }

    /// A step takes a millisecond.
    fn tell_time(&mut self) {
        let now_ms = self.world.oracle.step;
        if !self.serving || now_ms < self.tick_at {
            return;
        }
        if let Some(wait_ms) = self.committer.tick(&self.engine, now_ms) {
            self.tick_at = now_ms + wait_ms;
            self.commit_ready = true;
        }
    }

    fn hear_notices(&mut self) -> Result<(), Failure> {
        let mut changed = Vec::new();
        while let Some(notice) = self.engine.take_notice() {
            let (first, sectors) = match notice {
                Notice::Remapped { group, .. }
                | Notice::Lost { group, .. }
                | Notice::Released { group, .. } => (group.0, 8),
                _ => (0, 0),
            };
            self.world.note(first, sectors, format!("{notice:?}"));
            changed.extend(slot_changed(&notice));
            match notice {
                Notice::Spoilt { group } => self.check_spoilt(group)?,
                Notice::Released { group, mask, .. } => self.world.oracle.released(group.0, mask),
                Notice::Watermark { percent: 100 } => self.exhausted = true,
                Notice::Lost { .. } => self.world.stats.lost += 1,
                Notice::Unreadable { sectors, .. } => {
                    self.world.stats.pending += u64::from(sectors);
                    self.check_pending()?;
                }
                Notice::Unproven { group } => self.check_unproven(group)?,
                Notice::NoRemap(NoRemapReason::Breaker(_)) => self.world.stats.breaker += 1,
                Notice::Retired(_) => self.world.stats.retired += 1,
                Notice::Dropped { class: Class::State, .. } => {
                    return Err(self.world.failure(None, "a change of state was not told".to_string()));
                }
                Notice::Failed(FailReason::Invariant(what)) => {
                    return Err(self.world.failure(None, format!("broken invariant: {what}")));
                }
                _ => {}
            }
        }
        self.world.changes_are_durable(&self.engine, &changed)
    }

    /// Submits a request. It may take place at once or when its end is told.
    pub fn submit(
        &mut self,
        owner: Owner,
        device: Device,
        op: Op,
        sector: u64,
        data: Vec<u8>,
        buffer_sector: u32,
    ) {
        let disk = self.disk(device);
        let flush_mark = disk.flush_mark();
        let culprits = Vec::new();
        let due = self.due(&owner);
        let mut flight = Flight {
            owner,
            device,
            op,
            sector,
            data,
            buffer_sector,
            culprits,
            flush: Suspect::None,
            flush_mark,
            early: None,
            due,
        };
        if self.world.rng.percent(50) {
            flight.early = Some(self.carry_out(&mut flight));
        }
        self.flights.push(flight);
    }

    /// Some requests are under way for long; of the others the end may be told at once.
    fn due(&mut self, owner: &Owner) -> u64 {
        let of_user = matches!(owner, Owner::Piece(..) | Owner::Discard(..));
        let slow_permille = if of_user { self.world.plan.slow_permille } else { 3 };
        let rng = &mut self.world.rng;
        let steps = if rng.permille(slow_permille) { rng.range(20, 300) } else { 0 };
        self.world.oracle.step + steps
    }

    fn disk(&mut self, device: Device) -> &mut crate::disk::Disk {
        match device {
            Device::Main => &mut self.world.main,
            Device::Spare => &mut self.world.spare,
        }
    }

    fn carry_out(&mut self, flight: &mut Flight) -> Result<(), ErrorKind> {
        let disk = match flight.device {
            Device::Main => &mut self.world.main,
            Device::Spare => &mut self.world.spare,
        };
        let result = match flight.op {
            Op::Read => {
                flight.culprits = disk.unreadable(flight.sector, flight.data.len() as u64 / 512);
                disk.serve_read(flight.sector, &mut flight.data, &mut self.world.rng)
            }
            Op::Flush => disk.flush(flight.flush_mark),
            op => {
                let failed = disk.fua_flushes_failed;
                let result = disk.write(flight.sector, &flight.data, op == Op::WriteFua, &mut self.world.rng);
                flight.flush = match op {
                    Op::WriteFua if disk.fua_flushes_failed != failed => Suspect::Flush,
                    Op::WriteFua if disk.fua_flushes => Suspect::Write,
                    _ => Suspect::None,
                };
                result
            }
        };
        self.note_cost(flight, result.is_ok());
        result
    }

    fn end_flight(&mut self, index: usize) -> Result<(), Failure> {
        let mut flight = self.flights.swap_remove(index);
        let result = match flight.early {
            Some(result) => result,
            None => self.carry_out(&mut flight),
        };
        // A repair context hears of it at its next step.
        let heard = flight.op == Op::Flush && !matches!(flight.owner, Owner::Repair(_));
        self.flush_failed |= heard && result.is_err();
        match flight.owner.clone() {
            Owner::Piece(piece, place, ticket) => {
                self.main_read_ended(&flight, result);
                self.piece_ended(piece, place, ticket, &flight, result)
            }
            Owner::Discard(piece, ticket, began) => {
                self.discard_ended(piece, ticket, began, &flight, result);
                Ok(())
            }
            Owner::Flush(task, mark) => self.flush_ended(task, mark, result),
            Owner::Commit(tag) => self.commit_io_ended(tag, &flight, result),
            Owner::Repair(context) => {
                self.main_read_ended(&flight, result);
                self.repair_io_ended(context, &flight, result);
                Ok(())
            }
        }
    }

    /// Tells the oracle what main could not read.
    fn main_read_ended(&mut self, flight: &Flight, result: Result<(), ErrorKind>) {
        let failed = result.is_err_and(|error| error.can_mean_medium());
        if flight.device == Device::Main && flight.op == Op::Read && failed {
            flight.culprits.iter().for_each(|s| self.world.oracle.unreadable_on_main(*s));
        }
    }

    /// Every pending block failed a read on main and has not been written since (S2).
    pub fn check_pending(&self) -> Result<(), Failure> {
        let block = u64::from(self.world.plan.block_sectors());
        for (group, mask) in self.engine.pending().groups() {
            let first = group.first_sector().0;
            for s in (0..8).filter(|i| mask & (1 << i) != 0).map(|i| first + i) {
                let from = s / block * block;
                if !(from..from + block).any(|s| self.world.oracle.may_be_pending(s)) {
                    let what = "it is pending, although main did not fail to read it since it was written";
                    return Err(self.world.failure(Some(s), what));
                }
            }
        }
        Ok(())
    }

    /// Whether metadata is being written.
    pub fn commit_under_way(&self) -> bool {
        self.flights.iter().any(|f| matches!(f.owner, Owner::Commit(_)))
    }

    /// The power goes away.
    fn crash(&mut self) {
        let World { main, spare, rng, .. } = &mut *self.world;
        for flight in self.flights.iter().filter(|f| f.early.is_none()) {
            let disk = match flight.device {
                Device::Main => &mut *main,
                Device::Spare => &mut *spare,
            };
            if matches!(flight.op, Op::Write | Op::WriteFua) {
                disk.land_partly(flight.sector, &flight.data, rng);
            }
        }
        main.crash(rng);
        spare.crash(rng);
        self.world.stats.crashes += 1;
        self.world.oracle.crash();
    }
}
