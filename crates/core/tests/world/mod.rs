//! A set on two small disks, driven one request after the other: what a host does, without anything at the same time.

#![allow(dead_code)] // Each test binary uses a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64};

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::commit::{Committer, Step, Work};
use remap_core::engine::host::{obey, Draining, Host, Obeyed, Wait};
use remap_core::engine::load::{LoadError, Loader};
use remap_core::engine::machine::{same, Comparison, Drain, Event, Machine, CONTEXT_BUFFER_BYTES};
use remap_core::engine::order::Range;
use remap_core::engine::release::{Release, Released};
use remap_core::engine::relocate::{Relocate, Relocated};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::reread::{self, Reread};
use remap_core::engine::{Change, Context, Engine, Notice, Settings, Storage, StorageSizes};
use remap_core::error::ErrorKind;
use remap_core::evidence::Evidence;
use remap_core::format::{
    Block, Chooser, Formatter, Geometry, MainShape, SetId, Superblock, TableBlock, COPIES_MAX,
};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::{Run, Table};
use remap_core::path::Place;
use remap_core::units::{Sector, Slot};

pub const REGION_BLOCKS: u64 = 2048;
pub const MAIN_SECTORS: u64 = 4096;

/// Two disks that write through, and remember what they were asked.
#[derive(Clone)]
pub struct Disks {
    pub main: Vec<u8>,
    pub spare: Vec<u8>,
    /// Sectors that fail reads or writes.
    pub bad_reads: BTreeSet<(bool, u64)>,
    pub bad_writes: BTreeSet<(bool, u64)>,
    /// Sectors that fail so many reads more.
    pub flaky_reads: BTreeMap<(bool, u64), u32>,
    /// What fails says so by this error.
    pub error: ErrorKind,
    /// Sectors that cannot be read any more once a write to them has failed.
    pub spoils: BTreeSet<(bool, u64)>,
    /// A write to main that fails leaves all of the physical blocks that it touches unreadable, of so many sectors each; 0: it does not.
    pub spoils_whole: u64,
    /// Where the first of these blocks begins that does not begin before main.
    pub aligned_at: u64,
    /// The same of the spare, whose physical blocks have eight sectors.
    pub spare_spoils: bool,
    /// The request after so many others fails like this.
    pub fail_nth: Option<(usize, ErrorKind)>,
    /// Flushes fail.
    pub bad_flush: bool,
    /// Every request since the list was last cleared.
    pub log: Vec<IoRequest>,
}

fn is_spare(device: Device) -> bool {
    device == Device::Spare
}

impl Disks {
    /// Disks without faults.
    pub fn new() -> Disks {
        Disks::with_region(REGION_BLOCKS)
    }

    /// Disks whose group of sector 40 of main takes no writes: what most tests repair.
    pub fn with_bad_group() -> Disks {
        let mut disks = Disks::new();
        disks.fail_main(40);
        disks
    }

    /// Disks without faults, the spare of so many blocks.
    pub fn with_region(blocks: u64) -> Disks {
        Disks {
            main: vec![0xee; MAIN_SECTORS as usize * 512],
            spare: vec![0; blocks as usize * 4096],
            bad_reads: BTreeSet::new(),
            bad_writes: BTreeSet::new(),
            flaky_reads: BTreeMap::new(),
            error: ErrorKind::Medium,
            spoils: BTreeSet::new(),
            spoils_whole: 0,
            aligned_at: 0,
            spare_spoils: false,
            fail_nth: None,
            bad_flush: false,
            log: Vec::new(),
        }
    }

