//! The path of a bio: where it goes, and what an error on the way means. Everything here runs without locks, on every bio.

mod together;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::engine::Engine;
use crate::error::ErrorKind;
use crate::extent::{Range, Units};
use crate::format::Geometry;
use crate::lookup::{Run, Table};
use crate::units::{sector_mask, Sector, Slot};
use together::{together, Together};

/// What the modes mean for bios, kept beside the engine so that the path of a bio needs no lock.
#[derive(Debug, Default)]
pub struct Access {
    bits: AtomicU32,
    /// Flushes of a device that are under way.
    flushes: AtomicU32,
    /// The physical blocks of main.
    units: AtomicU32,
}

const WRITES_REFUSED: u32 = 1;
const READS_REFUSED: u32 = 2;
const REPAIR_OFF: u32 = 4;
/// A flush failed, and the engine does not know yet.
const FLUSH_UNTOLD: u32 = 8;
/// The table is read-only, which no mode changes.
const READ_ONLY: u32 = 16;
/// The breaker is open, which what bios meet may end.
const BREAKER_OPEN: u32 = 32;

/// Most sectors of one write of zeroes. What fails of it is repaired like a write: as a whole, within one deadline, after which the
/// rest goes to slots. A device may take gigabytes at once; this is as much as an ordinary write brings.
pub const WRITE_ZEROES_SECTORS_MAX: u32 = 2048;

impl Access {
    /// Everything is served.
    pub const fn new() -> Access {
        Access { bits: AtomicU32::new(0), flushes: AtomicU32::new(0), units: AtomicU32::new(0) }
    }

    /// Reads and flushes are served. The block layer stops most writes to a read-only device, but not those of a device stacked on it.
    pub const fn read_only() -> Access {
        Access { bits: AtomicU32::new(READ_ONLY), ..Access::new() }
    }

