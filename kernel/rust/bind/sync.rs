//! Locks, waiting, and the gate that readers pass without a lock.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void, CStr};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use remap_core::gate::{Lane, Lanes, LANES};

use super::alloc::KBox;
use super::time::monotonic_ms;
use super::{Errno, Result};
use crate::sys;

/// A kernel object that must stay where it was initialized.
struct Pinned<T> {
    raw: KBox<UnsafeCell<T>>,
}

impl<T> Pinned<T> {
    /// Zeroed memory for the object, initialized in place by `init`.
    fn new(init: impl FnOnce(*mut T) -> Result<()>) -> Result<Self> {
        // SAFETY: the C objects used here are valid when zeroed, until `init` makes them usable. They are made in place: an
        // `srcu_struct` of some kernels is larger than the stack.
        let raw = unsafe { KBox::<UnsafeCell<T>>::zeroed() }?;
        init(raw.get())?;
        Ok(Pinned { raw })
    }

    #[inline]
    fn get(&self) -> *mut T {
        self.raw.get()
    }
}

/// A kind of lock, which lockdep judges by: a static for each. What may be taken under what stands in ARCHITECTURE.md.
pub struct LockClass {
    name: &'static CStr,
    key: UnsafeCell<sys::lock_class_key>,
}

// SAFETY: the key is the kernel's, which changes it under a lock of its own.
unsafe impl Sync for LockClass {}

impl LockClass {
    /// A class that reports call by this name.
    pub const fn new(name: &'static CStr) -> LockClass {
        // SAFETY: a key is valid when zeroed, and empty without lockdep.
        LockClass { name, key: UnsafeCell::new(unsafe { MaybeUninit::zeroed().assume_init() }) }
    }

    /// What C is told about the class of a lock.
    pub(super) fn raw(&'static self) -> (*const core::ffi::c_char, *mut sys::lock_class_key) {
        (self.name.as_ptr(), self.key.get())
    }
}

/// A value behind a lock whose holder may sleep.
pub struct Mutex<T> {
    lock: Pinned<sys::mutex>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free lock of this class; sleeps.
    pub fn new(class: &'static LockClass, value: T) -> Result<Self> {
        let (name, key) = class.raw();
        let lock = Pinned::new(|raw| {
            // SAFETY: `raw` is memory for a mutex that stays in place, name and key are static.
            unsafe { sys::dmr_mutex_init(raw, name, key) };
            Ok(())
        })?;
        Ok(Mutex { lock, value: UnsafeCell::new(value) })
    }

    /// Waits for the lock; not where sleeping is forbidden.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: an initialized mutex.
        unsafe { sys::dmr_mutex_lock(self.lock.get()) };
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// As [`Mutex::lock`], unless the process that calls is killed first.
    pub fn lock_killable(&self) -> Result<MutexGuard<'_, T>> {
        // SAFETY: an initialized mutex.
        Errno::check(unsafe { sys::dmr_mutex_lock_killable(self.lock.get()) })?;
        Ok(MutexGuard { mutex: self, not_send: PhantomData })
    }
}

/// Whether the process that calls is being killed.
pub fn is_being_killed() -> bool {
    // SAFETY: looks at the calling process.
    unsafe { sys::dmr_fatal_signal_pending() }
}

/// The right to use a mutex's value; stays with the thread that took it, which has to give it back.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: locked by this thread when the guard was made.
        unsafe { sys::dmr_mutex_unlock(self.mutex.lock.get()) }
    }
}

/// A value behind a lock that is held for a few instructions, also in interrupts.
pub struct SpinLock<T> {
    lock: Pinned<sys::spinlock_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock of this class; sleeps.
    pub fn new(class: &'static LockClass, value: T) -> Result<Self> {
        let (name, key) = class.raw();
        let lock = Pinned::new(|raw| {
            // SAFETY: `raw` is memory for a lock that stays in place, name and key are static.
            unsafe { sys::dmr_spin_lock_init(raw, name, key) };
            Ok(())
        })?;
        Ok(SpinLock { lock, value: UnsafeCell::new(value) })
    }

