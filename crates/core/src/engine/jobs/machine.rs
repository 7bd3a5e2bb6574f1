//! One machine for whatever job a repair context is at.

use super::order::release::Release;
use super::order::relocate::Relocate;
use super::repair::Repair;
use super::reread::Reread;
use crate::engine::set::Engine;

pub use super::protocol::{
    reads_at_once, reads_first, same, Comparison, Drain, Event, Next, CONTEXT_BUFFER_BYTES,
};

/// The machine of one repair context, for whatever job.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // A release moves content both ways, and there is no heap to put a part of it on.
pub enum Machine {
    /// A failed write is being stored.
    Write(Repair),
    /// Content moves from main into slots.
    Relocate(Relocate),
    /// Content moves from slots back to main.
    Release(Release),
    /// What can be had of a failed read is being read.
    Read(Reread),
}

impl Machine {
    /// Has a job that an administrator ordered end before its next window. A failed write is stored whatever happens.
    pub fn stop(&mut self) {
        match self {
            Machine::Write(_) | Machine::Read(_) => {}
            Machine::Relocate(relocate) => relocate.stop(),
            Machine::Release(release) => release.stop(),
        }
    }

    /// The next step after `event`. `now_ms` is a clock that never goes back.
    pub fn next(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Next {
        match self {
            Machine::Write(repair) => repair.next(engine, event, now_ms),
            Machine::Relocate(relocate) => relocate.next(engine, event, now_ms),
            Machine::Release(release) => release.next(engine, event, now_ms),
            Machine::Read(reread) => reread.next(engine, event, now_ms),
        }
    }
}
