//! Failed reads: what the machine of a repair context gives, and whether its errors are right (S1 to S4).

use remap_core::engine::reread::Job;
use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest};
use remap_core::path::Place;
use remap_core::units::Sector;

use crate::bios::Piece;
use crate::known::Tries;
use crate::plan::Planted;
use crate::session::{Flight, Session};
use crate::world::Failure;

/// A failed read that waits for a context.
#[derive(Clone, Debug)]
pub struct FailedRead {
    /// The part of a bio that it is.
    pub piece: Piece,
    place: Place,
    error: ErrorKind,
    /// A device has failed it.
    sent: bool,
    /// Its sectors that the device could not read.
    bad: Vec<u64>,
}

impl FailedRead {
    /// A read that failed as `flight` did.
    pub fn new(piece: Piece, place: Place, error: ErrorKind, flight: &Flight) -> FailedRead {
        let bad = flight.culprits.iter().map(|s| s - flight.sector + piece.first).collect();
        FailedRead { piece, place, error, sent: true, bad }
    }

    /// A read that waited, lives in several places by now, and was sent to none.
    pub fn unsent(piece: Piece) -> FailedRead {
        FailedRead { piece, place: Place::Main, error: ErrorKind::Io, sent: false, bad: Vec::new() }
    }

    /// What a machine is to do about it.
    pub fn job(&self) -> Job {
        let Piece { first, sectors, .. } = self.piece;
        Job { first: Sector(first), sectors, place: self.place, error: self.error }
    }
}

/// A failed read at which a context is.
#[derive(Clone, Debug)]
pub struct Reading {
    pub(crate) piece: Piece,
    pub(crate) tries: Tries,
    /// When it began, as the oracle counts, and when time is up.
    began: u64,
    deadline: u64,
    /// Per sector: it was given, and the device that failed to read it last.
    given: Vec<bool>,
    blame: Vec<Option<Device>>,
    /// Where the request under way begins in the read.
    asked: usize,
}

impl Reading {
    /// Nothing is given yet.
    pub fn new(failed: FailedRead, began: u64, deadline: u64) -> Reading {
        let device = if failed.place == Place::Main { Device::Main } else { Device::Spare };
        let sectors = failed.piece.sectors as usize;
        let mut blame = vec![None; sectors];
        for s in failed.bad {
            blame[(s - failed.piece.first) as usize] = Some(device);
        }
        let on_main = failed.sent && failed.place == Place::Main;
        let tries = Tries::new(failed.piece, on_main.into());
        Reading { piece: failed.piece, tries, began, deadline, given: vec![false; sectors], blame, asked: 0 }
    }

    /// Sectors were stored in the bio.
    pub fn give(&mut self, offset: u32, sectors: u32) {
        self.given[offset as usize..][..sectors as usize].fill(true);
    }

    /// A request begins; `home` is the sector of the mapped device.
    pub fn asks(&mut self, home: u64) {
        self.asked = (home - self.piece.first) as usize;
    }

    /// A request has ended.
    pub fn ended(&mut self, flight: &Flight, result: Result<(), ErrorKind>) {
        let sectors = flight.data.len() / 512;
        self.blame[self.asked..][..sectors].fill(None);
        if result.is_err() {
            for bad in &flight.culprits {
                self.blame[self.asked + (bad - flight.sector) as usize] = Some(flight.device);
            }
        }
    }
}

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
