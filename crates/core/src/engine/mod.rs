//! The engine: the state of one set, and every decision about it.
//!
//! There is one engine per live set, behind a lock of the host. Beside it stand the machines that a host drives:
//! [`load::Loader`] builds the engine from the spare, [`commit::Committer`] makes changes durable, and one [`machine::Machine`] per
//! repair context turns a failed write into stored content, or a failed read into what can be read. The lookup table is shared with readers that take
//! no lock.

pub mod breaker;
pub mod commit;
pub mod list;
pub mod load;
pub mod machine;
pub mod mode;
pub mod notice;
pub mod order;
pub mod release;
pub mod relocate;
pub mod repair;
pub mod reread;

mod beside;
mod bisect;
mod changes;
mod copies;
mod evict;
mod hold;
mod place;
mod publish;
mod readmit;
mod removal;
pub mod rounds;
mod slots;

pub use changes::Change;
pub use mode::{FailReason, Mode, NoRemapReason};
pub use notice::{Class, Counters, Notice, NOTICES_MAX};
pub use slots::SlotCounts;

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::format::{Entry, Geometry, MainShape, SlotState, Superblock};
use crate::gate::Regions;
use crate::lookup::{Record, Table, TableSizes, Use};
use crate::pending::{Pending, PENDING_WORDS};
use crate::units::{Group, Slot, SECTOR_BYTES};
use breaker::Breaker;
use changes::Changes;
use notice::Notices;

/// Most repair contexts that one engine serves.
pub const CONTEXTS_MAX: usize = 8;
/// Groups that one repair window spans at most; a longer bio is repaired window by window. With the two groups beside it a
/// window fills 128 KiB, which a kernel can be expected to have in one piece.
pub const WINDOW_GROUPS: u32 = 30;
/// Sectors of a window.
pub const WINDOW_SECTORS: u32 = WINDOW_GROUPS * 8;
/// Sectors of the largest physical block that is known as one.
pub(crate) const UNIT_SECTORS_MAX: u32 = 64;
/// Fewest entries of the change list: every context may have a whole window of new slots and retired ones waiting.
pub const CHANGES_MIN: usize = CONTEXTS_MAX * WINDOW_GROUPS as usize * 2;
/// Largest sequence and generation numbers (docs/format.md).
const SEQ_MAX: u64 = (1 << 56) - 1;
const GENERATION_MAX: u64 = (1 << 48) - 1;

/// What the administrator may choose; the kernel's module parameters of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failed attempts on one physical block of main before it counts as bad, 1 to 100.
    pub error_threshold: u32,
    /// Whether failed writes are repaired at all.
    pub auto_remap: bool,
    /// Most slots in use; 0 for all.
    pub slots_max: u32,
    /// Slots in use, in percent, from which on the spare counts as nearly full, 1 to 100.
    pub emergency_percent: u32,
    /// Time for narrowing one failed bio, in milliseconds; what has not proved good by then goes to slots.
    pub repair_deadline_ms: u64,
    /// Retries of a block that fails a read, after the first read of it alone, 0 to 100.
    pub read_retries: u32,
    /// Time for narrowing one failed read, in milliseconds; what has not been read well by then is an error.
    pub read_deadline_ms: u64,
    /// How old a success elsewhere on main may be to be evidence that main takes writes, in milliseconds.
    pub evidence_window_ms: u64,
    /// Whether the breaker may open. Not in a laboratory.
    pub production: bool,
    /// How long the breaker stays open at least, in milliseconds; not less than `evidence_window_ms`.
    pub breaker_pause_ms: u64,
    /// Physical block of main in sectors: the unit in which it fails. A power of two. It stays as it is from the first job on.
    pub physical_sectors: u32,
    /// Time from an activation or an eviction to the first attempt to bring evicted copies back, in milliseconds.
    pub readmit_after_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            error_threshold: 3,
            auto_remap: true,
            slots_max: 0,
            emergency_percent: 90,
            repair_deadline_ms: 30_000,
            read_retries: 5,
            read_deadline_ms: 30_000,
            evidence_window_ms: 5000,
            production: true,
            breaker_pause_ms: 30_000,
            physical_sectors: 8,
            readmit_after_ms: 60_000,
        }
    }
}

/// The arrays that a host sets aside for one set, as large as [`StorageSizes`] says.
pub struct Storage<'a> {
    /// Records of the slots; shared with readers.
    pub records: &'a [AtomicU64],
    /// Buckets of the hash; shared with readers.
    pub buckets: &'a [AtomicU32],
    /// Summary; shared with readers.
    pub summary: &'a [AtomicU64],
    /// Per slot: generation in the low 48 bits, lost mask in bits 48 to 55.
    pub generations: &'a mut [u64],
    /// Per table block: its sequence in the low 56 bits, mask of the copies that hold it whole in bits 56 to 60; see `copies.rs`.
    pub blocks: &'a mut [u64],
    /// Changes on their way to the disk, at least [`CHANGES_MIN`].
    pub changes: &'a mut [Change],
    /// Pending blocks; shared with the callers that see bios end.
    pub pending: &'a [AtomicU64],
    /// The repair contexts, as the engine sees them, [`CONTEXTS_MAX`].
    pub contexts: &'a mut [Context],
    /// Notices that were not told yet, [`NOTICES_MAX`].
    pub notices: &'a mut [Option<Notice>],
}

