//! Bios that the set keeps: what failed, what asks, what waits for a group.

use core::sync::atomic::{AtomicUsize, Ordering};

use remap_core::engine::machine::reads_at_once;

use crate::beside::{PerBio, Spent};
use crate::bind::held::{self, HeldList};
use crate::bind::sync::{LockClass, SpinLock};
use crate::bind::Result;

/// Of the lists none is locked under another.
static LIST: LockClass = LockClass::new(c"dm_remap_list");

/// A list of bios.
pub type List<S = held::Fresh> = SpinLock<HeldList<PerBio, S>>;

/// All bios that wait for a worker.
pub struct Waiting {
    /// Failed writes.
    pub failed: List<held::Spent>,
    /// Failed reads.
    pub failed_reads: List<held::Spent>,
    /// Repair contexts that are at one; changed under the list's lock.
    reading: AtomicUsize,
    /// Reads of suspect sectors.
    pub asking: List,
    /// Bios of held groups.
    pub deferred: List,
}

impl Waiting {
    /// No bio waits; sleeps.
    pub fn new() -> Result<Waiting> {
        Ok(Waiting {
            failed: SpinLock::new(&LIST, HeldList::new())?,
            failed_reads: SpinLock::new(&LIST, HeldList::new())?,
            reading: AtomicUsize::new(0),
            asking: SpinLock::new(&LIST, HeldList::new())?,
            deferred: SpinLock::new(&LIST, HeldList::new())?,
        })
    }

    /// Where a failed bio goes, one that stores content or one that reads.
    pub fn for_repair(&self, stores: bool) -> &List<held::Spent> {
        match stores {
            true => &self.failed,
            false => &self.failed_reads,
        }
    }

    /// Takes a failed read for one of so many repair contexts, if another may be at one; [`Waiting::end_read`] is to follow.
    pub fn begin_read(&self, contexts: usize) -> Option<Spent> {
        let mut waiting = self.failed_reads.lock();
        if self.reading.load(Ordering::Relaxed) >= reads_at_once(contexts) {
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
}
