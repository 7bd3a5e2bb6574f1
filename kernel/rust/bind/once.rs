//! A value of the module as a whole, there from loading to unloading.

use core::cell::UnsafeCell;

/// Set when the module is loaded, cleared when it is unloaded.
pub struct Once<T> {
    value: UnsafeCell<Option<T>>,
}

// SAFETY: written only by `set` and `clear`, which the module calls while nothing else of it runs.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Once { value: UnsafeCell::new(None) }
    }

    /// Sets the value; only from module initialisation, before anything is registered.
    pub fn set(&'static self, value: T) {
        // SAFETY: module initialisation is single-threaded, and nobody can reach the value before it has registered.
        unsafe { *self.value.get() = Some(value) }
    }

    /// Drops the value; only when all is unregistered.
    pub fn clear(&'static self) {
        // SAFETY: as in `set`: after unregistering nobody reaches the value any more.
        unsafe { *self.value.get() = None }
    }

    /// The value.
    pub fn get(&'static self) -> Option<&'static T> {
        // SAFETY: not written to while anything that calls this is registered.
        unsafe { (*self.value.get()).as_ref() }
    }
}
