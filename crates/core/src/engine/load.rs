//! Loading a set: the table blocks of all in-sync copies become the engine's memory (docs/format.md, Loading).

use core::fmt;

use super::commit::block_state::BlockState;
use super::context::Context;
use super::map::changes::Changes;
use super::map::stamp::Stamp;
use super::set::Engine;
use super::settings::Settings;
use super::storage::{Storage, StorageSizes};
use super::tell::counters::Counters;
use super::tell::notice::Notices;
use super::trust::breaker::Breaker;
use super::trust::mode::Mode;
use crate::format::{Block, SlotState, Superblock, TableBlock, ENTRIES_PER_BLOCK};
use crate::io::{Device, IoRequest, Op};
use crate::lookup::{Record, Table, Use};
use crate::pending::Pending;
use crate::units::{Group, Slot, BLOCK_BYTES, SECTORS_PER_BLOCK};

/// Why a set cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// An array of the storage is not of the size that [`StorageSizes`] says.
    Storage,
    /// No in-sync copy has a valid instance of this table block.
    BlockLost(u32),
    /// Two entries of the same generation claim one group.
    Twins(Group),
    /// The buffer is smaller than a block.
    Buffer,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Storage => f.write_str("the memory set aside does not fit the set"),
            LoadError::BlockLost(index) => {
                write!(
                    f,
                    "table block {index} is unreadable or damaged in every copy in sync; write nothing to the spare, \
                     and make an image of it before any attempt at repair"
                )
            }
            LoadError::Twins(group) => {
                let sector = group.first_sector().0;
                write!(
                    f,
                    "two entries of one generation claim sector {sector} of main; write nothing to the spare, \
                     and make an image of it before any attempt at repair"
                )
            }
            LoadError::Buffer => f.write_str("the buffer for loading is smaller than a block"),
        }
    }
}

/// The machine that loads a set. The engine is in it from the beginning and never moves, since a host's stack may be small.
pub struct Loader<'a> {
    engine: Engine<'a>,
    copy: u8,
    next_block: u32,
    /// Block and number of blocks of the request under way.
    reading: Option<(u32, u32)>,
    /// Blocks up to here are read one by one, after a read of many failed.
    single_until: u32,
    loaded: bool,
}

