//! S16 in virtual time: thousands of failing writes while healthy I/O goes on, on a main whose bad sectors take seconds to fail.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use remap_core::engine::commit::{Committer, Step, Work};
use remap_core::engine::load::Loader;
use remap_core::engine::machine::{Event, Next};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::rounds::COMMIT_BUFFER_BYTES;
use remap_core::engine::{Engine, Mode, Settings};
use remap_core::error::ErrorKind;
use remap_core::evidence::Evidence;
use remap_core::format::{Formatter, Geometry, MainShape, SetId, Superblock};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::path::{after_error, direct, Access, AfterError, Direction, Failed, Request};
use remap_core::units::Sector;
use remap_sim::disk::Disk;
use remap_sim::gate::Gate;
use remap_sim::load::Memory;
use remap_sim::rng::Rng;

const REGION_BLOCKS: u64 = 16_384;
const SLOTS: u32 = 12_000;
const MAIN_SECTORS: u64 = 1 << 24;
/// Every second group from here on fails writes; below, everything is healthy.
const BAD_FROM: u64 = MAIN_SECTORS / 2;
const CONTEXTS: usize = 4;
/// Requests that main works on at once.
const MAIN_DEPTH: usize = 32;
/// Streams of healthy I/O, one bio each at a time: those of even numbers far from what is bad, the others where it storms.
const STREAMS: u64 = 8;

/// What a storm is like.
#[derive(Clone, Copy)]
struct Weather {
    /// Writes to bad groups, all different.
    failing: u64,
    /// Of them, under way at once.
    failing_at_once: u64,
    /// How long main takes to fail, in milliseconds.
    fail_ms: (u64, u64),
    /// Time from one healthy bio of a stream to the next, in milliseconds.
    pause_ms: u64,
    /// Until then main takes no writes at all.
    away_until_ms: u64,
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
    /// A healthy bio that waits for a held group asks again.
    Again {
        stream: u64,
        first: u64,
        write: bool,
        came_ms: u64,
    },
}

enum Wait {
    Io,
    Commit,
    Drain(u64),
    Claim,
}

struct Storm<'e> {
    engine: Engine<'e>,
    committer: Committer,
    buffer: Vec<u8>,
    access: Access,
    evidence: Evidence,
    gate: Gate,
    rng: Rng,
    weather: Weather,
    now_ms: u64,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    what: std::collections::HashMap<u64, Happens>,
    last: u64,
    main_busy: usize,
    main_waits: VecDeque<(Owner, u64, bool)>,
    jobs: VecDeque<u64>,
    contexts: Vec<Option<(Repair, Wait)>>,
    next_failing: u64,
    failing_left: u64,
    stored: u64,
    passed_up: u64,
    /// The longest that the target kept a healthy bio, in milliseconds.
    delay_ms: u64,
    healthy: u64,
    opened: u64,
}