/// How large the arrays of [`Storage`] must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSizes {
    /// The table's arrays.
    pub table: TableSizes,
    /// `u64` words of `generations`.
    pub generations: usize,
    /// `u64` words of `blocks`.
    pub blocks: usize,
    /// Entries of `changes`.
    pub changes: usize,
    /// `u64` words of `pending`.
    pub pending: usize,
    /// Entries of `contexts`.
    pub contexts: usize,
    /// Entries of `notices`.
    pub notices: usize,
}

impl StorageSizes {
    /// For a set of this geometry.
    pub fn for_geometry(geometry: &Geometry) -> StorageSizes {
        StorageSizes {
            table: TableSizes::for_slots(geometry.slot_count()),
            generations: geometry.slot_count() as usize,
            blocks: geometry.table_blocks() as usize,
            changes: CHANGES_MIN,
            pending: PENDING_WORDS,
            contexts: CONTEXTS_MAX,
            notices: NOTICES_MAX,
        }
    }
}

/// What one repair context is doing, as the engine sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// First and last group of the window that the context works on.
    claim: Option<(Group, Group)>,
    /// Groups that it waits for, to store a write: reads make way.
    wish: Option<(Group, Group)>,
    /// The first group of a physical block besides, by which main is asked whether it takes writes.
    probe: Option<Group>,
    /// Changes queued and not yet durable.
    outstanding: u32,
    /// One of the changes could not be made durable.
    failed: bool,
    /// It goes on when the list of changes has room again.
    awaits_room: bool,
    /// An administrator ordered what it does.
    ordered: bool,
    /// Groups of the physical block by which main is asked.
    probe_groups: u8,
}

/// Whether a range of groups, if there is one, has groups in common with `first` to `last`.
fn overlap(range: Option<(Group, Group)>, first: Group, last: Group) -> bool {
    range.is_some_and(|(from, to)| from <= last && first <= to)
}

