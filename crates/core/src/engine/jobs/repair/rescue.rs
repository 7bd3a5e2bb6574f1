//! A write has failed beside content that is kept: what can no longer be read where it was goes to slots (S32).

use super::kept::{For, Kept};
use super::{Repair, State};
use crate::engine::jobs::beside::UNIT_GROUPS_MAX;
use crate::engine::jobs::place::{Placed, Placement};
use crate::engine::jobs::protocol::{Next, SCRATCH_SECTOR};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::error::ErrorKind;
use crate::io::{Device, IoRequest, Op};
use crate::units::Sector;

impl Repair {
    /// The write has failed: can what is kept still be read where it is?
    pub(super) fn read_back_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        self.kept.at = self.kept.unit.first.0;
        self.kept.spoilt = [0; UNIT_GROUPS_MAX];
        self.next_read_back(engine)
    }

    pub(super) fn next_read_back(&mut self, engine: &mut Engine<'_>) -> Next {
        match self.kept.run(true) {
            Some((sector, sectors)) => {
                self.state = State::KeptBack { sectors };
                let buffer_sector = SCRATCH_SECTOR + Sector(sector).in_group();
                Next::Io(IoRequest { device: Device::Main, op: Op::Read, sector, sectors, buffer_sector })
            }
            None => {
                let spoilt = self.kept.spoilt;
                for (nth, _) in spoilt.iter().enumerate().filter(|(_, spoilt)| **spoilt == 0) {
                    // What is still there need not be held any longer.
                    let group = self.kept.group(nth);
                    if let Some(mask) = self.kept.masks.get_mut(nth).filter(|mask| **mask != 0) {
                        *mask = 0;
                        engine.unhold(group);
                    }
                }
                self.store_kept(engine)
            }
        }
    }

    pub(super) fn kept_read_back(
        &mut self,
        engine: &mut Engine<'_>,
        sectors: u32,
        result: Result<(), ErrorKind>,
    ) -> Next {
        if let Some((first, _)) = self.kept.run(true) {
            if result.is_err() {
                self.kept.spoil(first, sectors);
            }
            self.kept.at = first + u64::from(sectors);
        }
        self.next_read_back(engine)
    }

    /// The groups that were spoilt go to slots, one after the other; behind the last they are committed.
    pub(super) fn store_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        loop {
            if !engine.commits() {
                self.tell_spoilt(engine);
            }
            let Some(nth) = self.kept.spoilt.iter().position(|mask| *mask != 0) else {
                if self.kept.queued {
                    self.state = State::KeptCommit;
                    return Next::Commit;
                }
                return self.drain_given_up(engine);
            };
            if !engine.has_room() {
                engine.await_room(usize::from(self.context), true);
                self.state = State::KeptCommit;
                return Next::Commit;
            }
            let (group, need) = (self.kept.group(nth), self.kept.spoilt.get(nth).copied().unwrap_or(0));
            let (at, buffer_sector) = (self.kept.unit.first, self.kept.base());
            let error = ErrorKind::Medium;
            // A slot that is bad itself is no reason to lose what is at hand; of it goes over what can be read.
            let give_up = engine.table.record_of(group).is_some_and(|(_, record)| record.bad() != 0);
            let what =
                Placement { group, need, at, buffer_sector, give_up, may_lose: true, rescue: true, error };
            let placed = self.placer.begin(engine, what);
            if let Some(next) = self.obey_kept(engine, placed) {
                return next;
            }
        }
    }

    /// Nothing can be stored any more: what was spoilt is lost.
    pub(super) fn tell_spoilt(&mut self, engine: &mut Engine<'_>) {
        let spoilt = core::mem::take(&mut self.kept.spoilt);
        for (nth, _) in spoilt.iter().enumerate().filter(|(_, mask)| **mask != 0) {
            engine.notices.push(Notice::Spoilt { group: self.kept.group(nth).first_sector() });
        }
    }

    pub(super) fn kept_placed(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Next {
        match self.obey_kept(engine, placed) {
            Some(next) => next,
            None => self.store_kept(engine),
        }
    }

    /// What is asked for to place the group at hand; `None` when that is done with.
    pub(super) fn obey_kept(&mut self, engine: &mut Engine<'_>, placed: Placed) -> Option<Next> {
        self.state = State::KeptStore;
        let nth = self.kept.spoilt.iter().position(|mask| *mask != 0).unwrap_or(0);
        let group = self.kept.group(nth);
        match placed {
            Placed::Io(request) => return Some(Next::Io(request)),
            Placed::Drain => return Some(self.drain_writes(engine, group)),
            Placed::Queued => {
                self.kept.queued = true;
                // What was held by a slot keeps it: that is a slot more on the evidence there is (S14, S16).
                if self.placer.is_new() {
                    engine.count_slot(self.now_ms);
                }
            }
            Placed::InPlace => {}
            Placed::Failed(_) => engine.notices.push(Notice::Spoilt { group: group.first_sector() }),
        }
        // A group that is queued is let go by its commit, one that failed has been.
        for masks in [&mut self.kept.spoilt, &mut self.kept.masks] {
            if let Some(mask) = masks.get_mut(nth) {
                *mask = 0;
            }
        }
        None
    }

    /// Slots are those groups' places now, or the commit has failed.
    pub(super) fn kept_committed(&mut self, engine: &mut Engine<'_>) -> Next {
        engine.await_room(usize::from(self.context), false);
        let ok = engine.commit_outcome(usize::from(self.context)) == Some(true);
        self.kept.queued = false;
        if !ok {
            self.fail(ErrorKind::Io);
        }
        self.store_kept(engine)
    }

    /// All that a write has spoilt is stored, and the repair goes on where it was.
    pub(super) fn after_kept(&mut self, engine: &mut Engine<'_>) -> Next {
        let Kept { what_for, error, stored, .. } = self.kept;
        self.let_go_kept(engine);
        match (what_for, error) {
            (For::Storing(sectors), None) if stored => {
                self.go_past(engine, sectors);
                match self.verdict {
                    Ok(()) => self.narrow(engine, self.now_ms),
                    Err(_) => self.end_window(engine),
                }
            }
            (For::Storing(_), Some(error)) => {
                self.fail(error);
                self.end_window(engine)
            }
            (For::Storing(_), None) if self.verdict.is_err() => self.end_window(engine),
            (For::Storing(sectors), None) => self.not_written(engine, sectors),
            _ if self.verdict.is_err() => self.end_window(engine),
            _ => self.place_next(engine),
        }
    }
}
