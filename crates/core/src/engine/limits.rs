//! Sizes and times that several parts of the engine go by.

/// Most repair contexts that one engine serves.
pub const CONTEXTS_MAX: usize = 8;
/// Groups that one repair window spans at most; a longer bio is repaired window by window. With the two groups beside it a
/// window fills 128 KiB, which a kernel can be expected to have in one piece.
pub const WINDOW_GROUPS: u32 = 30;
/// Sectors of a window.
pub const WINDOW_SECTORS: u32 = WINDOW_GROUPS * 8;
/// Sectors of the largest physical block that is known as one.
pub(in crate::engine) const UNIT_SECTORS_MAX: u32 = 64;
/// Fewest entries of the change list: every context may have a whole window of new slots and retired ones waiting.
pub const CHANGES_MIN: usize = CONTEXTS_MAX * WINDOW_GROUPS as usize * 2;
/// The longest that users of held groups wait for what they have nothing to do with, in milliseconds: a disk can take half a minute over a write
/// that is under way or a sector beside theirs, and who holds a group for something that can be done later lets go of it then.
pub(in crate::engine) const HELD_MS: u64 = 500;
/// Slots that are tried for one group before it is given up: more in a row mean that the spare as a whole fails.
pub(in crate::engine) const SLOT_TRIES: u32 = 4;