/// The state of one set.
pub struct Engine<'a> {
    table: Table<'a>,
    pending: Pending<'a>,
    generations: &'a mut [u64],
    blocks: &'a mut [u64],
    changes: Changes<'a>,
    superblock: Superblock,
    /// Places that hold a valid superblock, as far as is known.
    superblocks_whole: u8,
    settings: Settings,
    /// A job has claimed groups by the physical block of the settings.
    unit_is_settled: bool,
    contexts: &'a mut [Context],
    free_head: Option<Slot>,
    used: u32,
    retired: u32,
    /// Slots that were given up for another and whose entry still names their group, until their retirement is durable.
    old_entries: u32,
    seq: u64,
    generation: u64,
    mode: Mode,
    /// A commit or a superblock failed, and nothing has settled since what is on disk.
    unsettled: bool,
    fail_reason: Option<FailReason>,
    breaker: Breaker,
    /// Slots that hold content, or would if a failed commit has landed: those in use without those taken for a while.
    filled: u32,
    /// The last watermark below 100 that was told, and whether it was told since then that all slots are taken.
    watermark_percent: u32,
    full_told: bool,
    /// It was said that not all unreadable blocks can be remembered.
    pending_full: bool,
    notices: Notices<'a>,
    counters: Counters,
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
        let physical_sectors = match self.unit_is_settled {
            true => self.settings.physical_sectors,
            false => settings.physical_sectors,
        };
        self.settings = Settings { physical_sectors, ..settings };
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
        self.generations.get(slot.0 as usize).map_or(0, |w| (w >> 48) as u8)
    }

    /// The entry of `slot` as it stands in memory: what a table block says of it when no change is under way.
    pub fn entry(&self, slot: Slot) -> Entry {
        let (Some(record), Some(&word)) = (self.table.record(slot), self.generations.get(slot.0 as usize))
        else {
            return Entry::default();
        };
        let generation = word & GENERATION_MAX;
        let lost = (word >> 48) as u8;
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

    /// Claims groups for a context, so that no other repairs them at the same time (S9). False: another one does, wait for
    /// it to finish a window.
    fn claim(&mut self, context: usize, first: Group, last: Group) -> bool {
        let free = !self.is_claimed(context, first, last);
        self.unit_is_settled = true;
        if let Some(c) = self.contexts.get_mut(context) {
            *c = match free {
                true => Context { claim: Some((first, last)), ..Context::default() },
                false => Context { wish: Some((first, last)), ..*c },
            };
            return free;
        }
        false
    }

    /// The same for a read, which takes nothing that a write waits for.
    fn claim_to_read(&mut self, context: usize, first: Group, last: Group) -> bool {
        if self.is_claimed(context, first, last) || self.others(context).any(|c| overlap(c.wish, first, last))
        {
            return false;
        }
        self.claim(context, first, last)
    }

    /// Whether a write waits for groups that this context has claimed.
    fn is_in_the_way(&self, context: usize) -> bool {
        let claim = self.contexts.get(context).and_then(|c| c.claim);
        claim.is_some_and(|(first, last)| self.others(context).any(|c| overlap(c.wish, first, last)))
    }

    fn others(&self, context: usize) -> impl Iterator<Item = &Context> {
        self.contexts.iter().enumerate().filter(move |(i, _)| *i != context).map(|(_, c)| c)
    }

    /// Notes that an administrator ordered what a context does with its claim.
    fn set_ordered(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.ordered = true;
        }
    }

    /// The unit in which main fails, in sectors.
    fn unit_sectors(&self) -> NonZeroU32 {
        let unit = self.settings.physical_sectors.min(UNIT_SECTORS_MAX).max(self.block_sectors());
        NonZeroU32::new(unit).unwrap_or(NonZeroU32::MIN)
    }

    /// How main is divided for the gate.
    fn regions(&self) -> Regions {
        Regions::new(self.shape().sectors)
    }

    /// The logical block of main in sectors.
    fn block_sectors(&self) -> u32 {
        (self.shape().block_bytes / SECTOR_BYTES).max(1)
    }

    /// Whether another context works on one of these groups.
    fn is_claimed(&self, context: usize, first: Group, last: Group) -> bool {
        let probed = |c: &Context| {
            let groups = u64::from(c.probe_groups.max(1));
            c.probe.map(|probe| (probe, Group(probe.0.saturating_add(groups - 1))))
        };
        self.others(context).any(|c| overlap(c.claim, first, last) || overlap(probed(c), first, last))
    }

    /// Claims groups besides the window of a context. False: another context works on one of them. Nobody waits for them: two that had a
    /// window each would wait for one another.
    fn claim_probe(&mut self, context: usize, first: Group, last: Group) -> bool {
        if self.is_claimed(context, first, last) {
            return false;
        }
        match self.contexts.get_mut(context) {
            Some(c) => {
                c.probe = Some(first);
                c.probe_groups = u8::try_from(last.0.saturating_sub(first.0) + 1).unwrap_or(u8::MAX);
                true
            }
            None => false,
        }
    }

    fn unclaim_probe(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.probe = None;
        }
    }

    /// Ends a context's window.
    fn unclaim(&mut self, context: usize) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.claim = None;
            c.wish = None;
            c.probe = None;
        }
    }

    /// What came of the changes that a context queued: `None` while some are under way, or while it waits for the changes of others
    /// to leave the list, otherwise whether all are durable.
    pub fn commit_outcome(&self, context: usize) -> Option<bool> {
        let c = self.contexts.get(context)?;
        // What is in doubt stays in the list, but then nothing is remapped.
        let waits = c.awaits_room && self.commits() && !self.has_room();
        (c.outstanding == 0 && !waits).then_some(!c.failed)
    }

    /// Has [`Engine::commit_outcome`] of a context wait for room in the list of changes, or no longer.
    fn await_room(&mut self, context: usize, waits: bool) {
        if let Some(c) = self.contexts.get_mut(context) {
            c.awaits_room = waits;
        }
    }

    /// Whether a machine works on any group, so that slots may be on their way (see [`Engine::count_slots`]).
    pub fn is_at_work(&self) -> bool {
        self.contexts.iter().any(|c| c.claim.is_some() || c.probe.is_some())
    }

    /// Sectors of a group that live in a slot.
    fn mapped_mask(&self, group: Group) -> u8 {
        self.table.record_of(group).filter(|(_, r)| r.usage() == Use::Mapped).map_or(0, |(_, r)| r.mask())
    }

    /// Number for the next write of metadata. `None` when the 56 bits are used up, which a write per nanosecond reaches in two years:
    /// the set then takes no changes any more.
    fn next_seq(&mut self) -> Option<u64> {
        if self.seq >= SEQ_MAX {
            return None;
        }
        self.seq += 1;
        Some(self.seq)
    }

    fn next_generation(&mut self) -> Option<u64> {
        if self.generation >= GENERATION_MAX {
            return None;
        }
        self.generation += 1;
        Some(self.generation)
    }

    /// Puts a record of the same group, or one that nothing leads to, in place.
    fn set_record(&mut self, slot: Slot, record: Record) {
        self.table.set_record(slot, record);
    }

    fn set_generation(&mut self, slot: Slot, generation: u64, lost: u8) {
        if let Some(word) = self.generations.get_mut(slot.0 as usize) {
            *word = (generation & GENERATION_MAX) | u64::from(lost) << 48;
        }
    }
}
