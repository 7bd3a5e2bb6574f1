//! Loading: the newest valid instance of every block of all copies in sync counts.

use super::body;
use super::findings::{Finding, What};
use super::layout::{bit, Content, Store, HEAD};
use super::tag::same_main;
use super::why::Why;
use crate::format::Block;
use crate::health::clock::{Anchor, Now, Step};
use crate::health::state::Health;
use crate::io::{Device, IoRequest, Op};
use crate::units::{BLOCK_BYTES, SECTORS_PER_BLOCK};

/// Outcome of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Something was there and counts.
    pub found: bool,
    /// The health on the spare is about another main and was set aside: it begins anew.
    pub other_main: bool,
    /// How the wall clock stands to the last save.
    pub clock: Step,
}

/// The machine that reads the health area, after the set is in service. A block that it reads is in the health at once.
#[derive(Clone, Debug)]
pub struct Loader {
    in_sync: u8,
    copy: u8,
    place: u8,
    next_block: usize,
    /// First block and number of blocks of the request under way.
    reading: Option<(usize, usize)>,
    /// Blocks up to here are read one by one, after a read of many failed.
    single_until: usize,
    age_s: u32,
    anchor: Anchor,
}

impl Loader {
    /// Begins to load from the copies in `in_sync`. The health is one that [`Health::begin`] made, with no event taken yet.
    pub const fn new(in_sync: u8) -> Loader {
        Loader {
            in_sync,
            copy: 0,
            place: 0,
            next_block: 0,
            reading: None,
            single_until: 0,
            age_s: 0,
            anchor: Anchor { wall_s: 0, age_s: 0 },
        }
    }

    /// The next read, into the start of a buffer of `buffer_bytes` bytes. `None` when all was read, or when the buffer has less than a block.
    pub fn next(&mut self, health: &mut Health<'_>, buffer_bytes: usize) -> Option<IoRequest> {
        let blocks = health.store.layout.blocks();
        if self.next_block >= blocks {
            self.next_block = 0;
            self.single_until = 0;
            self.place = self.place.saturating_add(1);
        }
        while self.place > 1 || !self.is_wanted(&health.store) {
            if self.copy >= health.store.copy_count {
                return None;
            }
            health.store.end_copy(self.copy);
            (self.copy, self.place) = (self.copy.saturating_add(1), 0);
        }
        let room = match self.next_block < self.single_until {
            true => 1,
            false => buffer_bytes / BLOCK_BYTES,
        };
        let count = blocks.saturating_sub(self.next_block).min(room);
        if count == 0 || buffer_bytes < BLOCK_BYTES {
            return None;
        }
        self.reading = Some((self.next_block, count));
        let sector = health.store.address(self.copy, self.next_block, self.place).first_sector();
        let sectors = (count as u32).saturating_mul(SECTORS_PER_BLOCK);
        Some(IoRequest { device: Device::Spare, op: Op::Read, sector, sectors, buffer_sector: 0 })
    }

    fn is_wanted(&self, store: &Store<'_>) -> bool {
        let in_sync = self.in_sync & 1u8.checked_shl(u32::from(self.copy)).unwrap_or(0) != 0;
        self.copy < store.copy_count && in_sync
    }

    /// Takes the bytes of the read that [`Loader::next`] asked for, or `None` when it failed.
    pub fn done(&mut self, health: &mut Health<'_>, read: Option<&[u8]>) {
        let Some((first, count)) = self.reading.take() else { return };
        let Some(bytes) = read else {
            if count > 1 {
                self.single_until = first.saturating_add(count);
                return;
            }
            health.store.drop_instance(first, self.copy, Why::Unreadable);
            self.next_block = first.saturating_add(1);
            return;
        };
        let mut rest = bytes;
        for index in first..first.saturating_add(count) {
            let Some((block, more)) = rest.split_first_chunk::<BLOCK_BYTES>() else {
                health.store.drop_instance(index, self.copy, Why::Unreadable);
                continue;
            };
            rest = more;
            if let Err(why) = self.take(health, index, block) {
                health.store.drop_instance(index, self.copy, why);
            }
        }
        self.next_block = first.saturating_add(count);
    }

