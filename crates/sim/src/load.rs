//! Formatting and loading: what happens one request at a time, before there are bios.

use std::sync::atomic::{AtomicU32, AtomicU64};

use remap_core::engine::load::{LoadError, Loader};
use remap_core::engine::{Change, Context, Engine, Notice, Storage, StorageSizes};
use remap_core::format::{
    Block, ChooseError, Chooser, Formatter, Geometry, Superblock, TableBlock, COPIES_MAX, ENTRIES_PER_BLOCK,
};
use remap_core::io::{IoRequest, Op};
use remap_core::units::Slot;

use crate::plan::{Planted, REGION_BLOCKS};
use crate::world::{Failure, World};

/// The arrays that one session's engine works in.
pub struct Memory {
    records: Vec<AtomicU64>,
    buckets: Vec<AtomicU32>,
    summary: Vec<AtomicU64>,
    generations: Vec<u64>,
    blocks: Vec<u64>,
    changes: Vec<Change>,
    pending: Vec<AtomicU64>,
    contexts: Vec<Context>,
    notices: Vec<Option<Notice>>,
}

impl Memory {
    /// As much as a set of this geometry needs.
    pub fn new(geometry: &Geometry) -> Memory {
        let sizes = StorageSizes::for_geometry(geometry);
        Memory {
            records: (0..sizes.table.records).map(|_| AtomicU64::new(0)).collect(),
            buckets: (0..sizes.table.buckets).map(|_| AtomicU32::new(0)).collect(),
            summary: (0..sizes.table.summary).map(|_| AtomicU64::new(0)).collect(),
            generations: vec![0; sizes.generations],
            blocks: vec![0; sizes.blocks],
            changes: vec![Change::default(); sizes.changes],
            pending: (0..sizes.pending).map(|_| AtomicU64::new(0)).collect(),
            contexts: vec![Context::default(); sizes.contexts],
            notices: vec![None; sizes.notices],
        }
    }

    /// As the engine borrows it.
    pub fn storage(&mut self) -> Storage<'_> {
        Storage {
            records: &self.records,
            buckets: &self.buckets,
            summary: &self.summary,
            generations: &mut self.generations,
            blocks: &mut self.blocks,
            changes: &mut self.changes,
            pending: &self.pending,
            contexts: &mut self.contexts,
            notices: &mut self.notices,
        }
    }
}

/// What looking for a set gave.
pub enum Found {
    /// A set.
    Set(Box<Superblock>),
    /// No set; the spare may be formatted.
    Blank,
    /// Refused for now, and rightly so.
    Refused,
    /// Refused for ever: failed writes have spoilt too many superblocks.
    Gone,
}

impl World {
    /// The superblock that counts now.
    pub(crate) fn choose(&self) -> Result<Superblock, ChooseError> {
        let mut chooser = Chooser::new(REGION_BLOCKS);
        for copy in 0..COPIES_MAX {
            let place = Geometry::superblock_at(REGION_BLOCKS, copy).expect("the region is large enough");
            let mut block: Block = [0; 4096];
            let read = self.spare.read(place.first_sector(), &mut block).is_ok();
            // What is wrong with one copy is not of interest here; what follows from it is.
            let _ = chooser.offer(copy, read.then_some(&block));
        }
        chooser.finish(false)
    }

    /// Looks for the set, as a host does at activation.
    pub fn find_set(&mut self) -> Result<Found, Failure> {
        let unreadable = std::mem::take(&mut self.broken_copies);
        let hidden = unreadable.iter().any(|s| self.spare.read(*s, &mut [0; 512]).is_err());
        let chosen = self.choose();
        unreadable.iter().for_each(|s| self.spare.heal_reads(*s));
        if !hidden && matches!(chosen, Err(ChooseError::Minority { .. })) && self.superblocks_spoilt() {
            self.stats.refused += 1;
            return Ok(Found::Gone);
        }
        if self.foreign.is_some() && !matches!(chosen, Err(ChooseError::TwoSets(..))) {
            return Err(self.failure(None, format!("two sets on one spare are not refused: {chosen:?}")));
        }
        if self.foreign.is_some() {
            self.clear_foreign();
            self.stats.refused += 1;
            return Ok(Found::Refused);
        }
        match chosen {
            Ok(superblock) => Ok(Found::Set(Box::new(superblock))),
            Err(ChooseError::Formatting(_) | ChooseError::NothingThere) => Ok(Found::Blank),
            Err(ChooseError::Minority { .. } | ChooseError::Unreadable { .. }) if hidden => {
                self.stats.refused += 1;
                Ok(Found::Refused)
            }
            Err(e) => Err(self.failure(None, format!("the set is refused: {e}"))),
        }
    }

