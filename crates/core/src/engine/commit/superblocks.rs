//! Superblocks: evicting copies and counting them in, and counting activations and closes (docs/format.md, Commit protocol).

use super::committer::{Committer, Phase, Then, Work};
use super::table_round::nth_copy;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::superblock::all_copies;

impl Committer {
    pub(super) fn begin_eviction(&mut self, engine: &mut Engine<'_>, copies: u8, then: Then) {
        self.evict |= copies;
        self.begin_superblock(engine, then);
    }

    /// Begins to write a superblock: without the copies to be evicted, and with what the ordered work changes.
    pub(super) fn begin_superblock(&mut self, engine: &mut Engine<'_>, then: Then) {
        let mut proposal = engine.superblock.clone();
        proposal.in_sync = (proposal.in_sync | self.back.admits) & !self.evict;
        let may = self.majority_possible(engine) && engine.whole_on(proposal.in_sync);
        let Some(seq) = engine.next_seq().filter(|_| may && proposal.in_sync != 0) else {
            self.fail(engine);
            return;
        };
        proposal.seq = seq;
        self.in_question |= proposal.in_sync != engine.superblock.in_sync;
        if self.in_question {
            // Proposals that did not become the superblock may have landed somewhere, so each takes an epoch of its own.
            proposal.epoch = proposal.epoch.max(self.epoch_tried).saturating_add(1);
            self.epoch_tried = proposal.epoch;
        }
        proposal.fingerprint_s = 0;
        proposal.fingerprint = 0;
        let closing = then == Then::EndWork && self.work == Some(Work::Close);
        proposal.clean = closing && !engine.in_doubt();
        self.proposal = Some(proposal);
        self.then = then;
        self.tried = 0;
        self.landed = 0;
        self.next_place(engine);
    }

    /// Goes on with the next place: spoilt ones first, as they put nothing at risk, then those of copies in sync.
    fn next_place(&mut self, engine: &mut Engine<'_>) {
        let Some(proposal) = &self.proposal else { return self.fail(engine) };
        let left = all_copies(proposal.copy_count) & !self.tried;
        let order = [left & !engine.superblocks_whole, left & proposal.in_sync, left];
        match order.iter().find_map(|mask| nth_copy(*mask, 0)) {
            Some(place) => {
                self.place = place;
                self.tried |= 1 << place;
                self.enter(Phase::Superblock);
            }
            None => self.superblock_landed(engine),
        }
    }

    /// A place has been written, or failed.
    pub(super) fn superblock_written(&mut self, engine: &mut Engine<'_>, failed: u8) {
        let in_sync = self.proposal.as_ref().map_or(0, |p| p.in_sync);
        self.refused |= failed;
        engine.superblocks_whole = engine.superblocks_whole & !failed | self.landed;
        if failed & in_sync != 0 {
            self.evict |= failed;
            self.begin_superblock(engine, self.then);
        } else if !self.majority_possible(engine) {
            self.fail(engine);
        } else {
            self.next_place(engine);
        }
    }

    /// Whether enough places are left that have not failed. Otherwise nothing more is tried: every further attempt could spoil
    /// another superblock.
    fn majority_possible(&self, engine: &Engine<'_>) -> bool {
        let places = u32::from(engine.superblock.copy_count);
        places.saturating_sub(self.refused.count_ones()) * 2 > places
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
        self.settle_readmission(engine);
        engine.judge();
        self.evict = 0;
        self.refused = 0;
        self.in_question = false;
        self.counted = true;
        match self.then {
            Then::Begin => self.enter(Phase::Idle),
            Then::First => self.begin_first_again(engine),
            Then::Durable => self.durable(engine),
            Then::EndWork => self.end_work(engine, true),
        }
    }
}
