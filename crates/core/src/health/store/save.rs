//! Saving: which blocks have changed, and where each goes.

use super::body;
use super::layout::{bit, BlockState, Content, Store, COPIES, LAZY_EVERY};
use crate::engine::Mode;
use crate::format::header::{set_copy, SEQ_MAX};
use crate::format::Block;
use crate::health::state::Health;
use crate::io::{Device, IoRequest, Op};
use crate::units::SECTORS_PER_BLOCK;

/// Copies that health is written to.
const TARGETS: usize = 2;

/// The cause of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveKind {
    /// The clock. The place of the scan and latencies, which change all the time, go along one time in [`LAZY_EVERY`].
    Auto,
    /// A message, a suspension or a close: all that has changed.
    Now,
}

/// Whether health may be written: never to a read-only set or one with features that this version does not know, nor after a failed flush.
pub const fn may_save(mode: Mode, read_only: bool, ro_compat_unknown: bool) -> bool {
    !read_only && !ro_compat_unknown && !matches!(mode, Mode::Fail)
}

/// One save: the machine that asks for its writes, one at a time.
#[derive(Clone, Debug)]
pub struct Save {
    targets: [Option<u8>; TARGETS],
    /// Blocks that are still to be written, as bits.
    blocks: u64,
    seq: u64,
    /// The block and the number of the target under way.
    at: Option<(usize, usize)>,
    /// The block under way stands in the buffer.
    encoded: bool,
    /// The block under way reached a target.
    landed: bool,
    wrote: bool,
    failed: bool,
}

impl Store<'_> {
    /// The first copies in sync whose health area does not fail.
    fn targets(&self, in_sync: u8) -> [Option<u8>; TARGETS] {
        let usable = in_sync & !self.given_up();
        let mut copies = (0..COPIES as u8).filter(|c| *c < self.copy_count && usable & (1 << c) != 0);
        [copies.next(), copies.next()]
    }

    /// Whether an autosave is due: `interval_s` seconds after the one before.
    pub fn is_due(&self, now_ms: u64, interval_s: u32) -> bool {
        let interval_ms = u64::from(interval_s).saturating_mul(1000);
        self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) >= interval_ms)
    }

    /// Blocks that not every target has as they were last saved.
    fn lacking(&self, targets: &[Option<u8>; TARGETS]) -> u64 {
        let all =
            targets.iter().flatten().fold(0u8, |mask, c| mask | 1u8.checked_shl(u32::from(*c)).unwrap_or(0));
        let lacks = |block: &usize| self.state(*block).current & all != all;
        (0..self.layout.blocks()).filter(lacks).fold(0, |mask, block| mask | bit(block))
    }
}

impl Health<'_> {
    /// Begins a save to the copies in `in_sync`. `None`: nothing to write, or no copy to write to. `buffer` is used for a moment.
    ///
    /// A host asks [`may_save`] before.
    pub fn begin_save(
        &mut self,
        kind: SaveKind,
        in_sync: u8,
        now_ms: u64,
        buffer: &mut Block,
    ) -> Option<Save> {
        self.store.changed |= self.changed_spots();
        if kind == SaveKind::Auto {
            self.store.last_ms = Some(now_ms);
            self.store.waited = self.store.waited.saturating_add(1);
        }
        let targets = self.store.targets(in_sync);
        let all = kind == SaveKind::Now || self.store.waited >= LAZY_EVERY;
        let lazy = if all { self.store.lazy | self.changed_zones(buffer) } else { 0 };
        let is_first = self.store.is_blank();
        // Before the first save there is nothing that a copy could lack.
        let lacking = if is_first { 0 } else { self.store.lacking(&targets) };
        let mut blocks = self.store.changed | lazy | lacking;
        let [Some(_), _] = targets else { return None };
        if all {
            self.store.waited = 0;
        }
        if blocks == 0 {
            return None;
        }
        if is_first {
            blocks = self.store.all();
        }
        self.store.seq = self.store.seq.saturating_add(1).min(SEQ_MAX);
        let seq = self.store.seq;
        Some(Save {
            targets,
            blocks,
            seq,
            at: None,
            encoded: false,
            landed: false,
            wrote: false,
            failed: false,
        })
    }

    fn changed_spots(&mut self) -> u64 {
        let first = self.store.layout.blocks().saturating_sub(self.store.layout.spot_blocks);
        let shift = u32::try_from(first).unwrap_or(u32::MAX);
        self.spots.take_changed().checked_shl(shift).unwrap_or(0) & self.store.all()
    }

    fn changed_zones(&self, buffer: &mut Block) -> u64 {
        let blocks = 0..self.store.layout.blocks();
        let zones = blocks.filter(|block| matches!(self.store.layout.content(*block), Content::Zones(_)));
        zones.fold(0, |mask, block| {
            body::encode(self, block, 1, 0, buffer);
            let saved = self.store.state(block).body_crc;
            let crc = body::body_crc(buffer);
            let never = self.store.state(block).held == 0;
            let nothing = !buffer.iter().skip(super::header::AT_BODY).any(|b| *b != 0);
            let same = if never { nothing } else { crc == saved };
            if same {
                mask
            } else {
                mask | bit(block)
            }
        })
    }
}

