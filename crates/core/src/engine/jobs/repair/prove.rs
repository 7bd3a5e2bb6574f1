//! Probing: main is asked without harm whether it takes writes, as nothing else gives evidence (S14).
//!
//! A physical block beside the failing one is claimed and held (S9), so that nobody else writes it; it is read and written back
//! unchanged, as a whole: a write of a part would put the rest at risk (S32). The write is a plain one: what is asked is whether main accepts writes, which any success of a user answers as well, and a FUA write
//! may be done as a flush of main's whole cache, whose failure would be told to the probe and not to those who wrote what was lost.
//!
//! A write of the same bytes that fails leaves each sector as it was or unreadable. So the block is read again; of what fails, what was read before
//! goes to the slots by which its groups are held, or to others if these fail, and a commit makes it the groups': no content is lost for a question.

use core::num::NonZeroU64;

use super::probe::Probe;
use super::{Repair, State};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::jobs::window::Range;
use crate::engine::set::Engine;
use crate::engine::trust::success::Success;
use crate::engine::trust::weigh::Judgement;
use crate::error::ErrorKind;
use crate::gate::Lanes;
use crate::units::{Group, Sector};

/// How far from the failing physical block main is asked, in physical blocks: beside it, and beyond bad areas of any size.
const DISTANCES: [u64; 9] = [1, 64, 4096, 1 << 18, 16, 256, 1 << 15, 2, 4];
/// Groups that may fail to take a write before the answer is no.
const WRITE_FAILURES: u8 = 6;
/// Time for finding out, in milliseconds.
const PROBE_MS: u64 = 10_000;

impl Repair {
    /// Lets the group at hand go to a slot (`None`) if there is evidence that main takes writes; otherwise says what is done next.
    pub(super) fn prove(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let bit = 1u64 << (self.nth & 63);
        if self.unproved & bit == 0 {
            return None;
        }
        let unit = NonZeroU64::from(engine.unit_sectors());
        let need = self.needed();
        let group = self.group();
        let (first, last) = (need.trailing_zeros().min(7), 7 - need.leading_zeros().min(7));
        let first = (group.first_sector().0 + u64::from(first)) / unit * unit.get();
        let end = ((group.first_sector().0 + u64::from(last)) / unit + 1) * unit.get();
        match engine.weigh(first, end, self.now_ms, self.trial) {
            Judgement::Proved => {
                self.unproved &= !bit;
                if self.trial {
                    engine.close_breaker();
                }
                None
            }
            Judgement::Ask if self.queued => {
                // Groups that wait for a commit may be held, and main may take its time.
                self.state = State::Commit;
                Some(Next::Commit)
            }
            Judgement::Ask => {
                if self.probe.of != Some(group) {
                    let until_ms = self.now_ms.saturating_add(PROBE_MS);
                    self.probe = Probe { of: Some(group), until_ms, ..Probe::default() };
                }
                Some(self.ask(engine))
            }
            Judgement::Refused => Some(self.refuse(engine)),
        }
    }

    /// Asks main by the next group that may be taken for it.
    fn ask(&mut self, engine: &mut Engine<'_>) -> Next {
        while self.now_ms < self.probe.until_ms && self.probe.write_failures < WRITE_FAILURES {
            let Some(group) = self.candidate(engine, self.probe.nth) else {
                if self.probe.busy == Lanes::NONE {
                    break;
                }
                // Those writes may have ended by now.
                (self.probe.nth, self.probe.busy) = (0, Lanes::NONE);
                continue;
            };
            let answered = self.probe.answered & (1 << (self.probe.nth & 31)) != 0;
            self.probe.nth += 1;
            let may_ask = |g: &Group| !answered && !self.probe.busy.meets(engine.regions().of_group(*g));
            let Some(group) = group.filter(may_ask) else { continue };
            let block = self.probed(engine, group);
            let last = Group(block.end().div_ceil(8).saturating_sub(1));
            if !engine.claim_probe(usize::from(self.context), group, last) {
                continue;
            }
            (self.probe.group, self.probe.attempts) = (group, 0);
            match self.keep_all(engine, block) {
                Some(next) => return next,
                // Nothing to hold it by: no slot is free, and whatever main says, the group at hand gets none (S22).
                None => {
                    engine.unclaim_probe(usize::from(self.context));
                    return self.refuse(engine);
                }
            }
        }
        engine.failed_unproven(self.group(), self.now_ms);
        self.refuse(engine)
    }

