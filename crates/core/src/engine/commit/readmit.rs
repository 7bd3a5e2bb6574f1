//! Bringing back an evicted copy: all of its table blocks are written anew, and only then a superblock counts it in
//! (docs/format.md, Commit protocol).

use super::copies::nth_copy;
use super::table_round::{rewrite_request, superblock_request, BATCH_BLOCKS};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::COPIES_MAX;
use crate::io::IoRequest;

/// Table blocks that are written at once: a round as large as the largest of a commit, and larger than what one changes, so
/// that commits between the batches cannot keep the end away.
const REWRITE_BLOCKS: usize = BATCH_BLOCKS * (COPIES_MAX as usize - 1);
/// Pause between two batches that nobody waits for, in milliseconds.
const PAUSE_MS: u64 = 10;
/// Longest wait from one attempt to the next, in milliseconds.
const WAIT_MAX_MS: u64 = 3_600_000;

/// What follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Other work may come first.
    Rest,
    /// The superblock at the copy's own place, before any commit.
    OwnPlace,
    /// A superblock that counts these copies in.
    Admit(u8),
}

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
            uneven: false,
        }
    }

    /// The blocks of the batch under way.
    fn batch(&self) -> &[u32] {
        self.blocks.get(..self.count).unwrap_or(&[])
    }

    /// The `nth` request of the round under way, and the copy that it goes to: a block of the batch; after all of them, the superblock
    /// that counts.
    pub(super) fn request(
        &self,
        engine: &Engine<'_>,
        buffer: &mut [u8],
        nth: usize,
    ) -> Option<(IoRequest, u8)> {
        let copy = self.copy?;
        let request = match self.batch().get(nth) {
            Some(index) => rewrite_request(engine, buffer, nth, *index, self.seq, copy),
            None => superblock_request(&engine.superblock, buffer, copy),
        };
        Some((request?, copy))
    }

    /// Requests of the round under way.
    pub(super) fn round_len(&self) -> usize {
        self.count.max(1)
    }

    /// Stops. What was written counts for nothing.
    pub(super) fn abandon(&mut self) {
        self.copy = None;
        self.due = false;
        self.uneven = false;
    }

    /// No attempt is due, and none will be for now.
    pub(super) fn none_due(&mut self) {
        (self.at_ms, self.due) = (None, false);
    }

    /// Time has passed. Returns after how many milliseconds the time is to be told again.
    pub(super) fn tick(&mut self, readmit_after_ms: u64, now_ms: u64) -> u64 {
        self.wait_ms = self.wait_ms.max(readmit_after_ms);
        let at_ms = *self.at_ms.get_or_insert(now_ms.saturating_add(self.wait_ms));
        if now_ms < at_ms {
            return at_ms - now_ms;
        }
        self.due = true;
        PAUSE_MS
    }

    /// Whether the time of a batch has come that nobody ordered.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Whether the commit that waits has to let a batch go first.
    pub(super) fn rewrites_first(&self) -> bool {
        self.due && !self.yields
    }

    /// A commit begins, so that it is the turn of a batch again.
    pub(super) fn yielded(&mut self) {
        self.yields = false;
    }

    /// Whether a commit comes before the next batch. Not while copies differ: a removal among its changes must not be durable before
    /// every older entry of its group is gone from all of them.
    pub(super) fn commit_first(&self, engine: &Engine<'_>) -> bool {
        self.yields && !self.uneven && engine.has_queued() && engine.commits()
    }

    /// Begins a batch; false when no evicted copy is left that was not tried.
    pub(super) fn begin_batch(&mut self, engine: &mut Engine<'_>) -> bool {
        if !engine.has_evicted() {
            return false;
        }
        let copy = match self.copy {
            Some(copy) => copy,
            None => {
                let Some(copy) = nth_copy(engine.evicted() & !self.tried, 0) else { return false };
                engine.forget(copy);
                (self.copy, self.cursor) = (Some(copy), 0);
                copy
            }
        };
        self.count = engine.lacked_by(copy, &mut self.cursor, &mut self.blocks);
        if engine.any_stale(self.batch()) {
            match engine.next_seq() {
                Some(seq) => self.seq = seq,
                None => return false,
            }
        }
        true
    }

    /// A batch, or the superblock at the copy's own place, has been written or failed. `ordered`: the committer has work.
    pub(super) fn written(&mut self, engine: &mut Engine<'_>, failed: bool, ordered: bool) -> Outcome {
        self.yields = true;
        self.due = false;
        let Some(copy) = self.copy else { return Outcome::Rest };
        let bit = 1 << copy;
        match (self.count, failed) {
            (0, true) => {
                engine.superblocks_whole &= !bit;
                self.leave_out(engine, copy, ordered);
            }
            (_, true) => self.leave_out(engine, copy, ordered),
            (0, false) => {
                engine.superblocks_whole |= bit;
                return Outcome::Admit(bit);
            }
            (_, false) => {
                engine.now_on(self.batch(), bit);
                if engine.lacked_by(copy, &mut 0, &mut [0]) == 0 {
                    // No commit may come between the last batch and the superblock.
                    self.count = 0;
                    return Outcome::OwnPlace;
                }
            }
        }
        Outcome::Rest
    }

    /// The copy stays out until the next attempt.
    fn leave_out(&mut self, engine: &mut Engine<'_>, copy: u8, ordered: bool) {
        engine.notices.push(Notice::StaysEvicted { copy });
        self.through_with(engine, copy, ordered);
    }

    fn through_with(&mut self, engine: &Engine<'_>, copy: u8, ordered: bool) {
        self.tried |= 1 << copy;
        self.copy = None;
        if !ordered && engine.evicted() & !self.tried == 0 {
            self.end_attempt(engine, false);
        }
    }

    /// A superblock counts that was to count in the copies `admits`: it says whether the copy that was to come back is in.
    pub(super) fn settle(&mut self, engine: &mut Engine<'_>, admits: u8, ordered: bool) {
        let Some(copy) = self.copy.filter(|_| admits != 0) else { return };
        if engine.superblock.in_sync & admits == 0 {
            self.leave_out(engine, copy, ordered);
            return;
        }
        engine.counters.readmissions += 1;
        engine.notices.push(Notice::Readmitted { copy });
        self.uneven = true;
        self.through_with(engine, copy, ordered);
    }

    /// Every evicted copy has been tried. The next attempt waits twice as long, but after an order it begins anew.
    pub(super) fn end_attempt(&mut self, engine: &Engine<'_>, ordered: bool) {
        let first_ms = engine.settings.readmit_after_ms;
        let wait_ms = self.wait_ms.max(first_ms).saturating_mul(2).min(WAIT_MAX_MS);
        let wait_ms = if ordered { 0 } else { wait_ms };
        *self = Readmission { wait_ms, uneven: self.uneven, ..Readmission::new() };
    }

    /// Every evicted copy is to be tried, whatever came of it before.
    pub(super) fn try_all(&mut self) {
        self.tried = 0;
    }
}
