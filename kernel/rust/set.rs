//! One live set: the engine, the devices, and what the threads that serve them share.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::machine::{reads_at_once, CONTEXT_BUFFER_BYTES};
use remap_core::evidence::Evidence;
use remap_core::format::{Geometry, SetId, Superblock};
use remap_core::gate::Regions;
use remap_core::io::{Device as Which, IoRequest, Op};
use remap_core::path::{Access, FlushMark, SpareDirty};
use remap_core::placement::Placement;

use crate::bind::alloc::KBox;
use crate::bind::arc::KArc;
use crate::bind::bio::Status;
use crate::bind::dm::{Device, Handle};
use crate::bind::held::{self, HeldBio, HeldList};
use crate::bind::io::{BioPool, PageBuf, Request};
use crate::bind::store::Store;
use crate::bind::sync::{Entered, Gate, LockClass, Mutex, SpinLock, WaitQueue};
use crate::bind::time::monotonic_ms;
use crate::bind::work::{Work, Workqueue};
use crate::bind::Result;
use crate::commit_side::CommitSide;

/// Repair contexts of a set.
pub const CONTEXTS: usize = 4;
/// Bios set aside: a whole round of a commit, one for each repair context, and one for orders.
const RESERVE: u32 = 32;

/// Kinds of locks and works; their order stands in ARCHITECTURE.md.
mod class {
    use super::LockClass;

    pub static CONTEXT: LockClass = LockClass::new(c"dm_remap_context");
    pub static ORDERS: LockClass = LockClass::new(c"dm_remap_orders");
    pub static COMMITTER: LockClass = LockClass::new(c"dm_remap_committer");
    /// Of the four lists of bios none is locked under another.
    pub static LIST: LockClass = LockClass::new(c"dm_remap_list");
    pub static REPAIR_WORK: LockClass = LockClass::new(c"dm_remap_repair_work");
    pub static COMMIT_WORK: LockClass = LockClass::new(c"dm_remap_commit_work");
    pub static FORWARD_WORK: LockClass = LockClass::new(c"dm_remap_forward_work");
    pub static TEND_WORK: LockClass = LockClass::new(c"dm_remap_tend_work");
}

/// The two devices of a table and where our parts of them begin, in sectors.
pub struct Pair {
    /// Main.
    pub main: Device,
    /// Where main begins on its device.
    pub main_offset: u64,
    /// The spare.
    pub spare: Device,
    /// Where the region begins on its device.
    pub spare_offset: u64,
    /// Both extents.
    pub placement: Placement,
}

impl Pair {
    /// Device and absolute sector of a request.
    pub fn locate(&self, which: Which, sector: u64) -> (&Device, u64) {
        match which {
            Which::Main => (&self.main, self.main_offset.saturating_add(sector)),
            Which::Spare => (&self.spare, self.spare_offset.saturating_add(sector)),
        }
    }

    /// Carries out one request of core with a buffer.
    pub fn run(&self, pool: &BioPool, request: IoRequest, buffer: &mut PageBuf) -> Status {
        let (device, sector) = self.locate(request.device, request.sector);
        let offset = (request.buffer_sector as usize).saturating_mul(512);
        let len = (request.sectors as usize).saturating_mul(512);
        let status = match request.op {
            Op::Flush => Some(pool.run_one(Request::flush(device))),
            Op::Read => {
                buffer.part_mut(offset, len).map(|part| pool.run_one(Request::read(device, sector, part)))
            }
            Op::Write | Op::WriteFua => {
                let fua = request.op == Op::WriteFua;
                buffer.part(offset, len).map(|part| pool.run_one(Request::write(device, sector, part, fua)))
            }
        };
        // A request that goes past its buffer is a fault of ours, never the device's.
        status.unwrap_or(Status::INVAL)
    }
}

/// Where a bio is on its way.
#[derive(Clone, Copy, Default)]
pub enum Way {
    /// Not sent, or settled: its status is final.
    #[default]
    Settled,
    /// Sent to main.
    Main,
    /// Sent to the spare, to this slot and the following ones.
    Slot(u32),
    /// A flush of main.
    FlushMain,
    /// A flush of the spare.
    FlushSpare(FlushMark),
    /// A discard of main.
    Discard,
}

/// What is kept beside every bio.
#[derive(Default)]
pub struct PerBio {
    /// First sector of the mapped device.
    pub first: u64,
    /// Where it is.
    pub way: Way,
    /// Whether its content must be durable when it completes. Of the bio itself the block layer may take the flag away.
    pub fua: bool,
    /// Its place in the gate, while it is on a device.
    pub entered: Option<Entered>,
    /// How it failed, when it goes to a repair context.
    pub failed: Option<Status>,
}

