//! Making a target type known to dm core.

use core::cell::UnsafeCell;
use core::marker::PhantomData;

use super::dm::Target;
use super::dm_calls;
use super::{Errno, Result};
use crate::sys;

/// The kernel's record of a target type; a static of the module.
pub struct Registration<T> {
    raw: UnsafeCell<sys::target_type>,
    target: PhantomData<fn() -> T>,
}

// SAFETY: the record is changed only by `register`, before dm core knows it, and then by dm core under its own lock.
unsafe impl<T> Sync for Registration<T> {}

impl<T: Target> Registration<T> {
    /// A record that dm core does not know yet.
    pub const fn new() -> Self {
        // SAFETY: all-zero is a valid `target_type`: null pointers, no functions, an unlinked list head.
        let mut raw: sys::target_type = unsafe { core::mem::zeroed() };
        raw.name = T::NAME.as_ptr();
        raw.version = T::VERSION;
        raw.features = T::FEATURES;
        raw.ctr = Some(dm_calls::ctr::<T>);
        raw.dtr = Some(dm_calls::dtr::<T>);
        raw.map = Some(dm_calls::map::<T>);
        raw.end_io = Some(dm_calls::end_io::<T>);
        raw.status = Some(dm_calls::status::<T>);
        raw.message = Some(dm_calls::message::<T>);
        raw.presuspend = Some(dm_calls::presuspend::<T>);
        raw.presuspend_undo = Some(dm_calls::presuspend_undo::<T>);
        raw.postsuspend = Some(dm_calls::postsuspend::<T>);
        raw.preresume = Some(dm_calls::preresume::<T>);
        raw.resume = Some(dm_calls::resume::<T>);
        raw.iterate_devices = Some(dm_calls::iterate_devices::<T>);
        raw.io_hints = Some(dm_calls::io_hints::<T>);
        // No prepare_ioctl: it would send commands to a device below, past the map. Without it dm core answers ENOTTY (S31).
        Registration { raw: UnsafeCell::new(raw), target: PhantomData }
    }

    /// Makes the target known to dm core.
    pub fn register(&'static self) -> Result<()> {
        let raw = self.raw.get();
        // SAFETY: module initialisation is single-threaded and dm core does not know the record yet; it is a
        // static, so it lives until the module is gone.
        unsafe {
            (*raw).module = sys::dmr_this_module();
            Errno::check(sys::dm_register_target(raw))
        }
    }

    /// Takes it back; dm core holds a reference to the module while a table uses it.
    pub fn unregister(&'static self) {
        // SAFETY: registered by `register`, and no table uses it any more.
        unsafe { sys::dm_unregister_target(self.raw.get()) };
    }
}
