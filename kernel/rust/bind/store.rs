//! The engine together with the memory that it works on, which it borrows for as long as both live.

use core::sync::atomic::{AtomicU32, AtomicU64};

use remap_core::engine::load::{LoadError, Loader};
use remap_core::engine::{Change, Engine, Storage, StorageSizes};
use remap_core::format::Superblock;
use remap_core::lookup::Table;
use remap_core::pending::Pending;

use super::alloc::{KBox, KSlice};
use super::sync::Mutex;
use super::Result;

/// What the engine's mutex guards.
enum Content {
    /// Memory that no engine uses yet.
    Empty(Storage<'static>),
    /// The metadata is being read.
    Loading(Loader<'static>),
    /// The engine.
    Live(Engine<'static>),
    /// An engine could not be made; the memory is of no use any more.
    Spent,
}

impl Content {
    /// Takes the loader out if there is one; out of line, as whatever is moved has a place in the frame of the function that moves it.
    #[inline(never)]
    fn take_loader(&mut self) -> Option<Loader<'static>> {
        match core::mem::replace(self, Content::Spent) {
            Content::Loading(loader) => Some(loader),
            other => {
                *self = other;
                None
            }
        }
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
    pub fn new(superblock: &Superblock) -> Result<Option<Store>> {
        let sizes = StorageSizes::for_geometry(&superblock.geometry);
        let mut records = KSlice::zeroed(sizes.table.records)?;
        let mut buckets = KSlice::zeroed(sizes.table.buckets)?;
        let mut summary = KSlice::zeroed(sizes.table.summary)?;
        let mut generations = KSlice::zeroed(sizes.generations)?;
        let mut blocks = KSlice::zeroed(sizes.blocks)?;
        let mut changes = KSlice::filled(sizes.changes, Change::default())?;
        let mut pending = KSlice::zeroed(sizes.pending)?;
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
            content: Mutex::new(KBox::new(Content::Empty(storage))?)?,
            _memory: Memory {
                _records: records,
                _buckets: buckets,
                _summary: summary,
                _generations: generations,
                _blocks: blocks,
                _changes: changes,
                _pending: pending,
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
    #[inline(never)]
    pub fn begin_load(
        &self,
        begin: impl for<'a> FnOnce(Storage<'a>) -> core::result::Result<Loader<'a>, LoadError>,
    ) -> core::result::Result<bool, LoadError> {
        let mut content = self.content.lock();
        match core::mem::replace(&mut **content, Content::Spent) {
            Content::Empty(storage) => {
                **content = Content::Loading(begin(storage)?);
                Ok(true)
            }
            other => {
                **content = other;
                Ok(false)
            }
        }
    }

    /// Uses the loader, while there is one. What a step reads is read between two uses, so that the frames under the reads are small.
    pub fn loading<R>(&self, f: impl for<'a> FnOnce(&mut Loader<'a>) -> R) -> Option<R> {
        match &mut **self.content.lock() {
            Content::Loading(loader) => Some(f(loader)),
            _ => None,
        }
    }

    /// Everything is read: makes the engine.
    #[inline(never)]
    pub fn finish_load(&self) -> core::result::Result<(), LoadError> {
        let mut content = self.content.lock();
        if let Some(loader) = content.take_loader() {
            **content = Content::Live(loader.finish()?);
        }
        Ok(())
    }

    /// Whether there is an engine.
    pub fn is_live(&self) -> bool {
        matches!(&**self.content.lock(), Content::Live(_))
    }

    /// Uses the engine, if there is one.
    pub fn with<R>(&self, f: impl for<'a> FnOnce(&mut Engine<'a>) -> R) -> Option<R> {
        match &mut **self.content.lock() {
            Content::Live(engine) => Some(f(engine)),
            _ => None,
        }
    }
}
