//! What must stand in the metadata on the spare, seen from behind (S6, S12, S19).

use remap_core::engine::{Engine, Notice};
use remap_core::format::{
    encode_table_block, Block, Entry, Superblock, TableBlock, COPIES_MAX, ENTRIES_PER_BLOCK,
};
use remap_core::units::Slot;

use crate::world::{Failure, World};

/// The slot whose entry has changed, if that is what happened.
pub fn slot_changed(notice: &Notice) -> Option<Slot> {
    match notice {
        Notice::Remapped { slot, .. } | Notice::Released { slot, .. } | Notice::Retired(slot) => Some(*slot),
        _ => None,
    }
}

impl World {
    /// A change of the map is visible: every copy in sync has it already, where no loss of power takes it away (S6, S12).
    pub fn changes_are_durable(&mut self, engine: &Engine<'_>, slots: &[Slot]) -> Result<(), Failure> {
        let sb = engine.superblock();
        let per_block = ENTRIES_PER_BLOCK as u32;
        let mut blocks: Vec<u32> = slots.iter().map(|s| s.0 / per_block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        for (copy, index) in copies(sb.in_sync).flat_map(|c| blocks.iter().map(move |b| (c, *b))) {
            let bytes = self.block_at(sb.geometry.table_block(copy, index).0);
            let parsed = TableBlock::parse(&bytes, &sb.id, index, copy, &sb.main, sb.geometry.slot_count());
            for slot in slots.iter().filter(|s| s.0 / per_block == index) {
                let durable = parsed.as_ref().ok().map(|block| block.entry((slot.0 % per_block) as usize));
                if durable != Some(engine.entry(*slot)) {
                    let what = format!("copy {copy} does not have the entry of {slot:?} that is visible");
                    return Err(self.failure(None, what));
                }
            }
        }
        Ok(())
    }

    /// A block of the spare as it is after a loss of power.
    fn block_at(&mut self, block: u64) -> Block {
        let at = block as usize * 4096;
        let mut bytes: Block = [0; 4096];
        bytes.copy_from_slice(&self.spare.durable_mut()[at..at + 4096]);
        bytes
    }

    /// A copy that does not count says that its old content is the newest, as it may if another machine had it meanwhile.
    pub fn renew_evicted(&mut self, sb: &Superblock) {
        for copy in copies(!sb.in_sync).filter(|c| *c < sb.copy_count) {
            for index in 0..sb.geometry.table_blocks() {
                let place = sb.geometry.table_block(copy, index);
                let bytes = self.block_at(place.0);
                let slots = sb.geometry.slot_count();
                let Ok(old) = TableBlock::parse(&bytes, &sb.id, index, copy, &sb.main, slots) else {
                    continue;
                };
                let entries: Vec<Entry> = (0..ENTRIES_PER_BLOCK).map(|i| old.entry(i)).collect();
                let mut block: Block = [0; 4096];
                let seq = old.seq() + (1 << 30);
                encode_table_block(&sb.id, index, seq, copy, |i| entries[i], &mut block);
                self.spare.replace(place.first_sector(), &block);
            }
            self.note(0, 0, format!("copy {copy}, which is evicted, says that it is the newest"));
            self.stats.renewed_copies += 1;
        }
    }
}

fn copies(mask: u8) -> impl Iterator<Item = u8> {
    (0..COPIES_MAX).filter(move |c| mask & (1 << c) != 0)
}
