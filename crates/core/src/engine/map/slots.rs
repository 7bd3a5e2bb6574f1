//! Taking and giving back slots: O(1), by a list that is linked through the records of free slots.

use super::changes::{Change, Kind, Stage};
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::lookup::{Record, Use};
use crate::units::{Group, Sector, Slot};

/// How many slots there are of each kind (S33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Serve a group.
    pub used: u32,
    /// Can be taken.
    pub free: u32,
    /// Failed, and are never used again.
    pub retired: u32,
    /// Are kept until it is settled what stands on the disks: a failed commit may have mapped or retired them (S13), or their retirement waits
    /// for a commit.
    pub reserved: u32,
    /// All slots of the set.
    pub total: u32,
}

impl SlotCounts {
    /// Whether each slot is one of those.
    pub fn are_all(&self) -> bool {
        let sum = u64::from(self.used) + u64::from(self.free) + u64::from(self.retired);
        sum + u64::from(self.reserved) == u64::from(self.total)
    }
}

impl Engine<'_> {
    /// Takes a free slot for `group`. `None`: no slot is free, or the administrator's limit is reached (S22).
    pub(in crate::engine) fn take_slot(&mut self, group: Group) -> Option<Slot> {
        if self.used >= self.slots_total() {
            self.tell_full();
            return None;
        }
        let Some(slot) = self.free_head else {
            self.tell_full();
            return None;
        };
        let record = self.table.record(slot)?;
        if record.usage() != Use::Free {
            self.broken("a slot on the free list is not free");
            return None;
        }
        self.free_head = record.next_free();
        self.set_record(slot, Record::reserved(group));
        self.used += 1;
        Some(slot)
    }

    /// Gives a reserved slot back that nothing was ever mapped to.
    pub(in crate::engine) fn give_back(&mut self, slot: Slot) {
        self.set_record(slot, Record::free(self.free_head));
        self.free_head = Some(slot);
        self.used = self.used.saturating_sub(1);
    }

    /// A slot that was taken holds content from now on, or a failed commit may have made it do so. Only this counts for watermarks: what
    /// is taken to hold a group for a moment is given back (S22).
    pub(in crate::engine) fn fill_slot(&mut self) {
        self.filled = self.filled.saturating_add(1);
        // Who was refused before may have been refused for slots that came back.
        self.full_told = false;
        self.check_watermarks();
    }

    /// A slot that counted as filled is free, now that nobody can be looking at its content: it was released, or a failed commit that was
    /// to map it is settled. Watermarks above what is in use now are told again.
    pub(in crate::engine) fn free_filled(&mut self, slot: Slot) {
        self.give_back(slot);
        self.filled = self.filled.saturating_sub(1);
        self.watermark_percent = self.watermark_percent.min(self.filled_percent());
        self.full_told = false;
    }

    /// Sectors of a slot failed to be read (S3): told once.
    pub(in crate::engine) fn suspect(&mut self, slot: Slot, mask: u8) {
        let Some(record) = self.table.record(slot) else { return };
        self.table.mark_suspect(slot, mask);
        let news = mask & record.mask() & !record.bad();
        if news != 0 {
            let sector = Sector(record.group().first_sector().0 + u64::from(news.trailing_zeros()));
            let sectors = news.count_ones();
            self.counters.suspected_sectors += u64::from(sectors);
            self.notices.push(Notice::Suspect { sector, sectors, slot });
        }
    }

    /// Counts the slots, one by one. At rest, with no machine at work and no commit under way, they are all slots; see
    /// [`SlotCounts::are_all`].
    pub fn count_slots(&self) -> SlotCounts {
        let mut counts = SlotCounts { total: self.table.slots(), ..SlotCounts::default() };
        let serves =
            |slot, r: Record| self.table.record_of(r.group()).is_some_and(|(found, _)| found == slot);
        for slot in (0..counts.total).map(Slot) {
            match self.table.record(slot) {
                Some(r) if r.usage() == Use::Retired => counts.retired += 1,
                Some(r) if r.usage() == Use::Mapped && serves(slot, r) => counts.used += 1,
                _ => {}
            }
        }
        let mut next = self.free_head;
        while let Some(record) = next.and_then(|slot| self.table.record(slot)) {
            if record.usage() != Use::Free || counts.free >= counts.total {
                break;
            }
            counts.free += 1;
            next = record.next_free();
        }
        let unsettled = |c: &&Change| match (c.kind, c.stage) {
            (Kind::New | Kind::Move { .. }, stage) => stage == Stage::Doubt,
            (Kind::Retire, stage) => matches!(stage, Stage::Doubt | Stage::Queued),
            _ => false,
        };
        counts.reserved = self.changes.iter().filter(unsettled).count() as u32;
        counts
    }

    /// Links every free slot into the free list, lowest first, and counts the others.
    pub(in crate::engine) fn rebuild_free_list(&mut self) {
        self.free_head = None;
        self.used = 0;
        self.retired = 0;
        for index in (0..self.table.slots()).rev() {
            let slot = Slot(index);
            match self.table.record(slot).map(Record::usage) {
                Some(Use::Free) => {
                    self.set_record(slot, Record::free(self.free_head));
                    self.free_head = Some(slot);
                }
                Some(Use::Retired) => self.retired += 1,
                Some(Use::Mapped | Use::Reserved) => self.used += 1,
                None => {}
            }
        }
        self.filled = self.used;
        self.watermark_percent = self.filled_percent();
    }

    fn filled_percent(&self) -> u32 {
        let total = u64::from(self.slots_total()).max(1);
        (u64::from(self.filled) * 100 / total).min(100) as u32
    }

    /// Tells each watermark once on the way up (S22).
    fn check_watermarks(&mut self) {
        let now = self.filled_percent();
        for percent in [50, 75, self.settings.emergency_percent] {
            if now >= percent && percent > self.watermark_percent {
                self.watermark_percent = percent;
                self.full_told |= percent >= 100;
                self.notices.push(Notice::Watermark { percent });
            }
        }
    }

    /// A slot was wanted and there was none.
    fn tell_full(&mut self) {
        if !self.full_told {
            self.full_told = true;
            self.notices.push(Notice::Watermark { percent: 100 });
        }
    }
}
