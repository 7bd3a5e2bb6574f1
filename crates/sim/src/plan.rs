//! What kind of world a seed makes: the shape of the set, and what goes wrong in it.

use remap_core::engine::Settings;

use crate::disk::{Disk, ALWAYS};
use crate::rng::Rng;

/// A bug of the host, put in to see whether the oracle finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A repaired bio completes when its content is on the slot, before the mapping is durable (S6).
    AckBeforeDurable,
    /// A user's flush does not reach the spare (S8).
    SkipSpareFlush,
    /// The flush before round one is reported and not done (S6).
    SkipCommitFlush,
    /// A drain does not wait (S9).
    SkipDrain,
    /// Where all are to be drained, only those are waited for who write (S9).
    DrainWritesOnly,
    /// A drain whose time is over counts as done (S9).
    IgnoreTimeout,
    /// Only the first copy is written (S12).
    SkipSecondRound,
    /// Copies are not made equal when a set is taken over (S12).
    SkipEqualising,
    /// A suspect slot is reported to hold main's content (S3).
    ReadMainForLost,
    /// Bios of groups that are being released do not wait (S24).
    ReleaseWithoutHold,
    /// Main is not flushed before a mapping goes (S24).
    ReleaseWithoutFlush,
    /// A release goes on before the removal is durable (S24).
    ReleaseBeforeDurable,
    /// A release does not wait for bios that are under way in the slots that it empties and frees (S9).
    ReleaseWithoutDrain,
    /// The blocks of an evicted copy are reported as written anew, and are not (S12).
    ReadmitWithoutRewrite,
    /// A failed read of what lives in a slot is retried on main (S3, S4).
    RetryOnMain,
    /// What a failed read left in the buffer is delivered (S1).
    DeliverFailedRead,
    /// Nobody tells of blocks that are written well (S2).
    KeepPending,
    /// Core is told of successes on main that there were none of (S14).
    RemapWithoutEvidence,
    /// Bios go to the group by which main is asked (S14).
    ProbeWithoutHold,
    /// A repair does not wait for bios that are under way in the slot that it empties (S9).
    MoveWithoutDrain,
    /// Core is not told of a flush of the user that failed (S8).
    ForgetFailedFlush,
    /// The set is closed in the middle of its service (S19).
    CloseEarly,
    /// All copies are loaded, those that were evicted too (S12).
    CountEvicted,
    /// Core is not told that a bio must not wait (S17).
    NowaitWaits,
    /// A discard of what lives in a slot goes there (S18).
    DiscardMapped,
    /// A discard does not stay in the gate while it is under way (S9).
    DiscardWithoutGate,
    /// An order is forgotten when it asks for its last drain, before the slots that it emptied are free (S33).
    LeakSlot,
    /// What a repair reads again after a write of its own failed is reported to be there (S32).
    BelieveSpoilt,
    /// Core is told that what is unreadable is known for no time (S34).
    ForgetKnown,
    /// A write is cut wherever it lives in several places, and core asked for each part by itself (S5).
    CutWrites,
}

