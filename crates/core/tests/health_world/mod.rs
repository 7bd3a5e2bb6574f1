//! A host of health: memory, a spare in memory, saves and loads.
#![allow(dead_code)]

use super::common::{Region, ID};
use remap_core::engine::Mode;
use remap_core::error::ErrorKind;
use remap_core::evidence::Success;
use remap_core::format::{Block, Geometry, MainShape, Superblock, Text64};
use remap_core::health::clock::Now;
use remap_core::health::evidence::Update;
use remap_core::health::points::{Point, POINTS};
use remap_core::health::scan::{Cursor, ScanSettings};
use remap_core::health::spot::Spot;
use remap_core::health::spots::HEADS;
use remap_core::health::store::{BlockState, Finding, Layout, Loader, Report, Save, SaveKind, BLOCKS_MAX};
use remap_core::health::zone::Direction;
use remap_core::health::{Health, SetFacts, Storage};
use remap_core::io::{IoRequest, Op};
use remap_core::units::{Group, Sector};
use std::sync::atomic::AtomicU64;

pub const START_S: u64 = 1_800_000_000;
pub const WEEK_S: u64 = 7 * 86_400;

/// What a host sets aside. Leaked: tests are short.
pub fn begin(superblock: &Superblock) -> Box<Option<Health<'static>>> {
    let layout = Layout::new(&superblock.geometry);
    let zones: Vec<AtomicU64> = (0..2 * layout.zones()).map(|_| AtomicU64::new(7)).collect();
    let storage = Storage {
        zones: zones.leak(),
        spots: vec![Spot::default(); layout.spots()].leak(),
        heads: vec![0; HEADS].leak(),
        points: Box::leak(Box::new([Point::default(); POINTS])),
        blocks: Box::leak(Box::new([BlockState::default(); BLOCKS_MAX])),
    };
    let mut place = Box::new(None);
    assert!(Health::begin(&mut place, superblock, storage).is_ok());
    place
}

/// A set of 300 slots in a region of so many blocks, with three copies.
pub fn superblock(region_blocks: u64, identity: &str) -> Superblock {
    let geometry = Geometry::new(region_blocks, Some(300)).unwrap();
    let mut s = Superblock::new(ID, MainShape::new(1 << 24, 512).unwrap(), geometry, 3);
    s.main_identity = Text64::new(identity).unwrap();
    s
}

pub fn good() -> SetFacts {
    SetFacts {
        slots_used: 0,
        slots_total: 300,
        slots_retired: 0,
        slots_suspect: 0,
        emergency_percent: 90,
        copies: 3,
        copies_in_sync: 3,
        mode: Mode::Rw,
        no_remap: None,
        pending: 0,
    }
}

pub struct World {
    pub superblock: Superblock,
    pub region: Region,
    pub health: Box<Option<Health<'static>>>,
    pub now: Now,
    /// Sequence numbers of writes, and where they went.
    pub writes: Vec<u64>,
}

impl World {
    pub fn new(region_blocks: u64) -> World {
        let superblock = superblock(region_blocks, "wwn-0x5000c500a1b2c3d4");
        let mut world = World {
            health: begin(&superblock),
            superblock,
            region: Region::default(),
            now: Now { wall_s: START_S, mono_ms: 1000 },
            writes: Vec::new(),
        };
        world.load();
        world
    }