    fn take(&mut self, health: &mut Health<'_>, index: usize, block: &Block) -> Result<(), Why> {
        let (seq, header) = body::check(&health.store, index, self.copy, block)?;
        if !same_main(header.main_tag, health.store.main_tag) {
            health.store.change(index, |s| s.other_seq = s.other_seq.max(seq));
            // What is saved from now on is newer than this too, or the next load would go by this.
            health.store.seq = health.store.seq.max(seq);
            return Err(Why::OtherMain);
        }
        if seq > health.store.state(index).seq {
            body::decode(health, index, &header, block)?;
            let zones = matches!(health.store.layout.content(index), Content::Zones(_));
            let body_crc = if zones { body::body_crc(block) } else { 0 };
            health.store.change(index, |s| {
                (s.seq, s.current, s.body_crc, s.tagged) = (seq, 0, body_crc, header.main_tag != 0);
            });
            health.store.seq = health.store.seq.max(seq);
            if (header.age_s, header.anchor.wall_s) >= (self.age_s, self.anchor.wall_s) {
                (self.age_s, self.anchor) = (header.age_s, header.anchor);
            }
        }
        let (copy_bit, place) = (1u8.checked_shl(u32::from(self.copy)).unwrap_or(0), self.place);
        health.store.change(index, |s| {
            if s.held & copy_bit == 0 || seq > s.seq_here {
                s.seq_here = seq;
                s.place = s.place & !copy_bit | if place == 0 { 0 } else { copy_bit };
                s.held |= copy_bit;
            }
        });
        Ok(())
    }

    /// Ends loading, once [`Loader::next`] has nothing more to read. [`Store::findings`] tells of dropped blocks.
    pub fn finish(self, health: &mut Health<'_>, now: Now) -> Report {
        let other_main = health.set_aside();
        health.spots.index();
        let clock = health.clock.resume(self.age_s, self.anchor, now);
        let found = health.store.blocks.iter().any(|state| state.seq > 0);
        Report { found, other_main, clock }
    }
}

impl Health<'_> {
    /// Clears blocks about another main: those whose newest instance is, and then too those that name no main. True if there is any.
    ///
    /// Where no main is named and none contradicts, the block is written anew with the main that is known by now.
    fn set_aside(&mut self) -> bool {
        let other = self.store.blocks.iter().any(|state| state.other_seq > state.seq);
        for index in 0..self.store.layout.blocks() {
            let state = self.store.state(index);
            if state.seq == 0 || (state.tagged && state.other_seq <= state.seq) {
                continue;
            }
            if state.other_seq > state.seq || other {
                body::clear(self, index);
                self.store.change(index, |s| {
                    (s.seq, s.current, s.dropped) = (0, 0, Some((0, Why::OtherMain)));
                });
            } else if self.store.main_tag != 0 {
                self.store.changed |= bit(index);
            }
        }
        other
    }
}

impl Store<'_> {
    /// Ends the reading of a copy: which blocks it holds the newest instance of.
    fn end_copy(&mut self, copy: u8) {
        let copy_bit = 1u8.checked_shl(u32::from(copy)).unwrap_or(0);
        for state in self.blocks.iter_mut() {
            if state.held & copy_bit != 0 && state.seq_here == state.seq {
                state.current |= copy_bit;
            }
            state.seq_here = 0;
        }
    }

    /// Notes why an instance does not count. A reason to be expected of a new set does not displace damage.
    fn drop_instance(&mut self, block: usize, copy: u8, why: Why) {
        self.change(block, |state| {
            let displaces =
                |before: Why| before.is_expected_of_a_new_set() && !why.is_expected_of_a_new_set();
            if state.dropped.is_none_or(|(_, before)| displaces(before)) {
                state.dropped = Some((copy, why));
            }
        });
    }

    /// Blocks that were dropped at loading, each once. Places that were never written are none, nor are blocks about another main,
    /// which are told as a whole.
    pub fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        let any = self.seq > 0;
        let head = self.state(HEAD);
        // The head is the last block of the first save.
        let saved_once = head.seq > 0 || head.dropped.is_some_and(|(_, why)| !why.is_expected_of_a_new_set());
        (0..self.layout.blocks()).filter_map(move |block| {
            let state = self.state(block);
            let (copy, why) = state.dropped?;
            let lost = state.seq == 0;
            let tell = match why {
                Why::OtherMain => false,
                Why::NotOurs | Why::OtherSet => lost && any && (saved_once || block == HEAD),
                _ => true,
            };
            tell.then(|| Finding { what: What::of(&self.layout, block), copy, why, lost })
        })
    }
}
