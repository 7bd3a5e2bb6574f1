//! The region of a spare, seen through core: superblocks, slot table and the requests of core's machines.

use crate::device::Device;
use crate::failure::{Failure, Kind, Result};
use crate::output::size;
use crate::progress::Progress;
use remap_core::format::geometry::{usable_blocks, GeometryError};
use remap_core::format::{
    BlankCheck, Block, BlockError, Entry, Formatter, Geometry, Samples, SlotState, Superblock, TableBlock,
    COPIES_MAX, ENTRIES_PER_BLOCK,
};
use remap_core::io::{IoRequest, Op};
use remap_core::units::{Slot, SpareBlock};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Bytes moved at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The region of a spare on its device.
#[derive(Debug)]
pub struct Spare<'a> {
    device: &'a Device,
    /// First sector of the region on the device.
    pub offset: u64,
    /// Length of the region in blocks of 4096 bytes.
    pub region_blocks: u64,
}

/// The length of a spare's region in sectors: to the end of the device, or to `main_start` where that follows on it.
pub fn region_sectors(device: &Device, offset: u64, main_start: Option<u64>) -> Result<u64> {
    if offset % 8 != 0 {
        let what = format!("the spare's offset of {offset} sectors is not a multiple of 8");
        return Err(Failure::new(
            Kind::Parameters,
            what,
            "slots have to be aligned to 4096 bytes; choose another offset",
        ));
    }
    let end =
        main_start.filter(|&start| start > offset).map_or(device.sectors, |start| start.min(device.sectors));
    Ok(end.saturating_sub(offset))
}

mod choose;

