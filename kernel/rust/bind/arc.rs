//! Shared ownership.

use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{fence, AtomicU32, Ordering};

use super::alloc::KBox;
use super::Result;

struct Counted<T> {
    value: T,
    count: AtomicU32,
}

/// A value on the kernel's heap with several owners; the last one frees it.
pub struct KArc<T> {
    ptr: NonNull<Counted<T>>,
}

// SAFETY: owners on several threads share the value, and the last one, on any thread, drops it.
unsafe impl<T: Send + Sync> Send for KArc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for KArc<T> {}

impl<T> KArc<T> {
    /// Moves a value to the heap; sleeps.
    pub fn new(value: T) -> Result<Self> {
        // Part by part: put together first, the whole would stand a second time on the kernel's small stack.
        let raw = KBox::<Counted<T>>::uninit()?.into_raw().cast::<Counted<T>>();
        // SAFETY: memory for a `Counted` that nothing else points to; a box is never null.
        let ptr = unsafe {
            (&raw mut (*raw).value).write(value);
            (&raw mut (*raw).count).write(AtomicU32::new(1));
            NonNull::new_unchecked(raw)
        };
        Ok(KArc { ptr })
    }
}

impl<T> Clone for KArc<T> {
    fn clone(&self) -> Self {
        // SAFETY: alive, since `self` is an owner. More than 2^32 owners do not fit into memory.
        unsafe { self.ptr.as_ref() }.count.fetch_add(1, Ordering::Relaxed);
        KArc { ptr: self.ptr }
    }
}

impl<T> Deref for KArc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: alive, since `self` is an owner.
        unsafe { &self.ptr.as_ref().value }
    }
}

impl<T> Drop for KArc<T> {
    fn drop(&mut self) {
        // SAFETY: alive, since `self` is an owner.
        if unsafe { self.ptr.as_ref() }.count.fetch_sub(1, Ordering::Release) == 1 {
            // What other owners did to the value happens before it is dropped.
            fence(Ordering::Acquire);
            // SAFETY: the last owner; the pointer came from a box.
            drop(unsafe { KBox::from_raw(self.ptr.as_ptr()) });
        }
    }
}
