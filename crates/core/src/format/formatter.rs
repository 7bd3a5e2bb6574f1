//! The writer of a new set, and the test whether a region is blank. Both ask for I/O and are told the outcome.

use super::table::encode_table_block;
use super::{Block, Entry, Superblock, COPIES_MAX};
use crate::io::{Device, IoRequest, Op};
use crate::units::{SpareBlock, BLOCK_BYTES, SECTORS_PER_BLOCK};
use core::fmt;

/// Sequence of the first superblocks and of the empty slot tables.
const SEQ_FORMATTING: u64 = 1;
/// Sequence of the superblocks that make the set valid.
const SEQ_FORMATTED: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The place of superblock `copy`: flag *formatting*, or zeros where the set has no such copy.
    Begin(u8),
    /// Slot table `copy` from block `index` on.
    Table(u8, u32),
    FlushTables,
    /// Superblock `copy` without the flag.
    Finish(u8),
    FlushAll,
    Done,
    Failed,
}

/// Formatting stopped at this request. The region holds a cut-off format and may be formatted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatFailed {
    /// First sector of the failed write, from the start of the region; `None` for a flush.
    pub sector: Option<u64>,
}

impl fmt::Display for FormatFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sector {
            Some(sector) => write!(f, "sector {sector} of the spare's region could not be written; ")?,
            None => f.write_str("the spare could not be flushed; ")?,
        }
        f.write_str("nothing is mapped, the format may be repeated, better on another spare")
    }
}

/// Writes a new set, in the order that makes a cut-off format recognisable at every moment.
#[derive(Clone, Debug)]
pub struct Formatter {
    superblock: Superblock,
    step: Step,
    /// Blocks of the request under way.
    blocks: u32,
}

impl Formatter {
    /// A formatter for `superblock`, which is the state of the finished set but for its sequence.
    pub fn new(superblock: Superblock) -> Formatter {
        Formatter { superblock, step: Step::Begin(COPIES_MAX - 1), blocks: 0 }
    }

    /// The next request, its data in `buffer` from the start on. `None` when all is done, when a request failed, or when
    /// the buffer has less than 4096 bytes. Consecutive table blocks are one write, up to the size of the buffer.
    pub fn next(&mut self, buffer: &mut [u8]) -> Option<IoRequest> {
        let at = match self.step {
            Step::Begin(copy) => {
                let block = buffer.first_chunk_mut::<BLOCK_BYTES>()?;
                if copy < self.superblock.copy_count {
                    self.encode(copy, true, block);
                } else {
                    block.fill(0);
                }
                self.superblock.geometry.superblock(copy)
            }
            Step::Finish(copy) => {
                self.encode(copy, false, buffer.first_chunk_mut::<BLOCK_BYTES>()?);
                self.superblock.geometry.superblock(copy)
            }
            Step::Table(copy, index) => return self.table_blocks(copy, index, buffer),
            Step::FlushTables | Step::FlushAll => return Some(IoRequest::flush(Device::Spare)),
            Step::Done | Step::Failed => return None,
        };
        self.blocks = 1;
        Some(transfer(Op::WriteFua, at, 1))
    }

    /// Takes the outcome of the request that [`Formatter::next`] gave last.
    pub fn done(&mut self, ok: bool) -> Result<(), FormatFailed> {
        if !ok {
            let sector = self.place().map(SpareBlock::first_sector);
            self.step = Step::Failed;
            return Err(FormatFailed { sector });
        }
        let last_copy = self.superblock.copy_count.saturating_sub(1);
        self.step = match self.step {
            Step::Begin(0) => Step::Table(last_copy, 0),
            Step::Begin(copy) => Step::Begin(copy.saturating_sub(1)),
            Step::Table(copy, index) => {
                let next = index.saturating_add(self.blocks);
                match (next < self.superblock.geometry.table_blocks(), copy) {
                    (true, _) => Step::Table(copy, next),
                    (false, 0) => Step::FlushTables,
                    (false, _) => Step::Table(copy.saturating_sub(1), 0),
                }
            }
            Step::FlushTables => Step::Finish(last_copy),
            Step::Finish(0) => Step::FlushAll,
            Step::Finish(copy) => Step::Finish(copy.saturating_sub(1)),
            Step::FlushAll | Step::Done => Step::Done,
            Step::Failed => Step::Failed,
        };
        Ok(())
    }

    /// True when the set is complete and durable.
    pub fn is_complete(&self) -> bool {
        self.step == Step::Done
    }

