//! The commit protocol of `docs/format.md`: flush, round one, round two, eviction.
//!
//! A host runs one committer per set. It asks [`Committer::next`] for requests, submits them without waiting, and reports each
//! end by [`Committer::done`]; on [`Step::Wait`] it waits for one of those under way. All requests of a round may be under
//! way at once, and nothing of the next round is given out before the last of a round has ended.

use super::changes::Stage;
use super::rounds::{nth_copy, BATCH_BLOCKS};
use super::{Engine, Mode, Notice};
use crate::format::Superblock;
use crate::io::{Device, IoRequest};

/// What a host may order besides the commits that repairs cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Take a loaded set into service: equalise the copies, then count the activation.
    Takeover,
    /// Leave a set: write the superblock with *clean* set.
    Close,
    /// Try again to make durable what a failed commit left in doubt, and take up remapping where it stopped.
    Resume,
}

/// What the host does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Submit this request, with the committer's buffer; report its end with the tag.
    Io(IoRequest, u8),
    /// Wait for the end of a request under way.
    Wait,
    /// The ordered work ended; whether it succeeded.
    Ended(Work, bool),
    /// Nothing to do until a change is queued or work is ordered.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Flush,
    First,
    Others,
    SuperFirst,
    SuperOthers,
}

/// What follows when a superblock has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Round one again, on another copy.
    First,
    /// The commit is durable.
    Durable,
    /// The ordered work is done.
    EndWork,
}

/// The machine.
pub struct Committer {
    phase: Phase,
    work: Option<Work>,
    ended: Option<(Work, bool)>,
    /// Whether the batch carries changes; otherwise it only makes copies equal.
    carries_changes: bool,
    pub(super) blocks: [u32; BATCH_BLOCKS],
    pub(super) block_count: usize,
    pub(super) seq: u64,
    pub(super) primary: u8,
    issued: usize,
    open: usize,
    /// Copies that failed a request of this round; bit 7 stands for the flush.
    failed: u8,
    proposal: Option<Superblock>,
    /// Highest epoch that was ever proposed.
    epoch_tried: u64,
    /// Copies to be evicted by the proposal.
    evict: u8,
    /// Superblock places that hold the proposal.
    landed: u8,
    then: Then,
}

impl Default for Committer {
    fn default() -> Self {
        Self::new()
    }
}

const FLUSH_TAG: u8 = 7;

impl Committer {
    /// A committer with nothing to do.
    pub const fn new() -> Committer {
        Committer {
            phase: Phase::Idle,
            work: None,
            ended: None,
            carries_changes: false,
            blocks: [0; BATCH_BLOCKS],
            block_count: 0,
            seq: 0,
            primary: 0,
            issued: 0,
            open: 0,
            failed: 0,
            proposal: None,
            epoch_tried: 0,
            evict: 0,
            landed: 0,
            then: Then::EndWork,
        }
    }

    /// Orders work; false while other work has not ended.
    #[must_use]
    pub fn order(&mut self, work: Work) -> bool {
        if self.work.is_some() || self.ended.is_some() {
            return false;
        }
        self.work = Some(work);
        true
    }

    /// What to do next. `buffer` has [`super::commit::COMMIT_BUFFER_BYTES`] bytes and is not touched while requests are under way.
    pub fn next(&mut self, engine: &mut Engine<'_>, buffer: &mut [u8]) -> Step {
        if let Some((work, ok)) = self.ended.take() {
            return Step::Ended(work, ok);
        }
        if self.phase == Phase::Idle && !self.begin(engine) {
            return match self.ended.take() {
                Some((work, ok)) => Step::Ended(work, ok),
                None => Step::Idle,
            };
        }
        match self.request(engine, buffer) {
            Some((request, tag)) => {
                self.issued += 1;
                self.open += 1;
                Step::Io(request, tag)
            }
            None if self.open > 0 => Step::Wait,
            None => {
                // Nothing was given out at all: a buffer that is too small, or a round without requests.
                engine.broken("a round of the commit protocol is empty");
                self.fail(engine);
                self.next_after_failure()
            }
        }
    }

    fn next_after_failure(&mut self) -> Step {
        match self.ended.take() {
            Some((work, ok)) => Step::Ended(work, ok),
            None => Step::Idle,
        }
    }

    /// A request that was given out has ended.
    pub fn done(&mut self, engine: &mut Engine<'_>, tag: u8, ok: bool) {
        self.open = self.open.saturating_sub(1);
        let bit = 1u8.checked_shl(u32::from(tag)).unwrap_or(0);
        if !ok {
            self.failed |= bit;
        } else if matches!(self.phase, Phase::SuperFirst | Phase::SuperOthers) {
            self.landed |= bit;
        }
        if self.open == 0 && self.issued >= self.round_len(engine) {
            self.end_round(engine);
        }
    }

