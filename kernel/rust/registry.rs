//! All mappings of the module: what each uses, and which table of a mapped device has its set (S20).

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use remap_core::format::SetId;
use remap_core::placement::Claim;

use crate::bind::alloc::KSlice;
use crate::bind::once::Once;
use crate::bind::sync::{LockClass, Mutex};
use crate::bind::{Errno, Result};

static LOCK: LockClass = LockClass::new(c"dm_remap_registry");

static REGISTRY: Once<Registry> = Once::new();

/// Most tables alive at once, over all mapped devices. [`refusal`] names the number.
const TABLES_MAX: usize = 256;

#[derive(Clone, Copy)]
struct Entry {
    ticket: u64,
    claim: Claim,
    owns_set: bool,
    /// It was taken into service.
    served: bool,
}

/// What a refusal by the registry means, in words for the kernel log.
pub fn refusal(errno: Errno) -> &'static CStr {
    match errno {
        Errno::ENOSPC => c"256 tables are loaded already",
        Errno::EBUSY => c"main, the spare or its set is in use by another remap mapping",
        Errno::EMEDIUMTYPE => c"the mapped device serves main with the set of another spare; remove it first",
        _ => c"the module is not ready",
    }
}

/// Makes the list of live tables, before the target is registered. Sleeps.
pub fn open() -> Result<()> {
    REGISTRY.set(Registry::new()?);
    Ok(())
}

/// Gives the list of live tables back, when the target is not registered any more.
pub fn close() {
    REGISTRY.clear();
}

/// The list of live tables; there as long as the target is registered.
pub fn registry() -> Result<&'static Registry> {
    REGISTRY.get().ok_or(Errno::ENODEV)
}

/// The list of live tables.
pub struct Registry {
    entries: Mutex<KSlice<Option<Entry>>>,
    next_ticket: AtomicU64,
}

impl Registry {
    /// An empty registry; sleeps.
    pub fn new() -> Result<Registry> {
        Ok(Registry {
            entries: Mutex::new(&LOCK, KSlice::filled(TABLES_MAX, None)?)?,
            next_ticket: AtomicU64::new(1),
        })
    }

    /// Enters a table; refused with `EBUSY` while another mapping uses something of it, with `ENOSPC` if there are too many.
    pub fn enter(&self, claim: Claim) -> Result<u64> {
        let mut entries = self.entries.lock();
        if entries.iter().flatten().any(|entry| entry.claim.conflicts(&claim)) {
            return Err(Errno::EBUSY);
        }
        let place = entries.iter_mut().find(|entry| entry.is_none()).ok_or(Errno::ENOSPC)?;
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        *place = Some(Entry { ticket, claim, owns_set: false, served: false });
        Ok(ticket)
    }

    /// Notes which set a table found on its spare, or is to write there; refused with `EBUSY` while another mapping has that set, by another
    /// way, and with `EMEDIUMTYPE` while the mapped device serves main with another set.
    pub fn name_set(&self, ticket: u64, set: SetId) -> Result<()> {
        let mut entries = self.entries.lock();
        let found = entries.iter().flatten().find(|entry| entry.ticket == ticket);
        let claim = Claim { set: Some(set), ..found.ok_or(Errno::EINVAL)?.claim };
        if entries.iter().flatten().any(|entry| entry.claim.conflicts(&claim)) {
            return Err(Errno::EBUSY);
        }
        let mut serving = entries.iter().flatten().filter(|entry| entry.owns_set && entry.served);
        if serving.any(|entry| claim.forgets(&entry.claim)) {
            return Err(Errno::EMEDIUMTYPE);
        }
        for entry in entries.iter_mut().flatten().filter(|entry| entry.ticket == ticket) {
            entry.claim = claim;
        }
        Ok(())
    }

    /// Gives the set to this table; a table of the same mapped device that had it writes nothing to it any more.
    pub fn take_set(&self, ticket: u64) {
        let mut entries = self.entries.lock();
        let Some(claim) = entries.iter().flatten().find(|e| e.ticket == ticket).map(|e| e.claim) else {
            return;
        };
        // A set that was in service is so until another takes its place, whether this table can be resumed at once or not.
        let serving =
            |e: &Entry| e.owns_set && e.served && e.claim.owner == claim.owner && e.claim.set == claim.set;
        let served = entries.iter().flatten().any(serving);
        for entry in entries.iter_mut().flatten().filter(|entry| entry.claim.owner == claim.owner) {
            entry.owns_set = entry.ticket == ticket;
            entry.served |= served && entry.owns_set;
        }
    }

    /// This table is in service.
    pub fn serves(&self, ticket: u64) {
        for entry in self.entries.lock().iter_mut().flatten().filter(|entry| entry.ticket == ticket) {
            entry.served = true;
        }
    }

    /// Whether this table has its set.
    pub fn owns_set(&self, ticket: u64) -> bool {
        self.entries.lock().iter().flatten().any(|entry| entry.ticket == ticket && entry.owns_set)
    }

    /// Takes a table out.
    pub fn leave(&self, ticket: u64) {
        let mut entries = self.entries.lock();
        for entry in entries.iter_mut().filter(|e| e.is_some_and(|e| e.ticket == ticket)) {
            *entry = None;
        }
    }
}
