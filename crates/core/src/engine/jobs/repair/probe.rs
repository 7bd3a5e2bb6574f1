//! How far asking main has come.

use crate::extent::Range;
use crate::gate::Lanes;
use crate::units::Group;

/// Where a probe stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probe {
    /// The group that failed and for which main is asked.
    pub(super) of: Option<Group>,
    pub(super) nth: u32,
    pub(super) write_failures: u8,
    pub(super) attempts: u32,
    pub(super) until_ms: u64,
    /// That by which main is asked.
    pub(super) block: Range,
    /// Candidates that need not be asked again, by their number.
    pub(super) answered: u32,
    /// Where writes were under way for longer than users of the group could wait.
    pub(super) busy: Lanes,
    /// When it was let go for those.
    pub(super) made_way_ms: u64,
}
