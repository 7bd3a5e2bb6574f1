//! What the engine remembers of each repair context.

use crate::units::Group;

/// What one repair context is doing, as the engine sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// First and last group of the window that the context works on.
    pub(in crate::engine) claim: Option<(Group, Group)>,
    /// Groups that it waits for, to store a write: reads make way.
    pub(in crate::engine) wish: Option<(Group, Group)>,
    /// The first group of a physical block besides, by which main is asked whether it takes writes.
    pub(in crate::engine) probe: Option<Group>,
    /// Changes queued and not yet durable.
    pub(in crate::engine) outstanding: u32,
    /// One of the changes could not be made durable.
    pub(in crate::engine) failed: bool,
    /// It goes on when the list of changes has room again.
    pub(in crate::engine) awaits_room: bool,
    /// An administrator ordered what it does.
    pub(in crate::engine) ordered: bool,
    /// Groups of the physical block by which main is asked.
    pub(in crate::engine) probe_groups: u8,
}
