//! Blocks of the slot table.

use super::header::{self, get, put, HEADER_BYTES, KIND_TABLE};
use super::{Block, BlockError, Entry, EntryError, MainShape, SetId};

/// Entries in one block of the slot table.
pub const ENTRIES_PER_BLOCK: usize = (crate::units::BLOCK_BYTES - HEADER_BYTES) / Entry::BYTES;

const _: () = assert!(ENTRIES_PER_BLOCK == 252);
const _: () = assert!(HEADER_BYTES + ENTRIES_PER_BLOCK * Entry::BYTES == crate::units::BLOCK_BYTES);

const fn entry_at(i: usize) -> usize {
    HEADER_BYTES.saturating_add(i.saturating_mul(Entry::BYTES))
}

/// Writes table block `index` of copy `copy` to `out`. `entry(e)` gives entry *e* of the block, 0 to 251: that of slot
/// `252 * index + e`, or the default past the last slot.
pub fn encode_table_block(
    id: &SetId,
    index: u32,
    seq: u64,
    copy: u8,
    mut entry: impl FnMut(usize) -> Entry,
    out: &mut Block,
) {
    header::begin(out, KIND_TABLE, id, u64::from(index), seq, copy);
    for i in 0..ENTRIES_PER_BLOCK {
        put(out, entry_at(i), entry(i).to_bytes());
    }
    header::seal(out);
}

/// Makes an encoded block, table or superblock, the one of another copy: changes the copy number and the checksum.
pub fn restamp(copy: u8, block: &mut Block) {
    header::set_copy(block, copy);
}

/// A table block that was found valid at its place.
#[derive(Clone, Copy, Debug)]
pub struct TableBlock<'a> {
    bytes: &'a Block,
    seq: u64,
}

impl TableBlock<'_> {
    /// Checks that `bytes` is block `index` of copy `copy` of the table of set `id`, and every entry in it.
    pub fn parse<'a>(
        bytes: &'a Block,
        id: &SetId,
        index: u32,
        copy: u8,
        shape: &MainShape,
        slot_count: u32,
    ) -> Result<TableBlock<'a>, BlockError> {
        let header = header::check(bytes, KIND_TABLE, u64::from(index), copy)?;
        if header.id != *id {
            return Err(BlockError::OtherSet(header.id));
        }
        let first_slot = u64::from(index).saturating_mul(ENTRIES_PER_BLOCK as u64);
        for i in 0..ENTRIES_PER_BLOCK {
            let raw: [u8; Entry::BYTES] = get(bytes, entry_at(i));
            let past_last = first_slot.saturating_add(i as u64) >= u64::from(slot_count);
            let result = match past_last {
                true if raw != [0; Entry::BYTES] => Err(EntryError::PastLastSlot),
                true => Ok(()),
                false => Entry::from_bytes(&raw, shape).map(|_| ()),
            };
            result.map_err(|why| BlockError::Entry { index: i as u16, why })?;
        }
        Ok(TableBlock { bytes, seq: header.seq })
    }

    /// Sequence of the commit that wrote the block.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Entry `i` of the block, 0 to 251; a free one beyond.
    pub fn entry(&self, i: usize) -> Entry {
        Entry::unpack(&get(self.bytes, entry_at(i)))
    }
}
