//! The wiring of one live set: its devices, and the works and queues that serve it.
//!
//! It ends with the target's destructor, which shuts it down in one place ([`Wired::shut_down`]). What may stay longer is in [`State`].

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::format::Superblock;
use remap_core::gate::Regions;

use crate::bind::alloc::KBox;
use crate::bind::arc::KArc;
use crate::bind::dm::Handle;
use crate::bind::io::{BioPool, PageBuf};
use crate::bind::sync::{Gate, LockClass, Mutex};
use crate::bind::time::monotonic_ms;
use crate::bind::work::{Wired, WiredBox, Wires, Workqueue};
use crate::bind::Result;
use crate::clock::Clock;
use crate::commit_side::CommitSide;
use crate::devices::Pair;
use crate::report;
use crate::state::State;
use crate::steps::Steps;
use crate::waiting::Waiting;
use crate::worker::{Runner, Worker};

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
    pub static REPAIR_WORK: LockClass = LockClass::new(c"dm_remap_repair_work");
    pub static COMMIT_WORK: LockClass = LockClass::new(c"dm_remap_commit_work");
    pub static FORWARD_WORK: LockClass = LockClass::new(c"dm_remap_forward_work");
}

/// A function that a work runs.
pub type Function = fn(&Wired<Set>);

/// What the works of a set do; given to it, since all of them use it.
pub struct Functions {
    /// Repairs, by context.
    pub repair: [Function; CONTEXTS],
    /// Runs the committer.
    pub commit: Function,
    /// Sends on the bios of groups that are no longer held.
    pub forward: Function,
    /// Does what is due by the clock.
    pub tend: Function,
}

/// What the callbacks of device-mapper and the workers use.
pub struct Set {
    /// What may outlive it.
    pub state: KArc<State>,
    /// The devices.
    pub pair: Pair,
    /// Where every bio enters before it looks up.
    pub gate: Gate,
    /// Which lane of it is whose.
    pub regions: Regions,
    /// Bios for repair and commit.
    pub pool: BioPool,
    /// Bios that wait for a worker.
    pub waiting: Waiting,
    /// Counts the steps of the machines.
    pub steps: Steps,
    /// The repair contexts.
    pub repairs: [Worker<Set>; CONTEXTS],
    /// The context for what an administrator orders, number [`CONTEXTS`], in the thread of the caller; it takes jobs from resume to suspend.
    pub orders: Worker<Set>,
    /// The committer.
    pub committer: Mutex<KBox<CommitSide>>,
    commit: Runner<Set>,
    forward: Runner<Set>,
    /// What is done by the clock.
    pub clock: Clock<Set>,
    handle: Handle,
}

impl Set {
    /// Sets aside all that a set needs; `None` if the superblock asks for what cannot be.
    pub fn new(
        pair: Pair,
        superblock: &Superblock,
        handle: Handle,
        writable: bool,
        functions: &Functions,
    ) -> Result<Option<WiredBox<Set>>> {
        let Some(state) = State::new(superblock, writable)? else { return Ok(None) };
        // Twice the contexts: a work that is queued again while it runs counts twice, and would keep another from running.
        let repair_queue = KArc::new(Workqueue::new(c"dm_remap_repair", 2 * CONTEXTS as u16)?)?;
        // A queue of its own, with a rescuer of its own: repairs wait for commits.
        let commit_queue = KArc::new(Workqueue::new(c"dm_remap_commit", 1)?)?;
        // And another: a bio that is sent on waits for room in main's queue, and main may fail what repairs then commit.
        let forward_queue = KArc::new(Workqueue::new(c"dm_remap_forward", 1)?)?;
        let [zero, one, two, three] = functions.repair;
        let repair = |number, function| {
            let runner = Runner::new(&class::REPAIR_WORK, &repair_queue, function)?;
            Worker::new(number, &class::CONTEXT, Some(runner))
        };
        let set = Set {
            pair,
            gate: Gate::new()?,
            regions: Regions::new(superblock.main.sectors),
            pool: BioPool::new(RESERVE)?,
            waiting: Waiting::new()?,
            steps: Steps::new()?,
            repairs: [repair(0, zero)?, repair(1, one)?, repair(2, two)?, repair(3, three)?],
            orders: Worker::new(CONTEXTS as u8, &class::ORDERS, None)?,
            committer: Mutex::new(&class::COMMITTER, CommitSide::new(PageBuf::new(COMMIT_BUFFER_BYTES)?)?)?,
            commit: Runner::new(&class::COMMIT_WORK, &commit_queue, functions.commit)?,
            forward: Runner::new(&class::FORWARD_WORK, &forward_queue, functions.forward)?,
            clock: Clock::new(&commit_queue, functions.tend)?,
            handle,
            state,
        };
        WiredBox::new(set).map(Some)
    }

    /// The mapped device.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Has nothing done by the clock any more, and waits until nothing runs behind the callbacks. Only when no bio is in flight.
    pub fn quiesce(&self) {
        self.clock.park();
        self.cancel_works();
    }
}

impl Wires for Set {
    fn cancel_works(&self) {
        for worker in &self.repairs {
            worker.cancel();
        }
        self.orders.cancel();
        self.commit.cancel();
        self.forward.cancel();
        // Last, as the others may have had it queued.
        self.clock.cancel();
    }
}

impl Wired<Set> {
    /// Wakes the repair contexts; whichever comes first takes the work.
    pub fn kick_repair(&self) {
        for worker in &self.repairs {
            worker.kick(self);
        }
    }

    /// Wakes the committer.
    pub fn kick_commit(&self) {
        self.commit.kick(self);
    }

    /// Has the bios of held groups looked at again.
    pub fn kick_forward(&self) {
        self.forward.kick(self);
    }

    /// Draws the consequences of a step of a machine: modes, news, and the waits that either ends.
    pub fn stepped(&self) {
        let State { store, access, evidence, .. } = &*self.state;
        let told = store.with(|engine| {
            evidence.tell(engine, monotonic_ms());
            access.update(engine);
            report::tell(&self.handle, engine)
        });
        if told == Some(true) {
            self.handle.event();
        }
        self.steps.made();
        if !self.waiting.deferred.lock().is_empty() {
            self.kick_forward();
        }
    }
}
