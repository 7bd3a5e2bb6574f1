//! What a remapping needs besides a failed write: evidence that main takes writes (S14), and a breaker that is closed (S16).
//!
//! A disk whose cable is pulled fails every write, and none of them is a bad sector. Evidence keeps such writes out of the slots; the breaker
//! keeps them from being slow, and limits what a disk can eat that takes some writes and fails many.

use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::evidence::Success;
use crate::units::Group;

/// Slots that may be taken on the evidence of one success on main: a disk that goes away right after it costs no more.
pub const SLOTS_PER_SUCCESS: u32 = 16;
/// Different groups that may fail without evidence within [`UNPROVEN_WINDOW_MS`] before the breaker opens.
pub const UNPROVEN_GROUPS: usize = 8;
/// Time after which a failure without evidence no longer counts, in milliseconds.
pub const UNPROVEN_WINDOW_MS: u64 = 600_000;
/// Slots that may be taken within [`SLOTS_WINDOW_MS`].
pub const SLOTS_PER_WINDOW: u32 = 2048;
/// Time over which slots are counted, in milliseconds. It slides by [`SLOTS_STEP_MS`].
pub const SLOTS_WINDOW_MS: u64 = 60_000;
/// Slots are counted by so many milliseconds. What was taken up to so much before the window counts as well, never less.
pub const SLOTS_STEP_MS: u64 = 5000;
/// Counts that are kept: those of the steps that the window lies in.
const SLOTS_STEPS: usize = (SLOTS_WINDOW_MS / SLOTS_STEP_MS) as usize + 1;

/// Stands where no group is remembered: no main has one of this number.
const NO_GROUP: Group = Group(u64::MAX);

/// Why the breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerCause {
    /// Too many groups failed without evidence.
    Unproven,
    /// Too many slots were taken.
    Slots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Failed writes pass up.
    Open {
        since_ms: u64,
    },
    /// As open, but the next failed write goes to repair.
    TrialOffered {
        since_ms: u64,
    },
}

/// Whether a group may go to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Judgement {
    Proved,
    /// Main has to be asked.
    Ask,
    /// The breaker is open, or a commit is not possible.
    Refused,
}

/// The engine's part of it.
pub(in crate::engine) struct Breaker {
    state: State,
    cause: BreakerCause,
    last: Success,
    /// Slots taken on its evidence.
    taken: u32,
    /// The last groups that failed without evidence, and when each did so last.
    unproven: [(Group, u64); UNPROVEN_GROUPS],
    /// Slots taken in each of the last steps of time; that of step *n* is the one of index *n* modulo their number.
    slots: [u16; SLOTS_STEPS],
    /// The step of time in which a slot was taken last: 32 bits last for centuries.
    slots_step: u32,
}

impl Breaker {
    pub(in crate::engine) const fn new() -> Breaker {
        Breaker {
            state: State::Closed,
            cause: BreakerCause::Unproven,
            last: Success::NONE,
            taken: 0,
            unproven: [(NO_GROUP, 0); UNPROVEN_GROUPS],
            slots: [0; SLOTS_STEPS],
            slots_step: 0,
        }
    }

    /// Counts a group that failed without evidence; whether they are too many. The groups that failed last are remembered, as many as
    /// open the breaker: if the one among them whose failure is the oldest lies in the window, all do.
    fn is_one_too_many(&mut self, group: Group, now_ms: u64) -> bool {
        let recent =
            |(g, ms): &(Group, u64)| *g != NO_GROUP && now_ms.saturating_sub(*ms) < UNPROVEN_WINDOW_MS;
        // Its own place, or an empty one, or that of the oldest.
        let rank = |(g, ms): &(Group, u64)| (*g != group, *g != NO_GROUP, *ms);
        if let Some(place) = self.unproven.iter_mut().min_by_key(|place| rank(place)) {
            *place = (group, now_ms);
        }
        self.unproven.iter().all(recent)
    }

    /// Counts a slot that was taken; whether there are too many of them.
    fn is_slot_too_many(&mut self, now_ms: u64) -> bool {
        // A clock that went back would be a fault of the host; then the last step goes on.
        let step = u32::try_from(now_ms / SLOTS_STEP_MS).unwrap_or(u32::MAX).max(self.slots_step);
        for passed in (self.slots_step..step).take(SLOTS_STEPS) {
            if let Some(count) = self.slots.get_mut(index_of(passed + 1)) {
                *count = 0;
            }
        }
        self.slots_step = step;
        if let Some(count) = self.slots.get_mut(index_of(step)) {
            *count = count.saturating_add(1);
        }
        let sum = self.slots.iter().fold(0u32, |sum, count| sum.saturating_add(u32::from(*count)));
        sum >= SLOTS_PER_WINDOW
    }
}

