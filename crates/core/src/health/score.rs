//! The score: the lowest of its parts, each looked up in tables. Worked out on demand, never in the path of a bio.

use super::evidence::Evidence;
use super::facts::SetFacts;
use super::tables::{self, look_up, permille, SCORE_MAX};
use crate::engine::{Mode, NoRemapReason};

/// Number of parts.
pub const PARTS: usize = 6;
/// From this score on a set is safe.
pub const SAFE_MIN: u16 = 800;
/// From this score on, and below [`SAFE_MIN`], caution is due; below it is danger.
pub const CAUTION_MIN: u16 = 400;

/// A part of the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PartKind {
    /// Failures of main to read or to write.
    Media = 0,
    /// How long main takes.
    Latency = 1,
    /// Room for more.
    Space = 2,
    /// The spare itself.
    Spare = 3,
    /// The service that the set still gives.
    Mode = 4,
    /// Evidence of a monitor.
    Smart = 5,
}

impl PartKind {
    /// All parts, in their order.
    pub const ALL: [PartKind; PARTS] = [
        PartKind::Media,
        PartKind::Latency,
        PartKind::Space,
        PartKind::Spare,
        PartKind::Mode,
        PartKind::Smart,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            PartKind::Media => "media",
            PartKind::Latency => "latency",
            PartKind::Space => "space",
            PartKind::Spare => "spare",
            PartKind::Mode => "mode",
            PartKind::Smart => "smart",
        }
    }
}

/// The amount that a part follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing speaks against it.
    None,
    /// Groups of main cannot be read.
    Unreadable,
    /// Bursts of failures, in parts of [`super::decay::UNIT`].
    Bursts,
    /// Bursts of failed writes, likewise.
    FailedWrites,
    /// Bursts of reads that had to be repeated, likewise.
    Retried,
    /// Bursts of slow reads, likewise.
    Slow,
    /// Slots in use, in thousandths.
    SlotsUsed,
    /// Slots that failed, in thousandths.
    SlotsRetired,
    /// Slots with suspect sectors.
    SlotsSuspect,
    /// Copies of the metadata out of sync.
    CopiesOut,
    /// The mode.
    Mode,
    /// The monitor's score.
    Smart,
    /// The disk says that it fails.
    SmartFailed,
}

impl Reason {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::None => "-",
            Reason::Unreadable => "unreadable",
            Reason::Bursts => "bursts",
            Reason::FailedWrites => "failed-writes",
            Reason::Retried => "retried",
            Reason::Slow => "slow",
            Reason::SlotsUsed => "slots-used",
            Reason::SlotsRetired => "slots-retired",
            Reason::SlotsSuspect => "slots-suspect",
            Reason::CopiesOut => "copies",
            Reason::Mode => "mode",
            Reason::Smart => "smart",
            Reason::SmartFailed => "smart-failed",
        }
    }
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub kind: PartKind,
    /// 0 to 1000; `None`: not known.
    pub score: Option<u16>,
    /// The lowest of the amounts that it follows from.
    pub reason: Reason,
    /// This amount; its unit follows from the reason.
    pub amount: u32,
    /// It rests on evidence that is old.
    pub stale: bool,
}

/// The amounts that the score follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// A pass over all of main has ended: that nothing was found means something.
    pub pass_ended: bool,
    /// Groups of main that cannot be read, where a failure was proved to be of the place.
    pub unreadable: u32,
    /// Sums of bursts, in parts of [`super::decay::UNIT`]: failures, failed writes, repeated reads, slow reads.
    pub bursts: [u32; 4],
    /// The set itself.
    pub set: SetFacts,
    /// Evidence of a monitor.
    pub evidence: Evidence,
    /// Age of the health in seconds.
    pub age_s: u32,
}

/// The score and its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// In the order of [`PartKind::ALL`].
    pub parts: [Part; PARTS],
    /// 0 to 1000; `None`: not known.
    pub value: Option<u16>,
}

/// The lowest of some candidates; the first of equal ones.
fn lowest(kind: PartKind, candidates: &[(Reason, u32, u16)]) -> Part {
    let worst = candidates.iter().filter(|(_, _, score)| *score < SCORE_MAX).min_by_key(|(_, _, s)| *s);
    let (reason, amount, score) = worst.copied().unwrap_or((Reason::None, 0, SCORE_MAX));
    Part { kind, score: Some(score), reason, amount, stale: false }
}

