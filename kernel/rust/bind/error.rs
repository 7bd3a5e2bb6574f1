//! The kernel's error numbers.

use core::ffi::c_int;

use remap_core::host::refusal::Refusal;

use crate::sys;

/// An error number, positive as in `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(c_int);

/// The result of a call into the kernel.
pub type Result<T> = core::result::Result<T, Errno>;

impl Errno {
    /// An argument is not valid.
    pub const EINVAL: Errno = Errno(sys::EINVAL as c_int);
    /// No memory.
    pub const ENOMEM: Errno = Errno(sys::ENOMEM as c_int);
    /// Not now: try again.
    pub const EAGAIN: Errno = Errno(sys::EAGAIN as c_int);
    /// Interrupted by a signal.
    pub const EINTR: Errno = Errno(sys::EINTR as c_int);
    /// No room left.
    pub const ENOSPC: Errno = Errno(sys::ENOSPC as c_int);
    /// Read only.
    pub const EROFS: Errno = Errno(sys::EROFS as c_int);
    /// The device is gone.
    pub const ENODEV: Errno = Errno(sys::ENODEV as c_int);
    /// No such device or address: the spare holds no set.
    pub const ENXIO: Errno = Errno(sys::ENXIO as c_int);

    /// The result that a kernel function returned as zero or a negative error number.
    pub fn check(returned: c_int) -> Result<()> {
        if returned < 0 {
            return Err(Errno(returned.saturating_neg()));
        }
        Ok(())
    }

    /// The number, positive.
    pub fn number(self) -> c_int {
        self.0
    }

    /// As kernel functions return it: negative.
    pub fn to_return(self) -> c_int {
        self.0.saturating_neg()
    }
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Errno {
        Errno(refusal.errno())
    }
}

/// What a callback returns to the kernel for a result: zero or a negative error number.
pub fn to_return(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.to_return(),
    }
}
