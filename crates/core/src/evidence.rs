//! Evidence that main accepts writes (S14): when a write on it last succeeded, and where.
//!
//! Every write that succeeds on main calls [`Evidence::written`], so that is made of one comparison of a tick of the host; only the first of a
//! tick stores anything. What follows from the evidence is the engine's, which a host tells of it before every step of a machine.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;
use crate::units::Sector;

pub use crate::engine::Success;

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
        self.last.store(Success::new(first, now_ms()).to_bits(), Ordering::Relaxed);
        true
    }

    /// Tells the engine what is known, which may let it take up remapping again (S16). A host calls it before each step of a machine, and
    /// soon after [`Evidence::written`] brought news or a write failed while [`crate::path::Access::breaker_is_open`].
    pub fn tell(&self, engine: &mut Engine<'_>, now_ms: u64) {
        engine.main_took(Success::from_bits(self.last.load(Ordering::Relaxed)));
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
        assert_eq!(evidence.last.load(Ordering::Relaxed), Success::new(Sector(8), 10).to_bits());
        assert!(evidence.written(2, Sector(16), || 14));
        assert_eq!(evidence.last.load(Ordering::Relaxed), Success::new(Sector(16), 14).to_bits());
    }
}
