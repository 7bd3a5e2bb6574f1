//! What lives on main beside the sectors that a release writes there (S32).

use super::{Release, State};
use crate::engine::jobs::order::relocate::Relocate;
use crate::engine::jobs::protocol::{Event, Next};
use crate::engine::jobs::window::{count, Masks, NO_SECTORS};
use crate::engine::set::Engine;
use crate::extent::Range;
use crate::units::Sector;

impl Release {
    /// The next window begins at `at`. One that was cut before its end may have moved some of this one out of the way.
    pub(super) fn carry_kept(&mut self, at: Sector) {
        let behind = at.group().0.saturating_sub(self.window.at.group().0);
        let behind = usize::try_from(behind).unwrap_or(usize::MAX);
        for nth in 0..self.kept.len() {
            let moved = nth.checked_add(behind).and_then(|n| self.kept.get(n).copied());
            if let Some(kept) = self.kept.get_mut(nth) {
                *kept = moved.unwrap_or(0);
            }
        }
    }

    /// Moves out of the way what lives on main beside the window's sectors, and goes on with the window.
    pub(super) fn move_aside(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        let beside = engine.beside(&self.window, &self.range);
        if beside == NO_SECTORS || !engine.mode.remaps() {
            return self.claim(engine);
        }
        self.kept.iter_mut().zip(&beside).for_each(|(kept, beside)| *kept |= beside);
        self.keep = Relocate::beside(self.context, &self.window, self.range, engine);
        self.state = State::Keep;
        self.keep_on(engine, Event::Go, now_ms)
    }

    /// Of what does not go back, as nothing could be moved to its slots, that is unreadable which is why.
    pub(super) fn tell_unreadable_apart(&mut self, engine: &Engine<'_>) {
        for (nth, (failed, unreadable)) in self.failed.iter_mut().zip(&mut self.unreadable).enumerate() {
            let suspect =
                engine.table.record_of(self.window.group(nth)).map_or(0, |(_, record)| record.bad());
            *unreadable |= *failed & suspect;
            *failed &= !suspect;
        }
    }

    /// What lives on main beside the window's sectors is being moved.
    pub(super) fn keep_on(&mut self, engine: &mut Engine<'_>, event: Event, now_ms: u64) -> Option<Next> {
        match self.keep.next(engine, event, now_ms) {
            Next::Done(_) => self.claim(engine),
            next => Some(next),
        }
    }

    /// Main did not take a write of these sectors of the group at hand, which may have cost all that their physical blocks held there: nothing of
    /// those goes back. The window ends behind them, or with the group if it may.
    pub(super) fn drop_unit(&mut self, engine: &mut Engine<'_>, mask: u8) {
        let group = self.window.group(self.nth);
        let sector = |bit: u32| group.first_sector().0 + u64::from(bit.min(7));
        let first = engine.unit_of(sector(mask.trailing_zeros())).first;
        let end = engine.unit_of(sector(7_u32.saturating_sub(mask.leading_zeros()))).end();
        let group_end = sector(7) + 1;
        let between = engine.unit_of(group_end).first.0 == group_end;
        let end = if between { end.max(group_end) } else { end };
        let spoilt = Range { first, sectors: end.saturating_sub(first.0) };
        for nth in 0..self.wanted.len() {
            self.nth = nth;
            let dropped = self.wanted() & spoilt.mask(self.window.group(nth));
            if dropped != 0 {
                self.drop_group(engine, dropped, |r| &mut r.failed);
            }
        }
        self.cut_before(engine, end);
    }

    /// Counts what was moved out of the way of the sectors in `within`, and is in slots still.
    pub(super) fn tell_aside(&mut self, engine: &Engine<'_>, within: core::ops::Range<u64>) {
        let within = Range { first: Sector(within.start), sectors: within.end.saturating_sub(within.start) };
        for (nth, kept) in self.kept.iter_mut().enumerate() {
            let group = self.window.group(nth);
            let told = *kept & within.mask(group);
            self.tally.aside += u64::from((told & engine.mapped_mask(group)).count_ones());
            *kept &= !told;
        }
    }

    /// Adds the window to what the release came to, as far as it was asked for; returns how many of its sectors failed.
    pub(super) fn tell_window(&mut self) -> u64 {
        let asked = |masks: &Masks, but: &Masks| {
            let mut asked = *masks;
            for (nth, (mask, but)) in asked.iter_mut().zip(but).enumerate() {
                *mask &= self.range.mask(self.window.group(nth)) & !but;
            }
            count(&asked)
        };
        // What was moved out of the way and is back again was on main before.
        let released = asked(&self.released, &self.kept);
        let (lost, unreadable) = (asked(&self.lost, &NO_SECTORS), asked(&self.unreadable, &NO_SECTORS));
        let failed = asked(&self.failed, &NO_SECTORS);
        self.tally.released += released;
        self.tally.lost += lost;
        self.tally.unreadable += unreadable;
        self.tally.failed += failed;
        let end = self.window.end().min(self.range.end());
        let sectors = end.saturating_sub(self.window.at.0.max(self.range.first.0));
        self.tally.main += sectors.saturating_sub(released + lost + unreadable + failed);
        failed
    }
}
