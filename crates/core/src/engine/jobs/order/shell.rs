//! What the machines of orders have in common: they hold healthy groups, whose users wait.

use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::jobs::window::{Masks, Window};
use crate::engine::limits::WINDOW_GROUPS;
use crate::engine::set::Engine;
use crate::gate::Lanes;

/// How often an order holds the groups of a window and lets go of them again before it stops there.
const HOLD_TRIES: u32 = 8;

/// An order goes through its range window by window.
pub(super) trait Windows {
    /// Begins with the next window; `None` if there is nothing to do in it.
    fn begin_window(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next>;

    /// Counts what has become of a window, and lets go of all that the order has of it.
    fn end_window(&mut self, engine: &mut Engine<'_>);

    /// The next step, where `None` ends the window at hand. Windows in which there is nothing to do follow one another here.
    fn through_windows(&mut self, engine: &mut Engine<'_>, mut step: Option<Next>, now_ms: u64) -> Next {
        loop {
            match step {
                Some(next) => return next,
                None => {
                    self.end_window(engine);
                    step = self.begin_window(engine, now_ms);
                }
            }
        }
    }
}

impl Engine<'_> {
    /// Writes under way take too long for users of the wanted groups of a window to wait: lets go of all that `context` claimed and held
    /// for an order. The drain after which it may try again, or `None` if it has tried often enough: nothing
    /// was moved then, and the next order begins with this window.
    #[must_use]
    pub(super) fn make_way(
        &mut self,
        context: u8,
        window: &mut Window,
        wanted: &Masks,
        tries: &mut u32,
    ) -> Option<Drain> {
        for (nth, _) in wanted.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            self.unhold(window.group(nth));
        }
        self.unclaim(usize::from(context));
        *tries += 1;
        let drain = (*tries < HOLD_TRIES).then(|| Drain::of_order(self.writes_to(window)));
        if drain.is_none() {
            window.sectors = 0;
        }
        drain
    }

    /// The window of an order ends before this sector: what was held behind is not any more, and the masks say nothing of it. The first of them is of
    /// what is held.
    pub(super) fn cut_window<const N: usize>(
        &mut self,
        window: &mut Window,
        end: u64,
        mut masks: [&mut Masks; N],
    ) {
        window.cut_before(end);
        for nth in 0..WINDOW_GROUPS as usize {
            let (kept, mut any) = (window.mask(nth), [0, 0]);
            for mask in masks.iter_mut().rev().filter_map(|masks| masks.get_mut(nth)) {
                any = [*mask & kept, any[1] | *mask & !kept];
                *mask &= kept;
            }
            if any[0] == 0 && any[1] != 0 {
                self.unhold(window.group(nth));
            }
        }
    }

    /// The lanes of all writes to a window.
    pub(super) fn writes_to(&self, window: &Window) -> Lanes {
        self.regions().writes_to(window.at.group(), window.last_group())
    }
}
