//! The on-disk format, version 1.1, as `docs/format.md` lays it down. Nothing here does I/O.

mod block;
pub mod choose;
pub mod entry;
pub mod error;
pub mod fingerprint;
pub mod formatter;
pub mod geometry;
pub(crate) mod header;
pub mod samples;
pub mod shape;
pub mod superblock;
pub mod table;
pub mod text;

pub use block::{Block, COPIES_MAX, COPIES_MIN, MAGIC};
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