impl Planted {
    /// All, with the names that the command line knows.
    pub const ALL: [(&'static str, Planted); 30] = [
        ("ack-before-durable", Planted::AckBeforeDurable),
        ("skip-spare-flush", Planted::SkipSpareFlush),
        ("skip-commit-flush", Planted::SkipCommitFlush),
        ("skip-drain", Planted::SkipDrain),
        ("drain-writes-only", Planted::DrainWritesOnly),
        ("ignore-timeout", Planted::IgnoreTimeout),
        ("skip-second-round", Planted::SkipSecondRound),
        ("skip-equalising", Planted::SkipEqualising),
        ("read-main-for-lost", Planted::ReadMainForLost),
        ("release-without-hold", Planted::ReleaseWithoutHold),
        ("release-without-flush", Planted::ReleaseWithoutFlush),
        ("release-before-durable", Planted::ReleaseBeforeDurable),
        ("release-without-drain", Planted::ReleaseWithoutDrain),
        ("readmit-without-rewrite", Planted::ReadmitWithoutRewrite),
        ("retry-on-main", Planted::RetryOnMain),
        ("deliver-failed-read", Planted::DeliverFailedRead),
        ("keep-pending", Planted::KeepPending),
        ("remap-without-evidence", Planted::RemapWithoutEvidence),
        ("probe-without-hold", Planted::ProbeWithoutHold),
        ("move-without-drain", Planted::MoveWithoutDrain),
        ("forget-failed-flush", Planted::ForgetFailedFlush),
        ("close-early", Planted::CloseEarly),
        ("count-evicted", Planted::CountEvicted),
        ("nowait-waits", Planted::NowaitWaits),
        ("discard-mapped", Planted::DiscardMapped),
        ("discard-without-gate", Planted::DiscardWithoutGate),
        ("leak-slot", Planted::LeakSlot),
        ("believe-spoilt", Planted::BelieveSpoilt),
        ("forget-known", Planted::ForgetKnown),
        ("cut-writes", Planted::CutWrites),
    ];

    /// The bug of that name.
    pub fn from_name(name: &str) -> Option<Planted> {
        Planted::ALL.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }
}

/// The shape of a world and the faults that will come over it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Sectors of main.
    pub main_sectors: u64,
    /// Logical block of main in bytes.
    pub block_bytes: u32,
    /// Slots of the set.
    pub slots: u32,
    /// Copies of the metadata.
    pub copies: u8,
    /// Settings of the engine.
    pub settings: Settings,
    /// User tasks at once.
    pub tasks: usize,
    /// Repair contexts.
    pub contexts: usize,
    /// Where half of the bios and of the orders meet: at the start of main, or where a window and a region end.
    pub hot_sector: u64,
    /// Most sectors of one bio.
    pub bio_sectors_max: u64,
    /// Sessions of the history, each ended by a crash or a close.
    pub sessions: u64,
    /// Slots fail writes, or reads, in so many of a hundred cases.
    pub slot_faults_percent: u64,
    /// Copies of the metadata fail writes for a time.
    pub copy_faults: bool,
    /// The whole spare fails writes for a time.
    pub spare_outages: bool,
    /// Main takes no writes for a time.
    pub main_outages: bool,
    /// Flushes fail, rarely.
    pub flush_faults: bool,
    /// Requests fail for reasons other than the medium.
    pub odd_errors: bool,
    /// A metadata block rots, or cannot be read any more, while the power is off.
    pub rot: bool,
    /// A copy's metadata is replaced while the power is off, by an old image or another set's.
    pub swapped_copies: bool,
    /// Superblocks cannot be read for a time after a crash.
    pub unreadable_superblocks: bool,
    /// New sectors of main go bad in so many of a thousand steps.
    pub growth_permille: u64,
    /// So many of a thousand parts of bios are under way for long.
    pub slow_permille: u64,
    /// Main has no FUA of its own.
    pub fua_flushes: bool,
    /// An administrator orders that content move in so many of a thousand steps.
    pub orders_permille: u64,
    /// So many of a hundred reads and writes must not wait.
    pub nowait_percent: u64,
    /// So many of a hundred bios are discards.
    pub discards_percent: u64,
}

/// Blocks of the spare's region.
pub const REGION_BLOCKS: u64 = 2048;

impl Plan {
    /// The plan of a seed.
    pub fn new(rng: &mut Rng) -> Plan {
        let block_bytes = rng.pick(&[512, 512, 4096]);
        let block_sectors = u64::from(block_bytes / 512);
        let mut main_sectors = rng.pick(&[67, 200, 640, 1600]);
        main_sectors -= main_sectors % block_sectors;
        let physical = rng.pick(&[1, 8, 8]).max(block_sectors as u32);
        let troubled = rng.percent(60);
        let mut more = rng.clone();
        // Few disks have physical blocks of several groups.
        let mut sizes = more.clone();
        let physical = match sizes.below(10) {
            0 if physical > 1 => 16,
            1 if physical > 1 => 64,
            _ => physical,
        };
        let mut some = |percent| troubled && rng.percent(percent);
        let (copy_faults, spare_outages, flush_faults) = (some(50), some(25), some(20));
        let (odd_errors, rot, unreadable_superblocks) = (some(20), some(30), some(25));
        let slot_faults_percent = if some(50) { 12 } else { 0 };
        let hot = more.clone().percent(50);
        let mut plan = Plan {
            main_sectors,
            block_bytes,
            slots: rng.pick(&[3, 20, 120, 300, 300, 600, 600]),
            copies: rng.range(2, 5) as u8,
            settings: Settings {
                error_threshold: rng.range(1, 4) as u32,
                physical_sectors: physical,
                repair_deadline_ms: rng.pick(&[20, 1000, 30_000]),
                readmit_after_ms: more.pick(&[30, 200, 60_000]),
                read_retries: rng.below(4) as u32,
                read_deadline_ms: rng.pick(&[20, 1000, 30_000]),
                ..Settings::default()
            },
            tasks: rng.range(1, 8) as usize,
            contexts: rng.range(1, 4) as usize,
            hot_sector: if main_sectors > 600 && hot { 240 } else { 0 },
            bio_sectors_max: rng.pick(&[8, 24, 128]),
            sessions: rng.range(2, 5),
            slot_faults_percent,
            copy_faults,
            spare_outages,
            main_outages: false,
            flush_faults,
            odd_errors,
            rot,
            swapped_copies: troubled && !rot && !unreadable_superblocks && more.percent(30),
            unreadable_superblocks,
            growth_permille: rng.pick(&[0, 5, 20, 60]),
            orders_permille: rng.pick(&[0, 3, 10, 40]),
            slow_permille: more.pick(&[0, 5, 40]),
            fua_flushes: false,
            nowait_percent: 0,
            discards_percent: 0,
        };
        plan.main_outages = more.percent(30);
        let window_ms = more.pick(&[3, 300, 5000, 5000]);
        plan.settings.evidence_window_ms = window_ms;
        plan.settings.breaker_pause_ms = window_ms.max(more.pick(&[20, 200]));
        plan.fua_flushes = more.clone().percent(40);
        if more.clone().percent(40) {
            let blocks = u64::from(physical / plan.block_sectors());
            plan.settings.alignment_sectors = more.clone().below(blocks) as u32 * plan.block_sectors();
        }
        plan.settings.reread_after_ms = more.clone().pick(&[100, 1000, 300_000]);
        let crowded = more.percent(20);
        plan.nowait_percent = more.pick(&[0, 10, 30]);
        plan.discards_percent = more.pick(&[0, 3, 8]);
        if crowded {
            plan.crowded()
        } else {
            plan
        }
    }

