//! Sums that halve in a number of weeks.

use super::clock::WEEK_S;

/// Parts that a halving time is divided into. Within one nothing decays, so that the order of events in it does not matter.
const STEPS: u32 = 32;
/// Parts of one that a sum counts in.
pub const UNIT: u32 = 4096;

/// `2^(-k/32)` in parts of 65,536.
const FACTORS: [u32; STEPS as usize] = [
    65536, 64132, 62757, 61413, 60097, 58809, 57549, 56316, 55109, 53928, 52773, 51642, 50535, 49452, 48393,
    47356, 46341, 45348, 44376, 43425, 42495, 41584, 40693, 39821, 38968, 38133, 37316, 36516, 35734, 34968,
    34219, 33486,
];

/// The time in which something halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfLife {
    step_s: u32,
}

impl HalfLife {
    /// A halving time of 1 to 1000 weeks; others are brought into that range.
    pub const fn weeks(weeks: u32) -> HalfLife {
        let weeks = match weeks {
            0 => 1,
            1..=1000 => weeks,
            _ => 1000,
        };
        HalfLife { step_s: weeks * (WEEK_S / STEPS) }
    }

    /// The number of the step that an age in seconds lies in.
    pub const fn step(self, age_s: u32) -> u32 {
        match age_s.checked_div(self.step_s) {
            Some(step) => step,
            None => 0,
        }
    }

    /// The rest of `value` after `steps` steps.
    pub fn left(value: u32, steps: u32) -> u32 {
        let halved = value.checked_shr(steps / STEPS).unwrap_or(0);
        let factor = FACTORS.get((steps % STEPS) as usize).copied().unwrap_or(0);
        ((u64::from(halved) * u64::from(factor)) >> 16) as u32
    }
}

/// A sum that decays, in parts of [`UNIT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decayed {
    /// Its amount in step `step`.
    pub value: u32,
    /// When it was last added to, in steps of its halving time.
    pub step: u32,
}

impl Decayed {
    /// Its amount at an age in seconds. An earlier age than that of the last addition counts as that one.
    pub fn at(&self, half: HalfLife, age_s: u32) -> u32 {
        HalfLife::left(self.value, half.step(age_s).saturating_sub(self.step))
    }

    /// The sum with `units` more at an age; saturates.
    #[must_use]
    pub fn plus(&self, half: HalfLife, age_s: u32, units: u32) -> Decayed {
        let step = half.step(age_s).max(self.step);
        let value = HalfLife::left(self.value, step.saturating_sub(self.step)).saturating_add(units);
        Decayed { value, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_in_the_halving_time() {
        for weeks in [1, 4, 12, 1000] {
            let half = HalfLife::weeks(weeks);
            let sum = Decayed::default().plus(half, 0, 64 * UNIT);
            assert_eq!(sum.at(half, 0), 64 * UNIT);
            for halvings in 1..=6 {
                assert_eq!(sum.at(half, halvings * weeks * WEEK_S), (64 * UNIT) >> halvings, "{weeks}");
            }
        }
    }

    #[test]
    fn factors_are_powers_of_the_root() {
        for (k, &factor) in FACTORS.iter().enumerate() {
            let exact = 65536.0 * 2f64.powf(-(k as f64) / 32.0);
            assert!((f64::from(factor) - exact).abs() <= 0.5, "{k}");
        }
    }

    #[test]
    fn it_falls_all_the_time_and_ends_at_nothing() {
        for value in [1, 77, UNIT, u32::MAX] {
            let left: std::vec::Vec<u32> = (0..1200).map(|s| HalfLife::left(value, s)).collect();
            assert!(left.windows(2).all(|w| w[0] >= w[1]) && left[0] == value);
            assert_eq!(left.last(), Some(&0));
        }
        assert_eq!(HalfLife::left(u32::MAX, u32::MAX), 0);
    }

    #[test]
    fn the_order_within_a_step_does_not_matter() {
        let half = HalfLife::weeks(12);
        let old = Decayed::default().plus(half, 0, 9 * UNIT);
        let at = 40 * WEEK_S;
        let (a, b) = (old.plus(half, at, 3).plus(half, at, 5), old.plus(half, at, 5).plus(half, at, 3));
        assert_eq!(a, b);
        assert_eq!(a.plus(half, at - WEEK_S, 1), Decayed { value: a.value + 1, step: a.step });
        assert_eq!(a.plus(half, at, u32::MAX).value, u32::MAX);
    }
}
