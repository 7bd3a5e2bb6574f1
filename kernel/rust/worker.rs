//! What a machine of core runs in: a context of its own, and the work that runs it.

use core::sync::atomic::{AtomicBool, Ordering};

use remap_core::engine::machine::CONTEXT_BUFFER_BYTES;

use crate::bind::arc::KArc;
use crate::bind::io::PageBuf;
use crate::bind::sync::{LockClass, Mutex, MutexGuard};
use crate::bind::work::{Wired, Wires, Work, Workqueue};
use crate::bind::Result;

/// A work and the queue that runs it.
pub struct Runner<T: Wires> {
    work: Work<T>,
    queue: KArc<Workqueue>,
}

impl<T: Wires> Runner<T> {
    /// Runs `function` on a queue.
    pub fn new(
        class: &'static LockClass,
        queue: &KArc<Workqueue>,
        function: fn(&Wired<T>),
    ) -> Result<Runner<T>> {
        Ok(Runner { work: Work::new(class, function)?, queue: queue.clone() })
    }

    /// Has it run soon. In any context.
    pub fn kick(&self, wired: &Wired<T>) {
        self.work.queue(&self.queue, wired);
    }

    /// Has it run after so many milliseconds from now, whenever it was to run before. In any context.
    pub fn kick_in(&self, wired: &Wired<T>, milliseconds: u32) {
        self.work.requeue_ms(&self.queue, wired, milliseconds);
    }

    /// Takes it out of the queue, or waits until it has run. Not from within.
    pub fn cancel(&self) {
        self.work.cancel();
    }
}

/// A context that core's machines run in, one job at a time: its number, its buffer, and the thread that runs it. Without a runner it is
/// the thread of a caller, as for orders.
pub struct Worker<T: Wires> {
    number: u8,
    buffer: Mutex<PageBuf>,
    runner: Option<Runner<T>>,
    paused: AtomicBool,
}

impl<T: Wires> Worker<T> {
    /// Sets its buffer aside; sleeps. With a runner it serves at once, without one it is paused until [`Worker::resume`].
    pub fn new(number: u8, class: &'static LockClass, runner: Option<Runner<T>>) -> Result<Worker<T>> {
        Ok(Worker {
            number,
            buffer: Mutex::new(class, PageBuf::new(CONTEXT_BUFFER_BYTES)?)?,
            paused: AtomicBool::new(runner.is_none()),
            runner,
        })
    }

    /// The number that core knows the context by.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Takes the context for a job, or for several; sleeps.
    pub fn take(&self) -> MutexGuard<'_, PageBuf> {
        self.buffer.lock()
    }

    /// As [`Worker::take`], unless the process that calls is killed first.
    pub fn take_killable(&self) -> Result<MutexGuard<'_, PageBuf>> {
        self.buffer.lock_killable()
    }

    /// Has its work run soon. In any context.
    pub fn kick(&self, wired: &Wired<T>) {
        if let Some(runner) = &self.runner {
            runner.kick(wired);
        }
    }

    /// Waits until its work does not run, and is not queued.
    pub fn cancel(&self) {
        if let Some(runner) = &self.runner {
            runner.cancel();
        }
    }

    /// Has it begin no job, and end the one that it is at before the next window. Only orders look.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Release);
    }

    /// Has it take jobs again.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Release);
    }

    /// Whether it takes no job at present.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }
}
