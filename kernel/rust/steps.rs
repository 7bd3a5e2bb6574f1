//! Counts the steps of the machines, for those that wait for another context's.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::bind::sync::WaitQueue;
use crate::bind::Result;

/// How many steps there were.
pub struct Steps {
    count: AtomicU64,
    stepped: WaitQueue,
}

impl Steps {
    /// None yet; sleeps.
    pub fn new() -> Result<Steps> {
        Ok(Steps { count: AtomicU64::new(0), stepped: WaitQueue::new()? })
    }

    /// How many there were; see [`Steps::wait_after`].
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Sleeps until a step is made after the count was `seen`.
    pub fn wait_after(&self, seen: u64) {
        self.stepped.wait_idle(|| self.count() != seen);
    }

    /// A step was made: wakes those that wait.
    pub fn made(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.stepped.wake();
    }
}
