//! Which mode a set is in. A mode follows from what is known of the set, and is judged again whenever that changes.

use super::mode::{FailReason, Mode, NoRemapReason};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;

impl Engine<'_> {
    /// Why the mode is `fail` or `no-remap`, as the status line has it.
    pub fn reason_name(&self) -> Option<&'static str> {
        match self.mode {
            Mode::Rw | Mode::Degraded => None,
            Mode::NoRemap => self.no_remap_reason().map(NoRemapReason::name),
            Mode::Fail => self.fail_reason.map(FailReason::name),
        }
    }

    /// A flush of main or of the spare failed (S8).
    pub fn flush_failed(&mut self) {
        self.counters.flush_failures += 1;
        self.fail(FailReason::Flush);
    }

    /// A state that cannot be was found (S28).
    pub fn broken(&mut self, what: &'static str) {
        self.fail(FailReason::Invariant(what));
    }

    fn fail(&mut self, reason: FailReason) {
        let worse = match self.fail_reason {
            None => true,
            Some(old) => old.serves_reads() && !reason.serves_reads(),
        };
        if worse {
            self.fail_reason = Some(reason);
            self.notices.push(Notice::Failed(reason));
        }
        self.judge();
    }

    /// Accepts writes again after a failed flush. False if that was not the reason. A host that serves bios asks
    /// [`crate::path::Access::resume`], which knows whether the flush has ended.
    pub fn resume_writes(&mut self) -> bool {
        if self.fail_reason != Some(FailReason::Flush) {
            return false;
        }
        self.fail_reason = None;
        self.breaker.close();
        // A commit that may have landed is settled by other work (S13).
        self.judge();
        true
    }

    /// Goes to the mode that what is known of the set demands.
    pub(in crate::engine) fn judge(&mut self) {
        let mode = self.due_mode();
        if mode != self.mode {
            self.mode = mode;
            self.notices.push(match self.no_remap_reason() {
                Some(reason) => Notice::NoRemap(reason),
                None => Notice::Mode(mode),
            });
        }
    }

    /// Why the mode is `no-remap`, if it is.
    pub fn no_remap_reason(&self) -> Option<NoRemapReason> {
        self.stops_remapping().filter(|_| self.mode == Mode::NoRemap)
    }

    /// What keeps from remapping. The breaker, which closes by itself, hides nothing that does not.
    fn stops_remapping(&self) -> Option<NoRemapReason> {
        if self.superblock.ro_compat_unknown {
            Some(NoRemapReason::Features)
        } else if self.copies_in_sync() < 2 {
            // With fewer than two copies a torn write could leave none (S12).
            Some(NoRemapReason::Copies)
        } else if self.unsettled {
            Some(NoRemapReason::Commit)
        } else {
            self.breaker.cause().map(NoRemapReason::Breaker)
        }
    }

    /// Whether what was queued may become durable: also while only the breaker stands against more of it.
    pub(in crate::engine) fn commits(&self) -> bool {
        self.mode.remaps() || matches!(self.no_remap_reason(), Some(NoRemapReason::Breaker(_)))
    }

    fn due_mode(&self) -> Mode {
        let in_sync = self.copies_in_sync();
        if self.fail_reason.is_some() {
            Mode::Fail
        } else if self.stops_remapping().is_some() {
            Mode::NoRemap
        } else if in_sync < u32::from(self.superblock.copy_count) {
            Mode::Degraded
        } else {
            Mode::Rw
        }
    }
}
