//! Work done later, in threads that get on even when memory is short.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::alloc::KBox;
use super::arc::KArc;
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
        // SAFETY: made by `new`; works hold what they need themselves.
        unsafe { sys::destroy_workqueue(self.raw.as_ptr()) }
    }
}

#[repr(C)]
struct Raw<T> {
    /// First, so that the pointer that the kernel gives back is a pointer to all of it.
    work: UnsafeCell<sys::delayed_work>,
    run: fn(&KArc<T>),
    /// The shared value, one ownership of which goes with every queueing that succeeded.
    context: AtomicPtr<core::ffi::c_void>,
    /// Executions that were queued and whose function has not returned.
    armed: AtomicU32,
}

/// A function to be run by a work queue on a shared value, again and again. While it is queued or runs, it owns a
/// share of the value; so a `Work` may be a part of the value itself.
pub struct Work<T: Send + Sync + 'static> {
    raw: KBox<Raw<T>>,
}

// SAFETY: the work structure is the kernel's to synchronize, the rest is atomic or constant.
unsafe impl<T: Send + Sync> Send for Work<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Work<T> {}

unsafe extern "C" fn run<T: Send + Sync + 'static>(work: *mut sys::work_struct) {
    // SAFETY: `work` is the first field of the first field of a `Raw`, which lives at least until `armed` is counted
    // down: whoever drops the `Work` before waits for that. The ownership that came with the queueing is taken here.
    let (context, raw) = unsafe {
        let raw = work.cast::<Raw<T>>();
        (KArc::<T>::from_raw((*raw).context.load(Ordering::Acquire)), raw)
    };
    // SAFETY: as above.
    unsafe {
        ((*raw).run)(&context);
        (*raw).armed.fetch_sub(1, Ordering::Release);
    }
    // The last share may go here, and with it the value and the work itself; the kernel allows a work to free itself.
    drop(context);
}

impl<T: Send + Sync + 'static> Work<T> {
    /// A work that is not queued; sleeps. To lockdep a work that runs holds a lock of this class.
    pub fn new(class: &'static LockClass, function: fn(&KArc<T>)) -> Result<Self> {
        let (name, key) = class.raw();
        let raw = KBox::new(Raw {
            // SAFETY: valid when zeroed, until it is initialized below.
            work: UnsafeCell::new(unsafe { MaybeUninit::<sys::delayed_work>::zeroed().assume_init() }),
            run: function,
            context: AtomicPtr::new(core::ptr::null_mut()),
            armed: AtomicU32::new(0),
        })?;
        // SAFETY: the work stays where it is until it is freed, name and key are static.
        unsafe { sys::dmr_delayed_work_init(raw.work.get(), Some(run::<T>), name, key) };
        Ok(Work { raw })
    }

    /// Has it run soon; false if it is queued already. In any context. The value must always be the same one.
    pub fn queue(&self, queue: &Workqueue, context: &KArc<T>) -> bool {
        self.queue_ms(queue, context, 0)
    }

    /// Has it run after so many milliseconds from now, whenever it was to run before; not while it is being cancelled. In any context.
    ///
    /// Two steps, each of which says what it did. `mod_delayed_work` queues nothing while the work is being cancelled, and since
    /// 6.10 answers as if it had queued it.
    pub fn requeue_ms(&self, queue: &Workqueue, context: &KArc<T>, milliseconds: u32) {
        // SAFETY: an initialized work, which is not freed while the caller has a share of the value.
        if unsafe { sys::cancel_delayed_work(self.raw.work.get()) } {
            self.unqueued();
        }
        self.queue_ms(queue, context, milliseconds);
    }

    /// Has it run after so many milliseconds; false if it is queued already.
    pub fn queue_ms(&self, queue: &Workqueue, context: &KArc<T>, milliseconds: u32) -> bool {
        let (queue, work) = (queue.raw.as_ptr(), self.raw.work.get());
        // SAFETY: an initialized work and a live queue; the share goes with it if it was queued.
        self.queued(context, || unsafe { sys::dmr_delayed_work_queue(queue, work, milliseconds) })
    }

    /// Gives a share of the value to the queue if `queue` says that it took one, and says so.
    fn queued(&self, context: &KArc<T>, queue: impl FnOnce() -> bool) -> bool {
        let share = context.clone().into_raw();
        let first = self.raw.context.compare_exchange(
            core::ptr::null_mut(),
            share,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        let same = first.is_ok() || first == Err(share);
        self.raw.armed.fetch_add(1, Ordering::Relaxed);
        if same && queue() {
            return true;
        }
        self.raw.armed.fetch_sub(1, Ordering::Release);
        // SAFETY: given away above, and not taken by the queue.
        drop(unsafe { KArc::<T>::from_raw(share) });
        false
    }

    /// Takes it out of the queue, or waits until it has run; it may be queued again. Not from within the work.
    pub fn cancel(&self) {
        // SAFETY: an initialized work.
        if unsafe { sys::cancel_delayed_work_sync(self.raw.work.get()) } {
            self.unqueued();
        }
    }

    /// The kernel has said that it took the work out of its queue: the share that went with the queueing ends.
    fn unqueued(&self) {
        self.raw.armed.fetch_sub(1, Ordering::Release);
        // SAFETY: `run` did not take this share, and never will.
        drop(unsafe { KArc::<T>::from_raw(self.raw.context.load(Ordering::Acquire)) });
    }
}

impl<T: Send + Sync + 'static> Drop for Work<T> {
    fn drop(&mut self) {
        // Nothing is armed when the value that holds this work is dropped by the work itself.
        if self.raw.armed.load(Ordering::Acquire) != 0 {
            self.cancel();
        }
    }
}
