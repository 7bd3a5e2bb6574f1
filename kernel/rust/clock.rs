//! What is done by the clock: one timer, set to the first of several deadlines.

use core::sync::atomic::{AtomicBool, Ordering};

use remap_core::host::deadlines::{Deadline, Deadlines};

use crate::bind::arc::KArc;
use crate::bind::sync::{LockClass, SpinLock};
use crate::bind::time::monotonic_ms;
use crate::bind::work::{Wired, Wires, Workqueue};
use crate::bind::Result;
use crate::worker::Runner;

static WORK: LockClass = LockClass::new(c"dm_remap_tend_work");
static LOCK: LockClass = LockClass::new(c"dm_remap_clock");

/// The timer of a set.
pub struct Clock<T: Wires> {
    runner: Runner<T>,
    deadlines: SpinLock<Deadlines>,
    /// Suspended, or not yet resumed: nothing is done by the clock.
    parked: AtomicBool,
}

impl<T: Wires> Clock<T> {
    /// A parked clock; at a deadline `function` runs on the queue.
    pub fn new(queue: &KArc<Workqueue>, function: fn(&Wired<T>)) -> Result<Clock<T>> {
        Ok(Clock {
            runner: Runner::new(&WORK, queue, function)?,
            deadlines: SpinLock::new(&LOCK, Deadlines::new())?,
            parked: AtomicBool::new(true),
        })
    }

    /// Whether nothing is done by it at present.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Acquire)
    }

    /// Has nothing done by it until [`Clock::unpark`]; forgets its deadlines.
    pub fn park(&self) {
        self.parked.store(true, Ordering::Release);
        *self.deadlines.lock() = Deadlines::new();
    }

    /// Runs again; each user sets its deadline anew.
    pub fn unpark(&self) {
        self.parked.store(false, Ordering::Release);
    }

    /// Waits until its work does not run, and is not queued.
    pub fn cancel(&self) {
        self.runner.cancel();
    }

    /// Has `which` come after so many milliseconds from now, whenever it was to come before.
    pub fn set(&self, wired: &Wired<T>, which: Deadline, milliseconds: u64) {
        if !self.is_parked() {
            self.deadlines.lock().set(which, monotonic_ms().saturating_add(milliseconds));
            self.arm(wired);
        }
    }

    /// Whether a deadline has come; if so, it is set no more.
    pub fn has_come(&self, which: Deadline) -> bool {
        self.deadlines.lock().take(which, monotonic_ms())
    }

    /// Sets the timer to the first deadline, if there is one.
    ///
    /// Without the lock, since that is not known to be short. Of several threads that set it at once, the last looks again: the deadline that
    /// it went by may not be the first any more.
    pub fn arm(&self, wired: &Wired<T>) {
        let mut armed_ms = None;
        loop {
            let deadlines = *self.deadlines.lock();
            let (first_ms, wait_ms) = (deadlines.first_ms(), deadlines.wait_ms(monotonic_ms()));
            match wait_ms {
                Some(wait_ms) if first_ms != armed_ms => self.runner.kick_in(wired, wait_ms),
                _ => return,
            }
            armed_ms = first_ms;
        }
    }
}
