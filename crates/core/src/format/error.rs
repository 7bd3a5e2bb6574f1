//! Why a block is not valid at its place.

use super::{EntryError, SetId};
use core::fmt;

/// Why a block is not valid at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The block does not begin with our magic.
    NotOurs,
    /// The checksum does not match the content.
    Checksum,
    /// A major version that this code does not know.
    Version(u16),
    /// A block of another kind.
    Kind(u32),
    /// A block of another set.
    OtherSet(SetId),
    /// A block of another index: a write that went to the wrong place.
    Index(u64),
    /// A block of another copy: a write that went to the wrong place.
    Copy(u32),
    /// Entry `index` of a table block breaks a rule.
    Entry {
        /// Number of the entry in its block.
        index: u16,
        /// The rule.
        why: EntryError,
    },
    /// The named field has a value that the format does not allow.
    Field(&'static str),
    /// Incompatible features that this code does not know, as bits.
    Feature(u32),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::NotOurs => f.write_str("not a block of dm-remap"),
            BlockError::Checksum => f.write_str("the checksum does not match"),
            BlockError::Version(v) => write!(f, "format version {v} is newer than this software"),
            BlockError::Kind(k) => write!(f, "a block of another kind ({k}) stands here"),
            BlockError::OtherSet(id) => write!(f, "a block of another set ({id}) stands here"),
            BlockError::Index(i) => write!(f, "block number {i} stands here: a misdirected write"),
            BlockError::Copy(c) => write!(f, "a block of copy {c} stands here: a misdirected write"),
            BlockError::Entry { index, why } => write!(f, "entry {index}: {why}"),
            BlockError::Field(name) => write!(f, "field {name} has a value that is not allowed"),
            BlockError::Feature(bits) => write!(f, "unknown incompatible features ({bits:#x})"),
        }
    }
}
