//! I/O of the module's own, on buffers of its own, waited for: only in workers, never in `map` or `end_io`.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use super::alloc::KBox;
use super::bio::Status;
use super::dm::Device;
use super::{Errno, Result};
use crate::sys;

/// Bios set aside, so that I/O gets on when no memory is left: whoever waits for one gets one that others give back.
pub struct BioPool {
    set: KBox<UnsafeCell<sys::bio_set>>,
}

// SAFETY: a bio set has locks of its own.
unsafe impl Send for BioPool {}
// SAFETY: as above.
unsafe impl Sync for BioPool {}

impl BioPool {
    /// Sets `reserve` bios aside; sleeps.
    pub fn new(reserve: u32) -> Result<Self> {
        // SAFETY: a zeroed bio set is what `bioset_init` expects.
        let set = KBox::new(UnsafeCell::new(unsafe { MaybeUninit::<sys::bio_set>::zeroed().assume_init() }))?;
        // SAFETY: the set stays where it is until `drop`.
        Errno::check(unsafe { sys::bioset_init(set.get(), reserve, 0, sys::DMR_BIOSET_NEED_BVECS as i32) })?;
        Ok(BioPool { set })
    }

    pub(super) fn raw(&self) -> *mut sys::bio_set {
        self.set.get()
    }

