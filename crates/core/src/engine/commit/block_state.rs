//! What is known of one table block on the spare.

use crate::format::{COPIES_MAX, SEQ_MAX};

/// The sequence of a block on those copies that hold it whole, the mask of these copies, and whether it is stale: what the copies hold is not
/// what is in memory, so that it has to be written again. One word: [`crate::engine::Storage::blocks`] has one for each table block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct BlockState(u64);

const COPIES_SHIFT: u32 = SEQ_MAX.count_ones();
const COPIES_MASK: u64 = ((1 << COPIES_MAX) - 1) << COPIES_SHIFT;
const STALE: u64 = 1 << 63;

const _: () = assert!(SEQ_MAX & COPIES_MASK == 0 && COPIES_MASK & STALE == 0);

impl BlockState {
    /// Whole on these copies, with this sequence.
    pub(in crate::engine) const fn new(seq: u64, copies: u8) -> BlockState {
        BlockState(seq & SEQ_MAX).with_copies(copies)
    }

    pub(in crate::engine) const fn from_word(word: u64) -> BlockState {
        BlockState(word)
    }

    pub(in crate::engine) const fn to_word(self) -> u64 {
        self.0
    }

    /// Whether no copy was ever found to hold it.
    pub(in crate::engine) const fn is_missing(self) -> bool {
        self.0 == 0
    }

    pub(in crate::engine) const fn seq(self) -> u64 {
        self.0 & SEQ_MAX
    }

    /// The copies that hold it whole.
    pub(in crate::engine) const fn copies(self) -> u8 {
        ((self.0 & COPIES_MASK) >> COPIES_SHIFT) as u8
    }

    pub(in crate::engine) const fn is_stale(self) -> bool {
        self.0 & STALE != 0
    }

    pub(in crate::engine) const fn with_seq(self, seq: u64) -> BlockState {
        BlockState(self.0 & !SEQ_MAX | seq & SEQ_MAX)
    }

    pub(in crate::engine) const fn with_copies(self, copies: u8) -> BlockState {
        BlockState(self.0 & !COPIES_MASK | (copies as u64) << COPIES_SHIFT & COPIES_MASK)
    }

    pub(in crate::engine) const fn with_stale(self, stale: bool) -> BlockState {
        BlockState(if stale { self.0 | STALE } else { self.0 & !STALE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_state_do_not_touch() {
        let all = (1 << COPIES_MAX) - 1;
        let state = BlockState::new(SEQ_MAX, 0).with_stale(true);
        assert_eq!((state.seq(), state.copies(), state.is_stale()), (SEQ_MAX, 0, true));
        let state = state.with_copies(all).with_seq(1).with_stale(false);
        assert_eq!((state.seq(), state.copies(), state.is_stale()), (1, all, false));
        assert_eq!(BlockState::from_word(state.to_word()), state);
        assert!(BlockState::from_word(0).is_missing() && !BlockState::new(1, 0).is_missing());
    }
}
