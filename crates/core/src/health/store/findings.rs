//! Blocks that were dropped at loading, and content that is lost with them.

use super::layout::{Content, Layout, ZONES_PER_BLOCK};
use super::why::Why;
use core::fmt;

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
                let first = n.saturating_mul(ZONES_PER_BLOCK);
                let last = first.saturating_add(ZONES_PER_BLOCK).min(layout.zones());
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