    /// Whether more than half of the superblocks cannot be read, but not more than the protocol puts at risk.
    fn superblocks_spoilt(&self) -> bool {
        let place = |copy| Geometry::superblock_at(REGION_BLOCKS, copy).map_or(0, |b| b.first_sector());
        let spoilt = (0..self.plan.copies).filter(|c| self.spare.read(place(*c), &mut [0; 4096]).is_err());
        spoilt.count() == usize::from(self.plan.copies.div_ceil(2))
    }

    /// Formats the spare; false when the power went away in the middle.
    fn format_once(&mut self, crash_after: Option<u64>) -> bool {
        let mut formatter = Formatter::new(self.new_superblock());
        let mut buffer = vec![0; 4 * 4096];
        let mut left = crash_after;
        while let Some(request) = formatter.next(&mut buffer) {
            if left == Some(0) {
                if request.op != Op::Flush {
                    let data = &buffer[..request.sectors as usize * 512];
                    self.spare.land_partly(request.sector, data, &mut self.rng);
                }
                self.spare.crash(&mut self.rng);
                return false;
            }
            left = left.map(|n| n - 1);
            let ok = self.spare_io(&request, &mut buffer).is_ok();
            if formatter.done(ok).is_err() {
                return false;
            }
        }
        formatter.is_complete()
    }

    fn spare_io(
        &mut self,
        request: &IoRequest,
        buffer: &mut [u8],
    ) -> Result<(), remap_core::error::ErrorKind> {
        let buffer = &mut buffer[..request.sectors as usize * 512];
        match request.op {
            Op::Read => self.spare.read(request.sector, buffer),
            Op::Flush => self.spare.flush(self.spare.flush_mark()),
            op => self.spare.write(request.sector, buffer, op == Op::WriteFua, &mut self.rng),
        }
    }

    /// Formats the spare, however often the power goes away meanwhile (S20).
    pub fn format(&mut self) -> Result<(), Failure> {
        for _ in 0..self.rng.below(4) {
            let after = self.rng.below(24);
            self.format_once(Some(after));
            match self.find_set()? {
                Found::Set(_) => return Ok(()),
                Found::Blank | Found::Refused | Found::Gone => {}
            }
        }
        match self.format_once(None) {
            true => Ok(()),
            false => Err(self.failure(None, "the format does not end")),
        }
    }

    /// Loads the set that counts; `None` when it is rightly refused.
    pub fn load<'m>(
        &mut self,
        mut superblock: Superblock,
        memory: &'m mut Memory,
    ) -> Result<Option<Engine<'m>>, Failure> {
        let (mut settings, in_sync) = (self.plan.settings, superblock.in_sync);
        if self.options.planted == Some(Planted::ForgetKnown) {
            settings.reread_after_ms = 0;
        }
        if self.options.planted == Some(Planted::CountEvicted) {
            superblock.in_sync = (1 << superblock.copy_count) - 1;
        }
        let mut buffer = vec![0; self.rng.pick(&[1, 2, 7]) * 4096];
        let result = (|| {
            let mut loader = Loader::new(superblock, settings, memory.storage())?;
            while let Some(request) = loader.next(buffer.len())? {
                let ok = self.spare_io(&request, &mut buffer).is_ok();
                loader.done(ok, &buffer);
            }
            loader.finish()
        })();
        let excused = self.rotted && (self.fragile || in_sync.count_ones() <= 2);
        match result {
            Ok(engine) => Ok(Some(engine)),
            // The only whole instance has rotted.
            Err(LoadError::BlockLost(_)) if excused => {
                self.stats.refused += 1;
                Ok(None)
            }
            Err(e) => Err(self.failure(None, format!("the set cannot be loaded: {e}"))),
        }
    }

    /// Checks that every copy in sync says of every slot what the engine has in memory.
    pub fn copies_agree(&self, engine: &Engine<'_>) -> Result<(), Failure> {
        let sb = engine.superblock();
        for copy in (0..COPIES_MAX).filter(|c| sb.in_sync & (1 << c) != 0) {
            for index in 0..sb.geometry.table_blocks() {
                let mut bytes: Block = [0; 4096];
                let at = sb.geometry.table_block(copy, index).first_sector();
                let slots = sb.geometry.slot_count();
                let wrong =
                    |what: String| Err(self.failure(None, format!("copy {copy} block {index}: {what}")));
                if self.spare.read(at, &mut bytes).is_err() {
                    return wrong("unreadable although in sync".into());
                }
                let block = match TableBlock::parse(&bytes, &sb.id, index, copy, &sb.main, slots) {
                    Ok(block) => block,
                    Err(e) => return wrong(e.to_string()),
                };
                let first = index * ENTRIES_PER_BLOCK as u32;
                for e in 0..ENTRIES_PER_BLOCK.min((slots - first) as usize) {
                    let slot = Slot(first + e as u32);
                    let (disk, memory) = (block.entry(e), engine.entry(slot));
                    if disk != memory {
                        return wrong(format!("{slot:?} is {disk:?} on disk and {memory:?} in memory"));
                    }
                }
            }
        }
        Ok(())
    }
}
