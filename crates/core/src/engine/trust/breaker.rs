//! What a remapping needs besides a failed write: evidence that main takes writes (S14), and a breaker that is closed (S16).
//!
//! A disk whose cable is pulled fails every write, and none of them is a bad sector. Evidence keeps such writes out of the slots; the breaker
//! keeps them from being slow, and limits what a disk can eat that takes some writes and fails many.

use super::success::Success;
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
    pub(super) fn is_one_too_many(&mut self, group: Group, now_ms: u64) -> bool {
        let recent =
            |(g, ms): &(Group, u64)| *g != NO_GROUP && now_ms.saturating_sub(*ms) < UNPROVEN_WINDOW_MS;
        // Its own place, or an empty one, or that of the oldest.
        let rank = |(g, ms): &(Group, u64)| (*g != group, *g != NO_GROUP, *ms);
        if let Some(place) = self.unproven.iter_mut().min_by_key(|place| rank(place)) {
            *place = (group, now_ms);
        }
        self.unproven.iter().all(recent)
    }

    /// A write on main succeeded.
    pub(super) fn main_took(&mut self, success: Success) {
        if success != self.last && success.ended_ms() >= self.last.ended_ms() {
            self.last = success;
            self.taken = 0;
        }
    }

    /// Whether a success of the last `window_ms` milliseconds, elsewhere than from `first` up to and without `end`, has slots left to give.
    pub(super) fn is_proved(&self, first: u64, end: u64, now_ms: u64, window_ms: u64) -> bool {
        let fresh = self.last.ended_ms().is_some_and(|ms| now_ms.saturating_sub(ms) <= window_ms);
        fresh && self.taken < SLOTS_PER_SUCCESS && self.last.is_elsewhere(first, end)
    }

    /// A slot was taken; whether they are too many.
    pub(super) fn count_slot(&mut self, now_ms: u64) -> bool {
        self.taken = self.taken.saturating_add(1);
        self.is_slot_too_many(now_ms)
    }

    /// Opens, or stays open for longer.
    pub(super) fn open(&mut self, cause: BreakerCause, now_ms: u64) {
        self.state = State::Open { since_ms: now_ms };
        self.cause = cause;
    }

    /// Closes, as if it had never been open.
    pub(super) fn close(&mut self) {
        *self = Breaker { last: self.last, taken: self.taken, ..Breaker::new() };
    }

    pub(super) fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Why it is open, if it is.
    pub(super) fn cause(&self) -> Option<BreakerCause> {
        self.is_open().then_some(self.cause)
    }

    /// Whether the next failed write may find out about main.
    pub(super) fn offers_trial(&self) -> bool {
        matches!(self.state, State::TrialOffered { .. })
    }

    /// The trial is taken; the next is offered after another pause.
    pub(super) fn take_trial(&mut self, now_ms: u64) {
        self.state = State::Open { since_ms: now_ms };
    }

    /// Time has passed. Whether it is to close, as main took a write after the pause; otherwise it offers a trial then.
    pub(super) fn recovers(&mut self, now_ms: u64, pause_ms: u64) -> bool {
        let (State::Open { since_ms } | State::TrialOffered { since_ms }) = self.state else { return false };
        let pause_over_ms = since_ms.saturating_add(pause_ms);
        if self.last.ended_ms().is_some_and(|ms| ms >= pause_over_ms) {
            return true;
        }
        if now_ms >= pause_over_ms {
            self.state = State::TrialOffered { since_ms };
        }
        false
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
