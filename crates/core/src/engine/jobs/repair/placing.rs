//! What must go to slots is placed there, group by group, and committed (S6, S7).

use super::kept::For;
use super::{Repair, State};
use crate::engine::jobs::place::{Placed, Placement};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::limits::WINDOW_GROUPS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;
use crate::units::Group;

impl Repair {
    pub(super) fn begin_placing(&mut self, engine: &mut Engine<'_>) -> Next {
        self.nth = 0;
        self.place_next(engine)
    }

    pub(super) fn group(&self) -> Group {
        Group(self.at.group().0 + u64::from(self.nth))
    }

    pub(super) fn needed(&self) -> u8 {
        self.need.get(self.nth as usize).copied().unwrap_or(0)
    }

    /// Begins with the next group that needs a slot.
    pub(super) fn place_next(&mut self, engine: &mut Engine<'_>) -> Next {
        while self.nth < WINDOW_GROUPS && self.needed() == 0 {
            self.nth += 1;
        }
        if self.nth >= WINDOW_GROUPS || self.verdict.is_err() {
            self.nth = WINDOW_GROUPS;
            return self.placed(engine);
        }
        if !engine.has_room() {
            return self.make_room(engine);
        }
        if let Some(next) = self.prove(engine) {
            return next;
        }
        let what = Placement {
            group: self.group(),
            need: self.needed(),
            at: self.at,
            buffer_sector: 0,
            give_up: self.give_up & (1 << self.nth) != 0,
            may_lose: true,
            rescue: false,
            error: self.job.error,
        };
        let (used, new) = (engine.used, engine.table.record_of(what.group).is_none());
        let placed = self.placer.begin(engine, what);
        if new && engine.used > used {
            engine.count_slot(self.now_ms);
        }
        self.obey(engine, placed)
    }

    pub(super) fn obey(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Next {
        self.state = State::Place;
        match placed {
            Placed::Io(request) => return Next::Io(request),
            Placed::Drain => return self.drain_writes(engine, self.group()),
            Placed::Queued => {
                self.failed_again |= self.placer.is_moved();
                self.queued = true;
                self.nth += 1;
            }
            Placed::InPlace => {
                self.wrote_spare = true;
                self.nth += 1;
            }
            Placed::Failed(error) => self.fail(error),
        }
        self.place_next(engine)
    }

    /// Waits for the writes to a group that has to move, however long they take: users wait for what the job is about anyway.
    pub(super) fn drain_writes(&self, engine: &Engine<'_>, group: Group) -> Next {
        Next::Drain(Drain::of(engine.regions().writes_to(group, group)))
    }

    /// The list of changes is nearly full: have it committed, whoever filled it.
    pub(super) fn make_room(&mut self, engine: &mut Engine<'_>) -> Next {
        if !engine.commits() {
            self.fail(self.job.error);
            self.nth = WINDOW_GROUPS;
            return self.placed(engine);
        }
        engine.await_room(usize::from(self.context), true);
        self.state = State::Commit;
        Next::Commit
    }

    /// The window is placed: commit what was queued, or go on.
    pub(super) fn placed(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.queued {
            self.state = State::Commit;
            return Next::Commit;
        }
        self.drain_given_up(engine)
    }

    pub(super) fn committed(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.await_room(usize::from(self.context), false);
        let ok = engine.commit_outcome(usize::from(self.context)) == Some(true);
        if !ok {
            self.fail(ErrorKind::Io);
        }
        self.queued = false;
        self.drain_given_up(engine)
    }

    pub(super) fn drain_given_up(&mut self, engine: &mut Engine<'_>) -> Next {
        if engine.has_superseded(self.context) {
            self.state = State::DrainGivenUp;
            return Next::Drain(Drain::ALL);
        }
        self.after_commit(engine)
    }

    /// A commit may come in the middle of a window, when the list of changes was full.
    pub(super) fn after_commit(&mut self, engine: &mut Engine<'_>) -> Next {
        if self.kept.what_for != For::Nothing {
            return self.after_kept(engine);
        }
        if self.verdict.is_ok() && self.nth < WINDOW_GROUPS {
            return self.place_next(engine);
        }
        self.end_window(engine)
    }
}
