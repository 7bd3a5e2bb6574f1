//! Blocks that were dropped at loading, and content that is lost with them.

use super::{Content, Layout};
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

/// The content of a block, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Settings and place of the scan, counters, sums, evidence, acknowledgements, risk.
    Head,
    /// The weekly points.
    Points,
    /// Latencies.
    Zones {
        /// Number of the first zone.
        first: usize,
        /// Number of the last one.
        last: usize,
    },
    /// Places with evidence.
    Spots {
        /// Number of the first block of spots that this is about, from 0.
        block: usize,
        /// Number of these blocks.
        of: usize,
    },
}

impl What {
    pub(super) fn of(layout: &Layout, block: usize) -> What {
        match layout.content(block) {
            Content::Head => What::Head,
            Content::Points => What::Points,
            Content::Zones(n) => {
                let first = n.saturating_mul(super::ZONES_PER_BLOCK);
                let last = first.saturating_add(super::ZONES_PER_BLOCK).min(layout.zones());
                What::Zones { first, last: last.saturating_sub(1) }
            }
            Content::Spots(block) => What::Spots { block, of: layout.spot_blocks },
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Head => {
                f.write_str("settings and place of the scan, counters, evidence, acknowledgements, risk")
            }
            What::Points => f.write_str("the weekly points"),
            What::Zones { first, last } => write!(f, "latencies of zones {first} to {last}"),
            What::Spots { block, of } => {
                write!(f, "part {} of {of} of the places with evidence", block.saturating_add(1))
            }
        }
    }
}

/// One block of which an instance was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its content.
    pub what: What,
    /// The copy of the instance.
    pub copy: u8,
    /// Why it was dropped.
    pub why: Why,
    /// No other instance of the block is valid: the content is lost.
    pub lost: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { what, copy, why, lost } = self;
        match lost {
            true => write!(f, "health lost: {what} (copy {copy}: {why})"),
            false => write!(f, "health block dropped: {what} (copy {copy}: {why}); another one counts"),
        }
    }
}
