//! The age of a set's health, in seconds: everything decays by it.
//!
//! It follows the wall clock, so that time in which the set was closed counts, but not where the wall clock jumps.

/// Seconds in a day.
pub const DAY_S: u32 = 86_400;
/// Seconds in a week.
pub const WEEK_S: u32 = 7 * DAY_S;
/// Most seconds that one closed time adds to the age: a year of 365 days.
pub const CLOSED_MAX_S: u32 = 365 * DAY_S;
/// The wall clock may gain so many seconds on the monotonic one between two looks; more is a jump ahead.
pub const AHEAD_MAX_S: u64 = 30 * DAY_S as u64;
/// The wall clock may lose so many seconds on the monotonic one between two looks, as a clock that is set right does; more is a jump back.
pub const BACK_MAX_S: u64 = 60;

/// The two clocks of the host, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970 by the wall clock; 0: not known.
    pub wall_s: u64,
    /// Milliseconds of a clock that never goes back. Where it begins is the host's choice.
    pub mono_ms: u64,
}

/// A moment of the wall clock and the age at that moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// Seconds since 1970; 0: no moment is known.
    pub wall_s: u64,
    /// Age in seconds, never more than the age of now.
    pub age_s: u32,
}

/// Outcome of a look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passed.
    Passed,
    /// The wall clock jumped back against the monotonic one, or stands before the last save. The jump ages nothing.
    Back,
    /// The wall clock jumped ahead by more than [`AHEAD_MAX_S`]. The jump ages nothing.
    Ahead,
}

/// The age of a set's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    age_s: u32,
    anchor: Anchor,
    last: Option<Now>,
}

impl Clock {
    /// The age in seconds; saturates after 136 years.
    pub const fn age_s(&self) -> u32 {
        self.age_s
    }

    /// The moment from which time in which the set is closed counts.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Goes on with a saved age. The time in which the set was closed is added, at most [`CLOSED_MAX_S`].
    pub fn resume(&mut self, age_s: u32, anchor: Anchor, now: Now) -> Step {
        self.age_s = age_s.saturating_add(self.age_s);
        self.anchor = anchor;
        self.last = Some(now);
        if now.wall_s == 0 || anchor.wall_s == 0 {
            return Step::Passed;
        }
        let Some(since_anchor) = now.wall_s.checked_sub(anchor.wall_s) else {
            return Step::Back;
        };
        let in_service = u64::from(self.age_s.saturating_sub(anchor.age_s));
        let closed = since_anchor.saturating_sub(in_service).min(u64::from(CLOSED_MAX_S));
        self.age_s = self.age_s.saturating_add(seconds(closed));
        self.settle_anchor(now);
        Step::Passed
    }

    /// Looks at the clocks. A jump is told once: it is judged against the look before.
    pub fn look(&mut self, now: Now) -> Step {
        let Some(last) = self.last.replace(now) else {
            self.settle_anchor(now);
            return Step::Passed;
        };
        // Whole seconds of the clock, so that many short looks lose nothing.
        let mono = (now.mono_ms / 1000).saturating_sub(last.mono_ms / 1000);
        let known = now.wall_s != 0 && last.wall_s != 0;
        let wall = if known { now.wall_s.saturating_sub(last.wall_s) } else { mono };
        let lost = mono.saturating_add(last.wall_s).saturating_sub(now.wall_s);
        let step = match known {
            true if lost > BACK_MAX_S => Step::Back,
            true if wall > mono.saturating_add(AHEAD_MAX_S) => Step::Ahead,
            _ => Step::Passed,
        };
        let passed = if step == Step::Passed { wall } else { mono };
        self.age_s = self.age_s.saturating_add(seconds(passed));
        self.settle_anchor(now);
        step
    }

    /// A wall clock before the anchor is believed after a day only: a host whose clock is set late after a start would count the
    /// years in between as closed time.
    fn settle_anchor(&mut self, now: Now) {
        let waited = self.age_s.saturating_sub(self.anchor.age_s) >= DAY_S;
        if now.wall_s != 0 && (now.wall_s >= self.anchor.wall_s || waited) {
            self.anchor = Anchor { wall_s: now.wall_s, age_s: self.age_s };
        }
    }
}