impl<'a> Spare<'a> {
    /// The region of `device` from sector `offset` on, up to `main_start` if main follows on the same device.
    pub fn new(device: &'a Device, offset: u64, main_start: Option<u64>) -> Result<Spare<'a>> {
        let region_blocks = usable_blocks(region_sectors(device, offset, main_start)?);
        Ok(Spare { device, offset, region_blocks })
    }

    /// Fails unless the region can hold a set at all. `next` is what to do where it is a device that is too small.
    pub fn check_size(&self, next: &str) -> Result<()> {
        let Err(e) = Geometry::max_slots(self.region_blocks) else { return Ok(()) };
        let path = self.device.path().display();
        let sectors = self.region_blocks * 8;
        if !matches!(e, GeometryError::TooSmall { .. }) {
            return Err(Failure::new(Kind::Device, format!("{path} cannot be a spare: {e}"), next));
        }
        let found = match (self.device.number, self.offset) {
            (None, _) => format!("{path} is a file of {}", size(self.device.sectors)),
            (Some(_), 0) => format!("{path} has {}", size(sectors)),
            (Some(_), from) => format!("{path} has {} from sector {from} on", size(sectors)),
        };
        let next = if self.device.number.is_none() { "check the path" } else { next };
        Err(Failure::new(Kind::Device, format!("{found}, and a spare 8 MiB at least"), next))
    }

    fn read_block(&self, at: SpareBlock) -> io::Result<Box<Block>> {
        let mut block = Box::new([0; 4096]);
        self.device.read_at(self.offset.saturating_add(at.first_sector()), &mut block[..])?;
        Ok(block)
    }

    /// The first thing in the first or last MiB that is not zero, in words; `None` when they are blank.
    pub fn not_blank(&self) -> Option<String> {
        let mut check = BlankCheck::new(self.region_blocks);
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(request) = check.next(buffer.len()) {
            let read = self.carry_out(&request, &mut buffer);
            let bytes = buffer.get(..request.sectors as usize * 512).filter(|_| read.is_ok());
            if let Err(e) = check.done(bytes) {
                return Some(e.to_string());
            }
        }
        None
    }

    /// Zeroes the first and last MiB and every superblock place, durably.
    pub fn wipe(&self) -> Result<()> {
        let zeros = vec![0; BUFFER_BYTES];
        let edge = (BUFFER_BYTES as u64 / 4096).min(self.region_blocks);
        let mut places = vec![(0, edge), (self.region_blocks - edge, edge)];
        places.extend(
            (0..COPIES_MAX).filter_map(|c| Geometry::superblock_at(self.region_blocks, c)).map(|b| (b.0, 1)),
        );
        let result = places.iter().try_for_each(|&(block, count)| {
            let at = self.offset.saturating_add(SpareBlock(block).first_sector());
            self.device.write_at(at, &zeros[..count as usize * 4096])
        });
        result.and_then(|()| self.device.flush()).map_err(|e| Failure::path("clear", self.device.path(), &e))
    }

    /// Writes a new set, and then `samples` of its main into the superblocks.
    pub fn format(&self, superblock: Superblock, samples: &Samples) -> Result<()> {
        let mut formatter = Formatter::new(superblock);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut progress = Progress::new(format!("formatting {}", self.device.path().display()), None);
        let mut done = 0;
        while let Some(request) = formatter.next(&mut buffer) {
            done += u64::from(request.sectors);
            progress.at(done);
            let result = self.carry_out(&request, &mut buffer);
            if let Err(failed) = formatter.done(result.is_ok()) {
                let why = result.err().map(|e| e.to_string()).unwrap_or_default();
                let what = format!("cannot format {}: {why}", self.device.path().display());
                return Err(Failure::new(Kind::Device, what, failed.to_string()));
            }
        }
        if samples.is_empty() {
            return Ok(());
        }
        let mut superblock = self.superblock(false)?;
        superblock.seq += 1;
        self.write_superblocks(&superblock, samples)
            .map_err(|e| Failure::path("write", self.device.path(), &e))
    }

    /// Writes `superblock` with `samples` to every place that the set has, those in sync first. Only for a set that is not open.
    pub fn write_superblocks(&self, superblock: &Superblock, samples: &Samples) -> io::Result<()> {
        let (in_sync, evicted): (Vec<u8>, Vec<u8>) =
            (0..superblock.copy_count).partition(|&copy| superblock.is_in_sync(copy));
        for copy in in_sync.into_iter().chain(evicted) {
            let mut block = [0; 4096];
            superblock.encode_with(copy, samples, &mut block);
            let at = superblock.geometry.superblock(copy).first_sector();
            let result = self
                .device
                .write_at(self.offset.saturating_add(at), &block)
                .and_then(|()| self.device.flush());
            if superblock.is_in_sync(copy) {
                result?;
            }
        }
        Ok(())
    }

    /// The path of its device.
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Does what one of core's machines asks for.
    pub fn carry_out(&self, request: &IoRequest, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = buffer.get_mut(..request.sectors as usize * 512).ok_or(io::ErrorKind::InvalidInput)?;
        let sector = self.offset.saturating_add(request.sector);
        match request.op {
            Op::Read => self.device.read_at(sector, bytes),
            Op::Write => self.device.write_at(sector, bytes),
            Op::WriteFua => self.device.write_at(sector, bytes).and_then(|()| self.device.flush()),
            Op::Flush => self.device.flush(),
        }
    }

    /// The slots in use or retired, by the rules of loading: the newest valid instance of each block, and of two entries
    /// for one group the newer; the slot of the older is retired.
    pub fn slots(&self, superblock: &Superblock) -> Result<BTreeMap<u32, Entry>> {
        let mut slots = BTreeMap::new();
        let mut progress = Progress::new(format!("reading the map on {}", self.path().display()), None);
        let mut slot_of_group: BTreeMap<u64, u32> = BTreeMap::new();
        for index in 0..superblock.geometry.table_blocks() {
            progress.at(u64::from(index) * u64::from(superblock.in_sync.count_ones()) * 8);
            for (slot, entry) in self.table_block(superblock, index)? {
                if matches!(entry.state, SlotState::Mapped | SlotState::Lost) {
                    if let Some(&other) = slot_of_group.get(&entry.group.0) {
                        let other_generation = slots.get(&other).map_or(0, |e: &Entry| e.generation);
                        let older = if other_generation < entry.generation { other } else { slot };
                        slots.insert(slot, entry);
                        slots.insert(older, Entry { state: SlotState::Retired, ..Entry::default() });
                        slot_of_group.insert(entry.group.0, if older == slot { other } else { slot });
                        continue;
                    }
                    slot_of_group.insert(entry.group.0, slot);
                }
                slots.insert(slot, entry);
            }
        }
        Ok(slots)
    }

    /// The entries of one table block that are not free.
    fn table_block(&self, superblock: &Superblock, index: u32) -> Result<Vec<(u32, Entry)>> {
        let geometry = &superblock.geometry;
        let mut newest: Option<(u64, Vec<(u32, Entry)>)> = None;
        let mut problem = None;
        for copy in (0..superblock.copy_count).filter(|&c| superblock.is_in_sync(c)) {
            let block = match self.read_block(geometry.table_block(copy, index)) {
                Ok(block) => block,
                Err(e) => {
                    problem = Some(e.to_string());
                    continue;
                }
            };
            let slot_count = geometry.slot_count();
            match TableBlock::parse(&block, &superblock.id, index, copy, &superblock.main, slot_count) {
                Ok(table) if newest.as_ref().is_none_or(|(seq, _)| *seq < table.seq()) => {
                    newest = Some((table.seq(), used_entries(&table, index)));
                }
                Ok(_) => {}
                Err(e) => problem = Some(BlockError::to_string(&e)),
            }
        }
        newest.map(|(_, entries)| entries).ok_or_else(|| {
            let why = problem.unwrap_or_default();
            let what =
                format!("{}: no valid copy of table block {index} ({why})", self.device.path().display());
            Failure::new(
                Kind::Device,
                what,
                "write nothing to the spare, and make an image of it before any attempt at repair",
            )
        })
    }

    /// First sector of a slot on the device.
    pub fn slot_sector(&self, superblock: &Superblock, slot: u32) -> u64 {
        self.offset.saturating_add(superblock.geometry.slot_block(Slot(slot)).first_sector())
    }
}

fn used_entries(table: &TableBlock<'_>, index: u32) -> Vec<(u32, Entry)> {
    let first = index * ENTRIES_PER_BLOCK as u32;
    let entries = (0..ENTRIES_PER_BLOCK).map(|i| (first + i as u32, table.entry(i)));
    entries.filter(|(_, entry)| entry.state != SlotState::Free).collect()
}
