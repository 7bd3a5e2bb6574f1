//! Work done later, in threads that get on even when memory is short, and the values that works run on.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::ManuallyDrop;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::alloc::KBox;
use super::sync::LockClass;
use super::{Errno, Result};
use crate::sys;

/// Threads that run works; dropping it waits for those that run or are queued. It must not be dropped by one of them.
pub struct Workqueue {
    raw: NonNull<sys::workqueue_struct>,
}

// SAFETY: work queues have locks of their own.
unsafe impl Send for Workqueue {}
// SAFETY: as above.
unsafe impl Sync for Workqueue {}

impl Workqueue {
    /// A queue with a rescuer thread, on which at most `max_active` works run at a time.
    pub fn new(name: &CStr, max_active: u16) -> Result<Self> {
        // SAFETY: the kernel copies the name.
        let raw = unsafe { sys::dmr_workqueue_new(name.as_ptr(), i32::from(max_active)) };
        Ok(Workqueue { raw: NonNull::new(raw).ok_or(Errno::ENOMEM)? })
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        // SAFETY: made by `new`; a work that is queued here keeps what it runs on (`WiredBox`).
        unsafe { sys::destroy_workqueue(self.raw.as_ptr()) }
    }
}

/// A value that works run on, which are parts of it.
pub trait Wires: Sized + Send + Sync + 'static {
    /// Cancels each of its works, as [`Work::cancel`] does.
    fn cancel_works(&self);
}

/// A value and the executions of works that are to run on it. Works own no share of it: their owner, the [`WiredBox`], outlives them.
pub struct Wired<T> {
    value: T,
    /// Nothing is queued any more.
    closed: AtomicBool,
    /// Executions that were queued and whose function has not returned.
    armed: AtomicU32,
}

impl<T> Deref for Wired<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Wires> Wired<T> {
    /// Has no work run any more, nor be queued: the end of all that runs on the value by itself. Sleeps; not from within a work.
    pub fn shut_down(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // What ran when it was closed may have queued others behind its back; those find it closed.
        self.value.cancel_works();
        self.value.cancel_works();
    }
}

/// Owns a value that works run on, where it stays. It shuts the works down before it drops the value.
pub struct WiredBox<T: Wires> {
    wired: ManuallyDrop<KBox<Wired<T>>>,
}

impl<T: Wires> WiredBox<T> {
    /// Moves a value to the heap; sleeps.
    pub fn new(value: T) -> Result<Self> {
        // Part by part: put together first, the whole would stand a second time on the kernel's small stack.
        let raw = KBox::<Wired<T>>::uninit()?.into_raw().cast::<Wired<T>>();
        // SAFETY: memory for a `Wired` that nothing else points to, and that a box of the same layout owned.
        let wired = unsafe {
            (&raw mut (*raw).value).write(value);
            (&raw mut (*raw).closed).write(AtomicBool::new(false));
            (&raw mut (*raw).armed).write(AtomicU32::new(0));
            KBox::from_raw(raw)
        };
        // A box is never null.
        Ok(WiredBox { wired: ManuallyDrop::new(wired.ok_or(Errno::ENOMEM)?) })
    }
}

impl<T: Wires> Deref for WiredBox<T> {
    type Target = Wired<T>;
    #[inline]
    fn deref(&self) -> &Wired<T> {
        &self.wired
    }
}

impl<T: Wires> Drop for WiredBox<T> {
    fn drop(&mut self) {
        self.wired.shut_down();
        // A work that was not named in `cancel_works` may still come. What it runs on stays then, and the target's destructor, which waits
        // for what is tied to it, hangs and is told of, where going on would free what is in use.
        if self.wired.armed.load(Ordering::Acquire) == 0 {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.wired) }
        }
    }
}

#[repr(C)]
struct Raw<T> {
    /// First, so that the pointer that the kernel gives back is a pointer to all of it.
    work: UnsafeCell<sys::delayed_work>,
    run: fn(&Wired<T>),
    /// What it runs on, from the first queueing on always the same.
    wired: AtomicPtr<Wired<T>>,
}

/// A function to be run by a work queue on a value that it is a part of, again and again.
pub struct Work<T: Wires> {
    raw: KBox<Raw<T>>,
}

