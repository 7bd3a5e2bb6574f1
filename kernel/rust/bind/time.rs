//! Clocks.

use crate::sys;

/// Nanoseconds since boot, without the time asleep; never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { sys::dmr_monotonic_ns() }
}