impl Save {
    /// The next write, of one block in `buffer`, which no other may touch until the save has ended. `None`: the save has ended.
    pub fn next(&mut self, health: &mut Health<'_>, buffer: &mut Block) -> Option<IoRequest> {
        loop {
            let (block, target) = match self.at {
                Some((block, target)) if target < TARGETS => (block, target),
                _ => {
                    let block = self.begin_block(health)?;
                    (block, 0)
                }
            };
            self.at = Some((block, target));
            let Some(copy) = self.copy(target, health) else {
                self.at = Some((block, target.saturating_add(1)));
                if target.saturating_add(1) >= TARGETS {
                    self.end_block(health, block);
                }
                continue;
            };
            // A block of the same sequence is the same in both copies, whatever has happened since it was encoded.
            match self.encoded {
                false => self.encode(health, block, copy, buffer),
                true => set_copy(buffer, copy),
            }
            let state = health.store.state(block);
            let place = next_place(&state, copy);
            let sector = health.store.address(copy, block, place).first_sector();
            let sectors = SECTORS_PER_BLOCK;
            return Some(IoRequest {
                device: Device::Spare,
                op: Op::WriteFua,
                sector,
                sectors,
                buffer_sector: 0,
            });
        }
    }

    /// Takes the outcome of the write that [`Save::next`] asked for.
    pub fn done(&mut self, health: &mut Health<'_>, ok: bool) {
        let Some((block, target)) = self.at else { return };
        let Some(copy) = self.targets.get(target).copied().flatten() else { return };
        let bit_of_copy = 1u8.checked_shl(u32::from(copy)).unwrap_or(0);
        match ok {
            true => {
                let seq = self.seq;
                health.store.change(block, |state| {
                    let place = next_place(state, copy);
                    state.place = state.place & !bit_of_copy | if place == 0 { 0 } else { bit_of_copy };
                    state.held |= bit_of_copy;
                    state.current |= bit_of_copy;
                    state.seq = seq;
                });
                (self.landed, self.wrote) = (true, true);
            }
            false => {
                self.failed = true;
                if let Some(failures) = health.store.failures.get_mut(usize::from(copy)) {
                    *failures = failures.saturating_add(1);
                }
            }
        }
        self.at = Some((block, target.saturating_add(1)));
        if target.saturating_add(1) >= TARGETS {
            self.end_block(health, block);
        }
    }

    /// Counts the save once it has ended, at a time in seconds since 1970 (0: not known).
    pub fn finish(self, health: &mut Health<'_>, wall_s: u64) {
        let store = &mut health.store;
        if self.failed {
            store.saves_failed = store.saves_failed.saturating_add(1);
        } else if self.wrote {
            store.saves = store.saves.saturating_add(1);
        }
        if self.wrote {
            store.saved_s = wall_s;
        }
    }

    /// The head is block 0 and comes last, so that where it is, the other blocks have been.
    fn begin_block(&mut self, health: &mut Health<'_>) -> Option<usize> {
        let block = self.blocks.checked_ilog2()? as usize;
        (self.encoded, self.landed) = (false, false);
        health.store.changed &= !bit(block);
        health.store.lazy &= !bit(block);
        Some(block)
    }

    fn end_block(&mut self, health: &mut Health<'_>, block: usize) {
        self.blocks &= !bit(block);
        self.at = None;
        if !self.landed {
            health.store.changed |= bit(block);
        }
    }

    fn copy(&self, target: usize, health: &Health<'_>) -> Option<u8> {
        let copy = self.targets.get(target).copied().flatten()?;
        (health.store.given_up() & 1u8.checked_shl(u32::from(copy)).unwrap_or(0) == 0).then_some(copy)
    }

    fn encode(&mut self, health: &mut Health<'_>, block: usize, copy: u8, buffer: &mut Block) {
        body::encode(health, block, self.seq, copy, buffer);
        self.encoded = true;
        let crc = body::body_crc(buffer);
        health.store.change(block, |state| {
            state.body_crc = crc;
            state.current = 0;
        });
    }
}

/// Where a copy takes a new instance: at the place that does not hold its newest one.
fn next_place(state: &BlockState, copy: u8) -> u8 {
    let bit_of_copy = 1u8.checked_shl(u32::from(copy)).unwrap_or(0);
    let holds = state.held & bit_of_copy != 0;
    u8::from(holds && state.place & bit_of_copy == 0)
}