    /// Takes the lock and keeps interrupts off; nothing may sleep while the guard lives.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: an initialized lock.
        let flags = unsafe { sys::dmr_spin_lock_irqsave(self.lock.get()) };
        SpinGuard { lock: self, flags, not_send: PhantomData }
    }
}

/// The right to use a spin lock's value; stays on the processor that took it.
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    flags: core::ffi::c_ulong,
    not_send: PhantomData<*mut ()>,
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: locked on this processor when the guard was made, with these flags.
        unsafe { sys::dmr_spin_unlock_irqrestore(self.lock.lock.get(), self.flags) }
    }
}

/// Threads that wait until something is so.
pub struct WaitQueue {
    queue: Pinned<sys::wait_queue_head_t>,
}

// SAFETY: wait queues have a lock of their own.
unsafe impl Send for WaitQueue {}
// SAFETY: as above.
unsafe impl Sync for WaitQueue {}

unsafe extern "C" fn is_ready<F: Fn() -> bool>(data: *const c_void) -> bool {
    // SAFETY: `data` is the closure of `wait`, which is still running.
    unsafe { (*data.cast::<F>())() }
}

impl WaitQueue {
    /// A queue with nobody in it; sleeps.
    pub fn new() -> Result<Self> {
        let queue = Pinned::new(|raw| {
            // SAFETY: `raw` is memory for a wait queue that stays in place.
            unsafe { sys::dmr_waitqueue_init(raw) };
            Ok(())
        })?;
        Ok(WaitQueue { queue })
    }

    /// Sleeps until `ready` says so; it is asked again after each [`WaitQueue::wake`], and must not sleep. A long sleep is no load and no
    /// hung task.
    pub fn wait_idle<F: Fn() -> bool>(&self, ready: F) {
        // SAFETY: an initialized queue, and a closure that outlives the call.
        unsafe { sys::dmr_wait_event_idle(self.queue.get(), Some(is_ready::<F>), (&raw const ready).cast()) }
    }

    /// As [`WaitQueue::wait_idle`], for what never takes long: the kernel tells of a task that is hung here.
    pub fn wait<F: Fn() -> bool>(&self, ready: F) {
        // SAFETY: as above.
        unsafe { sys::dmr_wait_event(self.queue.get(), Some(is_ready::<F>), (&raw const ready).cast()) }
    }

    /// Has all who wait ask again. In any context.
    pub fn wake(&self) {
        // SAFETY: an initialized queue.
        unsafe { sys::dmr_wake_up_all(self.queue.get()) }
    }
}

/// A gate that many pass at once without a lock, and behind which one can wait until all who were in some of its lanes have left. Which
/// lanes there are is core's.
pub struct Gate {
    /// For each lane an SRCU domain.
    domains: Pinned<[sys::srcu_struct; LANES]>,
    /// Somebody waited and gave up: SRCU has to get there before it is cleaned up.
    given_up: AtomicBool,
}

// SAFETY: SRCU is made to be entered from any processor.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

/// Having entered a [`Gate`]. It is a number, so that it can be kept beside a bio, and there is one for each entering: it goes to
/// [`Gate::leave`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Entered {
    index: c_int,
    lane: Lane,
}

impl Gate {
    /// An empty gate; sleeps.
    pub fn new() -> Result<Self> {
        let domains = Pinned::new(|raw: *mut [sys::srcu_struct; LANES]| {
            let first = raw.cast::<sys::srcu_struct>();
            for nth in 0..LANES {
                // SAFETY: within the array, which stays in place.
                let made = Errno::check(unsafe { sys::dmr_srcu_init(first.add(nth)) });
                if made.is_err() {
                    // SAFETY: these were initialized, and nobody has entered them.
                    (0..nth).for_each(|nth| unsafe { sys::cleanup_srcu_struct(first.add(nth)) });
                    return made;
                }
            }
            Ok(())
        })?;
        Ok(Gate { domains, given_up: AtomicBool::new(false) })
    }

