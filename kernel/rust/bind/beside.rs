//! What every clone of a bio has: an operation, a status, and the target's own data beside it.

use core::ffi::c_int;
use core::mem::size_of;
use core::ptr::NonNull;

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

    /// The status for an error number, positive, as the newest kernels have it: older ones have no word for some.
    pub fn of_errno(number: c_int) -> Status {
        const EOPNOTSUPP: c_int = sys::EOPNOTSUPP as c_int;
        const ETIMEDOUT: c_int = sys::ETIMEDOUT as c_int;
        const ENOSPC: c_int = sys::ENOSPC as c_int;
        const ENOLINK: c_int = sys::ENOLINK as c_int;
        const EREMOTEIO: c_int = sys::EREMOTEIO as c_int;
        const ENODATA: c_int = sys::ENODATA as c_int;
        const EILSEQ: c_int = sys::EILSEQ as c_int;
        const ENOMEM: c_int = sys::ENOMEM as c_int;
        const EINVAL: c_int = sys::EINVAL as c_int;
        const EAGAIN: c_int = sys::EAGAIN as c_int;
        match number {
            EOPNOTSUPP => Status::NOTSUPP,
            ETIMEDOUT => Status::TIMEOUT,
            ENOSPC => Status::NOSPC,
            ENOLINK => Status::TRANSPORT,
            EREMOTEIO => Status::TARGET,
            ENODATA => Status::MEDIUM,
            EILSEQ => Status::PROTECTION,
            ENOMEM => Status::RESOURCE,
            EINVAL => Status::INVAL,
            EAGAIN => Status::AGAIN,
            _ => Status::IOERR,
        }
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