    /// Tells the engine of a failed flush, and takes over what it decided. The host calls it after every step of a machine.
    pub fn update(&self, engine: &mut Engine<'_>) {
        self.units.store(engine.units().packed(), Ordering::Relaxed);
        let mut seen = self.bits.load(Ordering::Acquire);
        loop {
            if seen & FLUSH_UNTOLD != 0 {
                engine.flush_failed();
            }
            // A flush that fails between the two is seen by the exchange, and told in its turn.
            let bits = Self::bits(engine) | seen & READ_ONLY;
            match self.bits.compare_exchange(seen, bits, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    fn bits(engine: &Engine<'_>) -> u32 {
        let mut bits = 0;
        if let Some(reason) = engine.fail_reason() {
            bits |= WRITES_REFUSED;
            if !reason.serves_reads() {
                bits |= READS_REFUSED;
            }
        }
        if !engine.repairs() {
            bits |= REPAIR_OFF;
        }
        if engine.breaker_is_open() {
            bits |= BREAKER_OPEN;
        }
        bits
    }

    /// As an engine with an open breaker leaves it.
    #[cfg(test)]
    pub(crate) fn with_open_breaker() -> Access {
        Access { bits: AtomicU32::new(REPAIR_OFF | BREAKER_OPEN), ..Access::new() }
    }

    fn has(&self, bit: u32) -> bool {
        self.bits.load(Ordering::Acquire) & bit != 0
    }

    /// A flush of one of the devices begins. False: it is refused; otherwise [`Access::flush_ended`] is to follow. In any context.
    #[must_use]
    pub fn flush_begins(&self) -> bool {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        let passes = !self.has(WRITES_REFUSED);
        if !passes {
            self.flushes.fetch_sub(1, Ordering::AcqRel);
        }
        passes
    }

    /// The flush of one device has ended. If it failed, writes are refused at once, and the engine is told at the next
    /// [`Access::update`] (S8). In any context.
    pub fn flush_ended(&self, ok: bool) {
        if !ok {
            self.bits.fetch_or(WRITES_REFUSED | FLUSH_UNTOLD, Ordering::AcqRel);
        }
        self.flushes.fetch_sub(1, Ordering::AcqRel);
    }

    /// Accepts writes again after a failed flush, as the administrator asks (S8). False, and nothing changes, while a flush
    /// is under way on either device: it may be the rest of the one that failed, and the write that it came before, whose
    /// caller was not told, must find writes refused.
    pub fn resume(&self, engine: &mut Engine<'_>) -> bool {
        let resumed = self.flushes.load(Ordering::Acquire) == 0 && engine.resume_writes();
        self.update(engine);
        resumed
    }

    /// Whether the breaker is open (S16). Then the host calls [`crate::evidence::Evidence::tell`] and [`Access::update`] soon after a write on
    /// main has ended, well or not.
    pub fn breaker_is_open(&self) -> bool {
        self.has(BREAKER_OPEN)
    }
}

/// A read or write as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// First sector.
    pub first: Sector,
    /// Length in sectors, at least 1.
    pub sectors: u32,
    /// Whether it writes.
    pub write: bool,
    /// Whether it must not wait.
    pub nowait: bool,
}

/// Where the first part of a bio goes. A part that is shorter than the bio is split off; the rest asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To main, at the same sector.
    Main {
        /// Length of the part.
        sectors: u32,
    },
    /// To the spare.
    Spare {
        /// Sector of the spare's region.
        sector: u64,
        /// The first slot.
        slot: Slot,
        /// Length of the part.
        sectors: u32,
    },
    /// It waits until the group is no longer held; [`direct_whole`] tells where it goes then. As much of it as lies in the group, so that
    /// a device is not asked to write part of a physical block that the bio covers.
    Defer {
        /// Length of the part.
        sectors: u32,
    },
    /// A read of suspect or lost sectors: [`suspect_read`] tells, with the engine. One logical block long.
    AskEngine {
        /// Length of the part.
        sectors: u32,
    },
    /// It goes to a repair context, although no device has failed it: a write whose slot failed before (S7), one of which several parts would
    /// go to one physical block or slot by themselves (S5), or a bio that waited and lives in several places now. A write is the job of [`crate::engine::repair::Repair::unsent`].
    Repair {
        /// Length of the part.
        sectors: u32,
    },
    /// It fails.
    Refuse(ErrorKind),
}

/// Where a bio goes.
#[inline(always)]
pub fn direct(
    table: &Table<'_>,
    geometry: &Geometry,
    access: &Access,
    block_sectors: u32,
    r: Request,
) -> Direction {
    if access.has(if r.write { WRITES_REFUSED | READ_ONLY } else { READS_REFUSED }) {
        return Direction::Refuse(ErrorKind::Io);
    }
    let to_slot = |slot: Slot, sectors: u32| Direction::Spare {
        sector: geometry.slot_block(slot).first_sector() + u64::from(r.first.in_group()),
        slot,
        sectors,
    };
    let mut run = table.find(r.first, r.sectors);
    if r.write && run.sectors() < r.sectors {
        let units = Units::unpacked(access.units.load(Ordering::Relaxed));
        match together(table, units, Range { first: r.first, sectors: r.sectors.into() }, run) {
            Together::Apart => {}
            Together::From(sectors) => run = table.find(r.first, sectors),
            Together::Now(_) if r.nowait => return Direction::Refuse(ErrorKind::Again),
            Together::Now(sectors) => return Direction::Repair { sectors },
        }
    }
    match run {
        Run::Main { sectors } => Direction::Main { sectors },
        Run::Slot { slot, sectors } => to_slot(slot, sectors),
        Run::Held { .. } | Run::Bad { .. } if r.nowait => Direction::Refuse(ErrorKind::Again),
        Run::Held { sectors } => Direction::Defer { sectors },
        Run::Bad { sectors, .. } if r.write => Direction::Repair { sectors },
        Run::Bad { sectors, .. } => Direction::AskEngine { sectors: sectors.min(block_sectors) },
        Run::Doubt { .. } if r.write => Direction::Refuse(ErrorKind::Io),
        Run::Doubt { bad: true, .. } if r.nowait => Direction::Refuse(ErrorKind::Again),
        Run::Doubt { bad: true, sectors, .. } => Direction::AskEngine { sectors: sectors.min(block_sectors) },
        Run::Doubt { slot: Some(slot), sectors, .. } => to_slot(slot, sectors),
        Run::Doubt { slot: None, sectors, .. } => Direction::Main { sectors },
    }
}

/// Where a bio goes that waited, as a whole: what has waited cannot be split any more. Where its sectors live in several places by now, a
/// repair context brings them together, and each of its requests goes as far as one place does.
pub fn direct_whole(
    table: &Table<'_>,
    geometry: &Geometry,
    access: &Access,
    block_sectors: u32,
    r: Request,
) -> Direction {
    let direction = direct(table, geometry, access, block_sectors, r);
    match direction {
        Direction::Main { sectors }
        | Direction::Spare { sectors, .. }
        | Direction::Defer { sectors }
        | Direction::AskEngine { sectors }
        | Direction::Repair { sectors }
            if sectors < r.sectors =>
        {
            Direction::Repair { sectors: r.sectors }
        }
        whole => whole,
    }
}

/// Where the first part of a discard goes. A part that is shorter than the bio is split off; the rest asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// To main, at the same sector.
    Main {
        /// Length of the part.
        sectors: u32,
    },
    /// Nowhere: it is done.
    Leave {
        /// Length of the part.
        sectors: u32,
    },
    /// It fails.
    Refuse(ErrorKind),
}

