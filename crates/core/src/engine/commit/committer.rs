//! The commit protocol of `docs/format.md`: flush, round one, round two, eviction, and copies that come back.
//!
//! A host runs one committer per set. It asks [`Committer::next`] for requests, submits them without waiting, and reports each
//! end by [`Committer::done`]; on [`Step::Wait`] it waits for one of those under way. All requests of a round may be under
//! way at once, and nothing of the next round is given out before the last of a round has ended.

use super::readmit::Readmission;
use super::table_round::{nth_copy, BATCH_BLOCKS};
use crate::engine::map::changes::Stage;
use crate::engine::set::Engine;
use crate::format::Superblock;
use crate::io::{Device, IoRequest};

/// What a host may order besides the commits that repairs cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Take a loaded set into service: count the activation, then make the copies equal.
    Takeover,
    /// Leave a set: write the superblock with *clean* set.
    Close,
    /// Try again to make durable what a failed commit left in doubt, bring evicted copies back, and take up remapping where it
    /// stopped. It succeeds when nothing is in doubt any more, whether copies came back or not.
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
pub(super) enum Phase {
    Idle,
    Flush,
    First,
    Others,
    /// One place after the other, so that a spare that spoils what it fails to write cannot spoil all of them.
    Superblock,
    /// A copy that is not in sync is written anew.
    Rewrite,
}

/// What follows when a superblock has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Whatever there is to do, now that the mask is certain.
    Begin,
    /// Round one again, on another copy.
    First,
    /// The commit is durable.
    Durable,
    /// The ordered work is done.
    EndWork,
}

