//! How far the reading of one physical block has come that failed as a whole.

use super::source::Source;
use crate::error::ErrorKind;
use crate::pending::low_bits;
use crate::units::Sector;

/// The physical block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) first: Sector,
    pub(super) sectors: u32,
    pub(super) source: Source,
    /// Sectors that have not been read, and of these, the ones that failed alone since the part was begun.
    pub(super) missing: u64,
    pub(super) failed: u64,
    /// Round 0 is the first in which blocks are read alone, the others are retries; where in the round; and the last round.
    pub(super) round: u32,
    pub(super) at: u32,
    pub(super) last_round: u32,
    pub(super) error: ErrorKind,
}

impl Part {
    pub(super) fn reading_at(&self) -> Sector {
        Sector(self.first.0 + u64::from(self.at))
    }

    /// The next sectors to be read: from where, and how many. Moves on to the next round by itself.
    pub(super) fn next(&mut self, block: u32) -> Option<u32> {
        while self.missing != 0 && self.round <= self.last_round {
            let ahead = self.missing & !low_bits(self.at);
            if ahead == 0 {
                self.round += 1;
                self.at = 0;
                continue;
            }
            self.at = ahead.trailing_zeros();
            let run = (ahead >> self.at).trailing_ones();
            let alone = self.round == 0 || self.round == self.last_round;
            return Some(if alone { run.min(block) } else { run });
        }
        None
    }

    pub(super) fn bits(&self, sectors: u32) -> u64 {
        low_bits(self.at.saturating_add(sectors)) & !low_bits(self.at)
    }
}
