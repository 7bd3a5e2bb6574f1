//! One I/O request on its way through the target.

use core::ffi::c_int;
use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::NonNull;

use super::dm::Device;
use super::held::{self, Fresh, HeldBio, Spent};
use super::Errno;
use crate::sys;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Flush the write cache; has no data.
    Flush,
    /// Discard: the content is no longer needed.
    Discard,
    /// Discard that must not leave the content readable.
    SecureErase,
    /// Write zeroes without sending them.
    WriteZeroes,
    /// Anything else.
    Other(u32),
}

impl Op {
    /// Whether it stores content.
    #[inline]
    pub fn writes(self) -> bool {
        matches!(self, Op::Write | Op::WriteZeroes)
    }

    pub(super) fn from_raw(opf: u32) -> Op {
        match opf & sys::DMR_REQ_OP_MASK {
            sys::REQ_OP_READ => Op::Read,
            sys::REQ_OP_WRITE => Op::Write,
            sys::REQ_OP_FLUSH => Op::Flush,
            sys::REQ_OP_DISCARD => Op::Discard,
            sys::REQ_OP_SECURE_ERASE => Op::SecureErase,
            sys::REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            other => Op::Other(other),
        }
    }
}

/// How a request ended: the block layer's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// Success.
    pub const OK: Status = Status(0);
    /// Not offered by the device.
    pub const NOTSUPP: Status = Status(sys::DMR_STS_NOTSUPP as u8);
    /// Timed out.
    pub const TIMEOUT: Status = Status(sys::DMR_STS_TIMEOUT as u8);
    /// No space.
    pub const NOSPC: Status = Status(sys::DMR_STS_NOSPC as u8);
    /// The transport failed.
    pub const TRANSPORT: Status = Status(sys::DMR_STS_TRANSPORT as u8);
    /// The device refused for good.
    pub const TARGET: Status = Status(sys::DMR_STS_TARGET as u8);
    /// The medium is bad here.
    pub const MEDIUM: Status = Status(sys::DMR_STS_MEDIUM as u8);
    /// Integrity data does not match.
    pub const PROTECTION: Status = Status(sys::DMR_STS_PROTECTION as u8);
    /// No memory or tags just now.
    pub const RESOURCE: Status = Status(sys::DMR_STS_RESOURCE as u8);
    /// An I/O error of no stated kind.
    pub const IOERR: Status = Status(sys::DMR_STS_IOERR as u8);
    /// The request itself is not valid; older kernels have no word for it but "not supported".
    pub const INVAL: Status = Status(sys::DMR_STS_INVAL as u8);
    /// Would have to wait.
    pub const AGAIN: Status = Status(sys::DMR_STS_AGAIN as u8);
    /// To be mapped anew: dm core takes it back while it suspends without flush, and at no other time.
    pub const REQUEUE: Status = Status(sys::DMR_STS_DM_REQUEUE as u8);

    /// Whether it ended well.
    pub fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The error number that user space gets for it.
    pub fn to_errno(self) -> Option<Errno> {
        // SAFETY: maps one number to another.
        Errno::check(unsafe { sys::dmr_status_to_errno(self.0) }).err()
    }
}

/// What is kept beside a clone from `map` to the end of its life.
#[repr(C, align(8))]
pub(super) struct Beside<D> {
    /// The iterator as it was when the clone was sent off: the one that comes back has moved on.
    pub(super) sent: sys::bvec_iter,
    pub(super) data: D,
}

/// Where dm core keeps what is beside a clone.
///
/// # Safety
/// `raw` must be a clone that dm core made for a target with `D` beside its bios.
#[inline]
pub(super) unsafe fn beside<D>(raw: NonNull<sys::bio>) -> *mut Beside<D> {
    // SAFETY: the constructor asked for that many bytes, which dm core puts in front of every clone, aligned to 8.
    unsafe { sys::dm_per_bio_data(raw.as_ptr(), size_of::<Beside<D>>()).cast() }
}

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
