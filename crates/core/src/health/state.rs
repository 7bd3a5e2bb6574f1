//! The health of a set: what is kept of it in memory.

use core::sync::atomic::AtomicU64;

use super::burst::{Bursts, BURST_GROUPS};
use super::clock::{Clock, Now, Step};
use super::counters::{Counter, Counters};
use super::decay::HalfLife;
use super::evidence::{Evidence, Update};
use super::points::{Point, Points, POINTS, POINT_EVERY_S};
use super::risk::{Acks, RiskState};
use super::scan::{Cursor, ScanSettings};
use super::score::Score;
use super::spot::Spot;
use super::spots::{Spots, HEADS, SPOTS_MAX};
use super::store::layout::{BlockState, Layout, Store, BLOCKS_MAX};
use super::zone::{Zones, ZONES_MAX};
use crate::evidence::Success;
use crate::format::{Superblock, Text64};

/// Time in which bursts of failures lose half of their weight. `docs/health.md` says why.
pub const FAILURE_HALF: HalfLife = HalfLife::weeks(12);
/// Time in which bursts of slow reads lose half of their weight.
pub const SLOW_HALF: HalfLife = HalfLife::weeks(4);
/// Most bytes of memory that a map takes.
pub const MAP_BYTES_MAX: usize = 160 * 1024;

/// Bytes of the map, of a main and a spare of any size at most.
pub const MAP_BYTES: usize = ZONES_MAX * 2 * size_of::<AtomicU64>()
    + SPOTS_MAX * size_of::<Spot>()
    + HEADS * size_of::<u16>()
    + POINTS * size_of::<Point>()
    + BLOCKS_MAX * size_of::<BlockState>()
    + size_of::<Health<'static>>();

const _: () = assert!(MAP_BYTES <= MAP_BYTES_MAX);

/// Memory that a host sets aside.
pub struct Storage<'a> {
    /// Two words for each zone: [`Layout::zones`] times two.
    pub zones: &'a [AtomicU64],
    /// [`Layout::spots`] places for spots.
    pub spots: &'a mut [Spot],
    /// [`HEADS`] heads of chains.
    pub heads: &'a mut [u16],
    /// The weekly points.
    pub points: &'a mut [Point; POINTS],
    /// The state of each block on the spare.
    pub blocks: &'a mut [BlockState; BLOCKS_MAX],
}

/// The storage does not fit the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongStorage;

/// The health of a set.
pub struct Health<'a> {
    pub(super) clock: Clock,
    pub(super) zones: Zones<'a>,
    pub(super) spots: Spots<'a>,
    pub(super) points: Points<'a>,
    /// Age at which the next point is due.
    pub(super) point_due_s: u32,
    pub(super) failures: Bursts,
    pub(super) retried: Bursts,
    pub(super) slow: Bursts,
    /// The latest success on main.
    pub(super) success: Success,
    /// Spots whose failures wait for a proof; never too few.
    pub(super) waiting: u32,
    pub(super) counters: Counters,
    pub(super) settings: ScanSettings,
    pub(super) cursor: Cursor,
    pub(super) evidence: Evidence,
    pub(super) risk: RiskState,
    pub(super) acks: Acks,
    pub(super) main_identity: Text64,
    pub(super) store: Store<'a>,
}

impl<'a> Health<'a> {
    /// Begins anew, in the place where the health is to stay: a host's stack may be small. [`super::store::Loader`] takes the saved health.
    #[inline(never)]
    pub fn begin<'b>(
        place: &'b mut Option<Health<'a>>,
        superblock: &Superblock,
        storage: Storage<'a>,
    ) -> Result<&'b mut Health<'a>, WrongStorage> {
        let layout = Layout::new(&superblock.geometry);
        let fits = storage.zones.len() == layout.zones().saturating_mul(2)
            && storage.spots.len() == layout.spots()
            && storage.heads.len() == HEADS;
        let spots = Spots::new(storage.spots, storage.heads).filter(|_| fits).ok_or(WrongStorage)?;
        Ok(place.insert(Health {
            clock: Clock::default(),
            zones: Zones::new(storage.zones, superblock.main.sectors),
            spots,
            points: Points::new(storage.points),
            point_due_s: POINT_EVERY_S,
            failures: Bursts::new(BURST_GROUPS, FAILURE_HALF),
            retried: Bursts::new(BURST_GROUPS, FAILURE_HALF),
            slow: Bursts::new(u64::MAX, SLOW_HALF),
            success: Success::NONE,
            waiting: 0,
            counters: Counters::default(),
            settings: ScanSettings::default(),
            cursor: Cursor::default(),
            evidence: Evidence::default(),
            risk: RiskState::default(),
            acks: Acks::default(),
            main_identity: superblock.main_identity,
            store: Store::new(storage.blocks, superblock, layout),
        }))
    }

    /// Looks at the clocks. A host calls it before it tells of anything, and every few seconds while [`Health::waits`].
    pub fn look(&mut self, now: Now) -> Step {
        let step = self.clock.look(now);
        self.end_waits(now);
        for bursts in [&mut self.failures, &mut self.retried, &mut self.slow] {
            bursts.end_before(now.mono_ms);
        }
        step
    }

    /// Age of the health in seconds: the time in which things decay.
    pub const fn age_s(&self) -> u32 {
        self.clock.age_s()
    }

    /// The zones, which take samples without the lock.
    pub const fn zones(&self) -> Zones<'a> {
        self.zones
    }

    /// The spots.
    pub const fn spots(&self) -> &Spots<'a> {
        &self.spots
    }

    /// The weekly points.
    pub const fn points(&self) -> &Points<'a> {
        &self.points
    }

    /// The counters.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The settings of the scan.
    pub const fn settings(&self) -> &ScanSettings {
        &self.settings
    }

    /// How far the scan has come.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Evidence of monitors.
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The risk as it was last worked out.
    pub const fn risk(&self) -> &RiskState {
        &self.risk
    }

    /// The acknowledged reasons.
    pub const fn acks(&self) -> &Acks {
        &self.acks
    }

    /// The state of saves.
    pub const fn store(&self) -> &Store<'a> {
        &self.store
    }

    /// Takes settings of the scan; false, and nothing changes, if one is out of its range.
    pub fn set_settings(&mut self, settings: ScanSettings) -> bool {
        let sound = settings.is_sound();
        if sound && settings != self.settings {
            self.settings = settings;
            self.store.mark_head();
        }
        sound
    }

    /// Takes a place of the scan; false, and nothing changes, if its fields do not agree. A place alone is saved less often.
    pub fn set_cursor(&mut self, cursor: Cursor) -> bool {
        if !cursor.is_sound() {
            return false;
        }
        let ended = (cursor.pass_ended, cursor.last_pass_end_s, cursor.last_pass_unreadable);
        let before = self.cursor;
        if ended != (before.pass_ended, before.last_pass_end_s, before.last_pass_unreadable) {
            self.store.mark_head();
        } else if cursor != before {
            self.store.mark_cursor();
        }
        self.cursor = cursor;
        true
    }

    /// Takes a monitor's message.
    pub fn take_evidence(&mut self, update: &Update) {
        self.evidence.take(update, self.clock.age_s());
        self.store.mark_head();
    }

    /// Today's reasons are known.
    pub fn acknowledge(&mut self, score: &Score) {
        self.acks.acknowledge(score);
        self.store.mark_head();
    }

    pub(super) fn count(&mut self, counter: Counter, n: u64) {
        if n > 0 {
            self.counters.add(counter, n);
            self.store.mark_head();
        }
    }
}
