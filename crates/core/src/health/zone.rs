//! Zones: latencies of main by place, reads and writes apart.
//!
//! A zone is a stretch of main with two words, one for reads and one for writes. Completions on several processors may store into
//! one at the same time; a sample that is lost so is of no account.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::units::{Sector, SECTORS_PER_BLOCK};

/// Most zones of a main.
pub const ZONES_MAX: usize = 1024;
/// A slow transfer took longer than this, in microseconds, in any zone.
pub const SLOW_US: u32 = 100_000;
/// A slow transfer took longer than the mean of its zone by more than so many deviations.
pub const SLOW_DEVIATIONS: u64 = 8;
/// Longest latency that is told apart from longer ones, in microseconds: 67 s.
pub const LATENCY_MAX_US: u32 = (MASK >> FRACTION_BITS) as u32;

/// Mean and deviation are kept in 30 bits each, in sixteenths of a microsecond.
const FRACTION_BITS: u32 = 4;
const BITS: u32 = 30;
const MASK: u64 = (1 << BITS) - 1;
/// The number of samples up to 15, in the upper 4 bits. From 15 on a sample counts for a sixteenth.
const COUNT_SHIFT: u32 = 2 * BITS;
const COUNT_MAX: u64 = 15;
/// A sample counts for at most this much above the usual, in sixteenths of a microsecond beside the deviations: 1 ms.
const CLIP: u64 = 1000 << FRACTION_BITS;

/// Whether a transfer read or wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It read.
    Read,
    /// It wrote.
    Write,
}

/// The latencies of one direction in one zone, as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency(pub(super) u64);

impl Latency {
    const fn mean(self) -> u64 {
        self.0 & MASK
    }

    const fn deviation(self) -> u64 {
        (self.0 >> BITS) & MASK
    }

    /// Samples so far; 15 stands for 15 and more.
    pub const fn samples(self) -> u32 {
        (self.0 >> COUNT_SHIFT) as u32
    }

    /// The running mean in microseconds; `None` without a sample.
    pub const fn mean_us(self) -> Option<u32> {
        match self.samples() {
            0 => None,
            _ => Some((self.mean() >> FRACTION_BITS) as u32),
        }
    }

    /// The running mean of the distance from the mean, in microseconds; `None` without a sample.
    pub const fn deviation_us(self) -> Option<u32> {
        match self.samples() {
            0 => None,
            _ => Some((self.deviation() >> FRACTION_BITS) as u32),
        }
    }

    const fn is_settled(self) -> bool {
        self.samples() as u64 >= COUNT_MAX
    }

    /// Whether a transfer of `us` microseconds is far from the zone's usual time. Never before 15 samples.
    pub const fn is_slow(self, us: u32) -> bool {
        let usual = self.mean() + SLOW_DEVIATIONS * self.deviation();
        self.is_settled() && us > SLOW_US && (us as u64) << FRACTION_BITS > usual
    }

    /// With one sample more. One that is slow moves mean and deviation only a little, so that a few do not become usual.
    #[must_use]
    pub fn with(self, us: u32) -> Latency {
        let mut x = u64::from(us.min(LATENCY_MAX_US)) << FRACTION_BITS;
        if self.is_settled() {
            x = x.min(self.mean() + SLOW_DEVIATIONS * self.deviation() + CLIP).min(MASK);
        }
        let samples = (u64::from(self.samples()) + 1).min(COUNT_MAX);
        let share = match self.is_settled() {
            true => NonZeroU64::MIN.saturating_add(COUNT_MAX),
            false => NonZeroU64::new(samples).unwrap_or(NonZeroU64::MIN),
        };
        let mean = toward(self.mean(), x, share);
        let deviation = toward(self.deviation(), x.abs_diff(self.mean()), share);
        // The first sample says nothing of how far others lie apart.
        let deviation = if samples == 1 { 0 } else { deviation };
        Latency(mean.min(MASK) | deviation.min(MASK) << BITS | samples << COUNT_SHIFT)
    }
}

/// `from`, moved toward `to` by a part of the way.
fn toward(from: u64, to: u64, share: NonZeroU64) -> u64 {
    let step = from.abs_diff(to) / share;
    match to >= from {
        true => from.saturating_add(step),
        false => from.saturating_sub(step),
    }
}

/// The zones of a main, in memory that the host set aside. Copies share it.
#[derive(Clone, Copy)]
pub struct Zones<'a> {
    words: &'a [AtomicU64],
    zone_sectors: NonZeroU64,
}

impl<'a> Zones<'a> {
    /// Zones without a sample: two words each, for a main of `main_sectors` sectors. The words are overwritten.
    pub fn new(words: &'a [AtomicU64], main_sectors: u64) -> Zones<'a> {
        words.iter().for_each(|w| w.store(0, Ordering::Relaxed));
        let count = NonZeroU64::new((words.len() / 2) as u64).unwrap_or(NonZeroU64::MIN);
        let whole_groups = NonZeroU64::MIN.saturating_add(u64::from(SECTORS_PER_BLOCK) - 1);
        let groups = main_sectors.div_ceil(whole_groups.get()).div_ceil(count.get()).max(1);
        let zone_sectors = NonZeroU64::new(groups).unwrap_or(NonZeroU64::MIN).saturating_mul(whole_groups);
        Zones { words, zone_sectors }
    }

    /// Number of zones.
    pub const fn count(&self) -> usize {
        self.words.len() / 2
    }

    /// Length of a zone in sectors; the last ones may be shorter, or past the end of main.
    pub const fn zone_sectors(&self) -> u64 {
        self.zone_sectors.get()
    }

    /// The zone that a sector lies in.
    pub fn zone_of(&self, sector: Sector) -> usize {
        usize::try_from(sector.0 / self.zone_sectors).unwrap_or(usize::MAX)
    }

    fn word(&self, zone: usize, direction: Direction) -> Option<&'a AtomicU64> {
        let second = usize::from(direction == Direction::Write);
        self.words.get(zone.checked_mul(2)?.checked_add(second)?)
    }