    pub fn run(&mut self, r: &IoRequest, buffer: &mut [u8]) -> Result<(), ErrorKind> {
        self.log.push(*r);
        assert!(self.log.len() < 10_000, "the engine goes round in circles");
        let sectors = (r.sector..r.sector + u64::from(r.sectors)).map(|s| (is_spare(r.device), s));
        let faults = if r.op == Op::Read { &self.bad_reads } else { &self.bad_writes };
        if let Some((nth, kind)) = self.fail_nth.filter(|(nth, _)| *nth + 1 == self.log.len()) {
            assert!(nth < self.log.len());
            self.spoil(r);
            return Err(kind);
        }
        if r.op == Op::Flush && self.bad_flush || sectors.clone().any(|s| faults.contains(&s)) {
            match r.op {
                // Nobody knows what is in the buffer then.
                Op::Read => buffer[r.buffer_sector as usize * 512..][..r.sectors as usize * 512].fill(0x5a),
                _ => self.bad_reads.extend(sectors.filter(|s| self.spoils.contains(s))),
            }
            self.spoil(r);
            return Err(self.error);
        }
        let mut flaky = false;
        for s in sectors.filter(|_| r.op == Op::Read) {
            if let Some(times) = self.flaky_reads.get_mut(&s).filter(|n| **n > 0) {
                *times -= 1;
                flaky = true;
            }
        }
        if flaky {
            return Err(self.error);
        }
        let disk = if is_spare(r.device) { &mut self.spare } else { &mut self.main };
        let at = r.sector as usize * 512..(r.sector as usize + r.sectors as usize) * 512;
        let part = &mut buffer[r.buffer_sector as usize * 512..][..r.sectors as usize * 512];
        match r.op {
            Op::Read => part.copy_from_slice(&disk[at]),
            Op::Write | Op::WriteFua => {
                disk[at].copy_from_slice(part);
                if self.spoils_whole > 0 || self.spare_spoils {
                    let first = r.sector;
                    (first..first + u64::from(r.sectors)).for_each(|s| {
                        self.bad_reads.remove(&(is_spare(r.device), s));
                    });
                }
            }
            Op::Flush => {}
        }
        Ok(())
    }

    /// A write has failed.
    fn spoil(&mut self, r: &IoRequest) {
        let spare = is_spare(r.device);
        let unit = if spare { 8 * u64::from(self.spare_spoils) } else { self.spoils_whole };
        if unit > 0 && matches!(r.op, Op::Write | Op::WriteFua) {
            let lead = if spare { 0 } else { (unit - self.aligned_at) % unit };
            let (from, to) = (r.sector + lead, (r.sector + lead + u64::from(r.sectors)).div_ceil(unit));
            let block = (from / unit * unit).saturating_sub(lead)..to * unit - lead;
            self.bad_reads.extend(block.map(|s| (spare, s)));
        }
    }

    fn region_blocks(&self) -> u64 {
        self.spare.len() as u64 / 4096
    }

    /// Makes writes to a 4096-byte block of the spare fail, or succeed again.
    pub fn fail_block(&mut self, first_sector: u64, fails: bool) {
        for s in first_sector..first_sector + 8 {
            match fails {
                true => self.bad_writes.insert((true, s)),
                false => self.bad_writes.remove(&(true, s)),
            };
        }
    }

    /// All of main fails writes, or takes them again.
    pub fn main_away(&mut self, away: bool) {
        match away {
            true => self.bad_writes.extend((0..MAIN_SECTORS).map(|s| (false, s))),
            false => self.bad_writes.retain(|(spare, _)| *spare),
        }
    }

    /// Requests of this kind to main, by their first sector.
    pub fn on_main(&self, op: Op) -> Vec<u64> {
        self.log.iter().filter(|r| r.device == Device::Main && r.op == op).map(|r| r.sector).collect()
    }

    /// Physical blocks of eight sectors of main that fail writes.
    pub fn fail_main(&mut self, sector: u64) {
        self.bad_writes.extend((sector / 8 * 8..sector / 8 * 8 + 8).map(|s| (false, s)));
    }
}