// SAFETY: the work structure is the kernel's to synchronize, the rest is atomic or constant.
unsafe impl<T: Wires> Send for Work<T> {}
// SAFETY: as above.
unsafe impl<T: Wires> Sync for Work<T> {}

unsafe extern "C" fn run<T: Wires>(work: *mut sys::work_struct) {
    // SAFETY: `work` is the first field of the first field of a `Raw`, which is freed only when the kernel has said that the work does not
    // run (`Work::drop`). The value stays at least until this execution is counted down (`WiredBox::drop`).
    unsafe {
        let raw = work.cast::<Raw<T>>();
        let wired = (*raw).wired.load(Ordering::Acquire);
        ((*raw).run)(&*wired);
        (*wired).armed.fetch_sub(1, Ordering::Release);
    }
}

impl<T: Wires> Work<T> {
    /// A work that is not queued; sleeps. To lockdep a work that runs holds a lock of this class.
    pub fn new(class: &'static LockClass, function: fn(&Wired<T>)) -> Result<Self> {
        let (name, key) = class.raw();
        let raw = KBox::new(Raw {
            // SAFETY: valid when zeroed, until it is initialized below.
            work: UnsafeCell::new(unsafe { MaybeUninit::<sys::delayed_work>::zeroed().assume_init() }),
            run: function,
            wired: AtomicPtr::new(core::ptr::null_mut()),
        })?;
        // SAFETY: the work stays where it is until it is freed, name and key are static.
        unsafe { sys::dmr_delayed_work_init(raw.work.get(), Some(run::<T>), name, key) };
        Ok(Work { raw })
    }

    /// Has it run soon; false if it is queued already, or all is shut down. In any context. The value must always be the same one.
    pub fn queue(&self, queue: &Workqueue, wired: &Wired<T>) -> bool {
        self.queue_ms(queue, wired, 0)
    }

    /// Has it run after so many milliseconds from now, whenever it was to run before; not while it is being cancelled. In any context.
    ///
    /// Two steps, each of which says what it did. `mod_delayed_work` queues nothing while the work is being cancelled, and since
    /// 6.10 answers as if it had queued it.
    pub fn requeue_ms(&self, queue: &Workqueue, wired: &Wired<T>, milliseconds: u32) {
        // SAFETY: an initialized work, which is not freed while it is borrowed.
        if unsafe { sys::cancel_delayed_work(self.raw.work.get()) } {
            self.unqueued();
        }
        self.queue_ms(queue, wired, milliseconds);
    }

    /// Has it run after so many milliseconds; false if it is queued already, or all is shut down.
    pub fn queue_ms(&self, queue: &Workqueue, wired: &Wired<T>, milliseconds: u32) -> bool {
        let place = core::ptr::from_ref(wired).cast_mut();
        let null = core::ptr::null_mut();
        let first = self.raw.wired.compare_exchange(null, place, Ordering::AcqRel, Ordering::Acquire);
        if first.is_err_and(|other| other != place) {
            return false;
        }
        wired.armed.fetch_add(1, Ordering::Relaxed);
        // SAFETY: an initialized work and a live queue. A `Wired` exists only in a `WiredBox`, which keeps it until the execution that is
        // counted here has ended.
        let queued = !wired.closed.load(Ordering::SeqCst)
            && unsafe { sys::dmr_delayed_work_queue(queue.raw.as_ptr(), self.raw.work.get(), milliseconds) };
        if !queued {
            wired.armed.fetch_sub(1, Ordering::Release);
        }
        queued
    }

    /// Takes it out of the queue, or waits until it has run; it may be queued again. Not from within the work.
    pub fn cancel(&self) {
        // SAFETY: an initialized work.
        if unsafe { sys::cancel_delayed_work_sync(self.raw.work.get()) } {
            self.unqueued();
        }
    }

    /// The kernel has said that it took the work out of its queue: the execution that was counted never comes.
    fn unqueued(&self) {
        // SAFETY: queued before, so that there is a value, which stays as long as the execution is counted.
        unsafe { (*self.raw.wired.load(Ordering::Acquire)).armed.fetch_sub(1, Ordering::Release) };
    }
}

impl<T: Wires> Drop for Work<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}
