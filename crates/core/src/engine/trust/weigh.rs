//! Whether a failed write may be remapped: what the evidence says (S14), and what the breaker says (S16).

use super::breaker::BreakerCause;
use super::success::Success;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::units::Group;

/// Whether a group may go to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Judgement {
    Proved,
    /// Main has to be asked.
    Ask,
    /// The breaker is open, or a commit is not possible.
    Refused,
}

impl Engine<'_> {
    /// A write on main succeeded.
    pub(crate) fn main_took(&mut self, success: Success) {
        self.breaker.main_took(success);
    }

    /// Whether the sectors from `first` up to and without `end` of one group, which failed on main, may go to a slot now.
    pub(in crate::engine) fn weigh(&mut self, first: u64, end: u64, now_ms: u64, trial: bool) -> Judgement {
        if !self.commits() || self.breaker.is_open() && !trial {
            return Judgement::Refused;
        }
        match self.breaker.is_proved(first, end, now_ms, self.settings.evidence_window_ms) {
            true => Judgement::Proved,
            false => Judgement::Ask,
        }
    }

    /// A group failed, and main gave no evidence.
    pub(in crate::engine) fn failed_unproven(&mut self, group: Group, now_ms: u64) {
        self.counters.unproven += 1;
        self.notices.push(Notice::Unproven { group: group.first_sector() });
        if self.breaker.is_one_too_many(group, now_ms) || self.breaker_is_open() {
            self.open_breaker(BreakerCause::Unproven, now_ms);
        }
    }

    /// A slot was taken for a group that had none.
    pub(in crate::engine) fn count_slot(&mut self, now_ms: u64) {
        if self.breaker.count_slot(now_ms) {
            self.open_breaker(BreakerCause::Slots, now_ms);
        }
    }

    /// Opens the breaker, or lets it stay open for longer.
    fn open_breaker(&mut self, cause: BreakerCause, now_ms: u64) {
        if !self.settings.production {
            return;
        }
        if !self.breaker_is_open() {
            self.counters.breaker_openings += 1;
        }
        self.breaker.open(cause, now_ms);
        self.judge();
    }

    /// Closes the breaker, as if it had never been open.
    pub(in crate::engine) fn close_breaker(&mut self) {
        if self.breaker_is_open() {
            self.forget_breaker();
            self.judge();
        }
    }

    /// As [`Engine::close_breaker`], for who judges the mode afterwards.
    pub(in crate::engine) fn forget_breaker(&mut self) {
        self.breaker.close();
    }

    /// Whether the breaker is open.
    pub fn breaker_is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether failed writes are to be handed to repair: the mode lets them be remapped, or the breaker wants to know about main.
    pub fn repairs(&self) -> bool {
        self.mode.remaps() || self.offers_trial()
    }

    /// Whether a failed write may find out about main. Not while anything but the breaker keeps its content from being stored.
    fn offers_trial(&self) -> bool {
        self.breaker.offers_trial() && self.commits()
    }

    /// Time has passed: an open breaker closes if main took a write after the pause, or lets one failed write try.
    pub(crate) fn recover(&mut self, now_ms: u64) {
        if self.breaker.recovers(now_ms, self.settings.breaker_pause_ms) {
            self.close_breaker();
        }
    }

    /// A failed write takes the trial if one is offered; the next is offered after another pause.
    pub(in crate::engine) fn take_trial(&mut self, now_ms: u64) -> bool {
        let offered = self.offers_trial();
        if offered {
            self.breaker.take_trial(now_ms);
        }
        offered
    }
}
