//! What is logged, how urgent it is, and what is limited (S30).

use crate::engine::{Class, Notice};

/// Values of the module parameter `debug_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only failures.
    Failures = 0,
    /// Changes of state.
    Changes = 1,
    /// Every remapping, and what the slots are used for.
    Remappings = 2,
    /// Every failed bio that is repaired.
    Repairs = 3,
}

impl Level {
    /// Whether lines of this level are logged at `debug_level`.
    pub const fn is_logged(self, debug_level: u32) -> bool {
        debug_level >= self as u32
    }
}

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Something failed.
    Error,
    /// Something may fail soon.
    Warning,
    /// Information.
    Info,
}

/// How often a line may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It is rare of itself.
    None,
    /// A storm of failures brings many, and they tell of a loss: a limit that other lines do not use up.
    Losses,
    /// I/O causes any number.
    Others,
}

/// What becomes of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// From which `debug_level` on it is logged.
    pub level: Level,
    /// How urgent it is.
    pub urgency: Urgency,
    /// What a storm can multiply is limited, and changes of state are not.
    pub limit: Limit,
}

/// What becomes of a notice in the log.
pub const fn line(notice: &Notice) -> Line {
    let (level, urgency) = match notice {
        Notice::WriteFailed { .. } | Notice::Unproven { .. } | Notice::Spoilt { .. } => {
            (Level::Failures, Urgency::Error)
        }
        Notice::Lost { .. } | Notice::CommitFailed | Notice::Failed(_) => (Level::Failures, Urgency::Error),
        Notice::Remapped { .. } | Notice::Released { .. } => (Level::Remappings, Urgency::Info),
        Notice::Dropped { class: Class::Move, .. } => (Level::Remappings, Urgency::Info),
        _ => (Level::Changes, Urgency::Warning),
    };
    let limit = match notice.class() {
        Class::State => Limit::None,
        Class::Loss => Limit::Losses,
        Class::Failure | Class::Move => Limit::Others,
    };
    Line { level, urgency, limit }
}

/// Whether a notice raises a device-mapper event. An order raises one when all of it is done.
pub const fn raises_event(notice: &Notice) -> bool {
    !matches!(notice, Notice::Remapped { ordered: true, .. } | Notice::Released { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{FailReason, Mode};
    use crate::units::{Sector, Slot};

    fn remapped(ordered: bool) -> Notice {
        Notice::Remapped { group: Sector(8), mask: 1, slot: Slot(0), ordered }
    }

    #[test]
    fn s30_failures_are_logged_whatever_the_level_and_moves_only_when_asked_for() {
        let from = |notice: &Notice| line(notice).level;
        for notice in [
            Notice::CommitFailed,
            Notice::Failed(FailReason::Flush),
            Notice::Lost { group: Sector(0), mask: 1 },
            Notice::WriteFailed { sector: Sector(0) },
            Notice::Unproven { group: Sector(0) },
            Notice::Spoilt { group: Sector(0) },
        ] {
            assert_eq!((from(&notice), line(&notice).urgency), (Level::Failures, Urgency::Error));
            assert!(from(&notice).is_logged(0));
        }
        assert!(from(&Notice::Mode(Mode::Rw)).is_logged(1) && !from(&Notice::Mode(Mode::Rw)).is_logged(0));
        assert!(from(&remapped(false)).is_logged(2) && !from(&remapped(false)).is_logged(1));
        let dropped = Notice::Dropped { class: Class::Move, count: 1 };
        assert_eq!(from(&dropped), Level::Remappings);
        assert_eq!(from(&Notice::Dropped { class: Class::Failure, count: 1 }), Level::Changes);
        assert!(Level::Repairs.is_logged(3) && !Level::Repairs.is_logged(2));
    }

    #[test]
    fn s30_a_change_of_state_is_never_held_back_and_a_loss_has_a_limit_of_its_own() {
        assert_eq!(line(&Notice::Mode(Mode::Fail)).limit, Limit::None);
        assert_eq!(line(&Notice::Lost { group: Sector(0), mask: 1 }).limit, Limit::Losses);
        for notice in [remapped(false), Notice::Retired(Slot(0)), Notice::WriteFailed { sector: Sector(0) }] {
            assert_eq!(line(&notice).limit, Limit::Others);
        }
    }

    #[test]
    fn s30_each_step_of_an_order_raises_no_event() {
        assert!(raises_event(&remapped(false)) && raises_event(&Notice::CommitFailed));
        let released = Notice::Released { group: Sector(8), mask: 1, slot: Slot(0) };
        assert!(!raises_event(&remapped(true)) && !raises_event(&released));
    }
}
