//! Bios that the target keeps: to repair what failed, to wait, to send again.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::beside::{beside, Op, Status};
use super::dm::Device;
use crate::sys;

/// What a target keeps beside a bio. It is written over and forgotten, never dropped.
pub trait Settle: Default + Send + 'static {
    /// The status with which the bio is completed next is final: `end_io` passes it on and does nothing else.
    fn settle(&mut self);
}

/// Marks a clone that `map` kept: no device had it, so that it may be sent to one.
pub struct Fresh;

/// Marks a clone that is only to be completed. If a device had it, the block layer may have split it there and counted its
/// ends down to nothing; sent once more and split again, it would end before all of its parts have.
pub struct Spent;

/// A clone that dm core waits for until it is given back. Dropping it completes it with an I/O error, so that
/// no bio can be forgotten. Either way its status is final: `end_io` keeps it no second time. `S` is [`Fresh`] or [`Spent`].
pub struct HeldBio<D: Settle, S = Fresh> {
    raw: NonNull<sys::bio>,
    data: PhantomData<(D, fn() -> S)>,
}

// SAFETY: a held clone belongs to its holder alone, on whatever thread; `D` is plain data, `S` a mere mark.
unsafe impl<D: Settle, S> Send for HeldBio<D, S> {}

impl<D: Settle, S> HeldBio<D, S> {
    /// # Safety
    /// `raw` must be a clone, with `D` and the saved iterator beside it, that dm core is told to leave to us.
    pub(super) unsafe fn new(raw: NonNull<sys::bio>) -> Self {
        HeldBio { raw, data: PhantomData }
    }

    /// The target's own data.
    pub fn data(&self) -> &D {
        // SAFETY: initialized, and ours while we hold the clone.
        unsafe { &(*beside::<D>(self.raw)).data }
    }

    /// The same, to be changed.
    pub fn data_mut(&mut self) -> &mut D {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { &mut (*beside::<D>(self.raw)).data }
    }

    fn sent(&self) -> sys::bvec_iter {
        // SAFETY: saved when the clone was sent or held.
        unsafe { (*beside::<D>(self.raw)).sent }
    }

    /// What it asks for.
    pub fn op(&self) -> Op {
        Op::from_raw(self.flags())
    }

    /// The request flags.
    pub fn flags(&self) -> u32 {
        // SAFETY: the clone is live while held.
        unsafe { self.raw.as_ref() }.bi_opf
    }

    /// Length in sectors when it was sent or held.
    pub fn sent_sectors(&self) -> u32 {
        self.sent().bi_size >> 9
    }

    /// The saved iterator, moved on by `skip` sectors and cut to `count`; nothing if the bio has no such part.
    fn part(&self, skip: u32, count: u32) -> Option<sys::bvec_iter> {
        let end = skip.checked_add(count)?;
        if count == 0 || end > self.sent_sectors() {
            return None;
        }
        // SAFETY: the iterator is the clone's own, and does not move past its end.
        let mut iter =
            unsafe { sys::dmr_bvec_iter_advanced(self.raw.as_ptr(), self.sent(), skip.checked_mul(512)?) };
        iter.bi_size = count.checked_mul(512)?;
        Some(iter)
    }

    /// Gives the content that a write brings, from `skip` sectors on; false if it has not that much, or is no write.
    pub fn copy_out(&self, skip: u32, buffer: &mut [u8]) -> bool {
        let Some(iter) = self.part_of(skip, buffer.len()) else { return false };
        match self.op() {
            // It has no pages.
            Op::WriteZeroes => {
                buffer.fill(0);
                return true;
            }
            Op::Write => {}
            _ => return false,
        }
        // SAFETY: the part is as long as the buffer, and a write has pages, which are live while the clone is held.
        unsafe { sys::dmr_bio_copy(self.raw.as_ptr(), iter, buffer.as_mut_ptr(), buffer.len(), false) };
        true
    }

    /// Copies into the bio's buffers, from `skip` sectors on; false if it has not that much, or is no read.
    #[allow(dead_code)]
    pub fn copy_in(&self, skip: u32, buffer: &[u8]) -> bool {
        let (Some(iter), Op::Read) = (self.part_of(skip, buffer.len()), self.op()) else { return false };
        // SAFETY: as in `copy_out`; a read's pages are there to be written, and the helper only reads the buffer.
        unsafe { sys::dmr_bio_copy(self.raw.as_ptr(), iter, buffer.as_ptr().cast_mut(), buffer.len(), true) };
        true
    }

