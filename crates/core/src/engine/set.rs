//! The state of one set, and what is known of it without deciding anything.

use core::num::NonZeroU32;

use super::context::Context;
use super::limits::UNIT_SECTORS_MAX;
use super::map::changes::Changes;
use super::map::stamp::Stamp;
use super::settings::Settings;
use super::tell::counters::Counters;
use super::tell::notice::{Notice, Notices};
use super::trust::breaker::Breaker;
use super::trust::mode::{FailReason, Mode};
use crate::extent::Units;
use crate::format::{Entry, Geometry, MainShape, SlotState, Superblock, SEQ_MAX};
use crate::gate::Regions;
use crate::lookup::{Record, Table, Use};
use crate::pending::Pending;
use crate::units::{Group, Slot, SECTOR_BYTES};

/// The state of one set.
pub struct Engine<'a> {
    pub(in crate::engine) table: Table<'a>,
    pub(in crate::engine) pending: Pending<'a>,
    pub(in crate::engine) generations: &'a mut [u64],
    pub(in crate::engine) blocks: &'a mut [u64],
    pub(in crate::engine) changes: Changes<'a>,
    pub(in crate::engine) superblock: Superblock,
    /// Places that hold a valid superblock, as far as is known.
    pub(in crate::engine) superblocks_whole: u8,
    pub(in crate::engine) settings: Settings,
    /// A job has claimed groups by the physical block of the settings.
    pub(in crate::engine) unit_is_settled: bool,
    pub(in crate::engine) contexts: &'a mut [Context],
    pub(in crate::engine) free_head: Option<Slot>,
    pub(in crate::engine) used: u32,
    pub(in crate::engine) retired: u32,
    /// Slots that were given up for another and whose entry still names their group, until their retirement is durable.
    pub(in crate::engine) old_entries: u32,
    pub(in crate::engine) seq: u64,
    pub(in crate::engine) generation: u64,
    pub(in crate::engine) mode: Mode,
    /// A commit or a superblock failed, and nothing has settled since what is on disk.
    pub(in crate::engine) unsettled: bool,
    pub(in crate::engine) fail_reason: Option<FailReason>,
    pub(in crate::engine) breaker: Breaker,
    /// Slots that hold content, or would if a failed commit has landed: those in use without those taken for a while.
    pub(in crate::engine) filled: u32,
    /// The last watermark below 100 that was told, and whether it was told since then that all slots are taken.
    pub(in crate::engine) watermark_percent: u32,
    pub(in crate::engine) full_told: bool,
    /// It was said that not all unreadable blocks can be remembered.
    pub(in crate::engine) pending_full: bool,
    pub(in crate::engine) notices: Notices<'a>,
    pub(in crate::engine) counters: Counters,
}

