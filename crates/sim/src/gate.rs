//! The gate that bios hold while they look up and while their I/O is under way (docs/lookup.md).

use std::collections::BTreeMap;

use remap_core::gate::{Lane, Lanes};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::units::Sector;

use crate::repairs::{Running, Work};
use crate::session::{Flight, Owner, Session};
use crate::world::Failure;

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

impl Session<'_, '_> {
    /// What is held is read and written by who holds it alone: whatever users had to change there has ended (S9, S14). Only a
    /// relocation reads what it does not hold, to see what can be read at all.
    pub fn check_alone(&self, running: &Running, request: &IoRequest) -> Result<(), Failure> {
        // An order reads first while users go on, in groups that others may hold.
        let surveys = matches!(running.work, Work::Order(_)) && request.op == Op::Read;
        if request.device != Device::Main || surveys {
            return Ok(());
        }
        let held = |s: &u64| self.table.record_of(Sector(*s).group()).is_some_and(|(_, r)| r.is_held());
        for sector in (request.sector..request.sector + u64::from(request.sectors)).filter(held) {
            let changes = |f: &Flight| {
                let of_user = matches!(f.owner, Owner::Piece(..) | Owner::Discard(..));
                let range = f.sector..f.sector + f.data.len() as u64 / 512;
                of_user && f.device == Device::Main && f.op != Op::Read && range.contains(&sector)
            };
            if self.flights.iter().any(changes) {
                return Err(self.world.failure(Some(sector), "it is held, and a user changes it meanwhile"));
            }
        }
        Ok(())
    }
}
