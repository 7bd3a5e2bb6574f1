//! What was read goes into slots, and is committed.

use super::{Relocate, State};
use crate::engine::jobs::place::{Placed, Placement};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::jobs::window::NO_SECTORS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;

impl Relocate {
    /// Places the next group; `None` when the window is done.
    pub(super) fn place_next(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        while let Some(need) = self.wanted.get(self.nth).copied() {
            let group = self.window.group(self.nth);
            if need == 0 {
                self.nth += 1;
            } else if !engine.mode.remaps() {
                engine.unhold(group);
                self.group_done(false);
            } else if !engine.has_room() {
                engine.await_room(usize::from(self.context), true);
                self.state = State::Commit;
                return Some(Next::Commit);
            } else {
                let (at, error) = (self.window.at, ErrorKind::NoSpace);
                let buffer_sector = 0;
                let what = Placement {
                    group,
                    need,
                    at,
                    buffer_sector,
                    give_up: false,
                    may_lose: false,
                    rescue: false,
                    error,
                };
                let placed = self.placer.begin(engine, what);
                if let Some(next) = self.obey(engine, placed) {
                    return Some(next);
                }
            }
        }
        if self.queued != NO_SECTORS {
            self.state = State::Commit;
            return Some(Next::Commit);
        }
        self.drain_given_up(engine)
    }

    pub(super) fn drain_given_up(&mut self, engine: &Engine<'_>) -> Option<Next> {
        self.state = State::DrainGivenUp;
        engine.has_superseded(self.context).then_some(Next::Drain(Drain::ALL))
    }

    pub(super) fn obey(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Option<Next> {
        self.state = State::Place;
        match placed {
            Placed::Io(request) => return Some(Next::Io(request)),
            Placed::Drain => {
                // The rest of the window is held as well.
                let group = self.window.group(self.nth);
                return Some(Next::Drain(Drain::while_held(engine.regions().writes_to(group, group))));
            }
            Placed::Queued => self.group_done(true),
            Placed::InPlace | Placed::Failed(_) => self.group_done(false),
        }
        None
    }

    /// The group at hand waits for a commit now, or stays on main.
    pub(super) fn group_done(&mut self, placed: bool) {
        let to = if placed { &mut self.queued } else { &mut self.failed };
        if let (Some(wanted), Some(to)) = (self.wanted.get_mut(self.nth), to.get_mut(self.nth)) {
            *to |= core::mem::take(wanted);
        }
        self.nth += 1;
    }

    pub(super) fn committed(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let context = usize::from(self.context);
        engine.await_room(context, false);
        // Several commits may have carried the window, and some of them may have failed: the map says what is durable.
        let done = self.remapped.iter_mut().zip(&mut self.failed);
        for (nth, (queued, (remapped, failed))) in self.queued.iter_mut().zip(done).enumerate() {
            let (queued, mapped) = (core::mem::take(queued), engine.mapped_mask(self.window.group(nth)));
            *remapped |= queued & mapped;
            *failed |= queued & !mapped;
        }
        self.drain_given_up(engine).or_else(|| self.place_next(engine))
    }
}