/// Formats the spare for `slots` slots and `copies` copies.
pub fn format(disks: &mut Disks, slots: u32, copies: u8) {
    let geometry = Geometry::new(disks.region_blocks(), Some(slots)).unwrap();
    let shape = MainShape::new(MAIN_SECTORS, 512).unwrap();
    let mut formatter = Formatter::new(Superblock::new(SetId([7; 16]), shape, geometry, copies));
    let mut buffer = vec![0; 4096];
    while let Some(request) = formatter.next(&mut buffer) {
        let ok = disks.run(&request, &mut buffer).is_ok();
        formatter.done(ok).unwrap();
    }
}

/// The superblock that counts.
pub fn choose(disks: &mut Disks) -> Superblock {
    let mut chooser = Chooser::new(disks.region_blocks());
    for copy in 0..COPIES_MAX {
        let at = Geometry::superblock_at(disks.region_blocks(), copy).unwrap().0 as usize * 4096;
        let block: &Block = disks.spare[at..at + 4096].try_into().unwrap();
        let unreadable = disks.bad_reads.contains(&(true, at as u64 / 512));
        let _ = chooser.offer(copy, (!unreadable).then_some(block));
    }
    chooser.finish(false).unwrap()
}

/// Loads the set into memory that is never given back, which keeps tests short.
pub fn load(disks: &mut Disks) -> Result<Set<'_>, LoadError> {
    let superblock = choose(disks);
    let sizes = StorageSizes::for_geometry(&superblock.geometry);
    let words = |n| (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
    let storage = Storage {
        records: words(sizes.table.records),
        buckets: (0..sizes.table.buckets).map(|_| AtomicU32::new(0)).collect::<Vec<_>>().leak(),
        summary: words(sizes.table.summary),
        generations: vec![0; sizes.generations].leak(),
        blocks: vec![0; sizes.blocks].leak(),
        changes: vec![Change::default(); sizes.changes].leak(),
        pending: words(sizes.pending),
        contexts: vec![Context::default(); sizes.contexts].leak(),
        notices: vec![None; sizes.notices].leak(),
    };
    let settings = Settings::default();
    let mut loader = Loader::new(superblock, settings, storage)?;
    let mut buffer = vec![0; 2 * 4096];
    while let Some(request) = loader.next(buffer.len())? {
        let ok = disks.run(&request, &mut buffer).is_ok();
        loader.done(ok, &buffer);
    }
    let engine = loader.finish()?;
    let (committer, evidence) = (Committer::new(), Evidence::new());
    Ok(Set {
        engine,
        committer,
        disks,
        hook: None,
        on_drain: None,
        drains: 0,
        slow_drains: 0,
        limits: Vec::new(),
        on_read: None,
        evidence,
        now_ms: 1,
        io_ms: 0,
        busy: true,
        tampered: false,
    })
}

/// Formats, loads and takes a set into service.
pub fn served(disks: &mut Disks, slots: u32, copies: u8) -> Set<'_> {
    format(disks, slots, copies);
    reload(disks)
}

/// Loads a set and takes it into service.
pub fn reload(disks: &mut Disks) -> Set<'_> {
    let mut set = load(disks).unwrap();
    assert!(set.work(Work::Takeover));
    set.disks.log.clear();
    set
}

/// What a narrowed read gave: its verdict, and the first byte of each sector that was stored in the bio.
pub type Given = (Result<(), ErrorKind>, Vec<Option<u8>>);

