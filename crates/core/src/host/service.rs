//! Taking a set into service, and closing it (S12, S19, S28).

use crate::engine::{Engine, FailReason};

/// What a resume does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The spare is read again and the set loaded, formatted before if that is due.
    pub read_in: bool,
    /// The copies of the metadata are made equal, and the epoch goes up. A read-only table skips what writes; what it reads is right all the
    /// same, since nothing that it serves can change.
    pub takeover: bool,
    /// The module parameters are read. The first time loading has done that.
    pub settings: bool,
}

/// What a resume does, for a table that was in service or not, that has an engine or not, and that may be written or not. A resume that
/// failed comes again, and goes on where it stopped.
pub const fn resume(served: bool, loaded: bool, writable: bool) -> Resume {
    Resume { read_in: !served && !loaded, takeover: !served && writable, settings: served }
}

/// What is known of a table that is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it was in service.
    pub served: bool,
    /// Whether the set is its own still, and no later table's.
    pub owns_set: bool,
    /// Whether [`is_sound`] said so of its engine; false without one.
    pub sound: bool,
}

/// Whether the set may be called clean. One that broke is not: without the mark the next activation only looks a little closer.
pub fn is_sound(engine: &Engine<'_>) -> bool {
    !matches!(engine.fail_reason(), Some(FailReason::Invariant(_)))
}

impl Closing {
    /// Whether the set is marked clean, which writes to it.
    pub const fn marks_clean(self) -> bool {
        self.writable && self.served && self.owns_set && self.sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_the_first_resume_takes_over_and_the_next_only_reads_parameters() {
        let first = Resume { read_in: true, takeover: true, settings: false };
        assert_eq!(resume(false, false, true), first);
        assert_eq!(resume(true, true, true), Resume { read_in: false, takeover: false, settings: true });
    }

    #[test]
    fn s19_a_resume_that_failed_goes_on_where_it_stopped() {
        assert_eq!(resume(false, true, true), Resume { read_in: false, takeover: true, settings: false });
    }

    #[test]
    fn s23_a_read_only_table_writes_nothing_when_it_is_resumed_or_closed() {
        assert!(!resume(false, false, false).takeover && resume(false, false, false).read_in);
        let closing = Closing { writable: false, served: true, owns_set: true, sound: true };
        assert!(!closing.marks_clean());
    }

    #[test]
    fn s19_only_the_table_that_serves_a_sound_set_marks_it_clean() {
        let all = Closing { writable: true, served: true, owns_set: true, sound: true };
        assert!(all.marks_clean());
        for one in [
            Closing { served: false, ..all },
            Closing { owns_set: false, ..all },
            Closing { sound: false, ..all },
        ] {
            assert!(!one.marks_clean(), "{one:?}");
        }
    }
}
