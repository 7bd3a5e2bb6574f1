//! Clocks.

use crate::sys;

/// Nanoseconds since boot, without the time asleep; never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    // SAFETY: reads a clock.
    unsafe { sys::dmr_monotonic_ns() }
}

/// Seconds since 1970, as far as the machine knows.
pub fn real_seconds() -> u64 {
    // SAFETY: reads a clock.
    unsafe { sys::dmr_real_seconds() }
}