type Hook = fn(&mut Disks, &Table<'_>, &IoRequest);

/// A set in service.
pub struct Set<'d> {
    pub engine: Engine<'static>,
    pub committer: Committer,
    pub disks: &'d mut Disks,
    /// Called before every request of the committer.
    pub hook: Option<Hook>,
    /// Called at every drain that a repair asks for, with the number of it.
    pub on_drain: Option<fn(&Engine<'_>, u32)>,
    /// Drains with a limit that will not be done in time.
    pub slow_drains: u32,
    /// Of the drains of the last repair, which had a limit.
    pub limits: Vec<bool>,
    /// Drains of the last repair.
    pub drains: u32,
    /// Called before every read that a machine asks for.
    pub on_read: Option<fn(&mut Disks, &mut Engine<'_>, &IoRequest)>,
    pub evidence: Evidence,
    /// The clock. It goes on by one with every step of a machine, and by so much more with every request of one.
    pub now_ms: u64,
    pub io_ms: u64,
    /// Others write to the end of main all the time, and succeed.
    pub busy: bool,
    /// Records were changed behind the engine's back, so that its counts say nothing.
    pub tampered: bool,
}

impl Set<'_> {
    /// Runs the committer until it has nothing to do; what came of ordered work.
    pub fn commit(&mut self) -> Option<(Work, bool)> {
        let mut buffer = vec![0; COMMIT_BUFFER_BYTES];
        let mut ended = None;
        loop {
            match self.committer.next(&mut self.engine, &mut buffer) {
                Step::Io(request, tag) => {
                    if let Some(hook) = self.hook {
                        hook(self.disks, &self.engine.table(), &request);
                    }
                    let ok = self.disks.run(&request, &mut buffer).is_ok();
                    self.committer.done(&mut self.engine, tag, ok);
                }
                Step::Wait => panic!("nothing is under way"),
                Step::Ended(work, ok) => ended = Some((work, ok)),
                Step::Idle => return ended,
            }
        }
    }

    /// Carries out at most so many requests of the committer, the last of them only in its first half; how many there were.
    pub fn commit_cut_off(&mut self, requests: usize) -> usize {
        let mut buffer = vec![0; COMMIT_BUFFER_BYTES];
        for nth in 0..requests {
            let Step::Io(request, tag) = self.committer.next(&mut self.engine, &mut buffer) else {
                return nth;
            };
            let cut_off = nth + 1 == requests && request.op != Op::Flush;
            let request = IoRequest { sectors: if cut_off { 4 } else { request.sectors }, ..request };
            let ok = self.disks.run(&request, &mut buffer).is_ok();
            self.committer.done(&mut self.engine, tag, ok);
        }
        requests
    }

    /// Everything that happened and was not asked for yet.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.engine.take_notice()).collect()
    }

    /// Makes the metadata of copies, or their superblocks, fail writes or take them again.
    pub fn fail_copies(&mut self, tables: &[u8], superblocks: &[u8], fails: bool) {
        for copy in tables {
            let at = self.table_block(*copy, 0);
            self.disks.fail_block(at, fails);
        }
        for copy in superblocks {
            let at = self.superblock(*copy);
            self.disks.fail_block(at, fails);
        }
    }

    /// Sectors of all writes of the committer since the log was last cleared.
    pub fn written(&self) -> Vec<u64> {
        self.disks.log.iter().filter(|r| r.op == Op::WriteFua).map(|r| r.sector).collect()
    }

    /// Orders work and does it; whether it succeeded.
    pub fn work(&mut self, work: Work) -> bool {
        assert!(self.committer.order(work));
        let ended = self.commit();
        self.account();
        ended == Some((work, true))
    }

    /// At rest used, free, retired and reserved slots are all slots, and the counts of the status line say the same (S33).
    pub fn account(&self) {
        if self.tampered || self.engine.is_at_work() {
            return;
        }
        assert!(!self.engine.awaits_commit(), "the committer has not taken all");
        let counts = self.engine.count_slots();
        assert!(counts.are_all(), "slots that nobody owns: {counts:?}");
        let status = (self.engine.used(), self.engine.retired());
        assert_eq!((counts.used + counts.reserved, counts.retired), status, "{counts:?}");
    }

    /// Repairs a failed write of `sectors` sectors that are all `byte`.
    pub fn repair(&mut self, first: u64, sectors: u32, byte: u8) -> Result<(), ErrorKind> {
        let job = Job { first: Sector(first), sectors, fua: false, fua_flushes: false, error: ErrorKind::Io };
        let machine = Machine::Write(Repair::new(0, job, &mut self.engine, self.now_ms));
        self.drive(machine, byte)
    }

    /// Time goes on before a step of a machine.
    pub fn tick(&mut self) {
        self.now_ms += 1;
        if self.busy {
            self.evidence.written(self.now_ms, Sector(MAIN_SECTORS - 1), || self.now_ms);
        }
        self.evidence.tell(&mut self.engine, self.now_ms);
    }

    /// Moves content of main into slots.
    pub fn relocate(&mut self, first: u64, sectors: u64) -> Relocated {
        let range = Range { first: Sector(first), sectors };
        let mut machine = Machine::Relocate(Relocate::new(0, range, &self.engine));
        assert_eq!(self.drive_on(&mut machine, 0xdd), Ok(()));
        let Machine::Relocate(relocate) = machine else { panic!() };
        relocate.tally()
    }

    /// Moves content of slots to main.
    pub fn release(&mut self, first: u64, sectors: u64) -> Released {
        let range = Range { first: Sector(first), sectors };
        let mut machine = Machine::Release(Release::new(0, range, &self.engine));
        assert_eq!(self.drive_on(&mut machine, 0xdd), Ok(()));
        let Machine::Release(release) = machine else { panic!() };
        release.tally()
    }

    /// Runs a machine to its end; every sector that it loads is all `byte`.
    pub fn drive(&mut self, mut machine: Machine, byte: u8) -> Result<(), ErrorKind> {
        self.drive_on(&mut machine, byte)
    }

    /// As [`Set::drive`], and leaves the machine for questions.
    pub fn drive_on(&mut self, machine: &mut Machine, byte: u8) -> Result<(), ErrorKind> {
        self.drive_with(machine, byte, &mut [])
    }

    /// Narrows a read of `sectors` sectors that failed on `place`.
    pub fn reread(&mut self, first: u64, sectors: u32, place: Place) -> Given {
        let job = reread::Job { first: Sector(first), sectors, place, error: ErrorKind::Io };
        let mut machine = Machine::Read(Reread::new(0, job, &mut self.engine, self.now_ms));
        let mut given = vec![None; sectors as usize];
        let verdict = self.drive_with(&mut machine, 0x77, &mut given);
        (verdict, given)
    }

    fn drive_with(
        &mut self,
        machine: &mut Machine,
        byte: u8,
        given: &mut [Option<u8>],
    ) -> Result<(), ErrorKind> {
        self.drains = 0;
        let mut event = Event::Go;
        let mut hosting =
            Hosting { set: self, byte, given, buffer: vec![byte; CONTEXT_BUFFER_BYTES], drained: true };
        loop {
            hosting.set.tick();
            let next = machine.next(&mut hosting.set.engine, event, hosting.set.now_ms);
            let Ok(obeyed) = obey(&mut hosting, next);
            let wait = match obeyed {
                Obeyed::Waits(wait) => wait,
                Obeyed::Done(verdict) => {
                    self.commit();
                    self.account();
                    return verdict;
                }
            };
            assert!(!matches!(wait, Wait::Claim(_)), "nobody else repairs");
            let drained = hosting.drained;
            let over = wait.over(&hosting.set.engine, 0, hosting.set.now_ms, 0, |_| drained);
            event = over.expect("all that a machine waits for has ended");
        }
    }

    /// What a read of one sector gives: its first byte.
    pub fn read(&mut self, sector: u64) -> Result<u8, ErrorKind> {
        let mut buffer = vec![0; 512];
        let from =
            |slot: Slot| (Device::Spare, self.engine.geometry().slot_block(slot).first_sector() + sector % 8);
        let (device, at) = match self.engine.table().find(Sector(sector), 1) {
            Run::Slot { slot, .. } => from(slot),
            Run::Bad { slot, .. } | Run::Doubt { slot: Some(slot), bad: true, .. } => {
                if self.engine.lost_mask(slot) & (1 << (sector % 8)) != 0 {
                    return Err(ErrorKind::Medium);
                }
                from(slot)
            }
            Run::Doubt { slot: Some(slot), .. } => from(slot),
            Run::Main { .. } | Run::Doubt { .. } => (Device::Main, sector),
            Run::Held { .. } => panic!("sector {sector} is held for ever"),
        };
        let request = IoRequest { device, op: Op::Read, sector: at, sectors: 1, buffer_sector: 0 };
        self.disks.run(&request, &mut buffer)?;
        Ok(buffer[0])
    }

    /// First sector of a table block of a copy.
    pub fn table_block(&self, copy: u8, index: u32) -> u64 {
        self.engine.geometry().table_block(copy, index).first_sector()
    }

    /// First sector of a superblock.
    pub fn superblock(&self, copy: u8) -> u64 {
        self.engine.geometry().superblock(copy).first_sector()
    }

    /// The state and mask of a slot in one copy on disk.
    pub fn on_disk(&self, copy: u8, slot: u32) -> remap_core::format::Entry {
        let at = self.table_block(copy, slot / 252) as usize * 512;
        let bytes: &Block = self.disks.spare[at..at + 4096].try_into().unwrap();
        let sb = self.engine.superblock();
        let block =
            TableBlock::parse(bytes, &sb.id, slot / 252, copy, &sb.main, sb.geometry.slot_count()).unwrap();
        block.entry(slot as usize % 252)
    }
}

