//! Bursts: failures within ten seconds and one gibibyte are one event, whose weight grows with the logarithm of its size.
//!
//! Bursts at several places that follow each other within ten seconds are one *moment*. It is what is added to the sums when it is over.

use super::decay::{Decayed, HalfLife, UNIT};
use crate::units::Group;

/// Failures that follow each other within so many milliseconds can be of one burst.
pub const BURST_MS: u64 = 10_000;
/// The failures of one burst lie within this many groups: 1 GiB.
pub const BURST_GROUPS: u64 = 1 << 18;
/// A moment that goes on for longer is ended, so that trouble that does not end counts again. In milliseconds.
pub const MOMENT_MAX_MS: u64 = 3_600_000;
/// Bursts of one moment that are told apart. Failures at more places than these are one burst.
pub const PLACES_MAX: usize = 8;
/// Most that failures of one moment weigh that the device did not call the medium's: a link that comes loose fails any number of them.
pub const UNNAMED_MAX: u32 = 4 * UNIT;

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds of the monotonic clock.
    pub ms: u64,
    /// When, in seconds of the health's age.
    pub age_s: u32,
    /// Where.
    pub group: Group,
    /// The device called it the medium's.
    pub medium: bool,
    /// A write failed.
    pub write: bool,
}

/// Failures at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Burst {
    low: u64,
    high: u64,
    count: u32,
    medium: u32,
    writes: u32,
}

/// The weight of `count` failures, in parts of [`UNIT`]: the logarithm to base 2, rounded down, plus one. 0 of none, 32 at most.
pub const fn weight(count: u32) -> u32 {
    (u32::BITS - count.leading_zeros()) * UNIT
}

impl Burst {
    fn of(event: &Event) -> Burst {
        let at = event.group.0;
        let (medium, writes) = (u32::from(event.medium), u32::from(event.write));
        Burst { low: at, high: at, count: 1, medium, writes }
    }

    fn with(&self, other: &Burst) -> Burst {
        Burst {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            count: self.count.saturating_add(other.count),
            medium: self.medium.saturating_add(other.medium),
            writes: self.writes.saturating_add(other.writes),
        }
    }

    const fn span(&self) -> u64 {
        self.high.saturating_sub(self.low)
    }
}

/// Bursts that follow each other in time.
#[derive(Clone, Copy, Debug)]
struct Moment {
    first_ms: u64,
    last_ms: u64,
    last_age_s: u32,
    bursts: [Option<Burst>; PLACES_MAX],
    /// More places failed than can be told apart.
    wide: bool,
    /// The weight of the moment before its bursts became one.
    floor: (u32, u32),
}

impl Moment {
    fn of(event: &Event) -> Moment {
        Moment {
            first_ms: event.ms,
            last_ms: event.ms,
            last_age_s: event.age_s,
            bursts: [None; PLACES_MAX],
            wide: false,
            floor: (0, 0),
        }
    }

    /// Whether a failure at `ms` belongs here.
    fn takes(&self, ms: u64) -> bool {
        let near =
            ms <= self.last_ms.saturating_add(BURST_MS) && ms.saturating_add(BURST_MS) >= self.first_ms;
        near && self.last_ms.max(ms).saturating_sub(self.first_ms.min(ms)) <= MOMENT_MAX_MS
    }

    /// Counts a failure. True if it begins a burst.
    fn add(&mut self, event: &Event, span_groups: u64) -> bool {
        self.first_ms = self.first_ms.min(event.ms);
        self.last_ms = self.last_ms.max(event.ms);
        self.last_age_s = self.last_age_s.max(event.age_s);
        let new = Burst::of(event);
        let wide = self.wide;
        let joined = self.bursts.iter_mut().flatten().map(|burst| (burst.with(&new), burst));
        let fitting = joined.filter(|(joined, _)| wide || joined.span() < span_groups);
        if let Some((joined, burst)) = fitting.min_by_key(|(joined, _)| joined.span()) {
            *burst = joined;
            return false;
        }
        if let Some(place) = self.bursts.iter_mut().find(|place| place.is_none()) {
            *place = Some(new);
            return true;
        }
        self.floor = self.weights();
        self.wide = true;
        let all = self.bursts.iter_mut().filter_map(Option::take).fold(new, |all, burst| all.with(&burst));
        if let Some(place) = self.bursts.first_mut() {
            *place = Some(all);
        }
        false
    }

