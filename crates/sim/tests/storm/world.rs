//! The world of a storm: a main of many requests at once, users, the target's contexts and its committer, driven by an agenda in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::commit::{Committer, Step, Work};
use remap_core::engine::host::{obey, Draining, Host, Obeyed, Wait};
use remap_core::engine::load::Loader;
use remap_core::engine::machine::{reads_at_once, reads_first, Comparison, Drain, Event, Machine};
use remap_core::engine::order::Range;
use remap_core::engine::release::Release;
use remap_core::engine::relocate::Relocate;
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::reread::{self, Reread};
use remap_core::engine::{Engine, Settings};
use remap_core::error::ErrorKind;
use remap_core::evidence::Evidence;
use remap_core::format::{Formatter, Geometry, MainShape, SetId, Superblock};
use remap_core::gate::Regions;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::path::{after_error, direct, Access, AfterError, Direction, Failed, Place, Request};
use remap_core::units::Sector;
use remap_sim::disk::Disk;
use remap_sim::load::Memory;
use remap_sim::rng::Rng;
use remap_sim::under_way::gate::Gate;

const REGION_BLOCKS: u64 = 16_384;
const SLOTS: u32 = 12_000;
const MAIN_SECTORS: u64 = 1 << 24;
/// From here on every second group fails writes, as many as a storm has; everything else is healthy.
const BAD_FROM: u64 = MAIN_SECTORS / 2;
/// From here on main fails reads.
const UNREADABLE_FROM: u64 = MAIN_SECTORS - (1 << 20);
const CONTEXTS: usize = 4;
/// The one for orders.
const ORDERS: usize = CONTEXTS;
/// Requests that main works on at once.
const MAIN_DEPTH: usize = 32;
/// Streams of healthy I/O, one bio each at a time: those of even numbers far from what is bad, the others where it storms.
const STREAMS: u64 = 8;

/// What a storm is like.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Writes to bad groups, all different.
    pub failing: u64,
    /// Of them, under way at once.
    pub failing_at_once: u64,
    /// The next one comes when one has failed on main, and not only when that is repaired.
    pub steady: bool,
    /// How long main takes to fail, in milliseconds.
    pub fail_ms: (u64, u64),
    /// Time from one healthy bio of a stream to the next, in milliseconds.
    pub pause_ms: u64,
    /// Until then main takes no writes at all.
    pub away_until_ms: u64,
    /// Of a hundred healthy bios so many are writes.
    pub writes_percent: u64,
    /// An administrator moves what is healthy to slots and back, where it storms, all the time.
    pub orders: bool,
    /// So many of a hundred writes to a slot fail.
    pub slot_fails_percent: u64,
    /// Reads that fail, under way at once.
    pub reads_at_once: u64,
}

#[derive(Clone, Copy)]
enum Owner {
    /// A healthy bio: when it came, and how long main or the spare takes for it.
    Healthy {
        stream: u64,
        write: bool,
        came_ms: u64,
        service_ms: u64,
        ticket: u64,
    },
    Failing {
        first: u64,
        ticket: u64,
    },
    Repair(usize),
    Commit(u8),
}

enum Happens {
    /// A device has done it, well or not.
    Ended(Device, Owner, bool),
    Healthy(u64),
    /// The next order is given.
    Order,
    /// Another read has failed.
    FailedRead,
    /// The time of a drain may be over.
    Timeout,
    /// A healthy bio that waits for a held group asks again.
    Again {
        stream: u64,
        first: u64,
        write: bool,
        came_ms: u64,
    },
}

/// A storm under way, and what came of it.
pub struct Storm<'e> {
    pub engine: Engine<'e>,
    committer: Committer,
    buffer: Vec<u8>,
    access: Access,
    evidence: Evidence,
    gate: Gate,
    rng: Rng,
    weather: Weather,
    pub now_ms: u64,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    what: std::collections::HashMap<u64, Happens>,
    last: u64,
    main_busy: usize,
    main_waits: VecDeque<(Owner, u64, bool)>,
    jobs: VecDeque<u64>,
    /// Failed reads that wait for a context: their first sector, and since when.
    reads: VecDeque<(u64, u64)>,
    next_read: u64,
    /// How many were done with, and the longest that one waited to be begun.
    pub reads_done: u64,
    pub read_waited_ms: u64,
    contexts: Vec<Option<(Machine, Wait)>>,
    regions: Regions,
    /// What each context works on or has worked on last.
    repairing: [u64; CONTEXTS],
    orders: u64,
    order_due: bool,
    /// Sectors that orders moved.
    pub moved: u64,
    next_failing: u64,
    failing_left: u64,
    pub stored: u64,
    pub passed_up: u64,
    /// The longest that the target kept a healthy bio, in milliseconds.
    pub delay_ms: u64,
    pub healthy: u64,
    pub opened: u64,
}