/// What the test world does for a machine: everything at once.
struct Hosting<'a, 'd> {
    set: &'a mut Set<'d>,
    /// Every sector that is loaded is all this.
    byte: u8,
    given: &'a mut [Option<u8>],
    buffer: Vec<u8>,
    /// Whether the last drain was done in time.
    drained: bool,
}

impl Host for Hosting<'_, '_> {
    type Stop = std::convert::Infallible;

    fn load(&mut self, _: u32, sectors: u32) -> Result<(), Self::Stop> {
        self.buffer[..sectors as usize * 512].fill(self.byte);
        Ok(())
    }

    fn store(&mut self, offset_sectors: u32, sectors: u32) -> Result<(), Self::Stop> {
        for (i, bytes) in self.buffer.chunks_exact(512).take(sectors as usize).enumerate() {
            assert!(bytes.iter().all(|b| *b == bytes[0]));
            let place = &mut self.given[offset_sectors as usize + i];
            assert_eq!(*place, None, "sector {} is stored twice", offset_sectors as usize + i);
            *place = Some(bytes[0]);
        }
        self.buffer.fill(0x77);
        Ok(())
    }

    fn submit(&mut self, request: IoRequest) -> Result<Option<Result<(), ErrorKind>>, Self::Stop> {
        let set = &mut *self.set;
        set.now_ms += set.io_ms;
        if let (Some(hook), Op::Read) = (set.on_read, request.op) {
            hook(set.disks, &mut set.engine, &request);
        }
        Ok(Some(set.disks.run(&request, &mut self.buffer)))
    }

    fn is_same(&mut self, what: Comparison) -> bool {
        same(&self.buffer, what)
    }

    fn wake_committer(&mut self) {
        assert_eq!(self.set.engine.commit_outcome(0), None, "a commit is waited for that is over");
        self.set.commit();
    }

    fn drain(&mut self, drain: Drain) -> Draining {
        let set = &mut *self.set;
        set.drains += 1;
        set.limits.push(drain.within_ms.is_some());
        set.on_drain.iter().for_each(|check| check(&set.engine, set.drains));
        self.drained = drain.within_ms.is_none() || set.slow_drains == 0;
        let until_ms = match drain.within_ms {
            Some(ms) if !self.drained => {
                set.slow_drains -= 1;
                set.now_ms += ms;
                set.now_ms
            }
            _ => u64::MAX,
        };
        Draining { lanes: drain.lanes, mark: 0, until_ms }
    }

    fn steps(&self) -> u64 {
        0
    }
}
