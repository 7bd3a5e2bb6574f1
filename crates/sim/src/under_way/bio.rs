//! Bios of users.

use remap_core::units::Slot;

/// A bio under way.
#[derive(Clone, Debug)]
pub struct Bio {
    pub(crate) kind: Kind,
    pub(crate) first: u64,
    pub(crate) sectors: u32,
    /// When it began, as the oracle counts.
    pub(crate) began: u64,
    /// Parts that have not ended.
    pub(crate) open: u32,
    pub(crate) failed: bool,
    /// A flush came first, which began then. What came of it device-mapper does not tell whoever waits for the write.
    pub(crate) flushed_before: Option<u64>,
    /// It must not wait (S17).
    pub(crate) nowait: bool,
    /// What one part of it has made unreadable that another may have brought, and the slot in which that was, if it was in one.
    pub(crate) cost: Vec<(u64, Option<Slot>)>,
}

impl Bio {
    pub(crate) fn new(kind: Kind, first: u64, sectors: u32, began: u64) -> Bio {
        let (failed, flushed_before, nowait, cost) = (false, None, false, Vec::new());
        Bio { kind, first, sectors, began, open: 1, failed, flushed_before, nowait, cost }
    }
}

/// What a bio asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write { token: u64, fua: bool },
    Discard,
    Flush,
}

/// A part of a task's bio.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The task.
    pub task: usize,
    /// First sector.
    pub first: u64,
    /// Length.
    pub sectors: u32,
}
