//! Content of slots is copied to main.

use super::{Release, State};
use crate::engine::jobs::protocol::Next;
use crate::engine::jobs::window::Masks;
use crate::engine::set::Engine;
use crate::engine::trust::success::Success;
use crate::error::ErrorKind;
use crate::extent::Range;
use crate::io::{Device, IoRequest, Op};
use crate::units::{sector_mask, Sector, Slot};

impl Release {
    pub(super) fn wanted(&self) -> u8 {
        self.wanted.get(self.nth).copied().unwrap_or(0)
    }

    pub(super) fn slot(&self, engine: &Engine<'_>) -> Option<Slot> {
        engine.table.record_of(self.window.group(self.nth)).map(|(slot, _)| slot)
    }

    /// Begins to copy the next group that is to go back.
    pub(super) fn begin_group(&mut self, engine: &mut Engine<'_>, from: usize, now_ms: u64) -> Option<Next> {
        self.nth = from;
        self.slow |= now_ms >= self.deadline_ms;
        while self.nth < self.wanted.len() && self.wanted() == 0 {
            self.nth += 1;
        }
        if self.nth >= self.wanted.len() {
            return self.flush();
        }
        if self.slow && self.cut_for_users(engine) {
            return self.flush();
        }
        self.left = self.wanted();
        self.by_block = false;
        self.read_slot(engine)
    }

    /// The next sectors of the mask in one piece, or its first block.
    pub(super) fn piece(left: u8, block_sectors: Option<u32>) -> (u32, u32) {
        let first = left.trailing_zeros().min(7);
        let run = (left >> first).trailing_ones();
        (first, block_sectors.map_or(run, |block| block.min(run)))
    }

    pub(super) fn read_slot(&mut self, engine: &mut Engine<'_>) -> Option<Next> {
        let Some(slot) = self.slot(engine) else {
            engine.broken("a held group is not in the map");
            self.stop = true;
            return None;
        };
        let (first, sectors) = Self::piece(self.left, self.by_block.then_some(engine.block_sectors()));
        self.state = State::ReadSlot { mask: sector_mask(first, sectors) };
        Some(Next::Io(IoRequest {
            device: Device::Spare,
            op: Op::Read,
            sector: engine.geometry().slot_block(slot).first_sector() + u64::from(first),
            sectors,
            buffer_sector: self.window.place(self.nth, first),
        }))
    }

    pub(super) fn slot_read(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        match result {
            Ok(()) => self.left &= !mask,
            Err(_) if !self.by_block && mask.count_ones() > engine.block_sectors() => self.by_block = true,
            Err(error) => {
                if let Some(slot) = self.slot(engine).filter(|_| error.can_mean_medium()) {
                    engine.suspect(slot, mask);
                }
                self.left &= !mask;
                self.drop_group(engine, mask, |r| &mut r.unreadable);
            }
        }
        if self.left != 0 {
            return self.read_slot(engine);
        }
        self.left = self.wanted();
        self.write_main(engine, now_ms)
    }

    /// Sectors of the group at hand stay mapped. Without any others the group is not held any more.
    pub(super) fn drop_group(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        to: impl Fn(&mut Self) -> &mut Masks,
    ) {
        let nth = self.nth;
        if let Some(to) = to(self).get_mut(nth) {
            *to |= mask;
        }
        if let Some(wanted) = self.wanted.get_mut(nth) {
            *wanted &= !mask;
            if *wanted == 0 {
                engine.unhold(self.window.group(nth));
            }
        }
    }

    pub(super) fn write_main(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        if self.left == 0 {
            return self.begin_group(engine, self.nth + 1, now_ms);
        }
        let (first, sectors) = Self::piece(self.left, None);
        self.state = State::WriteMain { mask: sector_mask(first, sectors) };
        Some(Next::Io(self.window.main_request(Op::Write, self.nth, first, sectors)))
    }

    pub(super) fn main_written(
        &mut self,
        engine: &mut Engine<'_>,
        mask: u8,
        result: Result<(), ErrorKind>,
        now_ms: u64,
    ) -> Option<Next> {
        if result.is_ok() {
            self.left &= !mask;
            let first =
                Sector(self.window.group(self.nth).first_sector().0 + u64::from(mask.trailing_zeros()));
            engine.main_took(Success::new(first, now_ms));
            return self.write_main(engine, now_ms);
        }
        self.drop_unit(engine, mask);
        self.groups = 1;
        self.flush()
    }

    /// Users have waited long enough: the window ends before the physical block at which the group at hand begins, if anything is to go back before
    /// that.
    fn cut_for_users(&mut self, engine: &mut Engine<'_>) -> bool {
        let end = engine.unit_of(self.window.group(self.nth).first_sector().0).first;
        let before = Range { first: self.window.at, sectors: end.0.saturating_sub(self.window.at.0) };
        let mut wanted = self.wanted.iter().enumerate();
        let cuts = wanted.any(|(nth, wanted)| *wanted & before.mask(self.window.group(nth)) != 0);
        if cuts {
            self.cut_before(engine, end.0);
        }
        cuts
    }

    /// The window ends before this sector; what was held behind is not any more.
    pub(super) fn cut_before(&mut self, engine: &mut Engine<'_>, end: u64) {
        let masks = [&mut self.wanted, &mut self.lost, &mut self.unreadable, &mut self.failed];
        engine.cut_window(&mut self.window, end, masks);
    }
}
