//! A success of main, small enough for one word: when a write on it ended, and where (S14).

use crate::units::Sector;

/// A write that succeeded on main: its time in milliseconds, from 1, in the upper 40 bits, and what its first sector looks like in 24 bits: with
/// fewer, one of some thousand failing writes would have main asked, and another group wait, for a sector that only looks like its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success(u64);

const PLACE_BITS: u32 = 24;

/// Well-mixed bits of a sector number, so that time and place fit one word.
const fn place(sector: u64) -> u64 {
    sector.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACE_BITS)
}

impl Success {
    /// None yet.
    pub const NONE: Success = Success(0);

    /// A write from `first` on that ended at `now_ms`.
    pub const fn new(first: Sector, now_ms: u64) -> Success {
        let ms = if now_ms == 0 { 1 } else { now_ms };
        Success(ms << PLACE_BITS | place(first.0))
    }

    /// The word that it is kept in.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the word that [`Success::to_bits`] gave.
    pub const fn from_bits(word: u64) -> Success {
        Success(word)
    }

    /// When it ended, in milliseconds of the host's clock. `None` if there was no such write.
    pub const fn ended_ms(self) -> Option<u64> {
        match self.0 >> PLACE_BITS {
            0 => None,
            ms => Some(ms),
        }
    }

    /// Whether it surely began outside of the sectors from `first` up to and without `end`. Of places that look alike it is not said,
    /// which costs no more than a question to main.
    pub fn is_elsewhere(self, first: u64, end: u64) -> bool {
        (first..end).all(|sector| place(sector) != self.0 & ((1 << PLACE_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_sectors_of_a_disk_hardly_ever_look_alike() {
        let alike =
            |sector: u64| (0..64).any(|n| !Success::new(Sector(n * 8), 1).is_elsewhere(sector, sector + 8));
        assert!((1..20_000).map(|n| n * 4096).filter(|sector| alike(*sector)).count() < 10);
    }

    #[test]
    fn s14_a_success_is_elsewhere_only_outside() {
        let success = Success::new(Sector(1000), 0);
        assert_eq!((success.ended_ms(), Success::NONE.ended_ms()), (Some(1), None));
        assert!(!success.is_elsewhere(1000, 1001) && !success.is_elsewhere(993, 1008));
        assert!(success.is_elsewhere(992, 1000) && success.is_elsewhere(1001, 1064));
    }
}