/// A part that rests on looking: without a pass over main only the bad is known.
fn looked_for(part: Part, pass_ended: bool) -> Part {
    let known = pass_ended || part.score.is_some_and(|score| score < SAFE_MIN);
    match known {
        true => part,
        false => Part { score: None, ..part },
    }
}

fn media(f: &Facts) -> Part {
    let [bursts, writes, retried, _] = f.bursts;
    let part = lowest(
        PartKind::Media,
        &[
            (Reason::Unreadable, f.unreadable, look_up(tables::UNREADABLE, f.unreadable)),
            (Reason::FailedWrites, writes, look_up(tables::FAILED_WRITES, writes)),
            (Reason::Bursts, bursts, look_up(tables::BURSTS, bursts)),
            (Reason::Retried, retried, look_up(tables::RETRIED, retried)),
        ],
    );
    looked_for(part, f.pass_ended)
}

fn latency(f: &Facts) -> Part {
    let [_, _, _, slow] = f.bursts;
    let part = lowest(PartKind::Latency, &[(Reason::Slow, slow, look_up(tables::SLOW, slow))]);
    looked_for(part, f.pass_ended)
}

fn space(set: &SetFacts) -> Part {
    let used = permille(set.slots_used, set.slots_total);
    let emergency = used >= set.emergency_percent.clamp(1, 100).saturating_mul(10);
    let limit = if emergency { tables::SPACE_EMERGENCY } else { SCORE_MAX };
    lowest(PartKind::Space, &[(Reason::SlotsUsed, used, look_up(tables::SPACE, used).min(limit))])
}

fn spare(set: &SetFacts) -> Part {
    // A slot that failed is one, however many there are.
    let retired = permille(set.slots_retired, set.slots_total).max(u32::from(set.slots_retired > 0));
    let out = set.copies.saturating_sub(set.copies_in_sync);
    let few = if set.copies_in_sync < 2 { tables::COPIES_FEW } else { SCORE_MAX };
    lowest(
        PartKind::Spare,
        &[
            (Reason::CopiesOut, out, look_up(tables::COPIES_OUT, out).min(few)),
            (Reason::SlotsSuspect, set.slots_suspect, look_up(tables::SUSPECT, set.slots_suspect)),
            (Reason::SlotsRetired, retired, look_up(tables::RETIRED, retired)),
        ],
    )
}

fn mode(set: &SetFacts) -> Part {
    let breaker = matches!(set.no_remap, Some(NoRemapReason::Breaker(_)));
    let score = match set.mode {
        Mode::Rw => SCORE_MAX,
        Mode::Degraded => tables::MODE_DEGRADED,
        Mode::NoRemap if breaker => tables::MODE_BREAKER,
        Mode::NoRemap => tables::MODE_NO_REMAP,
        Mode::Fail => tables::MODE_FAIL,
    };
    lowest(PartKind::Mode, &[(Reason::Mode, 0, score)])
}

fn smart(f: &Facts) -> Part {
    let value = f.evidence.smart.unwrap_or(SCORE_MAX).min(SCORE_MAX);
    let failed = f.evidence.smart_failed == Some(true);
    let verdict = if failed { tables::SMART_FAILED } else { SCORE_MAX };
    let amounts =
        [(Reason::SmartFailed, u32::from(failed), verdict), (Reason::Smart, u32::from(value), value)];
    let part = lowest(PartKind::Smart, &amounts);
    let score = part.score.filter(|_| f.evidence.is_known());
    Part { score, stale: f.evidence.is_stale(f.age_s), ..part }
}

impl Score {
    /// Works the score out.
    pub fn of(facts: &Facts) -> Score {
        let set = &facts.set;
        let parts = [media(facts), latency(facts), space(set), spare(set), mode(set), smart(facts)];
        let lowest = parts.iter().filter_map(|part| part.score).min();
        // Without a monitor there is no smart; without a pass over main there is no score that is good.
        let complete = parts.iter().all(|part| part.score.is_some() || part.kind == PartKind::Smart);
        Score { parts, value: lowest.filter(|score| complete || *score < SAFE_MIN) }
    }

    /// The part that the score follows from; `None` if it is not known, or nothing speaks against the set.
    pub fn lowest(&self) -> Option<&Part> {
        let value = self.value.filter(|value| *value < SCORE_MAX)?;
        self.parts.iter().find(|part| part.score == Some(value))
    }
}
