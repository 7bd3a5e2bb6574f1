//! The commit protocol of `docs/format.md`: flush, round one, round two, eviction, and copies that come back.
//!
//! A host runs one committer per set. It asks [`Committer::next`] for requests, submits them without waiting, and reports each
//! end by [`Committer::done`]; on [`Step::Wait`] it waits for one of those under way. All requests of a round may be under
//! way at once, and nothing of the next round is given out before the last of a round has ended.

mod begin;

use super::readmit::{self, Readmission};
use super::superblocks::{self, Superblocks};
use super::table_round::TableRound;
use crate::engine::map::changes::Stage;
use crate::engine::set::Engine;
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
enum Phase {
    Idle,
    Flush,
    First,
    Others,
    Superblock,
    /// A copy that is not in sync is written anew.
    Rewrite,
}

/// What follows when a superblock has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
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
    phase: Phase,
    work: Option<Work>,
    ended: Option<(Work, bool)>,
    /// Whether the batch carries changes; otherwise it only makes copies equal.
    carries_changes: bool,
    round: TableRound,
    issued: usize,
    open: usize,
    /// Copies that failed a request of this round; bit 7 stands for the flush.
    failed: u8,
    superblocks: Superblocks,
    then: Then,
    /// The copy that is being brought back.
    back: Readmission,
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
            round: TableRound::new(),
            issued: 0,
            open: 0,
            failed: 0,
            superblocks: Superblocks::new(),
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
        self.back.try_all();
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
        }
        if self.open == 0 && self.issued >= self.round_len(engine) {
            self.end_round(engine);
        }
    }

    /// Tells the time. If an attempt to bring back evicted copies is due, the next calls of [`Committer::next`] carry out a part
    /// of it. Returns after how many milliseconds the host tells the time again; `None`: not before something has been committed or ordered.
    pub fn tick(&mut self, engine: &Engine<'_>, now_ms: u64) -> Option<u64> {
        if !self.superblocks.is_certain() || engine.unsettled || !engine.has_evicted() {
            self.back.none_due();
            return None;
        }
        Some(self.back.tick(engine.settings.readmit_after_ms, now_ms))
    }

    fn round_len(&self, engine: &Engine<'_>) -> usize {
        match self.phase {
            Phase::Idle => 0,
            Phase::Flush | Phase::Superblock => 1,
            Phase::First => self.round.count,
            Phase::Rewrite => self.back.round_len(),
            Phase::Others => self.round.others_len(engine),
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
            Phase::First => Some((self.round.first_request(engine, buffer, nth)?, self.round.primary)),
            Phase::Others => self.round.others_request(engine, buffer, nth),
            Phase::Superblock => self.superblocks.request(buffer),
            Phase::Rewrite => self.back.request(engine, buffer, nth),
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
                self.take_back(engine);
                engine.flush_failed();
            }
            Phase::Flush => self.begin_first(engine),
            Phase::First if failed != 0 => {
                engine.spoilt_on(self.round.batch(), failed);
                self.superblocks.evict(failed);
                self.begin_superblock(engine, Then::First);
            }
            Phase::First => self.enter(Phase::Others),
            Phase::Others => {
                engine.written_on(self.round.batch(), engine.superblock.in_sync & !failed, self.round.seq);
                if failed != 0 {
                    self.superblocks.evict(failed);
                    self.begin_superblock(engine, Then::Durable);
                } else {
                    self.durable(engine);
                }
            }
            Phase::Superblock => {
                let outcome = self.superblocks.written(engine, failed == 0);
                self.go_on(engine, outcome);
            }
            Phase::Rewrite => self.rewritten(engine, failed != 0),
        }
    }

    /// Begins to write a superblock, with what the ordered work changes.
    fn begin_superblock(&mut self, engine: &mut Engine<'_>, then: Then) {
        let closing = then == Then::EndWork && self.work == Some(Work::Close);
        self.propose(engine, then, 0, closing);
    }

    fn propose(&mut self, engine: &mut Engine<'_>, then: Then, admits: u8, closing: bool) {
        self.then = then;
        let outcome = self.superblocks.begin(engine, admits, closing);
        self.go_on(engine, outcome);
    }

    /// A step of writing a superblock is done.
    fn go_on(&mut self, engine: &mut Engine<'_>, outcome: superblocks::Outcome) {
        match outcome {
            superblocks::Outcome::Write => self.enter(Phase::Superblock),
            superblocks::Outcome::Failed => self.fail(engine),
            superblocks::Outcome::Counts { admits } => {
                self.back.settle(engine, admits, self.work.is_some());
                engine.judge();
                match self.then {
                    Then::Begin => self.enter(Phase::Idle),
                    Then::First => self.begin_first_again(engine),
                    Then::Durable => self.durable(engine),
                    Then::EndWork => self.end_work(engine, true),
                }
            }
        }
    }

    /// A batch of a copy that is to come back is done.
    fn rewritten(&mut self, engine: &mut Engine<'_>, failed: bool) {
        self.enter(Phase::Idle);
        match self.back.written(engine, failed, self.work.is_some()) {
            readmit::Outcome::Rest => {}
            readmit::Outcome::OwnPlace => self.enter(Phase::Rewrite),
            readmit::Outcome::Admit(copies) => self.propose(engine, Then::Begin, copies, false),
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
    fn durable(&mut self, engine: &mut Engine<'_>) {
        for index in self.round.batch() {
            engine.clear_doubt(*index);
        }
        engine.settled(self.round.batch());
        if self.carries_changes {
            engine.publish_commit();
            self.carries_changes = false;
        }
        self.enter(Phase::Idle);
    }

    /// The copy that failed round one is evicted, and what it holds of the batch counts for nothing. The next copy takes its
    /// place, unless it is the last: then a torn write would leave no instance at all.
    fn begin_first_again(&mut self, engine: &mut Engine<'_>) {
        match engine.first_copy(self.round.batch()) {
            Some(primary) => {
                self.round.primary = primary;
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

    fn end_work(&mut self, engine: &mut Engine<'_>, ok: bool) {
        if self.work == Some(Work::Resume) {
            self.back.end_attempt(engine, true);
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
    fn fail(&mut self, engine: &mut Engine<'_>) {
        if self.carries_changes {
            engine.doubt_commit();
            engine.stale(self.round.batch());
        }
        self.carries_changes = false;
        self.superblocks.abandon();
        self.back.abandon();
        engine.unsettled = true;
        engine.judge();
        // A set whose copies are equal can be served even if its spare takes no writes at all (S12).
        let served = self.work == Some(Work::Takeover) && engine.unequal_blocks(&mut self.round.blocks) == 0;
        self.end_work(engine, served);
    }
}
