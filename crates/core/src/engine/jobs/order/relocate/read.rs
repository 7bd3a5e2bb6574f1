//! What is to move is read: first while users go on, then under the hold.

use super::{Relocate, State};
use crate::engine::jobs::protocol::Next;
use crate::engine::limits::HELD_MS;
use crate::engine::set::Engine;
use crate::error::ErrorKind;

impl Relocate {
    pub(super) fn survey(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        self.state = State::Survey;
        if let Some(request) = self.sweep.next(&self.window, &self.wanted).filter(|_| !self.stop) {
            self.asked_ms = now_ms;
            return Some(Next::Io(request));
        }
        if self.stop {
            // Nothing was moved: the next order begins with this window.
            self.window.sectors = 0;
            return None;
        }
        self.tries = 0;
        if self.beside.is_some() {
            let unreadable = self.unreadable;
            engine.spread(&self.window, &unreadable, &mut self.wanted, &mut self.failed);
        }
        self.claim(engine, now_ms)
    }

    /// A read of the survey has ended. What took long may do so again under the hold, for whose users of its own group alone may wait then.
    pub(super) fn surveyed(
        &mut self,
        engine: &mut Engine<'_>,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        self.sweep.ended(&self.window, &mut self.wanted, &mut self.unreadable, result);
        let took_ms = now_ms.saturating_sub(self.asked_ms);
        if result.is_ok() && took_ms >= HELD_MS {
            self.slow = true;
            if self.window.at.group() != self.window.last_group() {
                // Begun anew at the same place.
                self.groups = 1;
                self.window.sectors = 0;
                return None;
            }
        }
        self.survey(engine, now_ms)
    }

    /// A read of what is held has ended. If it failed, or users have waited long enough, the window ends before what is not read yet; if
    /// nothing was read, behind the first group that is wanted, which is all that users wait for from then on.
    pub(super) fn held_read(
        &mut self,
        engine: &mut Engine<'_>,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        self.sweep.ended(&self.window, &mut self.wanted, &mut self.unreadable, result);
        if result.is_err() || now_ms >= self.held_until_ms {
            (self.slow, self.groups) = (true, 1);
            let first = self.wanted.iter().position(|mask| *mask != 0).unwrap_or(0);
            let end = self.sweep.nth(&self.window).max(first.saturating_add(1));
            let masks = [&mut self.wanted, &mut self.unreadable, &mut self.failed];
            let end = self.window.group(end).first_sector().0;
            engine.cut_window(&mut self.window, end, masks);
        }
        self.read(engine, now_ms)
    }

    /// Reads what is held. It read well a moment ago, so what fails now gets no second attempt: users wait.
    pub(super) fn read(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        self.state = State::Read;
        if now_ms >= self.deadline_ms {
            self.sweep.give_up(&self.window, &mut self.wanted, &mut self.unreadable);
        }
        if let Some(request) = self.sweep.next(&self.window, &self.wanted) {
            return Some(Next::Io(request));
        }
        for (nth, (wanted, unreadable)) in self.wanted.iter().zip(&self.unreadable).enumerate() {
            if *wanted == 0 && *unreadable != 0 {
                engine.unhold(self.window.group(nth));
            }
        }
        self.nth = 0;
        self.place_next(engine)
    }
}
