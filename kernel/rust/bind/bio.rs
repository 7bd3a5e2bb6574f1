//! One I/O request on its way through the target.

use core::ffi::c_int;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::beside::{beside, Beside};
pub use super::beside::{Op, Status};
use super::dm::Device;
use super::held::{self, Fresh, HeldBio, Spent};
use crate::sys;

/// A bio that device-mapper has cloned for this target, with the target's own data beside it.
///
/// A callback gets it by value and can only return by giving it back in one of the ways below.
pub struct Bio<'a, D> {
    raw: NonNull<sys::bio>,
    /// What is beside it, looked up once: dm core's function is a call into another module.
    beside: NonNull<Beside<D>>,
    target_begin: u64,
    borrow: PhantomData<&'a mut Beside<D>>,
}

/// What `map` did with its bio.
pub struct Mapped(pub(super) c_int);

/// What `end_io` did with its bio.
pub struct Ended(pub(super) c_int, pub(super) Status);

impl<'a, D: held::Settle> Bio<'a, D> {
    /// # Safety
    /// `raw` must be a live clone with a `Beside<D>` that is initialized and that, like the clone, this callback alone
    /// may use.
    #[inline]
    pub(super) unsafe fn new(raw: NonNull<sys::bio>, target_begin: u64) -> Self {
        // SAFETY: a clone of dm core's by contract, and what it keeps in front of a clone is never at address 0.
        let beside = unsafe { NonNull::new_unchecked(beside::<D>(raw)) };
        Bio { raw, beside, target_begin, borrow: PhantomData }
    }

    /// Where the target's own data is to be written before anything else is done with the bio.
    #[inline]
    pub(super) fn place(&self) -> *mut D {
        // SAFETY: computes an address inside what dm core keeps beside the clone.
        unsafe { &raw mut (*self.beside.as_ptr()).data }
    }

    /// The target's own data for this bio.
    #[inline]
    pub fn data(&self) -> &D {
        // SAFETY: initialized and ours by the contract of `new`.
        unsafe { &self.beside.as_ref().data }
    }

    /// The same, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut D {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { &mut self.beside.as_mut().data }
    }

    /// In `end_io`: length in sectors, as it was when sent.
    #[inline]
    pub fn sent_sectors(&self) -> u32 {
        // SAFETY: as in `data`.
        unsafe { self.beside.as_ref() }.sent.bi_size >> 9
    }

    fn save_iter(&mut self) {
        // SAFETY: as in `data_mut`.
        unsafe { self.beside.as_mut().sent = self.raw.as_ref().bi_iter };
    }

    /// From `map`: send it to where it was redirected.
    #[inline]
    pub fn remapped(mut self) -> Mapped {
        self.save_iter();
        Mapped(sys::DM_MAPIO_REMAPPED as c_int)
    }

    /// From `map`: fail it.
    pub fn kill(self) -> Mapped {
        Mapped(sys::DM_MAPIO_KILL as c_int)
    }

    /// From `map`: keep it, to be submitted or completed later.
    pub fn map_hold(mut self) -> (HeldBio<D, Fresh>, Mapped) {
        self.save_iter();
        // SAFETY: the callback tells dm core to leave the bio to us, by the value that goes with it.
        (unsafe { HeldBio::new(self.raw) }, Mapped(sys::DM_MAPIO_SUBMITTED as c_int))
    }

    /// From `end_io`: complete the original bio with this status.
    #[inline]
    pub fn done(self, status: Status) -> Ended {
        Ended(sys::DM_ENDIO_DONE as c_int, status)
    }

    /// From `end_io`: keep it, to be completed later, which calls `end_io` once more.
    pub fn end_hold(self, status: Status) -> (HeldBio<D, Spent>, Ended) {
        // SAFETY: a live bio that has ended below us, and that nothing else uses until it is completed again.
        unsafe { sys::dmr_bio_leave_queue(self.raw.as_ptr()) };
        // SAFETY: as in `map_hold`.
        (unsafe { HeldBio::new(self.raw) }, Ended(sys::DM_ENDIO_INCOMPLETE as c_int, status))
    }

    fn raw(&self) -> &sys::bio {
        // SAFETY: valid by the contract of `new`.
        unsafe { self.raw.as_ref() }
    }

    /// What it asks for.
    #[inline]
    pub fn op(&self) -> Op {
        Op::from_raw(self.raw().bi_opf)
    }

    /// The request flags, `REQ_*`, with the operation in the low bits.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.raw().bi_opf
    }

    /// Whether the data must be durable when it completes.
    #[inline]
    pub fn is_fua(&self) -> bool {
        self.flags() & (1 << sys::__REQ_FUA) != 0
    }

    /// Whether it is read-ahead, which nobody waits for.
    #[inline]
    pub fn is_readahead(&self) -> bool {
        self.flags() & (1 << sys::__REQ_RAHEAD) != 0
    }

    /// Whether it must not wait.
    #[inline]
    pub fn is_nowait(&self) -> bool {
        self.flags() & (1 << sys::__REQ_NOWAIT) != 0
    }

    /// First sector: of the mapped device before it is redirected, of the underlying device after.
    #[inline]
    pub fn sector(&self) -> u64 {
        self.raw().bi_iter.bi_sector
    }

    /// First sector, relative to where the target begins.
    #[inline]
    pub fn target_sector(&self) -> u64 {
        self.sector().wrapping_sub(self.target_begin)
    }

    /// Length in sectors.
    #[inline]
    pub fn sectors(&self) -> u32 {
        self.raw().bi_iter.bi_size >> 9
    }

    /// Whether it covers any sectors: an empty flush does not.
    #[inline]
    pub fn has_sectors(&self) -> bool {
        self.raw().bi_iter.bi_size != 0
    }

    /// Which copy this is of a bio that dm core sends several times, such as a flush.
    #[inline]
    pub fn copy_number(&self) -> u32 {
        // SAFETY: the bio is a clone by dm core, which keeps the number in front of it.
        unsafe { sys::dmr_bio_target_bio_nr(self.raw.as_ptr()) }
    }

    /// Sends it to a sector of a device.
    #[inline]
    pub fn redirect(&mut self, device: &Device, sector: u64) {
        // SAFETY: the bio is live and ours; the device is open as long as `device` lives.
        unsafe { sys::dmr_bio_redirect(self.raw.as_ptr(), device.bdev(), sector) }
    }

    /// Takes only the first `sectors` of it; dm core sends the rest as another bio. Only in `map`, and only for what has
    /// sectors and of which dm core sends a single copy: of flushes it sends several, but those have no sectors, as it sends what is
    /// to be written after a flush when the flush is over, and without the flag.
    #[inline]
    pub fn accept_partial(&mut self, sectors: u32) {
        if sectors == 0 || sectors >= self.sectors() {
            return;
        }
        // SAFETY: the bio is in `map`, has data, and is longer than what is accepted.
        unsafe { sys::dm_accept_partial_bio(self.raw.as_ptr(), sectors) }
    }
}
