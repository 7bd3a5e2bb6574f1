//! The requests of one round of the commit protocol, and the blocks that they carry.

use super::copies::nth_copy;
use crate::engine::set::Engine;
use crate::format::{encode_table_block, restamp, Block, Superblock, COPIES_MAX, ENTRIES_PER_BLOCK};
use crate::io::{Device, IoRequest, Op};
use crate::units::{Slot, SpareBlock, BLOCK_BYTES, SECTORS_PER_BLOCK};

/// Table blocks that one commit writes at most; more changes wait for the next one.
pub const BATCH_BLOCKS: usize = 6;
/// Bytes of the buffer that a host sets aside for the committer: one block per copy and table block.
pub const COMMIT_BUFFER_BYTES: usize = COPIES_MAX as usize * BATCH_BLOCKS * BLOCK_BYTES;

/// Place in the buffer, in blocks, of what goes to `copy` as the `nth` block of the commit.
const fn section(copy: u8, nth: usize) -> usize {
    copy as usize * BATCH_BLOCKS + nth
}

/// The block in `section` of the buffer; `None` if the host's buffer is too small.
fn block_mut(buffer: &mut [u8], section: usize) -> Option<&mut Block> {
    let from = section.checked_mul(BLOCK_BYTES)?;
    buffer.get_mut(from..from + BLOCK_BYTES)?.try_into().ok()
}

/// Copies the block in section `from` of the buffer to section `to`, which is another; the copy. `None` if the host's buffer is too
/// small. `copy_within` would do, but for some compilers a panic is left in it.
fn copy_block(buffer: &mut [u8], from: usize, to: usize) -> Option<&mut Block> {
    let (head, tail) = buffer.split_at_mut_checked(from.max(to).checked_mul(BLOCK_BYTES)?)?;
    let (low, high) = (block_mut(head, from.min(to))?, block_mut(tail, 0)?);
    let (source, target) = if from < to { (low, high) } else { (high, low) };
    *target = *source;
    Some(target)
}

fn write(at: SpareBlock, section: usize) -> IoRequest {
    IoRequest {
        device: Device::Spare,
        op: Op::WriteFua,
        sector: at.first_sector(),
        sectors: SECTORS_PER_BLOCK,
        buffer_sector: section as u32 * SECTORS_PER_BLOCK,
    }
}

/// The table blocks of one commit, and the copy that they are written to first.
pub(super) struct TableRound {
    pub(super) blocks: [u32; BATCH_BLOCKS],
    pub(super) count: usize,
    pub(super) seq: u64,
    pub(super) primary: u8,
}

impl TableRound {
    pub(super) const fn new() -> TableRound {
        TableRound { blocks: [0; BATCH_BLOCKS], count: 0, seq: 0, primary: 0 }
    }

    pub(super) fn batch(&self) -> &[u32] {
        self.blocks.get(..self.count).unwrap_or(&[])
    }

    /// The copies that round two goes to.
    fn others(&self, engine: &Engine<'_>) -> u8 {
        engine.superblock.in_sync & !(1 << self.primary)
    }

    /// How many requests round two has.
    pub(super) fn others_len(&self, engine: &Engine<'_>) -> usize {
        self.count * self.others(engine).count_ones() as usize
    }

    /// Round one: the `nth` block to the first copy.
    pub(super) fn first_request(
        &self,
        engine: &Engine<'_>,
        buffer: &mut [u8],
        nth: usize,
    ) -> Option<IoRequest> {
        let index = *self.blocks.get(nth).filter(|_| nth < self.count)?;
        let copy = self.primary;
        let out = block_mut(buffer, section(copy, nth))?;
        let first_slot = index.checked_mul(ENTRIES_PER_BLOCK as u32)?;
        let id = &engine.superblock.id;
        encode_table_block(
            id,
            index,
            self.seq,
            copy,
            |i| engine.entry_in_commit(Slot(first_slot + i as u32)),
            out,
        );
        Some(write(engine.geometry().table_block(copy, index), section(copy, nth)))
    }

    /// Round two: every block to every other in-sync copy; with the copy that the request goes to.
    pub(super) fn others_request(
        &self,
        engine: &Engine<'_>,
        buffer: &mut [u8],
        nth: usize,
    ) -> Option<(IoRequest, u8)> {
        let copy = nth_copy(self.others(engine), nth.checked_div(self.count)?)?;
        let nth = nth.checked_rem(self.count)?;
        let index = *self.blocks.get(nth)?;
        restamp(copy, copy_block(buffer, section(self.primary, nth), section(copy, nth))?);
        Some((write(engine.geometry().table_block(copy, index), section(copy, nth)), copy))
    }
}

/// A batch of blocks to a copy that is not in sync, as they are on those that are. `seq` is for blocks that are not equal on these.
pub(super) fn rewrite_request(
    engine: &Engine<'_>,
    buffer: &mut [u8],
    nth: usize,
    index: u32,
    seq: u64,
    copy: u8,
) -> Option<IoRequest> {
    let seq = engine.block_seq(index).unwrap_or(seq);
    let first_slot = index.checked_mul(ENTRIES_PER_BLOCK as u32)?;
    let out = block_mut(buffer, nth)?;
    let id = &engine.superblock.id;
    encode_table_block(id, index, seq, copy, |i| engine.entry(Slot(first_slot + i as u32)), out);
    Some(write(engine.geometry().table_block(copy, index), nth))
}

/// The superblock `proposal` to one copy's place.
pub(super) fn superblock_request(proposal: &Superblock, buffer: &mut [u8], copy: u8) -> Option<IoRequest> {
    proposal.encode(copy, block_mut(buffer, section(copy, 0))?);
    Some(write(proposal.geometry.superblock(copy), section(copy, 0)))
}

#[cfg(test)]
mod tests {
    use super::{copy_block, BLOCK_BYTES};
    use std::vec::Vec;

    #[test]
    fn a_block_is_copied_up_and_down_and_to_no_other_place() {
        let fresh = || (0..4 * BLOCK_BYTES).map(|at| (at / BLOCK_BYTES) as u8).collect::<Vec<u8>>();
        let firsts = |buffer: &[u8]| buffer.chunks(BLOCK_BYTES).map(|block| block[0]).collect::<Vec<u8>>();
        for (from, to, wanted) in [(0, 2, [0, 1, 0, 3]), (3, 1, [0, 3, 2, 3])] {
            let mut buffer = fresh();
            assert!(
                copy_block(&mut buffer, from, to).is_some_and(|block| block[BLOCK_BYTES - 1] == from as u8)
            );
            assert_eq!(firsts(&buffer), wanted);
            assert!(buffer.chunks(BLOCK_BYTES).all(|block| block.iter().all(|byte| *byte == block[0])));
        }
        for (from, to) in [(0, 4), (4, 0), (usize::MAX, 0)] {
            assert!(copy_block(&mut fresh(), from, to).is_none());
        }
    }
}