    /// Many tasks on few groups, whose slots keep failing beneath them while everything else is well.
    fn crowded(self) -> Plan {
        Plan {
            main_sectors: 64,
            hot_sector: 0,
            slots: 600,
            tasks: 8,
            contexts: 4,
            bio_sectors_max: 8,
            slot_faults_percent: 1,
            copy_faults: false,
            spare_outages: false,
            main_outages: false,
            flush_faults: false,
            odd_errors: false,
            growth_permille: 60,
            settings: Settings { evidence_window_ms: 5000, breaker_pause_ms: 5000, ..self.settings },
            ..self
        }
    }

    /// Sectors of a logical block.
    pub fn block_sectors(&self) -> u32 {
        self.block_bytes / 512
    }

    /// The physical block of main that a sector lies in: its first sector, and the first behind it.
    pub fn unit_of(&self, sector: u64) -> (u64, u64) {
        let Settings { physical_sectors, alignment_sectors, .. } = self.settings;
        let unit = u64::from(physical_sectors);
        let lead = u64::from((physical_sectors - alignment_sectors) % physical_sectors);
        let nth = (sector + lead) / unit;
        ((nth * unit).saturating_sub(lead), (nth + 1) * unit - lead)
    }

    /// Nothing can keep a repair from succeeding but the end of the slots.
    pub fn spare_is_healthy(&self) -> bool {
        self.slot_faults_percent == 0
            && !(self.copy_faults || self.spare_outages || self.flush_faults || self.odd_errors)
    }

    /// Puts in the faults that are there from the start.
    pub fn break_disks(&self, main: &mut Disk, spare: &mut Disk, rng: &mut Rng) {
        let bad = rng.below(self.main_sectors / 6);
        for _ in 0..bad {
            self.grow(main, rng);
        }
        for block in 10..REGION_BLOCKS {
            if rng.percent(self.slot_faults_percent) {
                let sector = block * 8 + rng.below(8);
                match rng.below(3) {
                    0 => spare.fail_writes(sector, ALWAYS),
                    1 => spare.fail_writes(sector, rng.range(1, 3) as u32),
                    _ => spare.fail_reads(sector, rng.pick(&[1, 3, ALWAYS, ALWAYS])),
                }
            }
        }
        main.fua_flushes = self.fua_flushes;
        let parts = self.settings.physical_sectors > self.block_sectors();
        main.writes_spoil_whole = parts && rng.clone().percent(50);
        let Settings { physical_sectors, alignment_sectors, .. } = self.settings;
        main.lead = u64::from((physical_sectors - alignment_sectors) % physical_sectors);
        // By the block of 4096 bytes, where the spare has such.
        spare.writes_spoil_whole = spare.fails_by_the_block() && rng.clone().percent(70);
        main.reads_fail_whole = self.settings.physical_sectors > self.block_sectors() && rng.percent(40);
        if self.odd_errors {
            main.odd_errors_permille = 10;
            spare.odd_errors_permille = 10;
        }
    }

    /// Another sector of main goes bad.
    pub fn grow(&self, main: &mut Disk, rng: &mut Rng) {
        let sector = rng.below(self.main_sectors);
        match rng.below(8) {
            0 => main.fail_writes(sector, rng.range(1, 6) as u32),
            1 => main.fail_reads(sector, ALWAYS),
            2 => main.fail_reads(sector, rng.range(1, 8) as u32),
            _ => main.fail_writes(sector, ALWAYS),
        }
    }
}
