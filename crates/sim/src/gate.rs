//! The gate that bios hold while they look up and while their I/O is under way (docs/lookup.md).

use std::collections::BTreeSet;

/// Who is inside, by ticket.
#[derive(Default)]
pub struct Gate {
    inside: BTreeSet<u64>,
    next: u64,
}

impl Gate {
    /// Enters; the ticket to leave with.
    pub fn enter(&mut self) -> u64 {
        self.next += 1;
        self.inside.insert(self.next);
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

    /// Whether all that were inside at `mark` have left.
    pub fn drained(&self, mark: u64) -> bool {
        self.inside.first().is_none_or(|first| *first > mark)
    }
}