    #[inline]
    fn domain(&self, lane: Lane) -> *mut sys::srcu_struct {
        // SAFETY: a lane's number is less than `LANES`.
        unsafe { self.domains.get().cast::<sys::srcu_struct>().add(lane.number()) }
    }

    /// Goes in: one increment on this processor. In any context.
    #[inline]
    pub fn enter(&self, lane: Lane) -> Entered {
        // SAFETY: an initialized structure.
        Entered { index: unsafe { sys::__srcu_read_lock(self.domain(lane)) }, lane }
    }

    /// Goes out, on whatever processor.
    #[inline]
    pub fn leave(&self, entered: Entered) {
        // SAFETY: an initialized structure; the index came from `enter` of the same one.
        unsafe { sys::__srcu_read_unlock(self.domain(entered.lane), entered.index) }
    }

    /// Sleeps until all who were in these lanes before have left, or until `within_ms` milliseconds are over or `enough` says so, which is
    /// asked every few milliseconds. Whether they have left. Never from inside.
    pub fn drain(&self, lanes: Lanes, within_ms: Option<u64>, enough: impl Fn() -> bool) -> bool {
        let mut begun = [0; LANES];
        for (lane, begun) in lanes.iter().zip(&mut begun) {
            // SAFETY: an initialized structure.
            *begun = unsafe { sys::start_poll_synchronize_srcu(self.domain(lane)) };
        }
        let began_ms = monotonic_ms();
        for (lane, begun) in lanes.iter().zip(begun) {
            // SAFETY: an initialized structure; the number came from the call above for the same one.
            while !unsafe { sys::poll_state_synchronize_srcu(self.domain(lane), begun) } {
                let late = |limit_ms| monotonic_ms().saturating_sub(began_ms) >= limit_ms;
                if within_ms.is_some_and(late) || enough() {
                    self.given_up.store(true, Ordering::Relaxed);
                    return false;
                }
                // SAFETY: sleeps.
                unsafe { sys::dmr_sleep_us(PAUSE_US) };
            }
        }
        true
    }
}

/// How long a drain sleeps before it looks again, in microseconds: SRCU takes a few milliseconds if nobody is inside.
const PAUSE_US: u32 = 1000;

impl Drop for Gate {
    fn drop(&mut self) {
        for lane in Lanes::ALL.iter() {
            // SAFETY: initialized by `new`; dm core lets no bio be in flight when a target is destroyed. What was begun and given up has
            // ended when what begins now has.
            unsafe {
                if *self.given_up.get_mut() {
                    sys::synchronize_srcu(self.domain(lane));
                }
                sys::cleanup_srcu_struct(self.domain(lane));
            }
        }
    }
}

/// Answers at compile time whether a type has a trait: the constant of `Is` comes first where its bound holds, that of `IsNot` is what
/// is left.
// Rust 1.85 does not count a use in a constant without a name.
#[allow(dead_code)]
mod has {
    use core::marker::PhantomData;

    pub struct Is<T>(PhantomData<T>);

    impl<T: Send> Is<T> {
        pub const SEND: bool = true;
    }

    impl<T: Clone> Is<T> {
        pub const CLONE: bool = true;
    }

    pub trait IsNot {
        const SEND: bool = false;
        const CLONE: bool = false;
    }

    impl<T> IsNot for Is<T> {}
}

#[allow(unused_imports)]
use has::{Is, IsNot};

// The question itself can be answered both ways.
const _: () =
    assert!(Is::<u32>::SEND && Is::<u32>::CLONE && !Is::<*mut u32>::SEND && !Is::<KBox<u32>>::CLONE);
// A lock is given back by the thread that took it, interrupts are let in on the processor that kept them off.
const _: () = assert!(!Is::<MutexGuard<'static, u32>>::SEND && !Is::<SpinGuard<'static, u32>>::SEND);
// A gate that was left twice for one entering would not wait for another.
const _: () = assert!(!Is::<Entered>::CLONE);
