//! Memory from the kernel, set aside when a device is constructed.

use core::mem::{align_of, size_of, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicU8, AtomicUsize};

use super::{Errno, Result};
use crate::sys;

/// The alignment that every kernel allocation has at least.
const ALIGN_MIN: usize = 8;

/// One value on the kernel's heap.
pub struct KBox<T> {
    ptr: NonNull<T>,
}

// SAFETY: a `KBox` owns its value alone, so it may go where the value may go.
unsafe impl<T: Send> Send for KBox<T> {}
// SAFETY: shared access to the box gives only shared access to the value.
unsafe impl<T: Sync> Sync for KBox<T> {}

impl<T> KBox<T> {
    /// Moves a value to the heap; sleeps.
    pub fn new(value: T) -> Result<Self> {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= ALIGN_MIN) };
        // SAFETY: allocation has no precondition but a context that may sleep.
        let raw = unsafe { sys::dmr_kvzalloc(size_of::<T>()) };
        let ptr = NonNull::new(raw.cast::<T>()).ok_or(Errno::ENOMEM)?;
        // SAFETY: the memory is large and aligned enough for a `T`, and nobody else has it.
        unsafe { ptr.write(value) };
        Ok(KBox { ptr })
    }

    /// Memory for a value that is put together there; sleeps.
    pub(super) fn uninit() -> Result<KBox<MaybeUninit<T>>> {
        // SAFETY: any bytes are a valid `MaybeUninit`.
        unsafe { KBox::zeroed() }
    }

    /// Memory of zeroes for a value, never built on the stack; sleeps.
    ///
    /// # Safety
    /// All-zero bytes must be a valid `T`.
    pub unsafe fn zeroed() -> Result<Self> {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= ALIGN_MIN) };
        // SAFETY: allocation has no precondition but a context that may sleep.
        let raw = unsafe { sys::dmr_kvzalloc(size_of::<T>()) };
        Ok(KBox { ptr: NonNull::new(raw.cast::<T>()).ok_or(Errno::ENOMEM)? })
    }

    /// Gives the value to C, to come back through [`KBox::from_raw`].
    pub fn into_raw(self) -> *mut T {
        let ptr = self.ptr.as_ptr();
        core::mem::forget(self);
        ptr
    }

    /// Takes back what [`KBox::into_raw`] gave away.
    ///
    /// # Safety
    /// `ptr` must come from `into_raw` of the same type, and must not be used any more by others.
    pub unsafe fn from_raw(ptr: *mut T) -> Option<Self> {
        NonNull::new(ptr).map(|ptr| KBox { ptr })
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the box owns a valid value.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns a valid value, and it is borrowed exclusively.
        unsafe { self.ptr.as_mut() }
    }
}

impl<T> Drop for KBox<T> {
    fn drop(&mut self) {
        // SAFETY: the box owns a valid value that came from `dmr_kvzalloc`; this is its last use.
        unsafe {
            self.ptr.as_ptr().drop_in_place();
            sys::dmr_kvfree(self.ptr.as_ptr().cast());
        }
    }
}

/// A type of which all-zero bytes are a valid value.
///
/// # Safety
/// Only for types without niches, references and padding-dependent meaning, with an alignment of at most 8.
pub unsafe trait Zeroable {}

macro_rules! zeroable {
    ($($type:ty),*) => {$(
        // SAFETY: zero is a number.
        unsafe impl Zeroable for $type {}
    )*};
}
zeroable!(u8, u16, u32, u64, usize, i8, i16, i32, i64);
zeroable!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, AtomicBool);

// SAFETY: an array is its elements, one after the other.
unsafe impl<T: Zeroable, const N: usize> Zeroable for [T; N] {}

/// A slice on the kernel's heap that begins as zeroes; it neither grows nor moves.
pub struct KSlice<T> {
    ptr: NonNull<T>,
    len: usize,
}

// SAFETY: a `KSlice` owns its elements alone.
unsafe impl<T: Send> Send for KSlice<T> {}
// SAFETY: shared access to the slice gives only shared access to its elements.
unsafe impl<T: Sync> Sync for KSlice<T> {}

impl<T> KSlice<T> {
    /// Memory of zeroes, which the caller must make valid elements of.
    fn allocate(len: usize) -> Result<Self> {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= ALIGN_MIN) };
        if len == 0 {
            return Ok(KSlice { ptr: NonNull::dangling(), len });
        }
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or(Errno::ENOMEM)?;
        // SAFETY: allocation has no precondition but a context that may sleep.
        let raw = unsafe { sys::dmr_kvzalloc(bytes) };
        Ok(KSlice { ptr: NonNull::new(raw.cast::<T>()).ok_or(Errno::ENOMEM)?, len })
    }
}

impl<T: Zeroable> KSlice<T> {
    /// Sets memory aside; sleeps. Large slices need not be contiguous in physical memory.
    pub fn zeroed(len: usize) -> Result<Self> {
        Self::allocate(len)
    }
}

impl<T: Copy> KSlice<T> {
    /// As [`KSlice::zeroed`], with every element being `value`.
    pub fn filled(len: usize, value: T) -> Result<Self> {
        let slice = Self::allocate(len)?;
        for index in 0..len {
            // SAFETY: `index` is within the allocation.
            unsafe { slice.ptr.add(index).write(value) };
        }
        Ok(slice)
    }
}

impl<T> Deref for KSlice<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were allocated and are valid: zeroes of a type that may be zero, or filled in.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for KSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the slice is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl<T> Drop for KSlice<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: allocated by `allocate`; neither zeroable types nor `Copy` ones own anything that would have to be dropped.
        unsafe { sys::dmr_kvfree(self.ptr.as_ptr().cast()) }
    }
}
