//! The state of a live set, apart from what serves it.
//!
//! Nothing here refers to the table, its devices or the mapped device, so that a holder of a share may outlive the target's destructor: it then
//! looks at a set at rest. All that runs is in [`crate::set::Set`].

use remap_core::evidence::Evidence;
use remap_core::format::{Geometry, SetId, Superblock};
use remap_core::path::{Access, SpareDirty};

use crate::bind::arc::KArc;
use crate::bind::store::Store;
use crate::bind::Result;

/// What callbacks, workers and readers of the state share.
pub struct State {
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
}

impl State {
    /// Sets aside the memory of a set; `None` if the superblock asks for what cannot be.
    #[inline(never)]
    pub fn new(superblock: &Superblock, writable: bool) -> Result<Option<KArc<State>>> {
        let Some(store) = Store::new(superblock)? else { return Ok(None) };
        let state = State {
            id: superblock.id,
            geometry: superblock.geometry,
            writable,
            block_sectors: superblock.main.block_bytes / 512,
            store,
            access: if writable { Access::new() } else { Access::read_only() },
            dirty: SpareDirty::new(),
            evidence: Evidence::new(),
        };
        KArc::new(state).map(Some)
    }
}
