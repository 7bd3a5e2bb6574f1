//! The engine together with the memory that it works on, which it borrows for as long as both live.

use core::sync::atomic::{AtomicU32, AtomicU64};

use remap_core::engine::load::{LoadError, Loader};
use remap_core::engine::{Change, Context, Engine, Notice, Settings, Storage, StorageSizes};
use remap_core::format::Superblock;
use remap_core::lookup::Table;
use remap_core::pending::Pending;

use super::alloc::{KBox, KSlice};
use super::sync::{LockClass, Mutex};
use super::Result;

static ENGINE: LockClass = LockClass::new(c"dm_remap_engine");

/// What the engine's mutex guards. The engine is made in its place here, since the kernel's stack is small.
struct Content {
    /// Memory that no engine uses yet.
    storage: Option<Storage<'static>>,
    /// The metadata is being read, or was, and the engine is in it. After a failure it stays here without one.
    loader: Option<Loader<'static>>,
}

impl Content {
    fn engine(&mut self) -> Option<&mut Engine<'static>> {
        self.loader.as_mut()?.engine()
    }
}

/// Owns the arrays; dropped after everything that borrows them, since it is the last field.
struct Memory {
    _records: KSlice<AtomicU64>,
    _buckets: KSlice<AtomicU32>,
    _summary: KSlice<AtomicU64>,
    _generations: KSlice<u64>,
    _blocks: KSlice<u64>,
    _changes: KSlice<Change>,
    _pending: KSlice<AtomicU64>,
    _contexts: KSlice<Context>,
    _notices: KSlice<Option<Notice>>,
}

/// One set's engine and memory. All memory of a set is allocated here, once.
pub struct Store {
    table: Table<'static>,
    pending: Pending<'static>,
    content: Mutex<KBox<Content>>,
    _memory: Memory,
}

/// A slice that outlives every use that `Store` makes of it.
///
/// # Safety
/// The `KSlice` must be kept, and not be used by others, as long as the result is used; it does not move what it owns.
unsafe fn borrow_mut<T>(slice: &mut KSlice<T>) -> &'static mut [T] {
    let (ptr, len) = (slice.as_mut_ptr(), slice.len());
    // SAFETY: valid for `len` elements as long as the `KSlice` lives, by contract.
    unsafe { core::slice::from_raw_parts_mut(ptr, len) }
}

impl Store {
    /// Sets the memory aside that a set needs; sleeps.
    #[inline(never)]
    pub fn new(superblock: &Superblock) -> Result<Option<Store>> {
        let sizes = StorageSizes::for_geometry(&superblock.geometry);
        let mut records = KSlice::zeroed(sizes.table.records)?;
        let mut buckets = KSlice::zeroed(sizes.table.buckets)?;
        let mut summary = KSlice::zeroed(sizes.table.summary)?;
        let mut generations = KSlice::zeroed(sizes.generations)?;
        let mut blocks = KSlice::zeroed(sizes.blocks)?;
        let mut changes = KSlice::filled(sizes.changes, Change::default())?;
        let mut pending = KSlice::zeroed(sizes.pending)?;
        let mut contexts = KSlice::filled(sizes.contexts, Context::default())?;
        let mut notices = KSlice::filled(sizes.notices, None)?;
        // SAFETY: the slices go into `Memory` below, which is dropped after table, pending blocks and content; atomics are shared, and
        // each of the others is borrowed once.
        let storage = unsafe {
            Storage {
                records: borrow_mut(&mut records),
                buckets: borrow_mut(&mut buckets),
                summary: borrow_mut(&mut summary),
                generations: borrow_mut(&mut generations),
                blocks: borrow_mut(&mut blocks),
                changes: borrow_mut(&mut changes),
                pending: borrow_mut(&mut pending),
                contexts: borrow_mut(&mut contexts),
                notices: borrow_mut(&mut notices),
            }
        };
        let groups = superblock.main.groups();
        let per_area = superblock.geometry.slots_per_area();
        let Some(table) = Table::new(storage.records, storage.buckets, storage.summary, groups, per_area)
        else {
            return Ok(None);
        };
        let Some(pending_blocks) = Pending::new(storage.pending) else { return Ok(None) };
        Ok(Some(Store {
            table,
            pending: pending_blocks,
            content: Mutex::new(&ENGINE, KBox::new(Content { storage: Some(storage), loader: None })?)?,
            _memory: Memory {
                _records: records,
                _buckets: buckets,
                _summary: summary,
                _generations: generations,
                _blocks: blocks,
                _changes: changes,
                _pending: pending,
                _contexts: contexts,
                _notices: notices,
            },
        }))
    }

    /// The lookup table, which readers use without a lock.
    #[inline]
    pub fn table(&self) -> &Table<'_> {
        &self.table
    }

    /// The pending blocks, which whoever sees a bio end uses without a lock.
    #[inline]
    pub fn pending(&self) -> &Pending<'_> {
        &self.pending
    }

    /// Begins to make the engine, once; `false` if that was begun before.
    pub fn begin_load(
        &self,
        superblock: &Superblock,
        settings: Settings,
    ) -> core::result::Result<bool, LoadError> {
        let mut content = self.content.lock();
        let Some(storage) = content.storage.take() else { return Ok(false) };
        Loader::begin(&mut content.loader, superblock, settings, storage).map(|()| true)
    }

    /// Uses the loader, once there is one. What a step reads is read between two uses, so that the frames under the reads are small.
    pub fn loading<R>(&self, f: impl for<'a> FnOnce(&mut Loader<'a>) -> R) -> Option<R> {
        self.content.lock().loader.as_mut().map(f)
    }

    /// Everything is read: there is an engine from now on.
    pub fn finish_load(&self) -> core::result::Result<(), LoadError> {
        self.loading(|loader| loader.settle()).unwrap_or(Ok(()))
    }

    /// Whether there is an engine.
    pub fn is_live(&self) -> bool {
        self.content.lock().engine().is_some()
    }

    /// Uses the engine, if there is one.
    pub fn with<R>(&self, f: impl for<'a> FnOnce(&mut Engine<'a>) -> R) -> Option<R> {
        self.content.lock().engine().map(f)
    }
}