    /// The weight of all failures, and of the writes among them. More failures never weigh less.
    fn weights(&self) -> (u32, u32) {
        let sum = |of: fn(&Burst) -> u32| {
            self.bursts.iter().flatten().fold(0u32, |sum, burst| sum.saturating_add(weight(of(burst))))
        };
        let (count, medium, writes) = (sum(|b| b.count), sum(|b| b.medium), sum(|b| b.writes));
        let all = medium.max(count.min(UNNAMED_MAX)).max(self.floor.0);
        (all, writes.max(self.floor.1).min(all))
    }
}

/// The sums of all bursts, in which the moment that is not over counts as if it were.
#[derive(Clone, Debug)]
pub struct Bursts {
    moment: Option<Moment>,
    span_groups: u64,
    half: HalfLife,
    all: Decayed,
    writes: Decayed,
}

impl Bursts {
    /// None yet. A burst spans less than `span_groups` groups.
    pub const fn new(span_groups: u64, half: HalfLife) -> Bursts {
        let none = Decayed { value: 0, step: 0 };
        Bursts { moment: None, span_groups, half, all: none, writes: none }
    }

    /// Counts a failure. True if it begins a burst.
    pub fn add(&mut self, event: Event) -> bool {
        if self.moment.as_ref().is_some_and(|moment| !moment.takes(event.ms)) {
            self.end();
        }
        let span_groups = self.span_groups;
        self.moment.get_or_insert_with(|| Moment::of(&event)).add(&event, span_groups)
    }

    /// Ends the moment that nothing can join any more at `ms`.
    pub fn end_before(&mut self, ms: u64) {
        if self.moment.as_ref().is_some_and(|moment| moment.last_ms.saturating_add(BURST_MS) < ms) {
            self.end();
        }
    }

    fn end(&mut self) {
        (self.all, self.writes) = self.sums();
        self.moment = None;
    }

    /// The sums: all failures, and writes alone.
    pub fn sums(&self) -> (Decayed, Decayed) {
        let Some(moment) = &self.moment else {
            return (self.all, self.writes);
        };
        let (all, writes) = moment.weights();
        let plus = |sum: &Decayed, units| sum.plus(self.half, moment.last_age_s, units);
        (plus(&self.all, all), plus(&self.writes, writes))
    }

    /// The sums at an age in seconds, in parts of [`UNIT`]: all failures, and writes alone.
    pub fn at(&self, age_s: u32) -> (u32, u32) {
        let (all, writes) = self.sums();
        (all.at(self.half, age_s), writes.at(self.half, age_s))
    }

