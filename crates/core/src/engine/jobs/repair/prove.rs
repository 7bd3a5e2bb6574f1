//! Probing: main is asked without harm whether it takes writes, as nothing else gives evidence (S14).
//!
//! A physical block beside the failing one is claimed and held (S9), so that nobody else writes it; it is read and written back
//! unchanged, as a whole: a write of a part would put the rest at risk (S32). The write is a plain one: what is asked is whether main accepts writes, which any success of a user answers as well, and a FUA write
//! may be done as a flush of main's whole cache, whose failure would be told to the probe and not to those who wrote what was lost.
//!
//! A write of the same bytes that fails leaves each sector as it was or unreadable. So the block is read again; of what fails, what was read before
//! goes to the slots by which its groups are held, or to others if these fail, and a commit makes it the groups': no content is lost for a question.

use super::probe::Probe;
use super::{Repair, State};
use crate::engine::jobs::protocol::{Drain, Next};
use crate::engine::set::Engine;
use crate::engine::trust::success::Success;
use crate::engine::trust::weigh::Judgement;
use crate::error::ErrorKind;
use crate::extent::{Range, Units};
use crate::gate::Lanes;
use crate::units::{Group, Sector, SECTORS_PER_BLOCK};

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
        let need = self.needed();
        let group = self.group();
        let (first, last) = (need.trailing_zeros().min(7), 7 - need.leading_zeros().min(7));
        let units = engine.units();
        let first = units.of(group.first_sector().0 + u64::from(first)).first.0;
        let end = units.of(group.first_sector().0 + u64::from(last)).end();
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
            let Some(block) = self.candidate(engine, self.probe.nth) else {
                if self.probe.busy == Lanes::NONE {
                    break;
                }
                // Those writes may have ended by now.
                (self.probe.nth, self.probe.busy) = (0, Lanes::NONE);
                continue;
            };
            let answered = self.probe.answered & (1 << (self.probe.nth & 31)) != 0;
            self.probe.nth += 1;
            let is_free = |g: Group| !self.probe.busy.meets(engine.regions().of_group(g));
            let may_ask = |block: &Range| !answered && block.groups().all(is_free);
            let Some(block) = block.filter(may_ask) else { continue };
            let last = Group(block.end().div_ceil(8).saturating_sub(1));
            if !engine.claim_probe(usize::from(self.context), block.first.group(), last) {
                continue;
            }
            (self.probe.block, self.probe.attempts) = (block, 0);
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

    /// The `nth` physical block to ask, on either side in turn; of blocks that are smaller than a group, those that lie in one. `Some(None)` if it
    /// is none to ask, `None` behind the last.
    fn candidate(&self, engine: &Engine<'_>, nth: u32) -> Option<Option<Range>> {
        let distance = DISTANCES.get((nth / 2) as usize)?;
        let units = if engine.units().sectors() < SECTORS_PER_BLOCK { Units::SLOTS } else { engine.units() };
        let first = self.needed().trailing_zeros().min(7);
        let ours = units.nth_of(self.group().first_sector().0 + u64::from(first));
        let nth = if nth % 2 == 0 { ours.checked_sub(*distance) } else { ours.checked_add(*distance) };
        let block = nth.map(|nth| units.nth(nth));
        // What lies beyond an end of main in its first or last physical block is not main's to keep.
        let block = block.filter(|block| units.is_whole(block) && block.end() <= engine.shape().sectors);
        let first_group = self.at.group().0;
        let fails = |g: u64| {
            let place = g.checked_sub(first_group).and_then(|n| usize::try_from(n).ok());
            place.and_then(|n| self.need.get(n)).is_some_and(|need| *need != 0)
        };
        // To write a part of a physical block that fails, a disk has to read it first.
        let is_bad =
            |g: Group| fails(g.0) || engine.table.record_of(g).is_some() || engine.pending.mask(g) != 0;
        let block = block.filter(|block| !block.groups().any(is_bad));
        Some(block.map(|block| engine.whole_units_in(&block)).filter(|block| block.sectors > 0))
    }

    /// Users of the group have waited long enough: main is asked elsewhere, when the writes have ended that are in the way everywhere.
    pub(super) fn probe_undrained(&mut self, engine: &mut Engine<'_>) -> Next {
        self.let_go_kept(engine);
        for group in self.probe.block.groups() {
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

    /// What is asked need not be asked again.
    fn answered(&mut self) {
        self.probe.answered |= 1 << (self.probe.nth.wrapping_sub(1) & 31);
    }

    pub(super) fn probe_written(&mut self, engine: &mut Engine<'_>, result: Result<(), ErrorKind>) -> Next {
        self.probe.attempts += 1;
        match result {
            Ok(()) => {
                self.let_go_kept(engine);
                self.main_took(engine, self.probe.block.first);
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
