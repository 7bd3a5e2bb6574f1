//! Clocks.

use crate::sys;

/// Nanoseconds since boot, without the time asleep; never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { sys::dmr_monotonic_ns() }
}

/// The same in milliseconds.
pub fn monotonic_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

/// A number that goes up by one every few milliseconds.
#[inline]
pub fn tick() -> u64 {
    // SAFETY: an aligned integer that the timer interrupt stores as a whole; volatile, since it changes behind our back.
    unsafe { (&raw const sys::jiffies).read_volatile() }
}