fn seconds(s: u64) -> u32 {
    u32::try_from(s).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now { wall_s: 1_800_000_000, mono_ms: 5_500 };

    fn after(s: u64, jump_s: i64) -> Now {
        let wall_s = START.wall_s.wrapping_add(s).wrapping_add_signed(jump_s);
        Now { wall_s, mono_ms: START.mono_ms + s * 1000 }
    }

    fn started() -> Clock {
        let mut clock = Clock::default();
        assert_eq!(clock.look(START), Step::Passed);
        clock
    }

    #[test]
    fn time_of_many_short_looks_adds_up() {
        let mut clock = started();
        for tenth in 1..=1000 {
            let now = Now { wall_s: START.wall_s + tenth / 10, mono_ms: START.mono_ms + tenth * 100 };
            assert_eq!(clock.look(now), Step::Passed);
        }
        assert_eq!(clock.age_s(), 100);
    }

    #[test]
    fn a_jump_ages_nothing_and_is_told_once() {
        let day = i64::from(DAY_S);
        for (jump, told, age) in [
            (0, Step::Passed, 10),
            (30 * day, Step::Passed, 10 + 30 * DAY_S),
            (30 * day + 1, Step::Ahead, 10),
            (-60, Step::Passed, 0),
            (-71, Step::Back, 10),
            (-1_800_000_000 + 5, Step::Back, 10),
            (2_300_000_000, Step::Ahead, 10),
        ] {
            let mut clock = started();
            assert_eq!((clock.look(after(10, jump)), clock.age_s()), (told, age), "{jump}");
            assert_eq!((clock.look(after(20, jump)), clock.age_s()), (Step::Passed, age + 10), "{jump}");
        }
    }

    #[test]
    fn closed_time_ages_at_most_a_year() {
        let anchor = Anchor { wall_s: 1_700_000_000, age_s: 1000 };
        for (later_s, step, age) in [
            (0u64, Step::Passed, 1500),
            (400, Step::Passed, 1500),
            (501, Step::Passed, 1501),
            (u64::from(CLOSED_MAX_S) + 499, Step::Passed, 1499 + CLOSED_MAX_S),
            (u64::from(CLOSED_MAX_S) * 50, Step::Passed, 1500 + CLOSED_MAX_S),
        ] {
            let mut clock = Clock::default();
            let now = Now { wall_s: anchor.wall_s + later_s, mono_ms: 1 };
            assert_eq!((clock.resume(1500, anchor, now), clock.age_s()), (step, age), "{later_s}");
        }
    }

    /// No battery behind the clock: 1970 at the start, the right time a minute later. The years between are not closed time, not even
    /// after a crash in that minute.
    #[test]
    fn a_clock_that_is_set_late_ages_nothing() {
        let anchor = Anchor { wall_s: 1_700_000_000, age_s: 1000 };
        let mut clock = Clock::default();
        assert_eq!(clock.resume(1000, anchor, Now { wall_s: 10, mono_ms: 0 }), Step::Back);
        assert_eq!(clock.look(Now { wall_s: 40, mono_ms: 30_000 }), Step::Passed);
        assert_eq!((clock.age_s(), clock.anchor()), (1030, anchor));
        let mut crashed = Clock::default();
        crashed.resume(clock.age_s(), clock.anchor(), Now { wall_s: anchor.wall_s + 100, mono_ms: 0 });
        assert_eq!(crashed.age_s(), 1100);
        assert_eq!(clock.look(Now { wall_s: anchor.wall_s + 100, mono_ms: 60_000 }), Step::Ahead);
        assert_eq!(clock.age_s(), 1060);
        assert_eq!(clock.anchor(), Anchor { wall_s: anchor.wall_s + 100, age_s: 1060 });
    }

    #[test]
    fn a_clock_that_stays_behind_is_believed_after_a_day() {
        let mut clock = Clock::default();
        let far = Anchor { wall_s: 4_000_000_000, age_s: 0 };
        assert_eq!(clock.resume(0, far, START), Step::Back);
        clock.look(after(u64::from(DAY_S) - 1, 0));
        assert_eq!(clock.anchor(), far);
        clock.look(after(u64::from(DAY_S), 0));
        assert_eq!(clock.anchor().age_s, DAY_S);
    }

    #[test]
    fn nothing_overflows_at_the_ends() {
        let ends = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for a in ends {
            for b in ends {
                for age in [0, u32::MAX] {
                    let mut clock = Clock::default();
                    let anchor = Anchor { wall_s: b, age_s: age };
                    clock.resume(age, anchor, Now { wall_s: a, mono_ms: b });
                    clock.look(Now { wall_s: b, mono_ms: a });
                    clock.look(Now { wall_s: a, mono_ms: b });
                    assert!(clock.age_s() >= age);
                }
            }
        }
    }
}
