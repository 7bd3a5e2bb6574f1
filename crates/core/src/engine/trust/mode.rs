//! Modes of a set, and why it is in one.

use super::breaker::BreakerCause;

/// What the set does at present; the first field of the status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// All copies in sync; failed writes are repaired.
    Rw,
    /// At least two copies in sync, but not all; failed writes are repaired.
    Degraded,
    /// Existing mappings are served; nothing new is mapped.
    NoRemap,
    /// Writes are refused; see [`FailReason`].
    Fail,
}

impl Mode {
    /// The word of the status line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Rw => "rw",
            Mode::Degraded => "degraded",
            Mode::NoRemap => "no-remap",
            Mode::Fail => "fail",
        }
    }

    /// Whether new mappings may be made.
    pub const fn remaps(self) -> bool {
        matches!(self, Mode::Rw | Mode::Degraded)
    }
}

/// Why a set is in mode `fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// A flush failed. The layers above may not have been told (device-mapper hides it when the flush carried data), so nothing more is
    /// accepted until the administrator says so (S8). Reads are served.
    Flush,
    /// The engine found itself in a state that cannot be (S28). Neither reads nor writes are served.
    Invariant(&'static str),
}

impl FailReason {
    /// The word of the status line.
    pub const fn name(self) -> &'static str {
        match self {
            FailReason::Flush => "flush-failed",
            FailReason::Invariant(_) => "invariant",
        }
    }

    /// Whether reads are served still.
    pub const fn serves_reads(self) -> bool {
        matches!(self, FailReason::Flush)
    }
}

/// Why a set is in mode `no-remap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRemapReason {
    /// The breaker is open (S16). The only one that ends by itself.
    Breaker(BreakerCause),
    /// A commit or a superblock could not be made durable (S13).
    Commit,
    /// Fewer than two copies are in sync (S12).
    Copies,
    /// The set has features that this version does not know.
    Features,
}

impl NoRemapReason {
    /// The word of the status line.
    pub const fn name(self) -> &'static str {
        match self {
            NoRemapReason::Breaker(_) => "breaker",
            NoRemapReason::Commit => "commit-failed",
            NoRemapReason::Copies => "copies",
            NoRemapReason::Features => "features",
        }
    }
}
