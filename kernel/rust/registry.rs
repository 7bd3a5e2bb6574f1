//! All live tables of the module, behind one lock. What they may do beside one another core decides.

use remap_core::format::SetId;
use remap_core::host::claims::{Claims, Entry, TABLES_MAX};
use remap_core::host::refusal::Refusal;
use remap_core::placement::Claim;

use crate::bind::alloc::KSlice;
use crate::bind::once::Once;
use crate::bind::sync::{LockClass, Mutex};
use crate::bind::Result;

static LOCK: LockClass = LockClass::new(c"dm_remap_registry");

static REGISTRY: Once<Registry> = Once::new();

/// Makes the registry; sleeps. Before the target is registered.
pub fn open() -> Result<()> {
    REGISTRY.set(Registry::new()?);
    Ok(())
}

/// Drops it; behind the target's end.
pub fn close() {
    REGISTRY.clear();
}

/// The registry; there as long as the target is registered.
pub fn registry() -> core::result::Result<&'static Registry, Refusal> {
    REGISTRY.get().ok_or(Refusal::NotReady)
}

/// The list of live tables.
pub struct Registry {
    claims: Mutex<Claims<KSlice<Option<Entry>>>>,
}

impl Registry {
    fn new() -> Result<Registry> {
        let entries = KSlice::filled(TABLES_MAX, None)?;
        Ok(Registry { claims: Mutex::new(&LOCK, Claims::new(entries))? })
    }

    /// Enters a table; it is taken out when the result is dropped.
    pub fn enter(&'static self, claim: Claim) -> core::result::Result<Entered, Refusal> {
        Ok(Entered { registry: self, ticket: self.claims.lock().enter(claim)? })
    }
}

/// The place of a live table in the registry; see [`Claims`] for what is asked.
pub struct Entered {
    registry: &'static Registry,
    ticket: u64,
}

impl Entered {
    /// Notes which set the table found, or is to write.
    pub fn name_set(&self, set: SetId) -> core::result::Result<(), Refusal> {
        self.registry.claims.lock().name_set(self.ticket, set)
    }

    /// Gives the set to this table.
    pub fn take_set(&self) {
        self.registry.claims.lock().take_set(self.ticket);
    }

    /// The table is in service.
    pub fn serves(&self) {
        self.registry.claims.lock().serves(self.ticket);
    }

    /// Whether the table has its set.
    pub fn owns_set(&self) -> bool {
        self.registry.claims.lock().owns_set(self.ticket)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.registry.claims.lock().leave(self.ticket);
    }
}