    fn place(&self) -> Option<SpareBlock> {
        let geometry = &self.superblock.geometry;
        match self.step {
            Step::Begin(copy) | Step::Finish(copy) => Some(geometry.superblock(copy)),
            Step::Table(copy, index) => Some(geometry.table_block(copy, index)),
            _ => None,
        }
    }

    fn encode(&mut self, copy: u8, formatting: bool, block: &mut Block) {
        self.superblock.formatting = formatting;
        self.superblock.seq = if formatting { SEQ_FORMATTING } else { SEQ_FORMATTED };
        self.superblock.encode(copy, block);
    }

    fn table_blocks(&mut self, copy: u8, first: u32, buffer: &mut [u8]) -> Option<IoRequest> {
        let left = self.superblock.geometry.table_blocks().saturating_sub(first);
        let room = u32::try_from(buffer.len() / BLOCK_BYTES).unwrap_or(u32::MAX / SECTORS_PER_BLOCK);
        let count = left.min(room).min(u32::MAX / SECTORS_PER_BLOCK);
        if count == 0 {
            return None;
        }
        let mut room = buffer;
        for index in first..first.saturating_add(count) {
            let (block, rest) = room.split_first_chunk_mut::<BLOCK_BYTES>()?;
            room = rest;
            let empty = |_| Entry::default();
            encode_table_block(&self.superblock.id, index, SEQ_FORMATTING, copy, empty, block);
        }
        self.blocks = count;
        Some(transfer(Op::Write, self.superblock.geometry.table_block(copy, first), count))
    }
}

fn transfer(op: Op, at: SpareBlock, blocks: u32) -> IoRequest {
    let sectors = blocks.saturating_mul(SECTORS_PER_BLOCK);
    IoRequest { device: Device::Spare, op, sector: at.first_sector(), sectors, buffer_sector: 0 }
}

/// Why a region is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBlank {
    /// Something stands in this sector of the region.
    Content {
        /// The first sector that is not zero.
        sector: u64,
    },
    /// This sector of the region could not be read.
    Unreadable {
        /// First sector of the failed read.
        sector: u64,
    },
}

impl fmt::Display for NotBlank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotBlank::Content { sector } => {
                write!(f, "sector {sector} of the region is not zero: something else may be stored there")
            }
            NotBlank::Unreadable { sector } => write!(f, "sector {sector} of the region could not be read"),
        }
    }
}

/// Blocks in the first and in the last MiB.
const EDGE_BLOCKS: u64 = 256;

/// Reads the first and the last MiB of a region and tells whether they are zero.
#[derive(Clone, Debug)]
pub struct BlankCheck {
    region_blocks: u64,
    at: u64,
    blocks: u64,
}

impl BlankCheck {
    /// A check of a region of `region_blocks` blocks.
    pub fn new(region_blocks: u64) -> BlankCheck {
        BlankCheck { region_blocks, at: 0, blocks: 0 }
    }

    /// The next read, into the start of a buffer of `buffer_bytes` bytes. `None` when all was read, or when the buffer
    /// has less than 4096 bytes.
    pub fn next(&mut self, buffer_bytes: usize) -> Option<IoRequest> {
        let room = u64::try_from(buffer_bytes / BLOCK_BYTES).unwrap_or(EDGE_BLOCKS);
        let head = self.region_blocks.min(EDGE_BLOCKS);
        let tail = self.region_blocks.saturating_sub(EDGE_BLOCKS).max(head);
        if self.at >= head && self.at < tail {
            self.at = tail;
        }
        let end = if self.at < head { head } else { self.region_blocks };
        self.blocks = end.saturating_sub(self.at).min(room).min(EDGE_BLOCKS);
        let blocks = u32::try_from(self.blocks).ok().filter(|&n| n > 0)?;
        Some(transfer(Op::Read, SpareBlock(self.at), blocks))
    }

    /// Takes what the last request read, or `None` when it failed.
    pub fn done(&mut self, read: Option<&[u8]>) -> Result<(), NotBlank> {
        let first = SpareBlock(self.at).first_sector();
        let Some(bytes) = read else {
            return Err(NotBlank::Unreadable { sector: first });
        };
        if let Some(byte) = bytes.iter().position(|&b| b != 0) {
            let sector = first.saturating_add(byte as u64 / u64::from(crate::units::SECTOR_BYTES));
            return Err(NotBlank::Content { sector });
        }
        self.at = self.at.saturating_add(self.blocks);
        self.blocks = 0;
        Ok(())
    }
}
