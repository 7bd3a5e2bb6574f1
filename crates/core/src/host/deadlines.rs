//! Several deadlines, one timer: which comes first, and which have come.

/// What a host is to do at a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// [`crate::engine::commit::Committer::tick`] is to be called, and the committer driven.
    Committer,
}

impl Deadline {
    /// All, in the order in which they are served when several have come.
    pub const ALL: [Deadline; 1] = [Deadline::Committer];
}

const COUNT: usize = Deadline::ALL.len();

/// When each deadline comes, in milliseconds of the host's clock; `N` of them.
#[derive(Clone, Copy, Debug)]
pub struct Table<const N: usize> {
    at_ms: [Option<u64>; N],
}

/// The deadlines of a live set.
pub type Deadlines = Table<COUNT>;

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Table<N> {
    /// None is set.
    pub const fn new() -> Self {
        Table { at_ms: [None; N] }
    }

    /// Has deadline number `which` come at `at_ms`, whenever it was to come before.
    pub fn set_number(&mut self, which: usize, at_ms: u64) {
        if let Some(place) = self.at_ms.get_mut(which) {
            *place = Some(at_ms);
        }
    }

    /// Whether deadline number `which` has come; if so, it is set no more.
    pub fn take_number(&mut self, which: usize, now_ms: u64) -> bool {
        self.at_ms.get_mut(which).is_some_and(|place| place.take_if(|at_ms| *at_ms <= now_ms).is_some())
    }

    /// Milliseconds until the first deadline comes: 0 if it has. `None`: none is set. What is further away than fits is asked for again.
    pub fn wait_ms(&self, now_ms: u64) -> Option<u32> {
        let first_ms = self.first_ms()?;
        Some(u32::try_from(first_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX))
    }

    /// When the first deadline comes; `None`: none is set.
    pub fn first_ms(&self) -> Option<u64> {
        self.at_ms.iter().flatten().min().copied()
    }
}

impl Deadlines {
    /// Has a deadline come at `at_ms`, whenever it was to come before.
    pub fn set(&mut self, which: Deadline, at_ms: u64) {
        self.set_number(which as usize, at_ms);
    }

    /// Whether a deadline has come; if so, it is set no more.
    pub fn take(&mut self, which: Deadline, now_ms: u64) -> bool {
        self.take_number(which as usize, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_the_committer_is_told_the_time_when_it_asked_for_it_and_once() {
        let mut deadlines = Deadlines::new();
        assert_eq!(deadlines.wait_ms(5), None);
        deadlines.set(Deadline::Committer, 100);
        assert_eq!(deadlines.wait_ms(40), Some(60));
        assert!(!deadlines.take(Deadline::Committer, 99));
        assert!(deadlines.take(Deadline::Committer, 100));
        assert!(!deadlines.take(Deadline::Committer, 100));
        assert_eq!(deadlines.wait_ms(100), None);
    }

    #[test]
    fn s16_the_timer_is_set_to_the_first_of_several_deadlines() {
        let mut table = Table::<3>::new();
        table.set_number(0, 500);
        table.set_number(2, 300);
        assert_eq!(table.wait_ms(100), Some(200));
        // Set anew, a deadline has no other time; one that is late waits no more.
        table.set_number(2, 700);
        assert_eq!((table.wait_ms(100), table.wait_ms(600)), (Some(400), Some(0)));
        assert!(table.take_number(0, 600) && !table.take_number(1, 600) && !table.take_number(2, 600));
        assert_eq!(table.wait_ms(600), Some(100));
    }

    #[test]
    fn s28_a_deadline_beyond_the_timers_range_is_no_overflow() {
        let mut deadlines = Deadlines::new();
        deadlines.set(Deadline::Committer, u64::MAX);
        assert_eq!(deadlines.wait_ms(0), Some(u32::MAX));
        assert!(!deadlines.take(Deadline::Committer, u64::MAX - 1));
    }
}
