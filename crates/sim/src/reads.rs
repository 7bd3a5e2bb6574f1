//! Failed reads: what the machine of a repair context gives, and whether its errors are right (S1 to S4).

use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest};

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::reading::Reading;
use crate::world::Failure;

impl Session<'_, '_> {
    /// The sector of the mapped device that a request reads.
    pub fn home_of_request(&self, request: &IoRequest) -> Option<u64> {
        if request.device == Device::Main {
            return Some(request.sector);
        }
        let geometry = self.engine.geometry();
        let mut slots = (0..geometry.slot_count()).map(remap_core::units::Slot);
        let slot = slots.find(|s| geometry.slot_block(*s).first_sector() == request.sector / 8 * 8)?;
        Some(self.home_of(slot)? + request.sector % 8)
    }

    /// The request of a read, or what a planted bug makes of it.
    pub fn planted_retry(&self, request: IoRequest) -> IoRequest {
        match (self.world.options.planted, self.home_of_request(&request)) {
            (Some(Planted::RetryOnMain), Some(sector)) => {
                IoRequest { device: Device::Main, sector, ..request }
            }
            _ => request,
        }
    }

    /// A machine has done what it could for a read.
    pub fn reread_done(&mut self, read: Reading, verdict: Result<(), ErrorKind>) -> Result<(), Failure> {
        let piece = read.piece;
        let missing: Vec<usize> = (0..read.given.len()).filter(|i| !read.given[*i]).collect();
        let fail =
            |s: &Self, i: usize, what: String| Err(s.world.failure(Some(piece.first + i as u64), what));
        match (verdict, missing.first()) {
            (Ok(()), Some(i)) => return fail(self, *i, "a read succeeds without it".into()),
            (Ok(()), None) => self.world.stats.rereads += 1,
            (Err(error), None) if error.can_mean_medium() => {
                return fail(self, 0, "a read fails, although all of it was given".into());
            }
            (Err(_), _) => self.world.stats.read_errors += 1,
        }
        let medium = verdict.err().is_some_and(ErrorKind::can_mean_medium);
        let in_time = self.world.oracle.step < read.deadline;
        for i in missing.into_iter().filter(|_| medium && in_time) {
            let sector = piece.first + i as u64;
            let block = self.world.plan.block_sectors() as usize;
            let whole = i / block * block..(i / block + 1) * block;
            let right = match read.blame[whole].iter().flatten().next() {
                // What main failed to read once may be lost by now.
                Some(Device::Main) => {
                    let oracle = &self.world.oracle;
                    oracle
                        .main_failed(sector, read.began)
                        .or_else(|what| oracle.refused(sector, read.began).map_err(|_| what))
                }
                Some(Device::Spare) => Ok(()),
                None if self.excused(&read, i) => Ok(()),
                None => self.world.oracle.refused(sector, read.began),
            };
            right.map_err(|what| self.world.failure(Some(sector), format!("a read gives {what}")))?;
        }
        self.piece_done(piece, verdict.is_ok());
        Ok(())
    }
}
