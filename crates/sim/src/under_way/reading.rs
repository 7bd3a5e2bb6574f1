//! What a repair context has given of a failed read.

use remap_core::error::ErrorKind;
use remap_core::io::Device;
use remap_core::path::Place;

use super::bio::Piece;
use super::failed::FailedRead;
use super::flight::Flight;
use super::tries::Tries;

/// A failed read at which a context is.
#[derive(Clone, Debug)]
pub struct Reading {
    pub(crate) piece: Piece,
    /// What it has asked of known blocks.
    pub(crate) tries: Tries,
    /// When it began, as the oracle counts, and when time is up.
    pub(crate) began: u64,
    pub(crate) deadline: u64,
    /// Per sector: it was given, and the device that failed to read it last.
    pub(crate) given: Vec<bool>,
    pub(crate) blame: Vec<Option<Device>>,
    /// Where the request under way begins in the read.
    pub(crate) asked: usize,
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
        let was_known = std::mem::take(&mut self.tries.asks);
        if result.is_ok() && was_known {
            // What reads well again is no attempt.
            self.tries.made -= 1;
        }
        if result.is_err() {
            for bad in &flight.culprits {
                self.blame[self.asked + (bad - flight.sector) as usize] = Some(flight.device);
            }
        }
    }
}
