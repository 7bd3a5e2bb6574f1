//! What is known of writes that main took.

use std::collections::VecDeque;

/// Writes that succeeded on main, newest last: when, in milliseconds, and their first sector.
#[derive(Default)]
pub struct Successes {
    pub(crate) writes: VecDeque<(u64, u64)>,
    /// Groups that were given slots since the newest.
    pub(crate) placed: u32,
    /// Groups that a repair stored since then because it had spoilt them: that needs no evidence, and uses it up.
    pub(crate) rescued: u32,
}