impl Storm<'_> {
    fn at(&mut self, ms: u64, happens: Happens) {
        self.last += 1;
        self.agenda.push(Reverse((ms, self.last)));
        self.what.insert(self.last, happens);
    }

    /// Main gets a request that takes so long, and begins when it has a place for it.
    fn send_to_main(&mut self, owner: Owner, service_ms: u64, ok: bool) {
        if self.main_busy == MAIN_DEPTH {
            self.main_waits.push_back((owner, service_ms, ok));
            return;
        }
        self.main_busy += 1;
        self.at(self.now_ms + service_ms, Happens::Ended(Device::Main, owner, ok));
    }

    fn is_bad(&self, sector: u64) -> bool {
        let end = BAD_FROM + self.weather.failing * 16;
        (BAD_FROM..end).contains(&sector) && sector / 8 % 2 == 0
    }

    fn takes_writes(&self, sector: u64, sectors: u32) -> bool {
        self.now_ms >= self.weather.away_until_ms
            && !(sector..sector + u64::from(sectors)).any(|s| self.is_bad(s))
    }

    fn fail_ms(&mut self) -> u64 {
        let (least, most) = self.weather.fail_ms;
        self.rng.range(least, most)
    }

    /// Where the next healthy bio of a stream goes, and whether it is a write. Where it storms, groups whose writes failed last or are
    /// being repaired are read, and the groups beside them are read and written.
    fn next_healthy(&mut self, stream: u64) -> (u64, bool) {
        let write = self.rng.percent(self.weather.writes_percent);
        match stream % 2 == 1 {
            true => {
                let nth = self.next_failing - 1 - self.rng.below(self.next_failing.min(16));
                let lately = BAD_FROM + nth * 16;
                let first = if self.rng.percent(50) { self.rng.pick(&self.repairing) } else { lately };
                (first + if write || self.rng.percent(50) { 8 } else { 0 }, write)
            }
            false => (self.rng.below(BAD_FROM / 8) * 8, write),
        }
    }

    fn healthy(&mut self, stream: u64, first: u64, write: bool, came_ms: u64) {
        let request = Request { first: Sector(first), sectors: 8, write, nowait: false };
        let ticket = self.gate.enter(self.regions.lane(Sector(first), 8, write));
        let (table, geometry) = (self.engine.table(), *self.engine.geometry());
        let service_ms = self.rng.range(1, 10);
        let owner = Owner::Healthy { stream, write, came_ms, service_ms, ticket };
        match direct(&table, &geometry, &self.access, 1, request) {
            Direction::Main { sectors: 8 } => {
                let ok = !write || self.takes_writes(first, 8);
                self.send_to_main(owner, service_ms, ok);
            }
            Direction::Spare { sectors: 8, .. } => {
                self.at(self.now_ms + service_ms, Happens::Ended(Device::Spare, owner, true));
            }
            Direction::Defer { .. } => {
                self.gate.leave(ticket);
                self.at(self.now_ms + 1, Happens::Again { stream, first, write, came_ms });
            }
            other => panic!("a healthy bio goes {other:?}: {:?}", self.engine.fail_reason()),
        }
    }

    fn begin_failing(&mut self) {
        if self.next_failing == self.weather.failing {
            return;
        }
        let first = BAD_FROM + self.next_failing * 16;
        self.next_failing += 1;
        let ticket = self.gate.enter(self.regions.lane(Sector(first), 8, true));
        let service_ms = self.fail_ms();
        self.send_to_main(Owner::Failing { first, ticket }, service_ms, false);
    }

    fn failing_done(&mut self, stored: bool) {
        self.stored += u64::from(stored);
        self.passed_up += u64::from(!stored);
        self.failing_left -= 1;
        if !self.weather.steady {
            self.begin_failing();
        }
    }

    fn ended(&mut self, device: Device, owner: Owner, ok: bool) {
        if device == Device::Main {
            self.main_busy -= 1;
            if let Some((owner, service_ms, ok)) = self.main_waits.pop_front() {
                self.send_to_main(owner, service_ms, ok);
            }
        }
        match owner {
            Owner::Healthy { stream, write, came_ms, service_ms, ticket } => {
                if write && ok {
                    self.evidence.written(self.now_ms + 1, Sector(stream * 8), || self.now_ms);
                }
                self.gate.leave(ticket);
                self.healthy += 1;
                self.delay_ms = self.delay_ms.max(self.now_ms - came_ms - service_ms);
                if self.failing_left > 0 {
                    self.at(self.now_ms + self.weather.pause_ms, Happens::Healthy(stream));
                }
            }
            Owner::Failing { first, ticket } => {
                let failed = Failed { write: true, readahead: false, error: ErrorKind::Io };
                let verdict = after_error(&self.access, failed);
                self.gate.leave(ticket);
                if self.weather.steady {
                    self.begin_failing();
                }
                match verdict {
                    AfterError::Repair => self.jobs.push_back(first),
                    _ => self.failing_done(false),
                }
            }
            Owner::Repair(context) => {
                let result = if ok { Ok(()) } else { Err(ErrorKind::Io) };
                self.step(context, Event::Io(result));
            }
            Owner::Commit(tag) => self.committer.done(&mut self.engine, tag, ok),
        }
    }

    fn step(&mut self, context: usize, mut event: Event) {
        let Some((mut machine, _)) = self.contexts[context].take() else { return };
        let wait = loop {
            self.tell();
            let next = machine.next(&mut self.engine, event, self.now_ms);
            let Ok(obeyed) = obey(&mut Hosting { storm: self, context }, next);
            match obeyed {
                Obeyed::Waits(Wait::Nothing(told)) => event = told,
                Obeyed::Waits(wait) => break wait,
                Obeyed::Done(verdict) => return self.job_done(&machine, verdict),
            }
        };
        self.contexts[context] = Some((machine, wait));
    }

    fn job_done(&mut self, machine: &Machine, verdict: Result<(), ErrorKind>) {
        self.tell();
        match machine {
            Machine::Write(_) => self.failing_done(verdict.is_ok()),
            Machine::Read(_) => {
                assert!(verdict.is_err(), "nothing could be read there");
                self.reads_done += 1;
                self.at(self.now_ms + 1, Happens::FailedRead);
            }
            _ => self.order_done(machine),
        }
    }

    /// What is moved next: a group beside one that failed lately, into a slot and then back.
    fn next_order(&mut self) -> Option<Machine> {
        if !core::mem::take(&mut self.order_due) || self.failing_left == 0 {
            return None;
        }
        let nth = self.orders / 2;
        let first = Sector(BAD_FROM + (self.next_failing - 1).saturating_sub(nth % 16) * 16 + 8);
        let range = Range { first, sectors: 8 };
        let context = ORDERS as u8;
        Some(match self.orders % 2 {
            0 => Machine::Relocate(Relocate::new(context, range, &self.engine)),
            _ => Machine::Release(Release::new(context, range, &self.engine)),
        })
    }

    fn order_done(&mut self, machine: &Machine) {
        self.orders += 1;
        self.moved += match machine {
            Machine::Relocate(order) => order.tally().remapped,
            Machine::Release(order) => order.tally().released,
            _ => 0,
        };
        self.at(self.now_ms + 20, Happens::Order);
    }

    fn failed_read(&mut self) {
        if self.failing_left > 0 {
            let first = UNREADABLE_FROM + self.next_read * 8 % (1 << 20);
            self.next_read += 1;
            self.reads.push_back((first, self.now_ms));
        }
    }

    /// The machine for a failed read, if one waits and enough contexts are left for writes.
    fn begin_read(&mut self, context: usize) -> Option<Machine> {
        let reading = self.contexts.iter().flatten().filter(|(m, _)| matches!(m, Machine::Read(_)));
        if reading.count() >= reads_at_once(CONTEXTS) {
            return None;
        }
        let (first, since_ms) = self.reads.pop_front()?;
        self.read_waited_ms = self.read_waited_ms.max(self.now_ms - since_ms);
        let (first, place) = (Sector(first), Place::Main);
        let job = reread::Job { first, sectors: 8, place, error: ErrorKind::Medium };
        Some(Machine::Read(Reread::new(context as u8, job, &mut self.engine, self.now_ms)))
    }

    fn begin_write(&mut self, context: usize) -> Option<Machine> {
        let first = self.jobs.pop_front()?;
        self.repairing[context] = first;
        let (first, error) = (Sector(first), ErrorKind::Io);
        let job = Job { first, sectors: 8, fua: false, fua_flushes: false, error };
        Some(Machine::Write(Repair::new(context as u8, job, &mut self.engine, self.now_ms)))
    }

    /// What a context that has nothing to do begins with.
    fn begin(&mut self, context: usize) -> Option<Machine> {
        if context == ORDERS {
            return self.next_order();
        }
        match reads_first(context, CONTEXTS) {
            true => self.begin_read(context).or_else(|| self.begin_write(context)),
            false => self.begin_write(context).or_else(|| self.begin_read(context)),
        }
    }

    fn send(&mut self, context: usize, request: IoRequest) {
        let owner = Owner::Repair(context);
        if request.device == Device::Spare {
            let ok = request.op == Op::Read || !self.rng.percent(self.weather.slot_fails_percent);
            return self.at(self.now_ms + 2, Happens::Ended(Device::Spare, owner, ok));
        }
        let answers = match request.op {
            Op::Read => request.sector < UNREADABLE_FROM,
            Op::Write => self.takes_writes(request.sector, request.sectors),
            _ => true,
        };
        match answers {
            true => self.send_to_main(owner, 5, true),
            false => {
                let service_ms = self.fail_ms();
                self.send_to_main(owner, service_ms, false);
            }
        }
    }

    fn tell(&mut self) {
        self.evidence.tell(&mut self.engine, self.now_ms);
        let open = self.access.breaker_is_open();
        self.access.update(&mut self.engine);
        self.opened += u64::from(!open && self.access.breaker_is_open());
        while self.engine.take_notice().is_some() {}
    }

    /// Everything that can go on at this instant does.
    fn settle(&mut self) {
        loop {
            self.tell();
            let mut moved = false;
            while let Step::Io(_, tag) = self.committer.next(&mut self.engine, &mut self.buffer) {
                self.at(self.now_ms + 2, Happens::Ended(Device::Spare, Owner::Commit(tag), true));
            }
            for context in 0..=ORDERS {
                if self.contexts[context].is_none() {
                    let Some(machine) = self.begin(context) else { continue };
                    self.contexts[context] = Some((machine, Wait::Nothing(Event::Go)));
                }
                let wait = self.contexts[context].as_ref().map(|(_, wait)| *wait);
                let is_drained = |d: &Draining| self.gate.drained(d.mark, d.lanes);
                let ready =
                    wait.and_then(|wait| wait.over(&self.engine, context, self.now_ms, 0, is_drained));
                if let Some(event) = ready {
                    self.step(context, event);
                    moved = true;
                }
            }
            // Those that wait for a claim ask again when somebody has moved.
            for context in (0..=ORDERS).filter(|_| moved) {
                if matches!(self.contexts[context], Some((_, Wait::Claim(_)))) {
                    self.step(context, Event::Go);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn run(&mut self) {
        (0..STREAMS).for_each(|stream| self.at(stream, Happens::Healthy(stream)));
        (0..self.weather.failing_at_once).for_each(|_| self.begin_failing());
        (0..self.weather.reads_at_once).for_each(|_| self.failed_read());
        while let Some(Reverse((ms, number))) = self.agenda.pop() {
            self.now_ms = ms;
            match self.what.remove(&number) {
                Some(Happens::Ended(device, owner, ok)) => self.ended(device, owner, ok),
                Some(Happens::Healthy(stream)) => {
                    let (first, write) = self.next_healthy(stream);
                    self.healthy(stream, first, write, ms);
                }
                Some(Happens::Again { stream, first, write, came_ms }) => {
                    self.healthy(stream, first, write, came_ms)
                }
                Some(Happens::Order) => self.order_due = true,
                Some(Happens::FailedRead) => self.failed_read(),
                Some(Happens::Timeout) | None => {}
            }
            self.settle();
        }
        assert_eq!(self.stored + self.passed_up, self.weather.failing, "a write never ended");
    }
}

/// What a storm does for the machine of a context.
struct Hosting<'a, 'e> {
    storm: &'a mut Storm<'e>,
    context: usize,
}

impl Host for Hosting<'_, '_> {
    type Stop = std::convert::Infallible;

    fn load(&mut self, _: u32, _: u32) -> Result<(), Self::Stop> {
        Ok(())
    }

    fn store(&mut self, _: u32, _: u32) -> Result<(), Self::Stop> {
        Ok(())
    }

    fn submit(&mut self, request: IoRequest) -> Result<Option<Result<(), ErrorKind>>, Self::Stop> {
        self.storm.send(self.context, request);
        Ok(None)
    }

    fn is_same(&mut self, _: Comparison) -> bool {
        true
    }

    fn wake_committer(&mut self) {}

    fn drain(&mut self, drain: Drain) -> Draining {
        let until_ms = drain.within_ms.map_or(u64::MAX, |ms| self.storm.now_ms + ms);
        if until_ms != u64::MAX {
            self.storm.at(until_ms, Happens::Timeout);
        }
        Draining { lanes: drain.lanes, mark: self.storm.gate.mark(), until_ms }
    }

    /// Those that wait for a claim are asked again whenever another has moved.
    fn steps(&self) -> u64 {
        0
    }
}

/// Lets a storm come over a new set; what is to be seen then is up to `look`.
pub fn storm(weather: Weather, look: impl FnOnce(&mut Storm<'_>)) {
    let mut rng = Rng::new(7);
    let mut spare = Disk::new(REGION_BLOCKS * 8, 8, 8);
    let geometry = Geometry::new(REGION_BLOCKS, Some(SLOTS)).unwrap();
    let shape = MainShape::new(MAIN_SECTORS, 512).unwrap();
    let superblock = Superblock::new(SetId([1; 16]), shape, geometry, 3);
    let mut buffer = vec![0; COMMIT_BUFFER_BYTES];
    let mut formatter = Formatter::new(superblock.clone());
    while let Some(r) = formatter.next(&mut buffer) {
        let data = &buffer[..r.sectors as usize * 512];
        if r.op != Op::Flush {
            spare.write(r.sector, data, true, &mut rng).unwrap();
        }
        formatter.done(true).unwrap();
    }
    let mut memory = Memory::new(&geometry);
    let mut loader = Loader::new(superblock, Settings::default(), memory.storage()).unwrap();
    while let Some(r) = loader.next(buffer.len()).unwrap() {
        let ok = spare.read(r.sector, &mut buffer[..r.sectors as usize * 512]).is_ok();
        loader.done(ok, &buffer);
    }
    let mut storm = Storm {
        engine: loader.finish().unwrap(),
        committer: Committer::new(),
        buffer,
        access: Access::new(),
        evidence: Evidence::new(),
        gate: Gate::default(),
        rng,
        weather,
        now_ms: 0,
        agenda: BinaryHeap::new(),
        what: Default::default(),
        last: 0,
        main_busy: 0,
        main_waits: VecDeque::new(),
        jobs: VecDeque::new(),
        reads: VecDeque::new(),
        next_read: 0,
        reads_done: 0,
        read_waited_ms: 0,
        contexts: (0..=ORDERS).map(|_| None).collect(),
        regions: Regions::new(MAIN_SECTORS),
        repairing: [BAD_FROM; CONTEXTS],
        orders: 0,
        order_due: weather.orders,
        moved: 0,
        next_failing: 0,
        failing_left: weather.failing,
        stored: 0,
        passed_up: 0,
        delay_ms: 0,
        healthy: 0,
        opened: 0,
    };
    assert!(storm.committer.order(Work::Takeover));
    storm.run();
    look(&mut storm);
}
