//! Which copies hold a whole and current instance of each table block.

use super::block_state::BlockState;
use crate::engine::set::Engine;
use crate::format::superblock::all_copies;
use crate::format::COPIES_MAX;

/// The `nth` copy of a mask, from the lowest.
pub(super) fn nth_copy(mask: u8, nth: usize) -> Option<u8> {
    (0..COPIES_MAX).filter(|c| mask & (1 << c) != 0).nth(nth)
}

impl Engine<'_> {
    fn change_states(&mut self, batch: &[u32], change: impl Fn(BlockState) -> BlockState) {
        for index in batch {
            if let Some(word) = self.blocks.get_mut(*index as usize) {
                *word = change(BlockState::from_word(*word)).to_word();
            }
        }
    }

    /// What is known of a table block; `None` if there is no such block.
    pub(in crate::engine) fn block_state(&self, index: u32) -> Option<BlockState> {
        self.blocks.get(index as usize).map(|word| BlockState::from_word(*word))
    }

    fn block_states(&self) -> impl Iterator<Item = BlockState> + Clone + '_ {
        self.blocks.iter().map(|word| BlockState::from_word(*word))
    }

    /// A write to these copies failed and may have left anything there.
    pub(in crate::engine) fn spoilt_on(&mut self, batch: &[u32], copies: u8) {
        self.change_states(batch, |state| state.with_copies(state.copies() & !copies));
    }

    /// Blocks of the batch are whole on exactly these copies, with this sequence.
    pub(in crate::engine) fn written_on(&mut self, batch: &[u32], copies: u8, seq: u64) {
        self.change_states(batch, |state| state.with_copies(copies).with_seq(seq));
    }

    /// Blocks of the batch are whole on these copies as well.
    pub(in crate::engine) fn now_on(&mut self, batch: &[u32], copies: u8) {
        self.change_states(batch, |state| state.with_copies(state.copies() | copies));
    }

    /// What is in memory is on every in-sync copy.
    pub(in crate::engine) fn settled(&mut self, batch: &[u32]) {
        self.change_states(batch, |state| state.with_stale(false));
    }

    /// What is in memory is not what the copies hold, or may hold.
    pub(in crate::engine) fn stale(&mut self, batch: &[u32]) {
        self.change_states(batch, |state| state.with_stale(true));
    }

    /// Nothing that this copy holds is relied on.
    pub(in crate::engine) fn forget(&mut self, copy: u8) {
        for word in self.blocks.iter_mut() {
            let state = BlockState::from_word(*word);
            *word = state.with_copies(state.copies() & !(1 << copy)).to_word();
        }
    }

    /// The sequence of a block on the copies in sync; `None` when they are still to be made equal.
    pub(in crate::engine) fn block_seq(&self, index: u32) -> Option<u64> {
        self.block_state(index).filter(|state| !state.is_stale()).map(BlockState::seq)
    }

    /// Whether a block of the batch is still to be made equal.
    pub(in crate::engine) fn any_stale(&self, batch: &[u32]) -> bool {
        batch.iter().any(|index| self.block_seq(*index).is_none())
    }

    /// Finds table blocks that a copy lacks, from `cursor` on and round to where it began, and leaves it behind the last; returns
    /// how many were put into `out`.
    pub(in crate::engine) fn lacked_by(&self, copy: u8, cursor: &mut u32, out: &mut [u32]) -> usize {
        let numbered = || self.block_states().enumerate();
        let from = *cursor as usize;
        let mut len = 0;
        let lacking = |(_, state): &(usize, BlockState)| state.copies() & (1 << copy) == 0;
        let round = numbered().skip(from).chain(numbered().take(from)).filter(lacking);
        for (place, (index, _)) in out.iter_mut().zip(round) {
            *place = index as u32;
            *cursor = index as u32 + 1;
            len += 1;
        }
        len
    }

    /// Whether every table block has a whole instance on one of these copies.
    pub(in crate::engine) fn whole_on(&self, copies: u8) -> bool {
        self.block_states().all(|state| state.copies() & copies != 0)
    }

    /// The copy that the blocks of a batch may be written to first: every one of them is whole on another in-sync copy.
    pub(in crate::engine) fn first_copy(&self, batch: &[u32]) -> Option<u8> {
        let in_sync = self.superblock.in_sync;
        let suits = |copy: &u8| {
            let others = in_sync & !(1 << copy);
            let copies = |index: &u32| self.block_state(*index).map_or(0, BlockState::copies);
            batch.iter().all(|index| copies(index) & others != 0)
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
    pub(in crate::engine) fn unequal_blocks(&self, out: &mut [u32]) -> usize {
        let in_sync = self.superblock.in_sync;
        if in_sync.count_ones() < 2 {
            return 0;
        }
        let lacking = |state: &BlockState| state.copies() & in_sync != in_sync || state.is_stale();
        let unequal = self.block_states().enumerate().filter(|(_, state)| lacking(state));
        let mut len = 0;
        for (place, (index, _)) in out.iter_mut().zip(unequal) {
            *place = index as u32;
            len += 1;
        }
        len
    }

    /// The copies that are not in sync.
    pub(super) fn evicted(&self) -> u8 {
        all_copies(self.superblock.copy_count) & !self.superblock.in_sync
    }

    /// Whether a copy is evicted that may be brought back.
    pub(super) fn has_evicted(&self) -> bool {
        self.evicted() != 0 && self.fail_reason.is_none() && !self.superblock.ro_compat_unknown
    }
}