/// Where a step of time is counted.
fn index_of(step: u32) -> usize {
    step as usize % SLOTS_STEPS
}

impl Engine<'_> {
    /// A write on main succeeded.
    pub(crate) fn main_took(&mut self, success: Success) {
        let breaker = &mut self.breaker;
        if success != breaker.last && success.ended_ms() >= breaker.last.ended_ms() {
            breaker.last = success;
            breaker.taken = 0;
        }
    }

    /// Whether the sectors from `first` up to and without `end` of one group, which failed on main, may go to a slot now.
    pub(in crate::engine) fn weigh(&mut self, first: u64, end: u64, now_ms: u64, trial: bool) -> Judgement {
        if !self.commits() || self.breaker.state != State::Closed && !trial {
            return Judgement::Refused;
        }
        let (window_ms, breaker) = (self.settings.evidence_window_ms, &self.breaker);
        let fresh = breaker.last.ended_ms().is_some_and(|ms| now_ms.saturating_sub(ms) <= window_ms);
        if fresh && breaker.taken < SLOTS_PER_SUCCESS && breaker.last.is_elsewhere(first, end) {
            return Judgement::Proved;
        }
        Judgement::Ask
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
        let breaker = &mut self.breaker;
        breaker.taken = breaker.taken.saturating_add(1);
        if breaker.is_slot_too_many(now_ms) {
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
        self.breaker.state = State::Open { since_ms: now_ms };
        self.breaker.cause = cause;
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
        self.breaker = Breaker { last: self.breaker.last, taken: self.breaker.taken, ..Breaker::new() };
    }

    /// Why the breaker is open, if it is.
    pub(in crate::engine) fn breaker_cause(&self) -> Option<BreakerCause> {
        self.breaker_is_open().then_some(self.breaker.cause)
    }

    /// Whether the breaker is open.
    pub fn breaker_is_open(&self) -> bool {
        self.breaker.state != State::Closed
    }

    /// Whether failed writes are to be handed to repair: the mode lets them be remapped, or the breaker wants to know about main.
    pub fn repairs(&self) -> bool {
        self.mode.remaps() || self.offers_trial()
    }

    /// Whether a failed write may find out about main. Not while anything but the breaker keeps its content from being stored.
    fn offers_trial(&self) -> bool {
        matches!(self.breaker.state, State::TrialOffered { .. }) && self.commits()
    }

    /// Time has passed: an open breaker closes if main took a write after the pause, or lets one failed write try.
    pub(crate) fn recover(&mut self, now_ms: u64) {
        let (State::Open { since_ms } | State::TrialOffered { since_ms }) = self.breaker.state else {
            return;
        };
        let pause_over_ms = since_ms.saturating_add(self.settings.breaker_pause_ms);
        if self.breaker.last.ended_ms().is_some_and(|ms| ms >= pause_over_ms) {
            self.close_breaker();
        } else if now_ms >= pause_over_ms {
            self.breaker.state = State::TrialOffered { since_ms };
        }
    }

    /// A failed write takes the trial if one is offered; the next is offered after another pause.
    pub(in crate::engine) fn take_trial(&mut self, now_ms: u64) -> bool {
        let offered = self.offers_trial();
        if offered {
            self.breaker.state = State::Open { since_ms: now_ms };
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_slots_are_counted_over_any_minute_and_at_most_a_step_more() {
        // Bursts of all sizes, with pauses between them.
        let (mut breaker, mut now_ms) = (Breaker::new(), 0u64);
        // When slots were taken, and how many.
        let mut bursts = [(0u64, 0u32); 400];
        for nth in 0..bursts.len() as u64 {
            now_ms += nth * 7919 % 31 * [1, 100, 1000][(nth % 3) as usize];
            for _ in 0..nth * 104_729 % 400 {
                bursts[nth as usize] = (now_ms, bursts[nth as usize].1 + 1);
                let too_many = breaker.is_slot_too_many(now_ms);
                let within = |ms: u64| -> u32 {
                    bursts[..=nth as usize].iter().filter(|(at, _)| now_ms - at < ms).map(|(_, n)| n).sum()
                };
                assert!(too_many || within(SLOTS_WINDOW_MS) < SLOTS_PER_WINDOW, "{now_ms}");
                assert!(!too_many || within(SLOTS_WINDOW_MS + SLOTS_STEP_MS) >= SLOTS_PER_WINDOW, "{now_ms}");
            }
        }
        assert!(breaker.is_slot_too_many(now_ms));
    }

    #[test]
    fn s16_slots_of_long_ago_do_not_count() {
        let mut breaker = Breaker::new();
        for minute in [0, 1, 2, 1000] {
            let at_ms = minute * 2 * SLOTS_WINDOW_MS;
            assert!((1..SLOTS_PER_WINDOW).all(|_| !breaker.is_slot_too_many(at_ms)), "{minute}");
        }
    }
}
