//! Superblocks: evicting copies and counting them in, and counting activations and closes (docs/format.md, Commit protocol).

use super::copies::nth_copy;
use super::table_round::superblock_request;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::format::superblock::all_copies;
use crate::format::Superblock;
use crate::io::IoRequest;

/// What a step of writing a superblock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// [`Superblocks::request`] is to be written.
    Write,
    /// It cannot be made to count.
    Failed,
    /// It counts, and was to count these copies in.
    Counts { admits: u8 },
}

/// The superblock that is being written: one place after the other, so that a spare that spoils what it fails to write cannot spoil all
/// of them.
pub(super) struct Superblocks {
    proposal: Option<Superblock>,
    /// The proposal counts these copies in.
    admits: u8,
    /// The set is left with it.
    closing: bool,
    /// Highest epoch that was ever proposed.
    epoch_tried: u64,
    /// A superblock of this activation is durable on more than half of the places.
    counted: bool,
    /// A mask was proposed that did not become the set's, and may be found on disk. It must be overwritten before a table block is
    /// written, as the copies that it leaves out are not all that a block is whole on.
    in_question: bool,
    /// Copies to be evicted by the proposal.
    evict: u8,
    /// Superblock places that failed to take a proposal since the last one that counted.
    refused: u8,
    /// Superblock place that is being written, those written for this proposal, and those of them that hold it.
    place: u8,
    tried: u8,
    landed: u8,
}

impl Superblocks {
    pub(super) const fn new() -> Superblocks {
        Superblocks {
            proposal: None,
            admits: 0,
            closing: false,
            epoch_tried: 0,
            counted: false,
            in_question: false,
            evict: 0,
            refused: 0,
            place: 0,
            tried: 0,
            landed: 0,
        }
    }

    /// Whether the superblock of this activation counts, and no other mask can be believed any more.
    pub(super) fn is_certain(&self) -> bool {
        self.counted && !self.in_question
    }

    /// The next proposal evicts these copies.
    pub(super) fn evict(&mut self, copies: u8) {
        self.evict |= copies;
    }

    /// Gives up. What was proposed stays in question.
    pub(super) fn abandon(&mut self) {
        self.evict = 0;
        self.refused = 0;
        self.admits = 0;
    }

    /// Begins to write a superblock: without the copies to be evicted, with those that it `admits`, and marked clean if the set is left.
    pub(super) fn begin(&mut self, engine: &mut Engine<'_>, admits: u8, closing: bool) -> Outcome {
        (self.admits, self.closing) = (admits, closing);
        self.propose(engine)
    }

    fn propose(&mut self, engine: &mut Engine<'_>) -> Outcome {
        let mut proposal = engine.superblock.clone();
        proposal.in_sync = (proposal.in_sync | self.admits) & !self.evict;
        let may = self.majority_possible(engine) && engine.whole_on(proposal.in_sync);
        let Some(seq) = engine.next_seq().filter(|_| may && proposal.in_sync != 0) else {
            return Outcome::Failed;
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
        proposal.clean = self.closing && !engine.in_doubt();
        self.proposal = Some(proposal);
        self.tried = 0;
        self.landed = 0;
        self.next_place(engine)
    }

    /// Goes on with the next place: spoilt ones first, as they put nothing at risk, then those of copies in sync.
    fn next_place(&mut self, engine: &mut Engine<'_>) -> Outcome {
        let Some(proposal) = &self.proposal else { return Outcome::Failed };
        let left = all_copies(proposal.copy_count) & !self.tried;
        let order = [left & !engine.superblocks_whole, left & proposal.in_sync, left];
        match order.iter().find_map(|mask| nth_copy(*mask, 0)) {
            Some(place) => {
                self.place = place;
                self.tried |= 1 << place;
                Outcome::Write
            }
            None => self.landed(engine),
        }
    }

    /// The write of the proposal to the place at hand, and that place.
    pub(super) fn request(&self, buffer: &mut [u8]) -> Option<(IoRequest, u8)> {
        Some((superblock_request(self.proposal.as_ref()?, buffer, self.place)?, self.place))
    }

    /// The place has been written, or failed.
    pub(super) fn written(&mut self, engine: &mut Engine<'_>, ok: bool) -> Outcome {
        let in_sync = self.proposal.as_ref().map_or(0, |p| p.in_sync);
        let bit = 1 << self.place;
        let failed = if ok { 0 } else { bit };
        self.landed |= bit & !failed;
        self.refused |= failed;
        engine.superblocks_whole = engine.superblocks_whole & !failed | self.landed;
        if failed & in_sync != 0 {
            self.evict |= failed;
            self.propose(engine)
        } else if !self.majority_possible(engine) {
            Outcome::Failed
        } else {
            self.next_place(engine)
        }
    }

    /// Whether enough places are left that have not failed. Otherwise nothing more is tried: every further attempt could spoil
    /// another superblock.
    fn majority_possible(&self, engine: &Engine<'_>) -> bool {
        let places = u32::from(engine.superblock.copy_count);
        places.saturating_sub(self.refused.count_ones()) * 2 > places
    }

    /// Every in-sync copy holds the proposal: it counts if more than half of all places do.
    fn landed(&mut self, engine: &mut Engine<'_>) -> Outcome {
        let more_than_half = self.landed.count_ones() * 2 > u32::from(engine.superblock.copy_count);
        let Some(proposal) = self.proposal.take().filter(|_| more_than_half) else {
            return Outcome::Failed;
        };
        for copy in 0..proposal.copy_count {
            if engine.superblock.in_sync & !proposal.in_sync & (1 << copy) != 0 {
                engine.counters.evictions += 1;
                engine.notices.push(Notice::Evicted { copy });
            }
        }
        engine.superblock = proposal;
        self.evict = 0;
        self.refused = 0;
        self.in_question = false;
        self.counted = true;
        Outcome::Counts { admits: core::mem::take(&mut self.admits) }
    }
}