    /// Goes on with saved sums.
    pub(super) fn restore(&mut self, all: Decayed, writes: Decayed) {
        (self.all, self.writes) = (all, writes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn event(ms: u64, group: u64) -> Event {
        Event { ms, age_s: (ms / 1000) as u32, group: Group(group), medium: true, write: false }
    }

    fn bursts() -> Bursts {
        Bursts::new(BURST_GROUPS, HalfLife::weeks(12))
    }

    fn weight_of(events: &[Event]) -> u32 {
        let mut bursts = bursts();
        events.iter().for_each(|e| {
            bursts.add(*e);
        });
        bursts.at(events.iter().map(|e| e.age_s).max().unwrap_or(0)).0
    }

    #[test]
    fn weight_is_a_logarithm_and_bounded() {
        for (count, log) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (u32::MAX, 32)] {
            assert_eq!(weight(count), log * UNIT, "{count}");
        }
        assert!((0..5000).all(|n| weight(n) <= weight(n + 1)));
    }

    #[test]
    fn ten_seconds_and_a_gibibyte_are_the_limits() {
        let four = |step| weight_of(&[0, 1, 2, 3].map(|i| event(50_000, i * step)));
        assert_eq!((four(BURST_GROUPS / 4), four(BURST_GROUPS)), (3 * UNIT, 4 * UNIT));
        let timed = |step| weight_of(&[0, 1, 2, 3].map(|i| event(50_000 + i * step, 7)));
        assert_eq!((timed(BURST_MS), timed(BURST_MS + 1)), (3 * UNIT, 4 * UNIT));
    }

    #[test]
    fn a_burst_without_end_is_ended_after_an_hour() {
        let events: Vec<Event> = (0..=720).map(|i| event(i * 5000, 7)).collect();
        assert_eq!(weight_of(&events), 10 * UNIT);
        let events: Vec<Event> = (0..=1441).map(|i| event(i * 5000, 7)).collect();
        assert_eq!(weight_of(&events), 20 * UNIT);
    }

    /// A cable that comes loose for a moment fails reads all over the disk.
    #[test]
    fn what_the_device_does_not_call_the_mediums_has_a_limit() {
        let mut worst = 0;
        for places in [1, 3, 8, 9, 1000] {
            let events: Vec<Event> = (0..1000)
                .map(|i| Event { medium: false, write: true, ..event(i, i % places * 3 * BURST_GROUPS) })
                .collect();
            worst = worst.max(weight_of(&events));
        }
        assert_eq!(worst, UNNAMED_MAX);
        assert!(weight_of(&(0..1000).map(|i| event(i, i)).collect::<Vec<_>>()) > UNNAMED_MAX);
    }

    #[test]
    fn more_failures_never_weigh_less() {
        let mut bursts = bursts();
        let mut before = (0, 0);
        for i in 0..3000u64 {
            let place = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30;
            let medium = i % 3 == 0;
            bursts.add(Event { medium, write: i % 7 == 0, ..event(i, place) });
            let now = bursts.at(3);
            assert!(now.0 >= before.0 && now.1 >= before.1 && now.1 <= now.0, "{i}: {before:?} {now:?}");
            before = now;
        }
        assert!(before.0 >= 8 * UNIT);
    }

    /// Eight places with eight failures each weigh more than one burst of sixty-five.
    #[test]
    fn a_ninth_place_takes_no_weight_away() {
        let events: Vec<Event> =
            (0..65).map(|i| Event { write: true, ..event(i, i / 8 * 2 * BURST_GROUPS) }).collect();
        let mut bursts = bursts();
        let begun = events.iter().filter(|e| bursts.add(**e)).count();
        assert_eq!((begun, bursts.at(0)), (8, (32 * UNIT, 32 * UNIT)));
    }

    #[test]
    fn nothing_overflows_at_the_ends() {
        let ends = [0, 1, u64::MAX - 1, u64::MAX];
        let mut bursts = bursts();
        for ms in ends {
            for group in ends {
                bursts.add(Event { age_s: u32::MAX, ..event(ms, group) });
                bursts.end_before(u64::MAX);
            }
        }
        assert!(bursts.at(u32::MAX).0 > 0);
    }

    proptest! {
        #[test]
        fn order_within_a_burst_does_not_matter(
            mut events in proptest::collection::vec((0..BURST_MS, 0..BURST_GROUPS, any::<[bool; 2]>()), 1..60),
            seed in any::<u64>(),
        ) {
            let make = |events: &[(u64, u64, [bool; 2])]| {
                let mut bursts = bursts();
                for (ms, group, [medium, write]) in events {
                    bursts.add(Event { medium: *medium, write: *write, ..event(20_000_000 + ms, *group) });
                }
                let open = bursts.at(30_000);
                bursts.end_before(u64::MAX);
                (open, bursts.sums())
            };
            let in_order = make(&events);
            let medium = events.iter().filter(|(_, _, [medium, _])| *medium).count() as u32;
            prop_assert_eq!(in_order.0.0, weight(medium).max(weight(events.len() as u32).min(UNNAMED_MAX)));
            let mut x = seed | 1;
            for i in (1..events.len()).rev() {
                x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                events.swap(i, (x >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(make(&events), in_order);
        }
    }
}