fn is_bad(sector: u64) -> bool {
    sector >= BAD_FROM && sector / 8 % 2 == 0
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

    fn takes_writes(&self, sector: u64, sectors: u32) -> bool {
        self.now_ms >= self.weather.away_until_ms && !(sector..sector + u64::from(sectors)).any(is_bad)
    }

    fn fail_ms(&mut self) -> u64 {
        let (least, most) = self.weather.fail_ms;
        self.rng.range(least, most)
    }

    /// Where the next healthy bio of a stream goes, and whether it is a write. Where it storms, groups whose writes failed last are
    /// read, while they are repaired and after, and the groups beside them are written.
    fn next_healthy(&mut self, stream: u64) -> (u64, bool) {
        let write = self.rng.percent(50);
        match stream % 2 == 1 {
            true => {
                let nth = self.next_failing - 1 - self.rng.below(self.next_failing.min(16));
                (BAD_FROM + nth * 16 + if write { 8 } else { 0 }, write)
            }
            false => (self.rng.below(BAD_FROM / 8) * 8, write),
        }
    }

    fn healthy(&mut self, stream: u64, first: u64, write: bool, came_ms: u64) {
        let request = Request { first: Sector(first), sectors: 8, write, nowait: false };
        let ticket = self.gate.enter();
        let (table, geometry) = (self.engine.table(), *self.engine.geometry());
        let service_ms = self.rng.range(1, 10);
        let owner = Owner::Healthy { stream, write, came_ms, service_ms, ticket };
        match direct(&table, &geometry, &self.access, 1, request) {
            Direction::Main { sectors: 8 } => {
                let ok = !write || self.takes_writes(first, 8);
                self.send_to_main(owner, service_ms, ok);
            }
            Direction::Spare { sectors: 8, .. } if !write => {
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
        let (ticket, service_ms) = (self.gate.enter(), self.fail_ms());
        self.send_to_main(Owner::Failing { first, ticket }, service_ms, false);
    }

    fn failing_done(&mut self, stored: bool) {
        self.stored += u64::from(stored);
        self.passed_up += u64::from(!stored);
        self.failing_left -= 1;
        self.begin_failing();
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

    fn step(&mut self, context: usize, event: Event) {
        let Some((mut machine, _)) = self.contexts[context].take() else { return };
        let mut event = event;
        let wait = loop {
            self.tell();
            match machine.next(&mut self.engine, event, self.now_ms) {
                Next::Load { .. } => event = Event::Loaded,
                Next::Io(request) => {
                    self.send(context, request);
                    break Wait::Io;
                }
                Next::Commit => break Wait::Commit,
                Next::Drain => break Wait::Drain(self.gate.mark()),
                Next::Compare(_) | Next::Store { .. } | Next::Yield => panic!("not of a repair"),
                Next::Wait => break Wait::Claim,
                Next::Done(verdict) => {
                    self.tell();
                    return self.failing_done(verdict.is_ok());
                }
            }
        };
        self.contexts[context] = Some((machine, wait));
    }

    fn send(&mut self, context: usize, request: IoRequest) {
        let owner = Owner::Repair(context);
        if request.device == Device::Spare {
            return self.at(self.now_ms + 2, Happens::Ended(Device::Spare, owner, true));
        }
        match request.op == Op::Read || self.takes_writes(request.sector, request.sectors) {
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
            for context in 0..CONTEXTS {
                let ready = match self.contexts[context].as_ref().map(|(_, wait)| wait) {
                    None => {
                        let Some(first) = self.jobs.pop_front() else { continue };
                        let job = Job {
                            first: Sector(first),
                            sectors: 8,
                            fua: false,
                            fua_flushes: false,
                            error: ErrorKind::Io,
                        };
                        let repair = Repair::new(context as u8, job, &mut self.engine, self.now_ms);
                        self.contexts[context] = Some((repair, Wait::Claim));
                        Some(Event::Go)
                    }
                    Some(Wait::Io) => None,
                    Some(Wait::Commit) => self.engine.commit_outcome(context).map(|_| Event::Committed),
                    Some(Wait::Drain(mark)) => self.gate.drained(*mark).then_some(Event::Drained),
                    Some(Wait::Claim) => None,
                };
                if let Some(event) = ready {
                    self.step(context, event);
                    moved = true;
                }
            }
            // Those that wait for a claim ask again when somebody has moved.
            for context in (0..CONTEXTS).filter(|_| moved) {
                if matches!(self.contexts[context], Some((_, Wait::Claim))) {
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
                None => {}
            }
            self.settle();
        }
        assert_eq!(self.stored + self.passed_up, self.weather.failing, "a write never ended");
    }
}

/// Lets a storm come over a new set; what is to be seen then is up to `look`.
fn storm(weather: Weather, look: impl FnOnce(&mut Storm<'_>)) {
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
        contexts: (0..CONTEXTS).map(|_| None).collect(),
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

const STORM: Weather =
    Weather { failing: 10_000, failing_at_once: 8, fail_ms: (2000, 7000), pause_ms: 500, away_until_ms: 0 };

#[test]
fn s16_ten_thousand_slow_failures_are_stored_and_no_healthy_bio_waits_a_second_for_the_target() {
    storm(STORM, |storm| {
        assert_eq!((storm.stored, storm.passed_up, storm.engine.used()), (10_000, 0, 10_000));
        assert_eq!((storm.opened, storm.engine.mode()), (0, Mode::Rw));
        assert!(storm.healthy > 100_000 && storm.delay_ms < 1000, "{} ms", storm.delay_ms);
    });
}

#[test]
fn s16_ten_thousand_quick_failures_take_no_more_slots_in_a_minute_than_the_breaker_lets_them() {
    let quick = Weather { fail_ms: (1, 1), pause_ms: 5, ..STORM };
    storm(quick, |storm| {
        // Far more than 2048 a minute: it opens, and closes after the pause as others succeed.
        let minutes = storm.now_ms / 60_000 + 1;
        assert!(storm.opened >= 1 && storm.engine.used() <= 2048 * (minutes as u32 + 1));
        assert_eq!(u64::from(storm.engine.used()), storm.stored);
        assert!(storm.stored >= 2048 && storm.delay_ms < 1000, "{} {}", storm.stored, storm.delay_ms);
    });
}

#[test]
fn s16_six_hundred_bad_groups_met_at_once_are_stored() {
    let burst = Weather { failing: 600, failing_at_once: 600, fail_ms: (1, 20), pause_ms: 5, ..STORM };
    storm(burst, |storm| {
        assert_eq!((storm.stored, storm.engine.used(), storm.opened), (600, 600, 0));
    });
}

#[test]
fn s16_a_pulled_main_costs_no_slot_and_is_noticed_when_it_is_back() {
    let pulled = Weather { fail_ms: (1, 30), pause_ms: 50, away_until_ms: 120_000, ..STORM };
    storm(Weather { failing: 100_000, ..pulled }, |storm| {
        assert!(storm.opened >= 1 && storm.passed_up > 10_000);
        // Back in service, what fails is stored again: of what came after, and only that.
        assert_eq!(u64::from(storm.engine.used()), storm.stored);
    });
    storm(Weather { failing: 2000, away_until_ms: u64::MAX, ..pulled }, |storm| {
        assert_eq!((storm.stored, storm.engine.used(), storm.passed_up), (0, 0, 2000));
        assert_eq!((storm.engine.mode(), storm.engine.reason_name()), (Mode::NoRemap, Some("breaker")));
        assert!(storm.engine.counters().unproven < 20);
    });
}
