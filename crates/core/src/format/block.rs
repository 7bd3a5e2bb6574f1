//! What all metadata blocks have in common.

/// A metadata block, or the content of a slot.
pub type Block = [u8; crate::units::BLOCK_BYTES];

/// Most copies of the metadata that a set can have, and the number of areas that every region is cut into.
pub const COPIES_MAX: u8 = 5;
/// Fewest copies of the metadata that a set can be formatted with.
pub const COPIES_MIN: u8 = 2;

/// The bytes that every metadata block begins with.
pub const MAGIC: [u8; 8] = *b"dm-remap";