impl held::Settle for PerBio {
    fn settle(&mut self) {
        self.way = Way::Settled;
    }
}

/// A bio that the set keeps and may send.
pub type Held = HeldBio<PerBio, held::Fresh>;
/// A bio that the set keeps and only completes.
pub type Spent = HeldBio<PerBio, held::Spent>;

/// What the works of a set do; they know the set, and it does not know them.
pub struct Functions {
    /// Of each repair context.
    pub repair: [fn(&KArc<Set>); CONTEXTS],
    /// The committer goes on.
    pub commit: fn(&KArc<Set>),
    /// Bios of held groups are looked at again.
    pub forward: fn(&KArc<Set>),
    /// The clock.
    pub tend: fn(&KArc<Set>),
}

/// What the callbacks of device-mapper and the workers share.
pub struct Set {
    /// The devices.
    pub pair: Pair,
    /// UUID.
    pub id: SetId,
    /// Layout of the spare.
    pub geometry: Geometry,
    /// Whether the table is writable; a read-only one writes nothing at all.
    pub writable: bool,
    /// Main's logical block in sectors.
    pub block_sectors: u32,
    /// Engine and memory.
    pub store: Store,
    /// What the modes mean for bios.
    pub access: Access,
    /// Whether flushes must reach the spare.
    pub dirty: SpareDirty,
    /// What writes on main tell.
    pub evidence: Evidence,
    /// Where every bio enters before it looks up.
    pub gate: Gate,
    /// Which lane of it is whose.
    pub regions: Regions,
    /// Bios for repair and commit.
    pub pool: BioPool,
    /// Failed writes.
    pub failed: SpinLock<HeldList<PerBio, held::Spent>>,
    /// Failed reads.
    pub failed_reads: SpinLock<HeldList<PerBio, held::Spent>>,
    /// Repair contexts that are at one; changed under the list's lock.
    reading: AtomicUsize,
    /// Reads of suspect sectors.
    pub asking: SpinLock<HeldList<PerBio>>,
    /// Bios of held groups.
    pub deferred: SpinLock<HeldList<PerBio>>,
    /// Counts the steps of the machines.
    steps: AtomicU64,
    stepped: WaitQueue,
    /// One buffer for each repair context.
    pub contexts: [Mutex<PageBuf>; CONTEXTS],
    /// The buffer of the context for what an administrator orders, number [`CONTEXTS`].
    pub orders: Mutex<PageBuf>,
    /// Whether orders are carried out: from resume to suspend.
    pub takes_orders: AtomicBool,
    /// The committer.
    pub committer: Mutex<KBox<CommitSide>>,
    handle: Handle,
    repair_works: [Work<Set>; CONTEXTS],
    commit_work: Work<Set>,
    forward_work: Work<Set>,
    tend_work: Work<Set>,
    /// Suspended, or not yet resumed: nothing is done by the clock.
    parked: AtomicBool,
    repair_queue: Workqueue,
    commit_queue: Workqueue,
    forward_queue: Workqueue,
}

