//! Bisection on the boundaries of physical blocks: what failed as a whole is tried in ever smaller parts (S2, S5).

use core::num::{NonZeroU32, NonZeroU64};

/// How much of a run of `run` sectors from `at` on is tried at once: whole units, as many as `step_sectors` reaches, and at least to
/// the end of the first. With a step of 0 it is no more than that.
pub(super) fn piece(at: u64, run: u32, step_sectors: u32, unit: NonZeroU32) -> u32 {
    let unit = NonZeroU64::from(unit);
    let first_end = (at / unit + 1) * unit.get();
    let step_end = (at + u64::from(step_sectors)) / unit * unit.get();
    run.min((first_end.max(step_end) - at) as u32)
}

/// Whether the `sectors` (at least 1) sectors from `at` on lie in one unit, so that they cannot be divided any more.
pub(super) fn is_in_one_unit(at: u64, sectors: u32, unit: NonZeroU32) -> bool {
    let unit = NonZeroU64::from(unit);
    at / unit == (at + u64::from(sectors.max(1)) - 1) / unit
}