/// Where a discard goes (S18). Only what certainly lives on main is discarded. A mapping stays, or main's old content would come back;
/// its slot stays taken, so that discarding it would free nothing; what is held or in doubt may live on main or in a slot. A
/// discard is a hint, so that leaving a part out is right and waiting for it is not needed.
pub fn discard(table: &Table<'_>, access: &Access, first: Sector, sectors: u32) -> Discard {
    if access.has(WRITES_REFUSED | READ_ONLY) {
        return Discard::Refuse(ErrorKind::Io);
    }
    match table.find(first, sectors) {
        Run::Main { sectors } => Discard::Main { sectors },
        other => Discard::Leave { sectors: other.sectors() },
    }
}

/// Where a read of suspect or lost sectors goes, as of now (S3): lost ones fail, suspect ones are tried again.
pub fn suspect_read(engine: &Engine<'_>, access: &Access, block_sectors: u32, r: Request) -> Direction {
    let run = engine.table().find(r.first, r.sectors);
    if let Run::Bad { slot, sectors } | Run::Doubt { slot: Some(slot), bad: true, sectors } = run {
        let from = r.first.in_group();
        if engine.lost_mask(slot) & sector_mask(from, sectors) != 0 {
            return Direction::Refuse(ErrorKind::Medium);
        }
        let sector = engine.geometry().slot_block(slot).first_sector() + u64::from(from);
        return Direction::Spare { sector, slot, sectors };
    }
    direct(&engine.table(), engine.geometry(), access, block_sectors, r)
}

/// Where a bio was when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On main.
    Main,
    /// On the spare, in this slot and the following ones.
    Spare(Slot),
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterError {
    /// It is the caller's.
    PassUp,
    /// A repair context takes the write, or the read.
    Repair,
}

/// A request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether it writes.
    pub write: bool,
    /// Whether it is read-ahead, which nobody waits for.
    pub readahead: bool,
    /// How it failed.
    pub error: ErrorKind,
}

/// What an error of a read or write means. A read is narrowed whatever keeps writes from being remapped: giving what can be read
/// changes nothing. A failure of read-ahead is nobody's loss, costs no time and leaves no trace (S17).
pub fn after_error(access: &Access, failed: Failed) -> AfterError {
    let Failed { write, readahead, error } = failed;
    let refused = match write {
        true => access.has(REPAIR_OFF) || access.has(WRITES_REFUSED),
        false => readahead || access.has(READS_REFUSED),
    };
    match error.can_mean_medium() && !refused {
        true => AfterError::Repair,
        false => AfterError::PassUp,
    }
}

/// Whether the spare holds content that was written since its last good flush (S8).
///
/// Two numbers, not a flag: a write that completes while a flush is under way is not covered by it, and a flush that begins
/// meanwhile must not rely on one that has not ended.
#[derive(Debug)]
pub struct SpareDirty {
    written: AtomicU64,
    flushed: AtomicU64,
}

/// What a flush of the spare covers if it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushMark(u64);

impl Default for SpareDirty {
    fn default() -> Self {
        Self::new()
    }
}

impl SpareDirty {
    /// Not clean: what an earlier activation wrote may still be in the spare's cache, and the next flush has to cover it.
    pub const fn new() -> SpareDirty {
        SpareDirty { written: AtomicU64::new(1), flushed: AtomicU64::new(0) }
    }

    /// A write to a slot has ended, well or not: one that failed may have brought content that reads give from then on. Called
    /// before the bio completes, and not earlier: a flush covers only what was complete when it began.
    #[inline]
    pub fn mark(&self) {
        self.written.fetch_add(1, Ordering::AcqRel);
    }

    /// A flush begins: whether it must reach the spare, and if so, what to give to [`SpareDirty::flushed`].
    #[inline]
    pub fn flush_begins(&self) -> Option<FlushMark> {
        let written = self.written.load(Ordering::Acquire);
        (written != self.flushed.load(Ordering::Acquire)).then_some(FlushMark(written))
    }

    /// The flush that began with `mark` has succeeded on the spare.
    pub fn flushed(&self, mark: FlushMark) {
        self.flushed.fetch_max(mark.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