/// The machine.
pub struct Committer {
    pub(super) phase: Phase,
    pub(super) work: Option<Work>,
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
    pub(super) failed: u8,
    pub(super) proposal: Option<Superblock>,
    /// Highest epoch that was ever proposed.
    pub(super) epoch_tried: u64,
    /// A superblock of this activation is durable on more than half of the places.
    pub(super) counted: bool,
    /// A mask was proposed that did not become the set's, and may be found on disk. It must be overwritten before a table block is
    /// written, as the copies that it leaves out are not all that a block is whole on.
    pub(super) in_question: bool,
    /// Copies to be evicted by the proposal.
    pub(super) evict: u8,
    /// Superblock places that failed to take a proposal since the last one that counted.
    pub(super) refused: u8,
    /// Superblock place that is being written, those written for this proposal, and those of them that hold it.
    pub(super) place: u8,
    pub(super) tried: u8,
    pub(super) landed: u8,
    pub(super) then: Then,
    /// The copy that is being brought back.
    pub(super) back: Readmission,
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
            counted: false,
            in_question: false,
            evict: 0,
            refused: 0,
            place: 0,
            tried: 0,
            landed: 0,
            then: Then::EndWork,
            back: Readmission::new(),
        }
    }

    /// Orders work; false while other work has not ended.
    #[must_use]
    pub fn order(&mut self, work: Work) -> bool {
        if self.work.is_some() || self.ended.is_some() {
            return false;
        }
        self.work = Some(work);
        self.try_all();
        true
    }

    /// What to do next. `buffer` has [`super::COMMIT_BUFFER_BYTES`] bytes and is not touched while requests are under way.
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
        } else if self.phase == Phase::Superblock {
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
            Phase::Flush | Phase::Superblock => 1,
            Phase::First => self.block_count,
            Phase::Rewrite => self.back.round_len(),
            Phase::Others => self.block_count * Self::others(engine, self.primary).count_ones() as usize,
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
            Phase::Superblock => {
                let request = Self::superblock_request(self.proposal.as_ref()?, buffer, self.place)?;
                Some((request, self.place))
            }
            Phase::Rewrite => {
                let copy = self.back.copy()?;
                Some((self.rewrite_request(engine, buffer, nth, copy)?, copy))
            }
        }
    }

    /// Finds something to do; false when there is nothing.
    fn begin(&mut self, engine: &mut Engine<'_>) -> bool {
        match self.work {
            // Metadata that this code does not wholly understand is served and never written.
            Some(work) if engine.superblock.ro_compat_unknown => {
                self.end_work(engine, work != Work::Resume);
            }
            // While writes are refused nothing is taken up again.
            Some(Work::Resume) if engine.fail_reason.is_some() => self.end_work(engine, false),
            // What is under way becomes durable before the set is called clean, and nothing does while copies differ.
            Some(Work::Close) if self.back.uneven && engine.has_queued() && engine.commits() => {
                self.begin_equalising(engine);
            }
            Some(Work::Close) if engine.has_queued() && engine.commits() => self.begin_changes(engine),
            Some(Work::Close) => self.begin_superblock(engine, Then::EndWork),
            // First of all the superblock of this activation, so that no other mask can be believed any more.
            Some(Work::Takeover | Work::Resume) if self.in_question || !self.counted => {
                self.begin_superblock(engine, Then::Begin);
            }
            // The changes of repairs do not wait until a copy has been written as a whole.
            Some(Work::Resume) if self.commit_first(engine) => self.begin_changes(engine),
            Some(Work::Takeover | Work::Resume) => self.begin_equalising(engine),
            None => self.begin_unordered(engine),
        }
        self.phase != Phase::Idle
    }

    fn begin_unordered(&mut self, engine: &mut Engine<'_>) {
        if self.back.uneven {
            self.begin_equalising(engine);
        }
        if self.phase == Phase::Idle && !self.rewrites_first() {
            self.begin_changes(engine);
        }
        if self.phase == Phase::Idle {
            self.begin_due(engine);
        }
        if self.phase == Phase::Idle {
            self.begin_changes(engine);
        }
    }

    fn begin_changes(&mut self, engine: &mut Engine<'_>) {
        if !engine.has_queued() {
            return;
        }
        if !engine.commits() {
            // Not begun, so nothing of it can have landed.
            engine.take_back(Stage::Queued);
            return;
        }
        self.yielded();
        self.block_count = engine.begin_commit(&mut self.blocks);
        self.carries_changes = true;
        self.enter(Phase::Flush);
    }

    fn begin_equalising(&mut self, engine: &mut Engine<'_>) {
        self.block_count = engine.unequal_blocks(&mut self.blocks);
        self.carries_changes = false;
        if self.block_count > 0 {
            self.begin_first(engine);
            return;
        }
        self.back.uneven = false;
        if self.work == Some(Work::Close) {
            // Copies that are equal are no end of it: the changes that wait come next.
            return self.begin_changes(engine);
        }
        if self.work == Some(Work::Resume) && self.begin_rewriting(engine) {
            return;
        }
        if self.work == Some(Work::Takeover) {
            // An activation before may have failed; this one has made everything durable.
            engine.unsettled = false;
            engine.judge();
        }
        self.end_work(engine, true);
    }

    /// Round one of a batch. Each block keeps a whole instance on another copy while the first is written, so the copy to
    /// begin with is one that some block lacks, if there is such a block.
    fn begin_first(&mut self, engine: &mut Engine<'_>) {
        if !self.carries_changes && engine.first_copy(self.batch()).is_none() {
            // No copy suits all blocks: one by one.
            self.block_count = self.block_count.min(1);
        }
        match (engine.first_copy(self.batch()), engine.next_seq()) {
            (Some(primary), Some(seq)) => {
                self.primary = primary;
                self.seq = seq;
                self.enter(Phase::First);
            }
            _ if self.carries_changes => {
                self.take_back(engine);
                engine.unsettled = true;
                engine.judge();
            }
            _ => self.fail(engine),
        }
    }

    fn batch(&self) -> &[u32] {
        self.blocks.get(..self.block_count).unwrap_or(&[])
    }

    pub(super) fn enter(&mut self, phase: Phase) {
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
                self.take_back(engine);
                engine.flush_failed();
            }
            Phase::Flush => self.begin_first(engine),
            Phase::First if failed != 0 => {
                engine.spoilt_on(self.batch(), failed);
                self.begin_eviction(engine, failed, Then::First);
            }
            Phase::First => self.enter(Phase::Others),
            Phase::Others => {
                engine.written_on(self.batch(), engine.superblock.in_sync & !failed, self.seq);
                if failed != 0 {
                    self.begin_eviction(engine, failed, Then::Durable);
                } else {
                    self.durable(engine);
                }
            }
            Phase::Superblock => self.superblock_written(engine, failed),
            Phase::Rewrite => self.rewritten(engine, failed != 0),
        }
    }

    /// Nothing of the batch is on a copy that counts: its changes are taken back as if they had never been.
    fn take_back(&mut self, engine: &mut Engine<'_>) {
        engine.take_back(Stage::InCommit);
        engine.counters.commits_failed += 1;
        self.carries_changes = false;
        self.enter(Phase::Idle);
    }

    /// The batch is durable on every in-sync copy.
    pub(super) fn durable(&mut self, engine: &mut Engine<'_>) {
        for index in self.blocks.iter().take(self.block_count) {
            engine.clear_doubt(*index);
        }
        engine.settled(self.batch());
        if self.carries_changes {
            engine.publish_commit();
            self.carries_changes = false;
        }
        self.enter(Phase::Idle);
    }

    /// The copy that failed round one is evicted, and what it holds of the batch counts for nothing. The next copy takes its
    /// place, unless it is the last: then a torn write would leave no instance at all.
    pub(super) fn begin_first_again(&mut self, engine: &mut Engine<'_>) {
        match engine.first_copy(self.batch()) {
            Some(primary) => {
                self.primary = primary;
                self.enter(Phase::First);
            }
            None => {
                if self.carries_changes {
                    self.take_back(engine);
                }
                self.enter(Phase::Idle);
            }
        }
    }

    pub(super) fn end_work(&mut self, engine: &mut Engine<'_>, ok: bool) {
        if self.work == Some(Work::Resume) {
            self.end_attempt(engine);
        }
        if let Some(work) = self.work.take() {
            let ok = ok && !(work == Work::Resume && engine.in_doubt());
            if ok && work == Work::Resume {
                // All copies that count are equal and written again.
                engine.unsettled = false;
                engine.forget_breaker();
                engine.judge();
            }
            self.ended = Some((work, ok));
        }
        self.enter(Phase::Idle);
    }

    /// The batch or the superblock could not be made durable. What was written may have landed.
    pub(super) fn fail(&mut self, engine: &mut Engine<'_>) {
        if self.carries_changes {
            engine.doubt_commit();
            engine.stale(self.batch());
        }
        self.carries_changes = false;
        self.evict = 0;
        self.refused = 0;
        self.back.abandon();
        engine.unsettled = true;
        engine.judge();
        // A set whose copies are equal can be served even if its spare takes no writes at all (S12).
        let served = self.work == Some(Work::Takeover) && engine.unequal_blocks(&mut self.blocks) == 0;
        self.end_work(engine, served);
    }
}
