//! Repair contexts.

use remap_core::engine::host::Wait;
use remap_core::engine::machine::{Machine, CONTEXT_BUFFER_BYTES};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::units::Group;

use super::bio::Piece;
use super::flight::Suspect;
use super::order::Order;
use super::reading::Reading;

/// What a context is at work on.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A part of a bio that failed.
    Bio(Piece),
    /// What an administrator ordered, of this range.
    Order(Order),
}

impl Work {
    /// First sector and length.
    pub fn range(self) -> (u64, u64) {
        match self {
            Work::Bio(piece) => (piece.first, piece.sectors.into()),
            Work::Order(order) => (order.first, order.sectors),
        }
    }
}

/// A machine under way.
pub struct Running {
    pub(crate) machine: Machine,
    pub(crate) work: Work,
    pub(crate) wait: Wait,
    /// What came of it so far, if it is a read.
    pub(crate) read: Option<Reading>,
    /// Whether it may have been a flush that failed at first, and whether something failed again.
    pub(crate) flush: Suspect,
    pub(crate) failed_again: bool,
    /// It is a write that no device was asked for before.
    pub(crate) unsent: bool,
    /// The bio was completed before its time, by a planted bug.
    pub(crate) acked: bool,
    /// The breaker was open at one of its steps.
    pub(crate) breaker: bool,
    /// Groups that had failed without evidence when it began.
    pub(crate) unproven: u64,
    /// The group that was seen to be given a slot last.
    pub placed: Option<Group>,
    /// The last request.
    pub request: Option<IoRequest>,
}

/// One repair context.
pub struct Context {
    pub(crate) running: Option<Running>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) writes_first: bool,
}

impl Default for Context {
    fn default() -> Self {
        Context { running: None, buffer: vec![0; CONTEXT_BUFFER_BYTES], writes_first: false }
    }
}

impl Context {
    /// Whether it is at work.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether it may be at storing what a write of its own has spoilt.
    pub fn is_rescuing(&self) -> bool {
        let request = self.running.as_ref().and_then(|running| running.request);
        request.is_some_and(|r| r.device == Device::Spare && r.op == Op::Write)
    }
}