    /// The latencies of a zone; none of one that does not exist.
    pub fn get(&self, zone: usize, direction: Direction) -> Latency {
        self.word(zone, direction).map_or(Latency(0), |w| Latency(w.load(Ordering::Relaxed)))
    }

    /// Takes a sample of `us` microseconds. Whether it was slow for its zone. In any context, without a lock.
    pub fn sample(&self, sector: Sector, direction: Direction, us: u32) -> bool {
        let Some(word) = self.word(self.zone_of(sector), direction) else {
            return false;
        };
        let before = Latency(word.load(Ordering::Relaxed));
        word.store(before.with(us).0, Ordering::Relaxed);
        before.is_slow(us)
    }

    /// The mean of all zones with a sample, in microseconds, and of their deviations; `None` without any.
    pub fn overall(&self, direction: Direction) -> Option<(u32, u32)> {
        let (mut mean, mut deviation, mut zones) = (0u64, 0u64, 0u64);
        for zone in 0..self.count() {
            let latency = self.get(zone, direction);
            if let (Some(m), Some(d)) = (latency.mean_us(), latency.deviation_us()) {
                mean = mean.saturating_add(u64::from(m));
                deviation = deviation.saturating_add(u64::from(d));
                zones = zones.saturating_add(1);
            }
        }
        let zones = NonZeroU64::new(zones)?;
        let of = |sum: u64| u32::try_from(sum / zones).unwrap_or(u32::MAX);
        Some((of(mean), of(deviation)))
    }

    pub(super) fn set(&self, zone: usize, direction: Direction, latency: Latency) {
        if let Some(word) = self.word(zone, direction) {
            word.store(latency.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn after(samples: impl IntoIterator<Item = u32>) -> Latency {
        samples.into_iter().fold(Latency(0), Latency::with)
    }

    #[test]
    fn mean_and_deviation_follow_the_samples() {
        assert_eq!((after([]).mean_us(), after([]).deviation_us()), (None, None));
        assert_eq!(after([700]).mean_us(), Some(700));
        let even = after((0..2000).map(|i| if i % 2 == 0 { 4000 } else { 6000 }));
        assert!(even.mean_us().unwrap().abs_diff(5000) < 100, "{even:?}");
        assert!(even.deviation_us().unwrap().abs_diff(1000) < 100);
    }

    #[test]
    fn what_becomes_usual_is_learnt_and_one_outlier_is_not() {
        let quiet = after([5000; 100]);
        let one = quiet.with(30_000_000);
        assert!(quiet.is_slow(100_001) && one.is_slow(100_001), "{one:?}");
        assert!(one.mean_us().unwrap() < 5100);
        let slower = (0..4000).fold(quiet, |l, _| l.with(500_000));
        assert!(slower.mean_us().unwrap() > 490_000 && !slower.is_slow(500_000));
    }

    #[test]
    fn nothing_is_slow_before_the_zone_is_known_or_within_a_tenth_of_a_second() {
        assert!(!after([10; 14]).is_slow(u32::MAX) && after([10; 15]).is_slow(u32::MAX));
        assert!(!after([10; 15]).is_slow(SLOW_US) && after([10; 15]).is_slow(SLOW_US + 1));
    }

    #[test]
    fn zones_cover_all_of_main() {
        for sectors in [1, 8, 8191, 8192, 100_003, 1 << 43] {
            let words: Vec<AtomicU64> = (0..2 * ZONES_MAX).map(|_| AtomicU64::new(9)).collect();
            let zones = Zones::new(&words, sectors);
            assert!(zones.zone_of(Sector(sectors - 1)) < zones.count(), "{sectors}");
            zones.sample(Sector(sectors - 1), Direction::Write, 77);
            let zone = zones.zone_of(Sector(sectors - 1));
            assert_eq!(zones.get(zone, Direction::Write).mean_us(), Some(77));
            assert_eq!(zones.get(zone, Direction::Read).samples(), 0);
            assert_eq!(
                (zones.overall(Direction::Write), zones.overall(Direction::Read)),
                (Some((77, 0)), None)
            );
            assert!(!zones.sample(Sector(u64::MAX), Direction::Read, 1));
        }
    }

    proptest! {
        #[test]
        fn every_word_and_sample_stay_in_range(word in any::<u64>(), samples in proptest::collection::vec(any::<u32>(), 1..50)) {
            let mut latency = Latency(word);
            for us in samples {
                latency = latency.with(us);
                prop_assert!(latency.mean_us() <= Some(LATENCY_MAX_US));
                prop_assert!(latency.samples() >= 1);
            }
        }

        #[test]
        fn a_longer_time_is_never_less_slow(word in any::<u64>(), a in any::<u32>(), b in any::<u32>()) {
            let latency = Latency(word);
            prop_assert!(!latency.is_slow(a.min(b)) || latency.is_slow(a.max(b)));
            prop_assert!(latency.with(a.min(b)).mean() <= latency.with(a.max(b)).mean());
        }
    }
}