impl<'a> Loader<'a> {
    /// Begins to load the set of `superblock`, which [`crate::format::Chooser`] found to count.
    pub fn new(
        superblock: Superblock,
        settings: Settings,
        storage: Storage<'a>,
    ) -> Result<Loader<'a>, LoadError> {
        let mut place = None;
        Loader::begin(&mut place, &superblock, settings, storage)?;
        place.ok_or(LoadError::Storage)
    }

    /// As [`Loader::new`], into the place where the engine is to stay.
    #[inline(never)]
    pub fn begin(
        place: &mut Option<Loader<'a>>,
        superblock: &Superblock,
        settings: Settings,
        storage: Storage<'a>,
    ) -> Result<(), LoadError> {
        let sizes = StorageSizes::for_geometry(&superblock.geometry);
        let fits = storage.records.len() == sizes.table.records
            && storage.generations.len() == sizes.generations
            && storage.blocks.len() == sizes.blocks
            && storage.changes.len() >= sizes.changes
            && storage.contexts.len() == sizes.contexts;
        let groups = superblock.main.groups();
        let per_area = superblock.geometry.slots_per_area();
        let table = Table::new(storage.records, storage.buckets, storage.summary, groups, per_area);
        let table = table.filter(|_| fits).ok_or(LoadError::Storage)?;
        let pending = Pending::new(storage.pending).ok_or(LoadError::Storage)?;
        let notices = Notices::new(storage.notices).ok_or(LoadError::Storage)?;
        for index in 0..table.slots() {
            table.set_record(Slot(index), Record::free(None));
        }
        storage.generations.fill(0);
        storage.blocks.fill(0);
        storage.contexts.fill(Context::default());
        let loader = place.insert(Loader {
            engine: Engine {
                table,
                pending,
                pending_full: false,
                generations: storage.generations,
                blocks: storage.blocks,
                changes: Changes::new(storage.changes),
                superblocks_whole: superblock.valid_places,
                seq: superblock.seq,
                superblock: superblock.clone(),
                settings,
                unit_is_settled: false,
                contexts: storage.contexts,
                free_head: None,
                used: 0,
                retired: 0,
                old_entries: 0,
                generation: 0,
                mode: Mode::Rw,
                unsettled: false,
                fail_reason: None,
                breaker: Breaker::new(),
                filled: 0,
                watermark_percent: 0,
                full_told: false,
                notices,
                counters: Counters::default(),
            },
            copy: 0,
            next_block: 0,
            reading: None,
            single_until: 0,
            loaded: false,
        });
        loader.skip_copies_out_of_sync();
        Ok(())
    }

    /// The next read, into a buffer of `buffer_bytes`; `None` when all copies have been read.
    pub fn next(&mut self, buffer_bytes: usize) -> Result<Option<IoRequest>, LoadError> {
        if self.copy >= self.engine.superblock.copy_count {
            return Ok(None);
        }
        let most = u32::try_from(buffer_bytes / BLOCK_BYTES).unwrap_or(u32::MAX).min(256);
        if most == 0 {
            return Err(LoadError::Buffer);
        }
        let left = self.engine.superblock.geometry.table_blocks().saturating_sub(self.next_block);
        let count = if self.next_block < self.single_until { 1 } else { most.min(left) };
        self.reading = Some((self.next_block, count));
        Ok(Some(IoRequest {
            device: Device::Spare,
            op: Op::Read,
            sector: self.engine.superblock.geometry.table_block(self.copy, self.next_block).first_sector(),
            sectors: count * SECTORS_PER_BLOCK,
            buffer_sector: 0,
        }))
    }

    /// The read has ended; `buffer` holds what was read if `ok`.
    pub fn done(&mut self, ok: bool, buffer: &[u8]) {
        let Some((first, count)) = self.reading.take() else { return };
        if !ok && count > 1 {
            self.single_until = first + count;
            return;
        }
        if ok {
            for (i, bytes) in buffer.chunks_exact(BLOCK_BYTES).take(count as usize).enumerate() {
                if let Ok(block) = <&Block>::try_from(bytes) {
                    self.take_block(first + i as u32, block);
                }
            }
        }
        self.next_block = first + count;
        if self.next_block >= self.engine.superblock.geometry.table_blocks() {
            self.copy += 1;
            self.next_block = 0;
            self.single_until = 0;
            self.skip_copies_out_of_sync();
        }
    }

    fn skip_copies_out_of_sync(&mut self) {
        while self.copy < self.engine.superblock.copy_count
            && self.engine.superblock.in_sync & (1 << self.copy) == 0
        {
            self.copy += 1;
        }
    }

    /// Takes a block if it is valid and not older than what is there.
    fn take_block(&mut self, index: u32, bytes: &Block) {
        let sb = &self.engine.superblock;
        let slots = sb.geometry.slot_count();
        let Ok(block) = TableBlock::parse(bytes, &sb.id, index, self.copy, &sb.main, slots) else { return };
        let Some(state) = self.engine.blocks.get_mut(index as usize) else { return };
        let held = BlockState::from_word(*state);
        if block.seq() < held.seq() {
            return;
        }
        let copies = if block.seq() == held.seq() { held.copies() } else { 0 } | 1 << self.copy;
        *state = BlockState::new(block.seq(), copies).to_word();
        if block.seq() == held.seq() {
            return;
        }
        self.engine.seq = self.engine.seq.max(block.seq());
        let first = index.saturating_mul(ENTRIES_PER_BLOCK as u32);
        for i in 0..ENTRIES_PER_BLOCK {
            let slot = Slot(first.saturating_add(i as u32));
            let entry = block.entry(i);
            let record = match entry.state {
                SlotState::Free => Record::free(None),
                SlotState::Retired => Record::retired(),
                SlotState::Mapped | SlotState::Lost => Record::mapped(entry.group, entry.mask, entry.lost),
            };
            self.engine.table.set_record(slot, record);
            self.engine.set_stamp(slot, Stamp { generation: entry.generation, lost: entry.lost });
        }
    }

    /// All copies have been read: checks that nothing is missing and settles duplicates. Then there is the engine.
    pub fn settle(&mut self) -> Result<(), LoadError> {
        let engine = &mut self.engine;
        if let Some(index) = engine.blocks.iter().position(|word| BlockState::from_word(*word).is_missing()) {
            return Err(LoadError::BlockLost(index as u32));
        }
        for index in 0..engine.table.slots() {
            let slot = Slot(index);
            let stamp = engine.stamp(slot).unwrap_or_default();
            engine.generation = engine.generation.max(stamp.generation);
            let Some(record) = engine.table.record(slot).filter(|r| r.usage() == Use::Mapped) else {
                continue;
            };
            engine.counters.lost_sectors += u64::from(stamp.lost.count_ones());
            if !engine.table.insert(slot, record) {
                engine.counters.lost_sectors -= engine.settle_duplicate(slot, record)?;
            }
        }
        engine.superblock.activations = engine.superblock.activations.saturating_add(1);
        engine.rebuild_free_list();
        engine.judge();
        self.loaded = true;
        Ok(())
    }

    /// The engine, once the set is loaded.
    pub fn engine(&mut self) -> Option<&mut Engine<'a>> {
        self.loaded.then_some(&mut self.engine)
    }

    /// [`Loader::settle`] for a host whose stack is large enough to move the engine.
    pub fn finish(mut self) -> Result<Engine<'a>, LoadError> {
        self.settle()?;
        Ok(self.engine)
    }
}

impl Engine<'_> {
    /// Two slots claim one group, as a crash between S7's two commits leaves them: the newer serves it, the other is
    /// retired. Returns how many lost sectors the loser had.
    fn settle_duplicate(&mut self, slot: Slot, record: Record) -> Result<u64, LoadError> {
        let group = record.group();
        let Some((other, _)) = self.table.record_of(group) else { return Err(LoadError::Twins(group)) };
        let generation = |slot| self.stamp(slot).unwrap_or_default().generation;
        let loser = match generation(slot).cmp(&generation(other)) {
            core::cmp::Ordering::Equal => return Err(LoadError::Twins(group)),
            core::cmp::Ordering::Greater => {
                if !self.table.replace(slot, record) {
                    return Err(LoadError::Twins(group));
                }
                other
            }
            core::cmp::Ordering::Less => slot,
        };
        self.table.set_record(loser, Record::retired());
        let Stamp { generation, lost } = self.stamp(loser).unwrap_or_default();
        self.set_stamp(loser, Stamp { generation, lost: 0 });
        // Its block is rewritten before the first I/O.
        self.stale(&[super::map::queue::block_of(loser)]);
        Ok(u64::from(lost.count_ones()))
    }
}
