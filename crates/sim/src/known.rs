//! Blocks of main that reads found unreadable not long ago: what they may cost the next readers (S34), and which errors they excuse.

use remap_core::io::{Device, IoRequest};
use remap_core::units::Sector;

use crate::session::Session;
use crate::under_way::reading::Reading;
use crate::world::Failure;

/// Most requests in which blocks are that are known, for one read: with its own.
const TRIES_MAX: u32 = 4;

impl Session<'_, '_> {
    /// Whether a sector is known to be unreadable; `surely`, or perhaps, as only the engine knows when it was found to be for the last time.
    fn is_known(&self, sector: u64, surely: bool) -> bool {
        let within = self.world.plan.settings.reread_after_ms;
        let found = self.found.get(&sector).map(|(first, last)| if surely { *first } else { *last });
        found.is_some_and(|at| self.world.oracle.step < at + within + u64::from(!surely))
    }

    /// Before the next step of a read.
    pub(crate) fn look_at_known(&self, read: &mut Reading) {
        let first = read.piece.first;
        for (i, known) in read.tries.known.iter_mut().enumerate() {
            *known = *known || self.is_known(first + i as u64, false);
        }
    }

    /// A read asks for this. What is known costs it no more than a few requests.
    pub(crate) fn check_tries(&mut self, read: &mut Reading, request: &IoRequest) -> Result<(), Failure> {
        let sectors = request.sector..request.sector + u64::from(request.sectors);
        let main = request.device == Device::Main;
        let known = sectors.into_iter().find(|s| main && self.is_known(*s, true));
        read.tries.asks = known.is_some();
        let Some(known) = known else { return Ok(()) };
        read.tries.made += 1;
        self.world.stats.known_tries += 1;
        match read.tries.made > TRIES_MAX {
            true => {
                Err(self.world.failure(Some(known), "known to be unreadable, and asked for time and again"))
            }
            false => Ok(()),
        }
    }

    /// Whether a read need not have tried a sector alone.
    pub(crate) fn excused(&self, read: &Reading, nth: usize) -> bool {
        read.tries.known[nth]
    }

    /// A read has done a step: what it found unreadable is known from now on, and with it all that was so before of its group.
    pub(crate) fn note_found(&mut self, read: &Reading) {
        let now = self.world.oracle.step;
        for sector in read.piece.first..read.piece.first + u64::from(read.piece.sectors) {
            let again = !self.is_known(sector, true);
            if again && self.engine.pending().is_pending(Sector(sector)) {
                self.found.entry(sector).or_insert((now, now));
                let group = sector / 8 * 8;
                self.found.range_mut(group..group + 8).for_each(|(_, found)| found.1 = now);
            }
        }
    }

    /// What is not pending any more is forgotten.
    pub(crate) fn forget_found(&mut self) {
        let pending = self.engine.pending();
        self.found.retain(|sector, _| pending.is_pending(Sector(*sector)));
    }
}