impl Set {
    /// Sets aside all that a set needs, with what its works do; `None` if the superblock asks for what cannot be.
    pub fn new(
        pair: Pair,
        superblock: &Superblock,
        handle: Handle,
        writable: bool,
        functions: Functions,
    ) -> Result<Option<KArc<Set>>> {
        let Some(store) = Store::new(superblock)? else { return Ok(None) };
        let context = |class| Mutex::new(class, PageBuf::new(CONTEXT_BUFFER_BYTES)?);
        let [first, second, third, fourth] = functions.repair;
        let set = Set {
            block_sectors: pair.placement.block_bytes / 512,
            pair,
            writable,
            id: superblock.id,
            geometry: superblock.geometry,
            store,
            access: if writable { Access::new() } else { Access::read_only() },
            dirty: SpareDirty::new(),
            evidence: Evidence::new(),
            gate: Gate::new()?,
            regions: Regions::new(superblock.main.sectors),
            pool: BioPool::new(RESERVE)?,
            failed: SpinLock::new(&class::LIST, HeldList::new())?,
            failed_reads: SpinLock::new(&class::LIST, HeldList::new())?,
            reading: AtomicUsize::new(0),
            asking: SpinLock::new(&class::LIST, HeldList::new())?,
            deferred: SpinLock::new(&class::LIST, HeldList::new())?,
            steps: AtomicU64::new(0),
            stepped: WaitQueue::new()?,
            contexts: [
                context(&class::CONTEXT)?,
                context(&class::CONTEXT)?,
                context(&class::CONTEXT)?,
                context(&class::CONTEXT)?,
            ],
            orders: context(&class::ORDERS)?,
            takes_orders: AtomicBool::new(false),
            committer: Mutex::new(&class::COMMITTER, CommitSide::new(PageBuf::new(COMMIT_BUFFER_BYTES)?)?)?,
            handle,
            repair_works: [
                Work::new(&class::REPAIR_WORK, first)?,
                Work::new(&class::REPAIR_WORK, second)?,
                Work::new(&class::REPAIR_WORK, third)?,
                Work::new(&class::REPAIR_WORK, fourth)?,
            ],
            commit_work: Work::new(&class::COMMIT_WORK, functions.commit)?,
            forward_work: Work::new(&class::FORWARD_WORK, functions.forward)?,
            tend_work: Work::new(&class::TEND_WORK, functions.tend)?,
            parked: AtomicBool::new(true),
            // Twice the contexts: a work that is queued again while it runs counts twice, and would keep another from running.
            repair_queue: Workqueue::new(c"dm_remap_repair", 2 * CONTEXTS as u16)?,
            // A queue of its own, with a rescuer of its own: repairs wait for commits.
            commit_queue: Workqueue::new(c"dm_remap_commit", 1)?,
            // And another: a bio that is sent on waits for room in main's queue, and main may fail what repairs then commit.
            forward_queue: Workqueue::new(c"dm_remap_forward", 1)?,
        };
        KArc::new(set).map(Some)
    }

    /// The mapped device.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until nothing runs behind the callbacks any more. Only when no bio is in flight.
    pub fn quiesce(&self) {
        for work in &self.repair_works {
            work.cancel();
        }
        self.commit_work.cancel();
        self.forward_work.cancel();
        // Last, as the others may have had it queued.
        self.tend_work.cancel();
    }

    /// Whether nothing is done by the clock at present.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// Has nothing done by the clock any more, or again.
    pub fn park(&self, parked: bool) {
        self.parked.store(parked, Ordering::Release);
    }

    /// Takes a failed read for a repair context, if another may be at one; [`Set::end_read`] is to follow.
    pub fn begin_read(&self) -> Option<Spent> {
        let mut waiting = self.failed_reads.lock();
        if self.reading.load(Ordering::Relaxed) >= reads_at_once(CONTEXTS) {
            return None;
        }
        let bio = waiting.pop()?;
        self.reading.fetch_add(1, Ordering::Relaxed);
        Some(bio)
    }

    /// The context that took one is done with it, and looks for the next.
    pub fn end_read(&self) {
        let _waiting = self.failed_reads.lock();
        self.reading.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many steps there were; see [`Set::wait_after`].
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    /// Sleeps until a step is made after the count was `seen`.
    pub fn wait_after(&self, seen: u64) {
        self.stepped.wait_idle(|| self.steps() != seen);
    }
}

/// What needs a share of the set, to be handed to a worker.
pub trait Shared {
    /// Wakes the repair contexts; whichever comes first takes the work.
    fn kick_repair(&self);
    /// Wakes the committer.
    fn kick_commit(&self);
    /// Has the bios of held groups looked at again.
    fn kick_forward(&self);
    /// Has the committer told the time after so many milliseconds.
    fn tend_later(&self, milliseconds: u32);
    /// Draws the consequences of a step of a machine: modes, news, and who waits for either.
    fn stepped(&self);
}

impl Shared for KArc<Set> {
    fn kick_repair(&self) {
        for work in &self.repair_works {
            work.queue(&self.repair_queue, self);
        }
    }

    fn kick_commit(&self) {
        self.commit_work.queue(&self.commit_queue, self);
    }

    fn kick_forward(&self) {
        self.forward_work.queue(&self.forward_queue, self);
    }

    fn tend_later(&self, milliseconds: u32) {
        if !self.is_parked() {
            self.tend_work.requeue_ms(&self.commit_queue, self, milliseconds);
        }
    }

    fn stepped(&self) {
        let told = self.store.with(|engine| {
            self.evidence.tell(engine, monotonic_ms());
            self.access.update(engine);
            crate::report::tell(&self.handle, engine)
        });
        if told == Some(true) {
            self.handle.event();
        }
        self.steps.fetch_add(1, Ordering::AcqRel);
        self.stepped.wake();
        if !self.deferred.lock().is_empty() {
            self.kick_forward();
        }
    }
}
