//! Bringing back an evicted copy: all of its table blocks are written anew, and only then a superblock counts it in
//! (docs/format.md, Commit protocol).

use super::committer::{Committer, Phase, Then, Work};
use super::table_round::{nth_copy, BATCH_BLOCKS};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::superblock::all_copies;
use crate::format::COPIES_MAX;

/// Table blocks that are written at once: a round as large as the largest of a commit, and larger than what one changes, so
/// that commits between the batches cannot keep the end away.
pub(super) const REWRITE_BLOCKS: usize = BATCH_BLOCKS * (COPIES_MAX as usize - 1);
/// Pause between two batches that nobody waits for, in milliseconds.
const PAUSE_MS: u64 = 10;
/// Longest wait from one attempt to the next, in milliseconds.
const WAIT_MAX_MS: u64 = 3_600_000;

/// The copy that is being brought back, and when the next attempt is due.
pub(super) struct Readmission {
    /// The copy that is being written.
    copy: Option<u8>,
    /// Copies that this attempt is through with.
    tried: u8,
    blocks: [u32; REWRITE_BLOCKS],
    /// Blocks of the batch; none: the superblock at the copy's own place.
    count: usize,
    /// Block from which on the search for more goes on.
    cursor: u32,
    /// Sequence for blocks that are not equal on the copies in sync.
    seq: u64,
    /// A commit that waits comes before the next batch.
    yields: bool,
    /// Time has come for a batch that nobody ordered.
    due: bool,
    at_ms: Option<u64>,
    wait_ms: u64,
    /// The superblock that is being written counts these copies in.
    pub(super) admits: u8,
    /// A copy came back, and some blocks may still differ.
    pub(super) uneven: bool,
}

impl Readmission {
    pub(super) const fn new() -> Readmission {
        Readmission {
            copy: None,
            tried: 0,
            blocks: [0; REWRITE_BLOCKS],
            count: 0,
            cursor: 0,
            seq: 0,
            yields: false,
            due: false,
            at_ms: None,
            wait_ms: 0,
            admits: 0,
            uneven: false,
        }
    }

    /// The copy that is being written, which no superblock counts.
    pub(super) fn copy(&self) -> Option<u8> {
        self.copy
    }

    /// The blocks of the batch under way.
    pub(super) fn batch(&self) -> &[u32] {
        self.blocks.get(..self.count).unwrap_or(&[])
    }

    /// Sequence for blocks of the batch that are not equal on the copies in sync.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// Requests of the round under way.
    pub(super) fn round_len(&self) -> usize {
        self.count.max(1)
    }

    /// Stops. What was written counts for nothing.
    pub(super) fn abandon(&mut self) {
        self.copy = None;
        self.due = false;
        self.admits = 0;
        self.uneven = false;
    }
}

impl Committer {
    /// Tells the time. If an attempt to bring back evicted copies is due, the next calls of [`Committer::next`] carry out a part
    /// of it. Returns after how many milliseconds the host tells the time again; `None`: not before something has been committed or ordered.
    pub fn tick(&mut self, engine: &Engine<'_>, now_ms: u64) -> Option<u64> {
        let back = &mut self.back;
        if !self.counted || self.in_question || engine.unsettled || !engine.has_evicted() {
            (back.at_ms, back.due) = (None, false);
            return None;
        }
        back.wait_ms = back.wait_ms.max(engine.settings.readmit_after_ms);
        let at_ms = *back.at_ms.get_or_insert(now_ms.saturating_add(back.wait_ms));
        if now_ms < at_ms {
            return Some(at_ms - now_ms);
        }
        back.due = true;
        Some(PAUSE_MS)
    }

    /// Whether the commit that waits has to let a batch go first.
    pub(super) fn rewrites_first(&self) -> bool {
        self.back.due && !self.back.yields
    }

    /// A commit begins, so that it is the turn of a batch again.
    pub(super) fn yielded(&mut self) {
        self.back.yields = false;
    }

    /// Whether a commit comes before the next batch. Not while copies differ: a removal among its changes must not be durable before
    /// every older entry of its group is gone from all of them.
    pub(super) fn commit_first(&self, engine: &Engine<'_>) -> bool {
        self.back.yields && !self.back.uneven && engine.has_queued() && engine.commits()
    }

