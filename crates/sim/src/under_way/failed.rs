//! Failed reads and writes that wait for a repair context.

use remap_core::engine::reread::Job;
use remap_core::error::ErrorKind;
use remap_core::path::Place;
use remap_core::units::Sector;

use super::bio::Piece;
use super::flight::{Flight, Suspect};

/// A failed read that waits for a context.
#[derive(Clone, Debug)]
pub struct FailedRead {
    /// The part of a bio that it is.
    pub piece: Piece,
    pub(crate) place: Place,
    pub(crate) error: ErrorKind,
    /// A device has failed it.
    pub(crate) sent: bool,
    /// Its sectors that the device could not read.
    pub(crate) bad: Vec<u64>,
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

/// A failed write that waits for a context.
#[derive(Clone, Debug)]
pub struct FailedWrite {
    /// The part of a bio that it is.
    pub piece: Piece,
    /// A device has failed it; otherwise it was never sent.
    pub sent: bool,
    /// How it failed.
    pub error: ErrorKind,
    /// Whether that was a flush.
    pub flush: Suspect,
}

impl FailedWrite {
    /// A write that goes to a context although no device was asked for it.
    pub fn unsent(piece: Piece) -> FailedWrite {
        FailedWrite { piece, sent: false, error: ErrorKind::Io, flush: Suspect::None }
    }
}