impl<'a> Engine<'a> {
    /// The lookup table, for readers.
    pub fn table(&self) -> Table<'a> {
        self.table
    }

    /// The pending blocks, for whoever sees bios end.
    pub fn pending(&self) -> Pending<'a> {
        self.pending
    }

    /// The superblock that counts, with the number of this activation: whatever a session writes carries that, so that what an
    /// earlier session left on a copy that cannot be read now never looks newer.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Where things are on the spare.
    pub fn geometry(&self) -> &Geometry {
        &self.superblock.geometry
    }

    /// Length and block size of main.
    pub fn shape(&self) -> &MainShape {
        &self.superblock.main
    }

    /// What the administrator chose.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes new settings. They hold from the next decision on; but the physical block is that of the first job: where a window
    /// ends and what is kept of it in the buffer depend on it, and other contexts are in the middle of theirs.
    pub fn set_settings(&mut self, settings: Settings) {
        let physical = if self.unit_is_settled { self.settings } else { settings };
        let Settings { physical_sectors, alignment_sectors, .. } = physical;
        self.settings = Settings { physical_sectors, alignment_sectors, ..settings };
    }

    /// Current mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Why the mode is `fail`, if it is.
    pub fn fail_reason(&self) -> Option<FailReason> {
        self.fail_reason
    }

    /// Slots that hold content.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Slots that failed and are never used again.
    pub fn retired(&self) -> u32 {
        self.retired
    }

    /// Slots that may be used at most: all that are not retired, or the administrator's limit.
    pub fn slots_total(&self) -> u32 {
        match self.settings.slots_max {
            0 => self.table.slots(),
            limit => limit.min(self.table.slots()),
        }
    }

    /// Sectors that are lost: declared so by repair, durable.
    pub fn lost_sectors(&self) -> u64 {
        self.counters.lost_sectors
    }

    /// Logical blocks of main that failed a read and have not been written since. Looks at every place where one may be remembered.
    pub fn pending_blocks(&self) -> u64 {
        let block_sectors = u64::from(self.shape().block_bytes / crate::units::SECTOR_BYTES);
        self.pending.sectors().checked_div(block_sectors).unwrap_or(0)
    }

    /// Counts of what happened since activation.
    pub fn counters(&self) -> Counters {
        let (notices_dropped, pending_dropped) = (self.notices.dropped(), self.pending.dropped());
        Counters { notices_dropped, pending_dropped, ..self.counters }
    }

    /// Sets the counts of what happened since activation to zero.
    pub fn reset_counters(&mut self) {
        self.counters = Counters { lost_sectors: self.counters.lost_sectors, ..Counters::default() };
        self.notices.reset_dropped();
    }

    /// The next thing that happened and has not been told yet.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.take()
    }

    /// Copies in sync.
    pub fn copies_in_sync(&self) -> u32 {
        self.superblock.in_sync.count_ones()
    }

    /// Mask of a slot's lost sectors.
    pub fn lost_mask(&self, slot: Slot) -> u8 {
        self.stamp(slot).map_or(0, |stamp| stamp.lost)
    }

    /// The entry of `slot` as it stands in memory: what a table block says of it when no change is under way.
    pub fn entry(&self, slot: Slot) -> Entry {
        let (Some(record), Some(Stamp { generation, lost })) = (self.table.record(slot), self.stamp(slot))
        else {
            return Entry::default();
        };
        match record.usage() {
            Use::Free | Use::Reserved => Entry { generation, ..Entry::default() },
            Use::Retired => Entry { state: SlotState::Retired, generation, ..Entry::default() },
            Use::Mapped => Entry {
                state: if lost == 0 { SlotState::Mapped } else { SlotState::Lost },
                group: record.group(),
                mask: record.mask(),
                lost,
                generation,
            },
        }
    }

    /// The units in which main fails: its physical blocks, as far as logical blocks do not straddle them.
    pub(crate) fn units(&self) -> Units {
        let unit = self.settings.physical_sectors.min(UNIT_SECTORS_MAX).max(self.block_sectors());
        let straddles = self.settings.alignment_sectors.checked_rem(self.block_sectors()) != Some(0);
        let first = if straddles { 0 } else { self.settings.alignment_sectors };
        Units::new(NonZeroU32::new(unit).unwrap_or(NonZeroU32::MIN), first)
    }

    /// Main's logical blocks, as units.
    pub(in crate::engine) fn blocks(&self) -> Units {
        Units::new(NonZeroU32::new(self.block_sectors()).unwrap_or(NonZeroU32::MIN), 0)
    }

    /// How main is divided for the gate.
    pub(in crate::engine) fn regions(&self) -> Regions {
        Regions::new(self.shape().sectors)
    }

    /// The logical block of main in sectors.
    pub(in crate::engine) fn block_sectors(&self) -> u32 {
        (self.shape().block_bytes / SECTOR_BYTES).max(1)
    }

    /// Sectors of a group that live in a slot.
    pub(in crate::engine) fn mapped_mask(&self, group: Group) -> u8 {
        self.table.record_of(group).filter(|(_, r)| r.usage() == Use::Mapped).map_or(0, |(_, r)| r.mask())
    }

    /// Number for the next write of metadata. `None` when the 56 bits are used up, which a write per nanosecond reaches in two years:
    /// the set then takes no changes any more.
    pub(in crate::engine) fn next_seq(&mut self) -> Option<u64> {
        if self.seq >= SEQ_MAX {
            return None;
        }
        self.seq += 1;
        Some(self.seq)
    }

    pub(in crate::engine) fn next_generation(&mut self) -> Option<u64> {
        if self.generation >= Entry::GENERATION_MAX {
            return None;
        }
        self.generation += 1;
        Some(self.generation)
    }

    /// Puts a record of the same group, or one that nothing leads to, in place.
    pub(in crate::engine) fn set_record(&mut self, slot: Slot, record: Record) {
        self.table.set_record(slot, record);
    }

    /// What is remembered of a slot's entry besides its record; `None` if there is no such slot.
    pub(in crate::engine) fn stamp(&self, slot: Slot) -> Option<Stamp> {
        self.generations.get(slot.0 as usize).map(|word| Stamp::from_word(*word))
    }

    pub(in crate::engine) fn set_stamp(&mut self, slot: Slot, stamp: Stamp) {
        if let Some(word) = self.generations.get_mut(slot.0 as usize) {
            *word = stamp.to_word();
        }
    }
}