    fn part_of(&self, skip: u32, bytes: usize) -> Option<sys::bvec_iter> {
        if bytes % 512 != 0 {
            return None;
        }
        self.part(skip, u32::try_from(bytes >> 9).ok()?)
    }

    /// Ends it with a status, which is final; `end_io` is called once more, with that status.
    pub fn complete(mut self, status: Status) {
        self.end(status);
        core::mem::forget(self);
    }

    /// The last thing that is done with it.
    fn end(&mut self, status: Status) {
        self.data_mut().settle();
        // SAFETY: the clone is live and ours; this gives it back, and neither caller uses it afterwards.
        unsafe {
            (*self.raw.as_ptr()).bi_status = status.0;
            sys::bio_endio(self.raw.as_ptr());
        }
    }
}

impl<D: Settle> HeldBio<D, Fresh> {
    /// The same clone, which will not be sent any more.
    pub fn spent(self) -> HeldBio<D, Spent> {
        let raw = self.raw;
        core::mem::forget(self);
        HeldBio { raw, data: PhantomData }
    }

    /// Sends the whole clone as it was, to a sector of a device; `end_io` is called when it is done. It is charged to the control group of the
    /// bio that it was made of, whichever thread sends it. May wait for room in the device's queue.
    pub fn submit(self, device: &Device, sector: u64) {
        let (raw, sent) = (self.raw.as_ptr(), self.sent());
        let saved = beside_of(&self);
        core::mem::forget(self);
        // SAFETY: the clone is live and ours until it is submitted; what is beside it is written before that.
        unsafe {
            (*raw).bi_iter = sent;
            (*raw).bi_status = 0;
            // Whoever polls for it may have given up, since it had no device to be polled on.
            (*raw).bi_opf &= !(1 << sys::__REQ_POLLED);
            sys::dmr_bio_redirect(raw, device.bdev(), sector);
            (*saved).bi_sector = sector;
            sys::dm_submit_bio_remap(raw, core::ptr::null_mut());
        }
    }
}

/// Where the saved iterator is.
fn beside_of<D: Settle, S>(bio: &HeldBio<D, S>) -> *mut sys::bvec_iter {
    // SAFETY: computes an address inside what dm core keeps beside the clone.
    unsafe { &raw mut (*beside::<D>(bio.raw)).sent }
}

impl<D: Settle, S> Drop for HeldBio<D, S> {
    fn drop(&mut self) {
        self.end(Status::IOERR);
    }
}

/// Held bios in the order in which they came; takes no memory, since the bios themselves are linked.
pub struct HeldList<D: Settle, S = Fresh> {
    first: Option<NonNull<sys::bio>>,
    last: Option<NonNull<sys::bio>>,
    data: PhantomData<(D, fn() -> S)>,
}

// SAFETY: the list owns its bios alone.
unsafe impl<D: Settle, S> Send for HeldList<D, S> {}

impl<D: Settle, S> HeldList<D, S> {
    /// An empty list.
    pub const fn new() -> Self {
        HeldList { first: None, last: None, data: PhantomData }
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds one at the end.
    pub fn push(&mut self, bio: HeldBio<D, S>) {
        let raw = bio.raw;
        core::mem::forget(bio);
        // SAFETY: held clones are ours, and `bi_next` is free for whoever owns a bio.
        unsafe {
            (*raw.as_ptr()).bi_next = core::ptr::null_mut();
            match self.last {
                Some(last) => (*last.as_ptr()).bi_next = raw.as_ptr(),
                None => self.first = Some(raw),
            }
        }
        self.last = Some(raw);
    }

    /// Takes the first one.
    pub fn pop(&mut self) -> Option<HeldBio<D, S>> {
        let raw = self.first?;
        // SAFETY: as in `push`; only held clones are in the list.
        unsafe {
            self.first = NonNull::new((*raw.as_ptr()).bi_next);
            (*raw.as_ptr()).bi_next = core::ptr::null_mut();
            if self.first.is_none() {
                self.last = None;
            }
            Some(HeldBio::new(raw))
        }
    }

    /// Takes all of them, in order.
    pub fn take(&mut self) -> HeldList<D, S> {
        core::mem::replace(self, HeldList::new())
    }
}

impl<D: Settle, S> Drop for HeldList<D, S> {
    fn drop(&mut self) {
        while let Some(bio) = self.pop() {
            bio.complete(Status::IOERR);
        }
    }
}
