//! The gate that bios hold while they look up and while their I/O is under way (docs/lookup.md).

use std::collections::BTreeMap;

use remap_core::gate::{Lane, Lanes};

/// Who is inside, by ticket, and in which lane.
#[derive(Default)]
pub struct Gate {
    inside: BTreeMap<u64, Lane>,
    next: u64,
}

impl Gate {
    /// Enters; the ticket to leave with.
    pub fn enter(&mut self, lane: Lane) -> u64 {
        self.next += 1;
        self.inside.insert(self.next, lane);
        self.next
    }

    /// Leaves.
    pub fn leave(&mut self, ticket: u64) {
        self.inside.remove(&ticket);
    }

    /// Begins a drain.
    pub fn mark(&self) -> u64 {
        self.next
    }

    /// Whether all that were in these lanes at `mark` have left.
    pub fn drained(&self, mark: u64, lanes: Lanes) -> bool {
        !self.inside.range(..=mark).any(|(_, lane)| lanes.has(lane.number()))
    }
}