    /// Goes on with what nobody ordered, if its time has come.
    pub(super) fn begin_due(&mut self, engine: &mut Engine<'_>) {
        if self.back.due && !self.begin_rewriting(engine) {
            self.end_attempt(engine);
        }
    }

    /// Begins a batch; false when no evicted copy is left that was not tried.
    pub(super) fn begin_rewriting(&mut self, engine: &mut Engine<'_>) -> bool {
        if !engine.has_evicted() {
            return false;
        }
        let back = &mut self.back;
        let copy = match back.copy {
            Some(copy) => copy,
            None => {
                let Some(copy) = nth_copy(engine.evicted() & !back.tried, 0) else { return false };
                engine.forget(copy);
                (back.copy, back.cursor) = (Some(copy), 0);
                copy
            }
        };
        back.count = engine.lacked_by(copy, &mut back.cursor, &mut back.blocks);
        if engine.any_stale(back.batch()) {
            match engine.next_seq() {
                Some(seq) => back.seq = seq,
                None => return false,
            }
        }
        self.enter(Phase::Rewrite);
        true
    }

    /// A batch, or the superblock at the copy's own place, has been written or failed.
    pub(super) fn rewritten(&mut self, engine: &mut Engine<'_>, failed: bool) {
        self.enter(Phase::Idle);
        self.back.yields = true;
        self.back.due = false;
        let Some(copy) = self.back.copy else { return };
        let bit = 1 << copy;
        match (self.back.count, failed) {
            (0, true) => {
                engine.superblocks_whole &= !bit;
                self.leave_out(engine, copy);
            }
            (_, true) => self.leave_out(engine, copy),
            (0, false) => {
                engine.superblocks_whole |= bit;
                self.back.admits = bit;
                self.begin_superblock(engine, Then::Begin);
            }
            (_, false) => {
                engine.now_on(self.back.batch(), bit);
                if engine.lacked_by(copy, &mut 0, &mut [0]) == 0 {
                    // No commit may come between the last batch and the superblock.
                    self.back.count = 0;
                    self.enter(Phase::Rewrite);
                }
            }
        }
    }

    /// The copy stays out until the next attempt.
    fn leave_out(&mut self, engine: &mut Engine<'_>, copy: u8) {
        engine.notices.push(Notice::StaysEvicted { copy });
        self.through_with(engine, copy);
    }

    fn through_with(&mut self, engine: &Engine<'_>, copy: u8) {
        self.back.tried |= 1 << copy;
        self.back.copy = None;
        if self.work.is_none() && engine.evicted() & !self.back.tried == 0 {
            self.end_attempt(engine);
        }
    }

    /// A superblock counts: it says whether the copy that was to come back is in.
    pub(super) fn settle_readmission(&mut self, engine: &mut Engine<'_>) {
        let admits = core::mem::take(&mut self.back.admits);
        let Some(copy) = self.back.copy.filter(|_| admits != 0) else { return };
        if engine.superblock.in_sync & admits == 0 {
            self.leave_out(engine, copy);
            return;
        }
        engine.counters.readmissions += 1;
        engine.notices.push(Notice::Readmitted { copy });
        self.back.uneven = true;
        self.through_with(engine, copy);
    }

    /// Every evicted copy has been tried.
    pub(super) fn end_attempt(&mut self, engine: &Engine<'_>) {
        let first_ms = engine.settings.readmit_after_ms;
        let wait_ms = self.back.wait_ms.max(first_ms).saturating_mul(2).min(WAIT_MAX_MS);
        let wait_ms = if self.work == Some(Work::Resume) { 0 } else { wait_ms };
        self.back = Readmission { wait_ms, uneven: self.back.uneven, ..Readmission::new() };
    }

    /// Every evicted copy is to be tried, whatever came of it before.
    pub(super) fn try_all(&mut self) {
        self.back.tried = 0;
    }
}

impl Engine<'_> {
    /// Whether a copy is evicted that may be brought back.
    pub(super) fn has_evicted(&self) -> bool {
        self.evicted() != 0 && self.fail_reason.is_none() && !self.superblock.ro_compat_unknown
    }

    /// The copies that are not in sync.
    fn evicted(&self) -> u8 {
        all_copies(self.superblock.copy_count) & !self.superblock.in_sync
    }
}
