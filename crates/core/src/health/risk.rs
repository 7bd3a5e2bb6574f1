//! Risk: the meaning of a score. Worse at once, better only after a week well above the limit.

use super::clock::WEEK_S;
use super::score::{Score, CAUTION_MIN, PARTS, SAFE_MIN};

/// The score has to be this much above a limit before the risk gets better.
pub const MARGIN: u16 = 50;
/// For so long, in seconds of the health's age.
pub const BETTER_S: u32 = WEEK_S;

/// The meaning of a score. The order is from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Risk {
    /// The score is not known.
    #[default]
    Unknown = 0,
    /// Nothing asks for action.
    Safe = 1,
    /// Plan a replacement.
    Caution = 2,
    /// Replace, or copy off, now.
    Danger = 3,
}

impl Risk {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Risk::Unknown => "unknown",
            Risk::Safe => "safe",
            Risk::Caution => "caution",
            Risk::Danger => "danger",
        }
    }

    /// The meaning of a score by itself.
    pub const fn of(score: u16) -> Risk {
        match score {
            SAFE_MIN.. => Risk::Safe,
            CAUTION_MIN.. => Risk::Caution,
            _ => Risk::Danger,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Option<Risk> {
        match byte {
            0 => Some(Risk::Unknown),
            1 => Some(Risk::Safe),
            2 => Some(Risk::Caution),
            3 => Some(Risk::Danger),
            _ => None,
        }
    }
}

/// The risk, and since when the score has been good enough for a better one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiskState {
    /// The risk.
    pub risk: Risk,
    /// Age in seconds since when the score would do for caution.
    pub caution_since_s: Option<u32>,
    /// Age in seconds since when the score would do for safe.
    pub safe_since_s: Option<u32>,
}

fn since(was: Option<u32>, holds: bool, age_s: u32) -> Option<u32> {
    holds.then(|| was.unwrap_or(age_s))
}

impl RiskState {
    /// Takes a score at an age. The new risk if it changed.
    pub fn update(&mut self, score: Option<u16>, age_s: u32) -> Option<Risk> {
        let above = |limit: u16| score.is_some_and(|s| s >= limit.saturating_add(MARGIN));
        self.caution_since_s = since(self.caution_since_s, above(CAUTION_MIN), age_s);
        self.safe_since_s = since(self.safe_since_s, above(SAFE_MIN), age_s);
        let long = |since: Option<u32>| since.is_some_and(|s| age_s.saturating_sub(s) >= BETTER_S);
        let risk = match (score.map(Risk::of), self.risk) {
            // A score that is no longer known does not take back a warning.
            (None, Risk::Safe | Risk::Unknown) => Risk::Unknown,
            (None, warned) => warned,
            (Some(now), was) if now >= was || was == Risk::Unknown => now,
            (Some(_), _) if long(self.safe_since_s) => Risk::Safe,
            (Some(now), Risk::Danger) if long(self.caution_since_s) => now.max(Risk::Caution),
            (Some(_), was) => was,
        };
        let changed = risk != self.risk;
        self.risk = risk;
        changed.then_some(risk)
    }
}

/// Reasons that an administrator knows of: for each part the score at that time, or the best since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acks(pub(super) [Option<u16>; PARTS]);

impl Acks {
    /// Today's reasons are known: all parts that are not safe.
    pub fn acknowledge(&mut self, score: &Score) {
        for (ack, part) in self.0.iter_mut().zip(&score.parts) {
            *ack = part.score.filter(|s| *s < SAFE_MIN);
        }
    }

    /// Takes a score: acknowledged parts that are worse than they have been since, as bits, are news and no longer acknowledged. One that
    /// has become safe is none either.
    pub fn update(&mut self, score: &Score) -> u8 {
        let mut worse = 0u8;
        for (i, (ack, part)) in self.0.iter_mut().zip(&score.parts).enumerate() {
            let (Some(known), Some(now)) = (*ack, part.score) else { continue };
            if now < known {
                worse |= 1u8.checked_shl(i as u32).unwrap_or(0);
            }
            let over = now < known || now >= SAFE_MIN.saturating_add(MARGIN);
            *ack = if over { None } else { Some(now) };
        }
        worse
    }
}

/// Changes that came with a score: each is told once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The risk is another.
    pub risk: Option<Risk>,
    /// Parts, as bits, that are worse than when they were acknowledged.
    pub worse: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &mut RiskState, days: core::ops::Range<u32>, score: Option<u16>) -> std::vec::Vec<Risk> {
        days.filter_map(|day| state.update(score, day * 86_400)).collect()
    }

    #[test]
    fn worse_at_once_and_told_once() {
        let mut state = RiskState::default();
        assert_eq!(run(&mut state, 0..3, Some(1000)), [Risk::Safe]);
        assert_eq!(run(&mut state, 3..6, Some(799)), [Risk::Caution]);
        assert_eq!(run(&mut state, 6..9, Some(399)), [Risk::Danger]);
        assert_eq!(run(&mut state, 9..300, Some(0)), []);
    }

    #[test]
    fn better_only_after_a_week_above_the_margin() {
        let mut state = RiskState::default();
        run(&mut state, 0..1, Some(100));
        assert_eq!(run(&mut state, 1..50, Some(449)), []);
        assert_eq!(run(&mut state, 50..57, Some(450)), []);
        assert_eq!(run(&mut state, 57..58, Some(450)), [Risk::Caution]);
        assert_eq!(run(&mut state, 58..100, Some(849)), []);
        assert_eq!(run(&mut state, 100..107, Some(850)), []);
        assert_eq!(run(&mut state, 107..108, Some(800)), [], "the week begins anew");
        assert_eq!(run(&mut state, 108..116, Some(850)), [Risk::Safe]);
    }

    #[test]
    fn there_is_always_a_way_back() {
        let mut state = RiskState::default();
        run(&mut state, 0..1, Some(0));
        assert_eq!(run(&mut state, 1..9, Some(1000)), [Risk::Safe]);
    }

    #[test]
    fn what_is_not_known_takes_no_warning_back() {
        let mut state = RiskState::default();
        assert_eq!(run(&mut state, 0..1, None), []);
        assert_eq!(run(&mut state, 1..2, Some(500)), [Risk::Caution]);
        assert_eq!(run(&mut state, 2..50, None), []);
        let mut safe = RiskState::default();
        assert_eq!(run(&mut safe, 0..1, Some(900)), [Risk::Safe]);
        assert_eq!(run(&mut safe, 1..2, None), [Risk::Unknown]);
    }

    #[test]
    fn ages_at_the_ends_do_not_overflow() {
        let mut state = RiskState { risk: Risk::Danger, caution_since_s: Some(u32::MAX), safe_since_s: None };
        assert_eq!(state.update(Some(1000), 0), None);
        assert_eq!(state.update(Some(1000), u32::MAX), Some(Risk::Safe));
    }
}