    fn others(engine: &Engine<'_>, primary: u8) -> u8 {
        engine.superblock.in_sync & !(1 << primary)
    }

    fn round_len(&self, engine: &Engine<'_>) -> usize {
        match self.phase {
            Phase::Idle => 0,
            Phase::Flush | Phase::SuperFirst => 1,
            Phase::First => self.block_count,
            Phase::Others => self.block_count * Self::others(engine, self.primary).count_ones() as usize,
            Phase::SuperOthers => usize::from(engine.superblock.copy_count).saturating_sub(1),
        }
    }

    fn request(&self, engine: &Engine<'_>, buffer: &mut [u8]) -> Option<(IoRequest, u8)> {
        let nth = self.issued;
        if nth >= self.round_len(engine) {
            return None;
        }
        match self.phase {
            Phase::Idle => None,
            Phase::Flush => Some((IoRequest::flush(Device::Spare), FLUSH_TAG)),
            Phase::First => Some((self.first_request(engine, buffer, nth)?, self.primary)),
            Phase::Others => {
                let copy = nth_copy(Self::others(engine, self.primary), nth.checked_div(self.block_count)?)?;
                Some((self.others_request(engine, buffer, nth)?, copy))
            }
            Phase::SuperFirst => self.super_request(buffer, self.primary),
            Phase::SuperOthers => {
                let all = (1u16 << engine.superblock.copy_count) - 1;
                self.super_request(buffer, nth_copy(all as u8 & !(1 << self.primary), nth)?)
            }
        }
    }

    fn super_request(&self, buffer: &mut [u8], copy: u8) -> Option<(IoRequest, u8)> {
        Some((Self::superblock_request(self.proposal.as_ref()?, buffer, copy)?, copy))
    }

    /// Finds something to do; false when there is nothing.
    fn begin(&mut self, engine: &mut Engine<'_>) -> bool {
        match self.work {
            Some(Work::Close) => self.begin_superblock(engine, Then::EndWork),
            Some(Work::Takeover | Work::Resume) => self.begin_equalising(engine),
            None => self.begin_changes(engine),
        }
        self.phase != Phase::Idle
    }

    fn begin_changes(&mut self, engine: &mut Engine<'_>) {
        if !engine.has_queued() {
            return;
        }
        if !engine.mode().remaps() {
            // Not begun, so nothing of it can have landed.
            engine.take_back(Stage::Queued);
            return;
        }
        self.block_count = engine.begin_commit(&mut self.blocks);
        self.carries_changes = true;
        self.enter(Phase::Flush);
    }

    fn begin_equalising(&mut self, engine: &mut Engine<'_>) {
        self.block_count = engine.unequal_blocks(&mut self.blocks);
        if self.block_count == 0 {
            self.begin_superblock(engine, Then::EndWork);
        } else {
            self.carries_changes = false;
            self.begin_first(engine);
        }
    }