    /// The group at hand goes to no slot, and the write fails.
    fn refuse(&mut self, engine: &mut Engine<'_>) -> Next {
        self.fail(self.job.error);
        self.place_next(engine)
    }

    /// The `nth` group to ask, on either side in turn; `Some(None)` if it is none to ask, `None` behind the last.
    fn candidate(&self, engine: &Engine<'_>, nth: u32) -> Option<Option<Group>> {
        let distance = DISTANCES.get((nth / 2) as usize)?;
        let unit_groups =
            NonZeroU64::new(u64::from(engine.unit_sectors().get() / 8)).unwrap_or(NonZeroU64::MIN);
        let block = self.group().0 / unit_groups;
        let block = if nth % 2 == 0 { block.checked_sub(*distance) } else { block.checked_add(*distance) };
        let group = block.and_then(|b| b.checked_mul(unit_groups.get())).map(Group);
        let ours = self.at.group().0;
        let fails = |g: u64| {
            let place = g.checked_sub(ours).and_then(|n| usize::try_from(n).ok());
            place.and_then(|n| self.need.get(n)).is_some_and(|need| *need != 0)
        };
        // To write a part of a physical block that fails, a disk has to read it first.
        let is_bad = |g: u64| {
            fails(g) || engine.table.record_of(Group(g)).is_some() || engine.pending.mask(Group(g)) != 0
        };
        Some(group.filter(|g| {
            g.0 < engine.shape().groups() && !(g.0..g.0.saturating_add(unit_groups.get())).any(is_bad)
        }))
    }

    /// What is asked with a group: its physical block, and never less than the group.
    fn probed(&self, engine: &Engine<'_>, group: Group) -> Range {
        let first = group.first_sector();
        let end = first.0.saturating_add(8).min(engine.shape().sectors).max(engine.unit_of(first.0).end());
        Range { first, sectors: end.saturating_sub(first.0) }
    }

    /// Users of the group have waited long enough: main is asked elsewhere, when the writes have ended that are in the way everywhere.
    pub(super) fn probe_undrained(&mut self, engine: &mut Engine<'_>) -> Next {
        self.let_go_kept(engine);
        for group in self.probed(engine, self.probe.group).groups() {
            self.probe.busy = self.probe.busy.with(engine.regions().of_group(group));
        }
        self.probe.made_way_ms = self.now_ms;
        self.state = State::ProbeMakeWay;
        let within_ms = Some(self.deadline_ms.saturating_sub(self.now_ms));
        Next::Drain(Drain { lanes: Lanes::WIDE, within_ms, may_stop: false })
    }

    /// What was waited for with nobody held is no time spent on asking.
    pub(super) fn probe_way_made(&mut self, engine: &mut Engine<'_>) -> Next {
        let waited_ms = self.now_ms.saturating_sub(self.probe.made_way_ms);
        self.probe.until_ms = self.probe.until_ms.saturating_add(waited_ms);
        self.place_next(engine)
    }

    /// The groups could not be read, or not be saved if the write spoilt them: they say nothing of main.
    pub(super) fn probe_answers_nothing(&mut self, engine: &mut Engine<'_>) -> Next {
        self.answered();
        self.place_next(engine)
    }

    /// The group at hand need not be asked again.
    fn answered(&mut self) {
        self.probe.answered |= 1 << (self.probe.nth.wrapping_sub(1) & 31);
    }

    pub(super) fn probe_written(&mut self, engine: &mut Engine<'_>, result: Result<(), ErrorKind>) -> Next {
        self.probe.attempts += 1;
        match result {
            Ok(()) => {
                self.let_go_kept(engine);
                self.main_took(engine, self.probe.group.first_sector());
                self.unproved &= !(1u64 << (self.nth & 63));
                self.place_next(engine)
            }
            Err(_)
                if self.probe.attempts < engine.settings.error_threshold
                    && self.now_ms < self.probe.until_ms =>
            {
                self.write_beside_kept()
            }
            Err(_) => {
                self.answered();
                self.probe.write_failures += 1;
                self.read_back_kept(engine)
            }
        }
    }

    /// Main took a write of this repair.
    pub(super) fn main_took(&self, engine: &mut Engine<'_>, first: Sector) {
        engine.main_took(Success::new(first, self.now_ms));
        if self.trial {
            engine.close_breaker();
        }
    }
}