    /// Runs all requests that there are at once and waits for all; each then has its status.
    pub fn run(&self, requests: &mut [Option<Request<'_>>]) {
        // SAFETY: a completion is valid when zeroed, until it is initialized where it stays.
        let done = UnsafeCell::new(unsafe { MaybeUninit::<sys::completion>::zeroed().assume_init() });
        let batch = Batch { left: AtomicU32::new(1), done };
        // SAFETY: the batch does not move from here on.
        unsafe { sys::dmr_completion_init(batch.done.get()) };
        for request in requests.iter_mut().flatten() {
            batch.left.fetch_add(1, Ordering::Relaxed);
            self.submit(request, &batch);
        }
        batch.one_done();
        // SAFETY: initialized above. Nobody uses the batch after the completion that this waits for.
        unsafe { sys::dmr_wait_for_io(batch.done.get()) };
    }

    /// Runs one request; its status.
    pub fn run_one(&self, request: Request<'_>) -> Status {
        let mut request = Some(request);
        self.run(core::slice::from_mut(&mut request));
        request.map_or(Status::IOERR, |request| request.status)
    }

    fn submit(&self, request: &mut Request<'_>, batch: &Batch) {
        let sync = 1 << sys::__REQ_SYNC;
        let fua = if request.fua { 1 << sys::__REQ_FUA } else { 0 };
        let (opf, memory) = match &request.what {
            What::Read(part) => (sys::REQ_OP_READ | sync, Some((part.at, part.len))),
            What::Write(part) => (sys::REQ_OP_WRITE | sync | fua, Some((part.at, part.len))),
            What::Flush => (sys::REQ_OP_WRITE | sync | (1 << sys::__REQ_PREFLUSH), None),
        };
        request.batch = batch;
        let vectors = memory.map_or(0, |(at, len)| pieces(at, len).count() as u16);
        // SAFETY: the device is open, and the allocation waits for a bio of the reserve, each of which comes back from
        // its own end. Request, batch and memory are borrowed until `run` has waited for that end.
        unsafe {
            let bio =
                sys::bio_alloc_bioset(request.device.bdev(), vectors, opf, sys::DMR_GFP_NOIO, self.raw());
            if bio.is_null() {
                request.status = Status::RESOURCE;
                batch.one_done();
                return;
            }
            if let Some((at, len)) = memory {
                (*bio).bi_iter.bi_sector = request.sector;
                for piece in pieces(at, len) {
                    let page = sys::vmalloc_to_page(at.bytes.add(piece.skip).cast());
                    sys::__bio_add_page(bio, page, piece.len, piece.offset);
                }
            }
            (*bio).bi_private = (&raw mut *request).cast::<c_void>();
            (*bio).bi_end_io = Some(ended);
            sys::submit_bio(bio);
        }
    }
}

impl Drop for BioPool {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`; all bios are back, since every use waits for them.
        unsafe { sys::bioset_exit(self.raw()) }
    }
}

unsafe extern "C" fn ended(bio: *mut sys::bio) {
    // SAFETY: `bi_private` is the request, which `run` keeps until the batch is done; the bio is given back before
    // that is said. The batch is not used after its last `one_done`.
    unsafe {
        let request = (*bio).bi_private.cast::<Request<'_>>();
        (*request).status = Status((*bio).bi_status);
        let batch = (*request).batch;
        sys::bio_put(bio);
        (*batch).one_done();
    }
}

/// Requests in flight together. The count begins at one for the thread that submits, so that it cannot reach zero
/// before all are submitted.
struct Batch {
    left: AtomicU32,
    done: UnsafeCell<sys::completion>,
}

impl Batch {
    fn one_done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: initialized before the first request; the waiter keeps it until it has seen this.
            unsafe { sys::complete(self.done.get()) }
        }
    }
}

/// What a request does.
pub enum What<'a> {
    /// Reads into memory.
    Read(PartMut<'a>),
    /// Writes from memory.
    Write(Part<'a>),
    /// Makes durable what was written before.
    Flush,
}

/// One read, write or flush.
pub struct Request<'a> {
    device: &'a Device,
    what: What<'a>,
    sector: u64,
    fua: bool,
    batch: *const Batch,
    /// How it ended.
    pub status: Status,
}

impl<'a> Request<'a> {
    /// Reads from a sector on.
    pub fn read(device: &'a Device, sector: u64, into: PartMut<'a>) -> Self {
        Request {
            device,
            what: What::Read(into),
            sector,
            fua: false,
            batch: core::ptr::null(),
            status: Status::OK,
        }
    }

    /// Writes from a sector on; with `fua` it is durable at the end.
    pub fn write(device: &'a Device, sector: u64, from: Part<'a>, fua: bool) -> Self {
        Request { device, what: What::Write(from), sector, fua, batch: core::ptr::null(), status: Status::OK }
    }

    /// Makes durable what was written to the device before.
    pub fn flush(device: &'a Device) -> Self {
        Request {
            device,
            what: What::Flush,
            sector: 0,
            fua: false,
            batch: core::ptr::null(),
            status: Status::OK,
        }
    }
}

/// A place in a page buffer, whose pages lie side by side for the processor alone.
#[derive(Clone, Copy)]
struct At {
    bytes: *const u8,
}

const PAGE_BYTES: u32 = sys::DMR_PAGE_BYTES;

/// What of a part lies in one page.
struct Piece {
    /// Where it begins in the part.
    skip: usize,
    /// Where it begins in its page.
    offset: u32,
    len: u32,
}

/// The pieces of `len` bytes from a place on.
fn pieces(at: At, len: u32) -> impl Iterator<Item = Piece> {
    let first = (at.bytes.addr() % PAGE_BYTES as usize) as u32;
    let mut done = 0u32;
    core::iter::from_fn(move || {
        let left = len.checked_sub(done).filter(|left| *left > 0)?;
        let offset = if done == 0 { first } else { 0 };
        let piece = Piece { skip: done as usize, offset, len: left.min(PAGE_BYTES.saturating_sub(offset)) };
        done = done.saturating_add(piece.len);
        Some(piece)
    })
}

/// A part of a page buffer, to be written to a device.
pub struct Part<'a> {
    at: At,
    len: u32,
    borrow: PhantomData<&'a [u8]>,
}

/// A part of a page buffer, to be read into.
pub struct PartMut<'a> {
    at: At,
    len: u32,
    borrow: PhantomData<&'a mut [u8]>,
}

/// Pages, zeroed at first, that devices can read and write. They are single ones, so that memory in pieces is good enough.
pub struct PageBuf {
    bytes: NonNull<u8>,
    len: usize,
}

// SAFETY: a buffer owns its pages alone.
unsafe impl Send for PageBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for PageBuf {}

/// Longest buffer in bytes. A request for all of it is one bio, which takes at most 256 pages.
const BYTES_MAX: usize = 128 * 1024;

impl PageBuf {
    /// Sets pages for `len` bytes aside, at most 128 KiB; sleeps.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 || len > BYTES_MAX {
            return Err(Errno::EINVAL);
        }
        // SAFETY: allocation has no precondition but a context that may sleep.
        let raw = unsafe { sys::dmr_vzalloc(len) };
        Ok(PageBuf { bytes: NonNull::new(raw.cast::<u8>()).ok_or(Errno::ENOMEM)?, len })
    }

    fn place(&self, offset: usize, len: usize) -> Option<(At, u32)> {
        let part = self.get(offset..offset.checked_add(len)?).filter(|part| !part.is_empty())?;
        Some((At { bytes: part.as_ptr() }, u32::try_from(len).ok()?))
    }

    /// A part to be written to a device.
    pub fn part(&self, offset: usize, len: usize) -> Option<Part<'_>> {
        self.place(offset, len).map(|(at, len)| Part { at, len, borrow: PhantomData })
    }

    /// A part to be read into.
    pub fn part_mut(&mut self, offset: usize, len: usize) -> Option<PartMut<'_>> {
        self.place(offset, len).map(|(at, len)| PartMut { at, len, borrow: PhantomData })
    }
}

impl Deref for PageBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes of initialized pages.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

impl DerefMut for PageBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}

impl Drop for PageBuf {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`; no request is under way, as each borrows what it uses.
        unsafe { sys::dmr_vfree(self.bytes.as_ptr().cast()) }
    }
}
