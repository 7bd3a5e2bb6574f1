//! What main has is removed from the map.

use super::{Release, State};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::jobs::window::NO_SECTORS;
use crate::engine::set::Engine;

impl Release {
    /// Queues the removal of what main has, group by group.
    pub(super) fn remove_next(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        while self.nth < self.wanted.len() {
            let wanted = self.wanted();
            if wanted == 0 {
                self.nth += 1;
            } else if engine.mode.remaps() && !engine.has_room() {
                engine.await_room(usize::from(self.context), true);
                self.state = State::Commit;
                return Some(Next::Commit);
            } else {
                self.remove(engine, wanted);
                self.nth += 1;
            }
        }
        if self.queued != NO_SECTORS {
            self.state = State::Commit;
            return Some(Next::Commit);
        }
        self.state = State::DrainFreed;
        engine.has_superseded(self.context).then_some(Next::Drain(Drain::ALL))
    }

    pub(super) fn remove(&mut self, engine: &mut Engine<'_>, wanted: u8) {
        let slot = self.slot(engine).filter(|_| engine.mode.remaps());
        if !slot.is_some_and(|slot| engine.queue_removal(self.context, slot, wanted)) {
            return self.drop_group(engine, wanted, |r| &mut r.failed);
        }
        if let (Some(from), Some(to)) = (self.wanted.get_mut(self.nth), self.queued.get_mut(self.nth)) {
            *to = core::mem::take(from);
        }
    }

    pub(super) fn committed(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let context = usize::from(self.context);
        engine.await_room(context, false);
        // Several commits may have carried the window, and some of them may have failed: the map says what is durable.
        let done = self.released.iter_mut().zip(&mut self.failed);
        for (nth, (queued, (released, failed))) in self.queued.iter_mut().zip(done).enumerate() {
            let (queued, mapped) = (core::mem::take(queued), engine.mapped_mask(self.window.group(nth)));
            *released |= queued & !mapped;
            *failed |= queued & mapped;
        }
        self.remove_next(engine)
    }
}
