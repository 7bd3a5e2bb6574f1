//! What a committer does next, when nothing is under way.

use super::{Committer, Phase, Then, Work};
use crate::engine::map::changes::Stage;
use crate::engine::set::Engine;

impl Committer {
    /// Finds something to do; false when there is nothing.
    pub(super) fn begin(&mut self, engine: &mut Engine<'_>) -> bool {
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
            Some(Work::Takeover | Work::Resume) if !self.superblocks.is_certain() => {
                self.begin_superblock(engine, Then::Begin);
            }
            // The changes of repairs do not wait until a copy has been written as a whole.
            Some(Work::Resume) if self.back.commit_first(engine) => self.begin_changes(engine),
            Some(Work::Takeover | Work::Resume) => self.begin_equalising(engine),
            None => self.begin_unordered(engine),
        }
        self.phase != Phase::Idle
    }

    pub(super) fn begin_unordered(&mut self, engine: &mut Engine<'_>) {
        if self.back.uneven {
            self.begin_equalising(engine);
        }
        if self.phase == Phase::Idle && !self.back.rewrites_first() {
            self.begin_changes(engine);
        }
        if self.phase == Phase::Idle {
            self.begin_due(engine);
        }
        if self.phase == Phase::Idle {
            self.begin_changes(engine);
        }
    }

    pub(super) fn begin_changes(&mut self, engine: &mut Engine<'_>) {
        if !engine.has_queued() {
            return;
        }
        if !engine.commits() {
            // Not begun, so nothing of it can have landed.
            engine.take_back(Stage::Queued);
            return;
        }
        self.back.yielded();
        self.round.count = engine.begin_commit(&mut self.round.blocks);
        self.carries_changes = true;
        self.enter(Phase::Flush);
    }

    pub(super) fn begin_equalising(&mut self, engine: &mut Engine<'_>) {
        self.round.count = engine.unequal_blocks(&mut self.round.blocks);
        self.carries_changes = false;
        if self.round.count > 0 {
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
    pub(super) fn begin_first(&mut self, engine: &mut Engine<'_>) {
        if !self.carries_changes && engine.first_copy(self.round.batch()).is_none() {
            // No copy suits all blocks: one by one.
            self.round.count = self.round.count.min(1);
        }
        match (engine.first_copy(self.round.batch()), engine.next_seq()) {
            (Some(primary), Some(seq)) => {
                self.round.primary = primary;
                self.round.seq = seq;
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

    /// Goes on with what nobody ordered, if its time has come.
    fn begin_due(&mut self, engine: &mut Engine<'_>) {
        if self.back.is_due() && !self.begin_rewriting(engine) {
            self.back.end_attempt(engine, false);
        }
    }

    /// Begins a batch for a copy that is to come back; false when none is left that was not tried.
    fn begin_rewriting(&mut self, engine: &mut Engine<'_>) -> bool {
        let begun = self.back.begin_batch(engine);
        if begun {
            self.enter(Phase::Rewrite);
        }
        begun
    }
}