    fn begin_first(&mut self, engine: &mut Engine<'_>) {
        match (nth_copy(engine.superblock.in_sync, 0), engine.next_seq()) {
            (Some(primary), Some(seq)) => {
                self.primary = primary;
                self.seq = seq;
                self.enter(Phase::First);
            }
            _ => self.fail(engine),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.issued = 0;
        self.open = 0;
        self.failed = 0;
    }

    fn end_round(&mut self, engine: &mut Engine<'_>) {
        let failed = self.failed;
        match self.phase {
            Phase::Idle => {}
            Phase::Flush if failed != 0 => {
                engine.take_back(Stage::InCommit);
                engine.counters.commits_failed += 1;
                engine.flush_failed();
                self.enter(Phase::Idle);
            }
            Phase::Flush => self.begin_first(engine),
            Phase::First if failed != 0 => self.begin_eviction(engine, failed, Then::First),
            Phase::First if Self::others(engine, self.primary) != 0 => self.enter(Phase::Others),
            Phase::First => self.durable(engine),
            Phase::Others if failed != 0 => self.begin_eviction(engine, failed, Then::Durable),
            Phase::Others => self.durable(engine),
            Phase::SuperFirst | Phase::SuperOthers => self.end_superblock_round(engine, failed),
        }
    }

    /// The batch is durable on every in-sync copy.
    fn durable(&mut self, engine: &mut Engine<'_>) {
        for index in self.blocks.iter().take(self.block_count) {
            engine.set_block_state(*index, self.seq, engine.superblock.in_sync);
            engine.clear_doubt(*index);
        }
        if self.carries_changes {
            engine.publish_commit();
            self.carries_changes = false;
        }
        engine.judge_copies();
        self.enter(Phase::Idle);
    }

    fn begin_eviction(&mut self, engine: &mut Engine<'_>, copies: u8, then: Then) {
        self.evict |= copies;
        self.begin_superblock(engine, then);
    }

    /// Begins to write a superblock: without the copies to be evicted, and with what the ordered work changes.
    fn begin_superblock(&mut self, engine: &mut Engine<'_>, then: Then) {
        let mut proposal = engine.superblock.clone();
        proposal.in_sync &= !self.evict;
        let (Some(primary), Some(seq)) = (nth_copy(proposal.in_sync, 0), engine.next_seq()) else {
            self.fail(engine);
            return;
        };
        proposal.seq = seq;
        if proposal.in_sync != engine.superblock.in_sync {
            // Proposals that did not become the superblock may have landed somewhere, so each takes an epoch of its own.
            proposal.epoch = proposal.epoch.max(self.epoch_tried).saturating_add(1);
            self.epoch_tried = proposal.epoch;
        }
        match (then, self.work) {
            (Then::EndWork, Some(Work::Close)) => proposal.clean = !engine.in_doubt(),
            (Then::EndWork, Some(Work::Takeover)) => {
                proposal.clean = false;
                proposal.activations = proposal.activations.saturating_add(1);
                // From now on main is written through the map: what was sampled at the last close says nothing any more.
                (proposal.fingerprint_s, proposal.fingerprint) = (0, 0);
            }
            _ => {}
        }
        self.proposal = Some(proposal);
        self.primary = primary;
        self.then = then;
        self.landed = 0;
        self.enter(Phase::SuperFirst);
    }

    fn end_superblock_round(&mut self, engine: &mut Engine<'_>, failed: u8) {
        let in_sync = self.proposal.as_ref().map_or(0, |p| p.in_sync);
        if failed & in_sync != 0 {
            self.evict |= failed & in_sync;
            self.begin_superblock(engine, self.then);
        } else if self.phase == Phase::SuperFirst {
            self.enter(Phase::SuperOthers);
        } else {
            self.superblock_landed(engine);
        }
    }

    /// Every in-sync copy holds the proposal: it counts if more than half of all places do.
    fn superblock_landed(&mut self, engine: &mut Engine<'_>) {
        let more_than_half = self.landed.count_ones() * 2 > u32::from(engine.superblock.copy_count);
        let Some(proposal) = self.proposal.take().filter(|_| more_than_half) else {
            self.fail(engine);
            return;
        };
        for copy in 0..proposal.copy_count {
            if engine.superblock.in_sync & !proposal.in_sync & (1 << copy) != 0 {
                engine.counters.evictions += 1;
                engine.notices.push(Notice::Evicted { copy });
            }
        }
        engine.superblock = proposal;
        self.evict = 0;
        match self.then {
            Then::First => self.begin_first_again(engine),
            Then::Durable => self.durable(engine),
            Then::EndWork => self.end_work(engine, true),
        }
    }

    fn begin_first_again(&mut self, engine: &mut Engine<'_>) {
        match nth_copy(engine.superblock.in_sync, 0) {
            Some(primary) => {
                self.primary = primary;
                self.enter(Phase::First);
            }
            None => self.fail(engine),
        }
    }

    fn end_work(&mut self, engine: &mut Engine<'_>, ok: bool) {
        if let Some(work) = self.work.take() {
            if ok && work == Work::Resume {
                engine.resume_remapping();
            }
            self.ended = Some((work, ok));
        }
        engine.judge_copies();
        self.enter(Phase::Idle);
    }

    /// The batch or the superblock could not be made durable. What was written may have landed.
    fn fail(&mut self, engine: &mut Engine<'_>) {
        if self.carries_changes {
            engine.doubt_commit();
            for index in self.blocks.iter().take(self.block_count) {
                engine.set_block_state(*index, 0, 0);
            }
        }
        self.carries_changes = false;
        self.evict = 0;
        engine.worsen(Mode::NoRemap);
        // A set whose copies are equal can be served even if its spare takes no writes at all (S12).
        let served = self.work == Some(Work::Takeover) && engine.unequal_blocks(&mut self.blocks) == 0;
        self.end_work(engine, served);
    }
}

impl Engine<'_> {
    /// Finds table blocks that some in-sync copy lacks; returns how many were put into `out`.
    fn unequal_blocks(&self, out: &mut [u32]) -> usize {
        let in_sync = self.superblock.in_sync;
        let unequal = self.blocks.iter().enumerate().filter(|(_, w)| (**w >> 56) as u8 & in_sync != in_sync);
        let mut len = 0;
        for (place, (index, _)) in out.iter_mut().zip(unequal) {
            *place = index as u32;
            len += 1;
        }
        len
    }

    /// Remapping goes on after a commit had failed: all copies that count are equal and written again.
    fn resume_remapping(&mut self) {
        if self.mode == Mode::NoRemap {
            self.mode = Mode::Rw;
            self.notices.push(Notice::Mode(Mode::Rw));
        }
    }
}
