//! What a repair context takes next.

use crate::engine::machine::reads_first;

/// Bios that wait for a repair context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Reads of suspect or lost sectors: the engine is asked where they go, which takes no time.
    Asking,
    /// Failed writes.
    Writes,
    /// Failed reads. Not more contexts than [`crate::engine::machine::reads_at_once`] take one at a time; what is left for want of a
    /// context is taken by one that ends a read, and looks again.
    Reads,
}

/// In which order a context looks at what waits. It takes the first that there is, and then begins again; it ends when there is none.
pub const fn order(context: usize, contexts: usize) -> [Waits; 3] {
    match reads_first(context, contexts) {
        true => [Waits::Asking, Waits::Reads, Waits::Writes],
        false => [Waits::Asking, Waits::Writes, Waits::Reads],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s05_writes_go_first_in_all_contexts_but_one() {
        let second = |context, contexts| order(context, contexts)[1];
        assert_eq!([0, 1, 2, 3].map(|context| second(context, 4)), {
            use Waits::{Reads, Writes};
            [Reads, Writes, Writes, Writes]
        });
        assert_eq!(second(0, 1), Waits::Writes);
    }

    #[test]
    fn s03_a_read_that_only_asks_waits_for_no_repair() {
        for context in 0..4 {
            assert_eq!(order(context, 4)[0], Waits::Asking);
            for waits in [Waits::Writes, Waits::Reads] {
                assert!(order(context, 4).contains(&waits), "nothing is left for ever");
            }
        }
    }
}
