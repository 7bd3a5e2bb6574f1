//! The end of a job, and what must be durable then (S8): a flush that fails is no reason for a remapping.

use super::{Repair, State};
use crate::engine::jobs::protocol::Next;
use crate::engine::set::Engine;
use crate::io::{Device, IoRequest};

impl Repair {
    /// All windows are done: what must be durable is made so.
    pub(super) fn end_job(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.job.fua && self.verdict.is_ok() {
            let device = match (core::mem::take(&mut self.wrote_main), self.wrote_spare) {
                (true, _) => Some(Device::Main),
                (false, true) => {
                    self.wrote_spare = false;
                    Some(Device::Spare)
                }
                (false, false) => None,
            };
            if let Some(device) = device {
                self.state = State::Flush;
                return Next::Io(IoRequest::flush(device));
            }
            if self.may_be_flush() && !self.failed_again {
                // The same content was taken at once, so it was hardly the medium. If a flush failed, content may be gone that others
                // wrote, and the one who is told of it is the one who asked.
                self.fail(self.job.error);
            }
        }
        self.finish(engine, self.verdict)
    }

    /// Whether what failed at first may have been a flush.
    pub(super) fn may_be_flush(&self) -> bool {
        self.job.fua && self.job.fua_flushes
    }
}
