//! Requests to the disks.

use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};

use super::bio::Piece;

/// Whether it was a flush that failed when a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// The write asked for none.
    None,
    /// It was the write itself; nobody but the disk knows.
    Write,
    /// It was the flush.
    Flush,
}

/// For whom a request is under way.
#[derive(Clone, Debug)]
pub enum Owner {
    /// A part of a user's bio, with its place in the gate.
    Piece(Piece, remap_core::path::Place, u64),
    /// A part of a user's discard, with its place in the gate and when it began, as the oracle counts.
    Discard(Piece, u64, u64),
    /// A user's flush.
    Flush(usize, Option<remap_core::path::FlushMark>),
    /// The committer, with its tag.
    Commit(u8),
    /// A repair context.
    Repair(usize),
}

/// A request under way.
pub struct Flight {
    /// For whom.
    pub owner: Owner,
    /// The device.
    pub device: Device,
    /// What.
    pub op: Op,
    /// Where.
    pub sector: u64,
    /// What is written, or room for what is read.
    pub data: Vec<u8>,
    /// Where in its owner's buffer the data came from.
    pub buffer_sector: u32,
    /// Of a read: the sectors of the device that could not be read when it took place.
    pub culprits: Vec<u64>,
    /// Of a write that failed: whether that was a flush.
    pub flush: Suspect,
    pub(crate) flush_mark: u64,
    /// It has taken place already, with this outcome, which nobody has been told.
    pub(crate) early: Option<Result<(), ErrorKind>>,
    /// The first step at which its end may be told, unless nothing else goes on.
    pub(crate) due: u64,
}
