//! What a finding about a set is, and the verdict on it.

use super::read::Set;
use crate::shell;
use std::fmt;

/// How a set is. In ascending order of how much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All is well.
    Good,
    /// Nothing gets worse at once, and somebody should look at it.
    Look,
    /// It cannot be told how the set is.
    Unknown,
    /// Content or service is lost, or with the next bad sector it is.
    Act,
}

impl Verdict {
    /// The exit status of `status --check`.
    pub const fn exit_status(self) -> u8 {
        match self {
            Verdict::Good => 0,
            Verdict::Look => 10,
            Verdict::Act => 11,
            Verdict::Unknown => 12,
        }
    }

    /// The word of JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Look => "look",
            Verdict::Act => "act",
            Verdict::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Good => "good",
            Verdict::Look => "look at it",
            Verdict::Act => "act now",
            Verdict::Unknown => "unknown",
        })
    }
}

/// One thing to know about a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub what: String,
    /// What to do next; may be empty.
    pub next: String,
}

pub fn finding(verdict: Verdict, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { verdict, what: what.into(), next: next.into() }
}

/// The name of the set in a command.
pub fn name(set: &Set) -> String {
    shell::quoted(&set.info.name)
}
