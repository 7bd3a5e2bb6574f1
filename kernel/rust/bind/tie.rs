//! What a target gives out and dm core takes back: nothing of it may be used when the target's destructor has ended.

use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};

use super::arc::KArc;
use super::sync::WaitQueue;
use super::Result;

struct Count {
    left: AtomicU32,
    none_left: WaitQueue,
}

/// Counts the ties of one target.
pub(super) struct Ties {
    count: KArc<Count>,
}

impl Ties {
    /// No tie yet; sleeps.
    pub(super) fn new() -> Result<Ties> {
        let count = Count { left: AtomicU32::new(0), none_left: WaitQueue::new()? };
        Ok(Ties { count: KArc::new(count)? })
    }

    /// Makes one.
    pub(super) fn tie(&self) -> Tie {
        self.count.left.fetch_add(1, Ordering::Relaxed);
        Tie { count: self.count.clone() }
    }
}

impl Drop for Ties {
    /// Waits for the last tie. What has one is part of the target, so there is none left; if there is, this hangs, and the kernel tells of it,
    /// where going on would free what is in use.
    fn drop(&mut self) {
        self.count.none_left.wait(|| self.count.left.load(Ordering::Acquire) == 0);
    }
}

/// The target stays as long as this does.
pub(super) struct Tie {
    count: KArc<Count>,
}

impl Drop for Tie {
    fn drop(&mut self) {
        if self.count.left.fetch_sub(1, Ordering::Release) == 1 {
            self.count.none_left.wake();
        }
    }
}

/// A target between construction and destruction. The value is dropped first, the ties behind it.
pub(super) struct Tied<T> {
    value: T,
    _ties: Ties,
}

impl<T> Tied<T> {
    /// The value whose parts have these ties.
    pub(super) fn new(value: T, ties: Ties) -> Tied<T> {
        Tied { value, _ties: ties }
    }
}

impl<T> Deref for Tied<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}
