//! Why a health block is dropped.

use crate::format::BlockError;
use core::fmt;

/// Why a block, or one instance of it, was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It could not be read.
    Unreadable,
    /// Nothing of ours stands there.
    NotOurs,
    /// The checksum does not match the content.
    Checksum,
    /// A version that this code does not know.
    Version(u16),
    /// A block of another set.
    OtherSet,
    /// A block about another main.
    OtherMain,
    /// A block that belongs elsewhere.
    Misplaced,
    /// The named field has a value that cannot be.
    Value(&'static str),
}

impl Why {
    pub(super) const fn of(error: &BlockError) -> Why {
        match error {
            BlockError::NotOurs => Why::NotOurs,
            BlockError::Checksum => Why::Checksum,
            BlockError::Version(version) => Why::Version(*version),
            BlockError::OtherSet(_) => Why::OtherSet,
            BlockError::Kind(_) | BlockError::Index(_) | BlockError::Copy(_) => Why::Misplaced,
            BlockError::Field(name) => Why::Value(name),
            BlockError::Entry { .. } | BlockError::Feature(_) => Why::Value("entry"),
        }
    }

    /// Places that were never written for this set hold anything.
    pub(super) const fn is_expected_of_a_new_set(self) -> bool {
        matches!(self, Why::NotOurs | Why::OtherSet)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unreadable => f.write_str("it cannot be read"),
            Why::NotOurs => f.write_str("not a block of dm-remap"),
            Why::Checksum => f.write_str("the checksum does not match"),
            Why::Version(v) => write!(f, "version {v} is not known"),
            Why::OtherSet => f.write_str("a block of another set"),
            Why::OtherMain => f.write_str("a block about another main"),
            Why::Misplaced => f.write_str("a block that belongs elsewhere"),
            Why::Value(name) => write!(f, "a value that cannot be ({name})"),
        }
    }
}