    pub fn health(&mut self) -> &mut Health<'static> {
        self.health.as_mut().as_mut().unwrap()
    }

    pub fn pass_ms(&mut self, ms: u64) {
        let before = self.now.mono_ms;
        self.now.mono_ms += ms;
        self.now.wall_s += self.now.mono_ms / 1000 - before / 1000;
        let now = self.now;
        self.health().look(now);
    }

    pub fn pass_s(&mut self, s: u64) {
        self.pass_ms(s * 1000);
    }

    /// Saves; `fate` says what becomes of each write: whether it lands and what the host is told.
    pub fn save_with(
        &mut self,
        kind: SaveKind,
        in_sync: u8,
        mut fate: impl FnMut(u64) -> (bool, bool),
    ) -> usize {
        let mut buffer: Block = [0; 4096];
        let (now, before) = (self.now, self.writes.len());
        let Some(mut save) = self.health().begin_save(kind, in_sync, now.mono_ms, &mut buffer) else {
            return 0;
        };
        while let Some(request) = self.next(&mut save, &mut buffer) {
            assert_eq!((request.op, request.sectors, request.buffer_sector), (Op::WriteFua, 8, 0));
            let block = request.sector / 8;
            let (lands, told) = fate(block);
            if lands {
                self.region.0.insert(block, buffer);
            }
            self.writes.push(block);
            save.done(self.health(), told);
        }
        save.finish(self.health(), now.wall_s);
        self.writes.len() - before
    }

    fn next(&mut self, save: &mut Save, buffer: &mut Block) -> Option<IoRequest> {
        save.next(self.health(), buffer)
    }

    pub fn save(&mut self) -> usize {
        self.save_with(SaveKind::Now, 0b111, |_| (true, true))
    }

    pub fn load(&mut self) -> Report {
        self.load_with(0b111, |_| true)
    }

    /// Begins anew from the region, as an activation does; `readable` says which blocks can be read.
    pub fn load_with(&mut self, in_sync: u8, readable: impl Fn(u64) -> bool) -> Report {
        self.health = begin(&self.superblock);
        let (region, now) = (self.region.clone(), self.now);
        let mut loader = Loader::new(in_sync);
        let health = self.health();
        while let Some(request) = loader.next(health, 16 * 4096) {
            assert_eq!((request.op, request.buffer_sector), (Op::Read, 0));
            let blocks = request.sector / 8..(request.sector + u64::from(request.sectors)) / 8;
            let bytes: Vec<u8> = blocks.clone().flat_map(|b| region.get(b)).collect();
            let ok = blocks.clone().all(&readable);
            loader.done(health, ok.then_some(&bytes[..]));
        }
        loader.finish(health, now)
    }

    pub fn findings(&mut self) -> Vec<Finding> {
        self.health().store().findings().collect()
    }

    /// Where block `index` of a copy stands, at both places.
    pub fn places(&self, copy: u8, index: u32) -> [u64; 2] {
        let geometry = &self.superblock.geometry;
        [0, geometry.health_blocks() / 2].map(|half| geometry.health_block(copy, half + index).0)
    }
}

/// Something of everything.
pub fn fill(world: &mut World, spots: u64) {
    let settings = ScanSettings { period_days: Some(14), rate_max_kib_per_s: None, quiet_ms: Some(250) };
    assert!(world.health().set_settings(settings));
    let cursor = Cursor {
        pass: 3,
        under_way: true,
        pass_ended: true,
        segment: 2,
        region: 9,
        last_pass_end_s: START_S - 5,
        last_pass_unreadable: 4,
    };
    assert!(world.health().set_cursor(cursor));
    for n in 0..spots {
        let now = world.now;
        match n % 4 {
            0 => world.health().write_failed(Group(n * 400), ErrorKind::Medium, now),
            1 => world.health().read_failed(Group(n * 400), 0x11, ErrorKind::Io, now),
            2 => world.health().relocated(Group(n * 400), 8),
            _ => world.health().read_retried(Group(n * 400), now),
        }
    }
    world.pass_ms(10);
    let now = world.now;
    world.health().succeeded(Success::new(Sector((1 << 24) - 1), now.mono_ms), now);
    let zones = world.health().zones();
    for n in 0..3000u32 {
        let direction = if n % 2 == 0 { Direction::Read } else { Direction::Write };
        zones.sample(Sector(u64::from(n) * 5000), direction, n * 11);
    }
    let update = Update::parse(["smart=870", "smart_failed=0", "smart_age_s=60", "smart_model=3"]).unwrap();
    world.health().take_evidence(&update);
    for _ in 0..3 {
        world.pass_s(7 * 86_400);
        let score = world.health().score(&good());
        world.health().judge(&score);
        world.health().note_week(&score, &good());
        world.health().acknowledge(&score);
    }
}
