//! The on-disk format, version 1.1, as `docs/format.md` lays it down. Nothing here does I/O.

pub mod choose;
pub mod entry;
pub mod error;
pub mod fingerprint;
pub mod formatter;
pub mod geometry;
mod header;
pub mod samples;
pub mod shape;
pub mod superblock;
pub mod table;
pub mod text;

pub use choose::{ChooseError, Chooser};
pub use entry::{Entry, EntryError, SlotState};
pub use error::BlockError;
pub use fingerprint::FingerprintReader;
pub use formatter::{BlankCheck, FormatFailed, Formatter, NotBlank};
pub use geometry::{Geometry, GeometryError};
pub use header::{SEQ_MAX, VERSION_MAJOR, VERSION_MINOR};
pub use samples::{SampleRange, Samples};
pub use shape::{MainShape, ShapeError};
pub use superblock::Superblock;
pub use table::{encode_table_block, restamp, TableBlock, ENTRIES_PER_BLOCK};
pub use text::{SetId, Text64};

/// A metadata block, or the content of a slot.
pub type Block = [u8; crate::units::BLOCK_BYTES];

/// Most copies of the metadata that a set can have, and the number of areas that every region is cut into.
pub const COPIES_MAX: u8 = 5;
/// Fewest copies of the metadata that a set can be formatted with.
pub const COPIES_MIN: u8 = 2;

/// The bytes that every metadata block begins with.
pub const MAGIC: [u8; 8] = *b"dm-remap";
