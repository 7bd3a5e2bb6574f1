//! What passes between device-mapper and a target: arguments, devices, text.

use core::ffi::{c_char, c_int, c_uint, c_void, CStr};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use remap_core::host::refusal::Refusal;

use super::tie::Tie;
use super::{Errno, Result};
use crate::sys;

/// The words of a table line or of a message.
pub struct Args<'a> {
    words: &'a [*const c_char],
}

impl<'a> Args<'a> {
    /// # Safety
    /// `argv` must point to `argc` NUL-terminated strings that live for `'a`.
    pub(super) unsafe fn new(argc: c_uint, argv: *mut *mut c_char) -> Self {
        if argv.is_null() {
            return Args { words: &[] };
        }
        // SAFETY: `argc` pointers are there by contract, and they are not written to meanwhile.
        Args { words: unsafe { core::slice::from_raw_parts(argv.cast(), argc as usize) } }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// One word.
    pub fn get(&self, index: usize) -> Option<&'a CStr> {
        // SAFETY: each is a NUL-terminated string that lives for `'a`, by the contract of `new`.
        self.words.get(index).map(|word| unsafe { CStr::from_ptr(*word) })
    }

    /// One word as bytes.
    pub fn bytes(&self, index: usize) -> Option<&'a [u8]> {
        self.get(index).map(CStr::to_bytes)
    }

    /// One word that must be a plain decimal number: no sign, no space, nothing after it.
    pub fn number(&self, index: usize) -> Option<u64> {
        let digits = self.bytes(index)?;
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0u64, |number, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            number.checked_mul(10)?.checked_add(u64::from(digit))
        })
    }
}

/// Why a table was refused.
pub struct CtrError {
    /// The error number that the caller gets.
    pub errno: Errno,
    /// What device-mapper prints to the kernel log.
    pub text: &'static CStr,
}

impl From<Refusal> for CtrError {
    fn from(refusal: Refusal) -> CtrError {
        CtrError { errno: refusal.into(), text: refusal.text() }
    }
}

/// A device that the target holds open. The target's destructor waits for it.
pub struct Device {
    ti: NonNull<sys::dm_target>,
    dev: NonNull<sys::dm_dev>,
    _tie: Tie,
}

// SAFETY: both pointers are to objects that dm core keeps until the target is destroyed, for which the tie stands, and that
// it allows to be used from any thread.
unsafe impl Send for Device {}
// SAFETY: as above; nothing reachable through a shared reference is changed without the kernel's own locks.
unsafe impl Sync for Device {}

impl Device {
    pub(super) fn open(ti: NonNull<sys::dm_target>, path: &CStr, tie: Tie) -> Result<Device> {
        let mut dev = core::ptr::null_mut();
        // SAFETY: called from the constructor with a live target; `path` is NUL-terminated.
        Errno::check(unsafe { sys::dmr_get_device(ti.as_ptr(), path.as_ptr(), &mut dev) })?;
        NonNull::new(dev).map(|dev| Device { ti, dev, _tie: tie }).ok_or(Errno::ENODEV)
    }

    pub(super) fn raw(&self) -> *mut sys::dm_dev {
        self.dev.as_ptr()
    }

    /// The block device, open as long as `self` lives.
    #[inline]
    pub(super) fn bdev(&self) -> *mut sys::block_device {
        // SAFETY: `dev` is valid until `drop` puts it.
        unsafe { self.dev.as_ref() }.bdev
    }

    /// Its number as `MAJOR:MINOR`, the name that tables are printed with.
    pub fn name(&self) -> &str {
        // SAFETY: dm core wrote a NUL-terminated name when the device was opened, and never changes it.
        let name = unsafe { CStr::from_ptr(self.dev.as_ref().name.as_ptr()) };
        name.to_str().unwrap_or("?")
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        // SAFETY: the block device is open, so its fields are valid.
        unsafe { (*self.bdev()).bd_dev }
    }

    /// Its size in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_sectors(self.bdev()) }
    }

    /// The smallest unit it can be addressed in, in bytes.
    pub fn logical_block_bytes(&self) -> u32 {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_logical_block_size(self.bdev()) }
    }

    /// The unit it reads and writes inside, in bytes.
    pub fn physical_block_bytes(&self) -> u32 {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_physical_block_size(self.bdev()) }
    }

    /// From its beginning to the first physical block that does not begin before, in bytes; `None` if it is stacked on devices that do not agree.
    pub fn alignment_bytes(&self) -> Option<u32> {
        // SAFETY: the block device is open.
        u32::try_from(unsafe { sys::dmr_bdev_alignment_offset(self.bdev()) }).ok()
    }

    /// Whether it takes discards.
    pub fn discards(&self) -> bool {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_discards(self.bdev()) }
    }

    /// Whether the block layer does a write with FUA as a write and a flush of the device's whole cache.
    pub fn fua_flushes(&self) -> bool {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_fua_flushes(self.bdev()) }
    }

    /// Whether it is zoned.
    pub fn is_zoned(&self) -> bool {
        // SAFETY: the block device is open.
        unsafe { sys::dmr_bdev_is_zoned(self.bdev()) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: opened by `open` for this target, which is there as long as the tie is; put once.
        unsafe { sys::dm_put_device(self.ti.as_ptr(), self.dev.as_ptr()) }
    }
}

/// Text that goes back to the caller; what does not fit is dropped, and dm core then asks with more room.
pub struct StatusText<'a> {
    buffer: NonNull<u8>,
    room: usize,
    used: usize,
    borrow: PhantomData<&'a mut [u8]>,
}

impl StatusText<'_> {
    /// # Safety
    /// `buffer` must be writable for `room` bytes for the lifetime of the result. It gets a NUL at the end.
    pub(super) unsafe fn new(buffer: *mut c_char, room: c_uint) -> Option<Self> {
        let buffer = NonNull::new(buffer.cast::<u8>()).filter(|_| room > 0)?;
        // SAFETY: there is room for at least one byte.
        unsafe { buffer.write(0) };
        Some(StatusText { buffer, room: room as usize, used: 0, borrow: PhantomData })
    }

    /// Bytes that still fit.
    pub fn left(&self) -> usize {
        self.room.saturating_sub(self.used).saturating_sub(1)
    }
}

impl fmt::Write for StatusText<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let fits = part.len().min(self.left());
        // SAFETY: `used + fits < room`, so the copy and the NUL after it stay inside the buffer, which cannot
        // overlap a string of ours.
        unsafe {
            let end = self.buffer.add(self.used);
            core::ptr::copy_nonoverlapping(part.as_ptr(), end.as_ptr(), fits);
            end.add(fits).write(0);
        }
        self.used = self.used.saturating_add(fits);
        match fits == part.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// dm core's question about every device that a target uses.
pub struct DeviceVisitor<'a> {
    pub(super) ti: *mut sys::dm_target,
    pub(super) call: sys::iterate_devices_callout_fn,
    pub(super) data: *mut c_void,
    pub(super) borrow: PhantomData<&'a ()>,
}

impl DeviceVisitor<'_> {
    /// Asks about `len` sectors of a device; anything but 0 ends the iteration and is to be returned.
    pub fn visit(&self, device: &Device, start: u64, len: u64) -> c_int {
        match self.call {
            // SAFETY: function and data are dm core's, for this callback, which is what the borrow stands for.
            Some(call) => unsafe { call(self.ti, device.raw(), start, len, self.data) },
            None => 0,
        }
    }
}
