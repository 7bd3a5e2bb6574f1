//! Evidence that main accepts writes (S14): when a write on it last succeeded, and where.
//!
//! Every write that succeeds on main calls [`Evidence::written`], so that is made of one comparison of a tick of the host; only the first of a
//! tick stores anything. What follows from the evidence is the engine's, which a host tells of it before every step of a machine.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;
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

/// The last success, shared by all who see writes end.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Tick of the host in which `last` was stored.
    tick: AtomicU64,
    last: AtomicU64,
}

impl Evidence {
    /// No write has succeeded yet.
    pub const fn new() -> Evidence {
        Evidence { tick: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    /// A write on main from `first` on has succeeded. `tick` is any number that changes every few milliseconds; `now_ms` is asked only then.
    /// Whether it is news. In any context.
    #[inline]
    pub fn written(&self, tick: u64, first: Sector, now_ms: impl FnOnce() -> u64) -> bool {
        if self.tick.load(Ordering::Relaxed) == tick {
            return false;
        }
        // Two that come at once both store; either is as good.
        self.tick.store(tick, Ordering::Relaxed);
        self.last.store(Success::new(first, now_ms()).0, Ordering::Relaxed);
        true
    }

    /// Tells the engine what is known, which may let it take up remapping again (S16). A host calls it before each step of a machine, and
    /// soon after [`Evidence::written`] brought news or a write failed while [`crate::path::Access::breaker_is_open`].
    pub fn tell(&self, engine: &mut Engine<'_>, now_ms: u64) {
        engine.main_took(Success(self.last.load(Ordering::Relaxed)));
        engine.recover(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_one_success_in_a_tick_is_stored() {
        let evidence = Evidence::new();
        assert!(evidence.written(1, Sector(8), || 10));
        assert!(!evidence.written(1, Sector(16), || panic!("the clock is asked once a tick")));
        assert_eq!(evidence.last.load(Ordering::Relaxed), Success::new(Sector(8), 10).0);
        assert!(evidence.written(2, Sector(16), || 14));
        assert_eq!(evidence.last.load(Ordering::Relaxed), Success::new(Sector(16), 14).0);
    }

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
