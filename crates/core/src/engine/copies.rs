//! Which copies hold a whole and current instance of each table block.

use super::rounds::nth_copy;
use super::Engine;

/// In the state of a block: what the copies hold is not what is in memory, so that it has to be written again. While a set is
/// loaded, the low bits hold the sequence of the block; afterwards nothing asks for that.
pub(super) const STALE: u64 = 1;
const COPIES_SHIFT: u32 = 56;

impl Engine<'_> {
    fn change_copies(&mut self, batch: &[u32], change: impl Fn(u8) -> u8, stale: bool) {
        for index in batch {
            if let Some(state) = self.blocks.get_mut(*index as usize) {
                let copies = change((*state >> COPIES_SHIFT) as u8);
                let stale = if stale { STALE } else { *state & STALE };
                *state = u64::from(copies) << COPIES_SHIFT | stale;
            }
        }
    }

    /// A write to these copies failed and may have left anything there.
    pub(super) fn spoilt_on(&mut self, batch: &[u32], copies: u8) {
        self.change_copies(batch, |whole| whole & !copies, false);
    }

    /// Blocks of the batch are whole on exactly these copies.
    pub(super) fn written_on(&mut self, batch: &[u32], copies: u8) {
        self.change_copies(batch, |_| copies, false);
    }

    /// What is in memory is on every in-sync copy.
    pub(super) fn settled(&mut self, batch: &[u32]) {
        for index in batch {
            if let Some(state) = self.blocks.get_mut(*index as usize) {
                *state &= !STALE;
            }
        }
    }

    /// What is in memory is not what the copies hold, or may hold.
    pub(super) fn stale(&mut self, batch: &[u32]) {
        self.change_copies(batch, |whole| whole, true);
    }

    /// Whether every table block has a whole instance on one of these copies.
    pub(super) fn whole_on(&self, copies: u8) -> bool {
        self.blocks.iter().all(|state| (state >> COPIES_SHIFT) as u8 & copies != 0)
    }

    /// The copy that the blocks of a batch may be written to first: every one of them is whole on another in-sync copy.
    pub(super) fn first_copy(&self, batch: &[u32]) -> Option<u8> {
        let in_sync = self.superblock.in_sync;
        let suits = |copy: &u8| {
            let others = in_sync & !(1 << copy);
            let whole =
                |index: &u32| self.blocks.get(*index as usize).map_or(0, |s| (s >> COPIES_SHIFT) as u8);
            batch.iter().all(|index| whole(index) & others != 0)
        };
        (0..in_sync.count_ones() as usize).filter_map(|nth| nth_copy(in_sync, nth)).find(suits)
    }

    /// Whether the next activation has table blocks to rewrite before the first I/O: a copy in sync lacks the instance that
    /// counts, or two slots claimed a group. Until then another reading may find another instance to count. Right after
    /// loading.
    pub fn copies_differ(&self) -> bool {
        self.unequal_blocks(&mut [0]) > 0
    }

    /// Finds table blocks that some in-sync copy lacks; returns how many were put into `out`. The last copy is left as it is:
    /// a torn write there would leave no instance at all.
    pub(super) fn unequal_blocks(&self, out: &mut [u32]) -> usize {
        let in_sync = self.superblock.in_sync;
        if in_sync.count_ones() < 2 {
            return 0;
        }
        let lacking = |state: u64| (state >> COPIES_SHIFT) as u8 & in_sync != in_sync || state & STALE != 0;
        let unequal = self.blocks.iter().enumerate().filter(|(_, state)| lacking(**state));
        let mut len = 0;
        for (place, (index, _)) in out.iter_mut().zip(unequal) {
            *place = index as u32;
            len += 1;
        }
        len
    }
}
