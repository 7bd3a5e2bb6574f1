//! One I/O request on its way through the target.

use core::marker::PhantomData;

use super::dm::Device;
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
    fn from_raw(opf: u32) -> Op {
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

/// Where in the device, and in its buffers, a request stands: what the block layer calls the iterator.
#[derive(Clone, Copy)]
pub struct Iter {
    pub(super) raw: sys::bvec_iter,
}

impl Iter {
    /// First sector.
    pub fn sector(&self) -> u64 {
        self.raw.bi_sector
    }

    /// Bytes left.
    pub fn bytes(&self) -> u32 {
        self.raw.bi_size
    }
}

/// A bio that device-mapper has cloned for this target; borrowed for the time of a callback.
pub struct Bio<'a> {
    raw: *mut sys::bio,
    target_begin: u64,
    borrow: PhantomData<&'a mut sys::bio>,
}

impl Bio<'_> {
    /// # Safety
    /// `raw` must be a live clone that this callback alone may use for the lifetime of the result.
    pub(super) unsafe fn new(raw: *mut sys::bio, target_begin: u64) -> Self {
        Bio { raw, target_begin, borrow: PhantomData }
    }

    fn raw(&self) -> &sys::bio {
        // SAFETY: valid by the contract of `new`.
        unsafe { &*self.raw }
    }

    /// The pointer itself, for code in this layer.
    pub(super) fn as_ptr(&self) -> *mut sys::bio {
        self.raw
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

    /// Whether the write cache must be flushed first; a flush without data has it as well.
    #[inline]
    pub fn is_preflush(&self) -> bool {
        self.flags() & (1 << sys::__REQ_PREFLUSH) != 0
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

    /// The iterator, to be saved at map time: the one that comes back at the end has moved on.
    #[inline]
    pub fn iter(&self) -> Iter {
        Iter { raw: self.raw().bi_iter }
    }

    /// Which copy this is of a bio that dm core sends several times, such as a flush.
    #[inline]
    pub fn copy_number(&self) -> u32 {
        // SAFETY: the bio is a clone by dm core, which keeps the number in front of it.
        unsafe { sys::dmr_bio_target_bio_nr(self.raw) }
    }

    /// Sends it to a sector of a device.
    #[inline]
    pub fn redirect(&mut self, device: &Device, sector: u64) {
        // SAFETY: the bio is live and ours; the device is open as long as `device` lives.
        unsafe { sys::dmr_bio_redirect(self.raw, device.bdev(), sector) }
    }

    /// Takes only the first `sectors` of it; dm core sends the rest as another bio. Only in `map`, only for
    /// reads and writes with data, and never with more sectors than it has.
    #[inline]
    pub fn accept_partial(&mut self, sectors: u32) {
        if sectors == 0 || sectors >= self.sectors() || self.is_preflush() {
            return;
        }
        // SAFETY: the bio is in `map`, has data, and is longer than what is accepted.
        unsafe { sys::dm_accept_partial_bio(self.raw, sectors) }
    }
}
