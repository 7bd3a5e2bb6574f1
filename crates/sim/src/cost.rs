//! What failed writes of ours cost that they did not carry (S32).

use remap_core::engine::machine::Machine;
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::units::Sector;

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::context::{Running, Work};
use crate::under_way::flight::{Flight, Owner};
use crate::world::Failure;

impl Session<'_, '_> {
    fn lives_on_main(&self, sector: u64) -> bool {
        let record = self.table.record_of(Sector(sector).group());
        record.is_none_or(|(_, record)| record.mask() & (1 << Sector(sector).in_group()) == 0)
    }

    /// A request has taken place. What a user's own write costs is between the user and the disk.
    pub(crate) fn note_cost(&mut self, flight: &Flight) {
        let cost = std::mem::take(&mut self.world.main.cost);
        let Owner::Repair(context) = flight.owner else { return };
        if self.writes_first(context) {
            return;
        }
        for sector in cost {
            if self.lives_on_main(sector) {
                self.world.note(sector, 1, format!("a write of context {context} costs it"));
                self.world.stats.cost += 1;
                self.cost.push((sector, context));
            }
        }
    }

    /// The bio of a machine fails: what was written of it before is not relied on.
    pub(crate) fn forget_cost(&mut self, work: Work, verdict: Result<(), ErrorKind>) {
        if let (Work::Bio(piece), Err(_)) = (work, verdict) {
            let range = piece.first..piece.first + u64::from(piece.sectors);
            self.cost.retain(|(sector, _)| !range.contains(sector));
        }
    }

    /// A machine that has ended leaves nothing on main that a write of its own made unreadable.
    pub(crate) fn check_cost(&mut self) -> Result<(), Failure> {
        for (sector, context) in std::mem::take(&mut self.cost) {
            let held = matches!(self.table.find(Sector(sector), 1), Run::Held { .. });
            if self.is_running(context) || held {
                self.cost.push((sector, context));
            } else if self.lives_on_main(sector) && !self.world.main.unreadable(sector, 1).is_empty() {
                let what = "a failed write that did not carry it made it unreadable, and it was not kept";
                return Err(self.world.failure(Some(sector), what));
            }
        }
        Ok(())
    }

    /// A planted bug: what a repair reads again after its write has failed is said to be there.
    pub(crate) fn planted_spoilt(&self, running: &Running, flight: &Flight) -> bool {
        self.world.options.planted == Some(Planted::BelieveSpoilt)
            && matches!(running.machine, Machine::Write(_))
            && (flight.device, flight.op) == (Device::Main, Op::Read)
    }
}
