//! The functions that dm core calls: each turns raw arguments into safe types and calls the trait.
//!
//! In all of them the argument is what dm core documents for the callback: a live `dm_target`
//! whose `private` is the pointer that `ctr` stored there.

use core::ffi::{c_char, c_int, c_uint, c_void};
use core::marker::PhantomData;
use core::mem::{align_of, needs_drop, size_of};
use core::ptr::NonNull;

use super::alloc::KBox;
use super::beside::Beside;
use super::bio::{Bio, Ended, Status};
use super::dm::{Args, CtrError, DeviceVisitor, Limits, StatusKind, StatusText, Target, TargetInfo};
use super::error::to_return;
use super::tie::{Tied, Ties};
use super::Errno;
use crate::sys;

/// The target behind a `dm_target`.
///
/// # Safety
/// `ti` must be a live target of type `T` for which `ctr` succeeded and `dtr` was not called.
#[inline]
unsafe fn target<'a, T>(ti: *mut sys::dm_target) -> &'a T {
    // SAFETY: `private` is the box that `ctr` gave away, alive until `dtr`.
    unsafe { &*(*ti).private.cast::<Tied<T>>() }
}

pub(super) unsafe extern "C" fn ctr<T: Target>(
    ti: *mut sys::dm_target,
    argc: c_uint,
    argv: *mut *mut c_char,
) -> c_int {
    // What is beside a bio is written over when the bio is mapped anew, and goes with it.
    const { assert!(align_of::<T::PerBio>() <= 8 && !needs_drop::<T::PerBio>()) };
    let Some(raw) = NonNull::new(ti) else { return Errno::EINVAL.to_return() };
    // SAFETY: dm core gives `argc` words that live until the constructor returns.
    let args = unsafe { Args::new(argc, argv) };
    let made = construct::<T>(raw, &args);
    match made {
        Ok(target) => {
            // SAFETY: as above; dm core reads both fields only after the constructor.
            unsafe {
                (*ti).private = target.into_raw().cast();
                (*ti).per_io_data_size = size_of::<Beside<T::PerBio>>() as c_uint;
            }
            0
        }
        Err(refused) => {
            // SAFETY: as above; the text is static, and dm core only prints it.
            unsafe { (*ti).error = refused.text.as_ptr().cast_mut() };
            refused.errno.to_return()
        }
    }
}

/// Out of line, so that what is moved here is on the stack no longer than this runs.
#[inline(never)]
fn construct<T: Target>(
    ti: NonNull<sys::dm_target>,
    args: &Args<'_>,
) -> core::result::Result<KBox<Tied<T>>, CtrError> {
    let no_memory = |errno| CtrError { errno, text: c"no memory for the target" };
    let ties = Ties::new().map_err(no_memory)?;
    // SAFETY: the constructor has the target to itself. The ties are dropped here, or with what is made of them, in the destructor.
    let target = T::ctr(&mut unsafe { TargetInfo::new(ti, &ties) }, args)?;
    KBox::new(Tied::new(target, ties)).map_err(no_memory)
}

pub(super) unsafe extern "C" fn dtr<T: Target>(ti: *mut sys::dm_target) {
    // SAFETY: `private` came from `into_raw` in `ctr`, and this is dm core's last call for the target.
    drop(unsafe { KBox::<Tied<T>>::from_raw((*ti).private.cast()) });
}

pub(super) unsafe extern "C" fn map<T: Target>(ti: *mut sys::dm_target, raw: *mut sys::bio) -> c_int {
    // SAFETY: dm core's clone is never null, and is ours until we return or, if it is kept, until it is given back;
    // its data is written before anybody reads it.
    let (target, bio) = unsafe {
        let bio = Bio::<T::PerBio>::new(NonNull::new_unchecked(raw), (*ti).begin);
        bio.place().write(T::PerBio::default());
        (target::<T>(ti), bio)
    };
    target.map(bio).0
}

pub(super) unsafe extern "C" fn end_io<T: Target>(
    ti: *mut sys::dm_target,
    raw: *mut sys::bio,
    error: *mut sys::blk_status_t,
) -> c_int {
    // SAFETY: as in `map`, which has initialized the data; `error` is dm core's variable.
    let (target, bio, status) =
        unsafe { (target::<T>(ti), Bio::new(NonNull::new_unchecked(raw), (*ti).begin), Status(*error)) };
    let Ended(verdict, status) = target.end_io(bio, status);
    // SAFETY: as above.
    unsafe { *error = status.0 };
    verdict
}

pub(super) unsafe extern "C" fn status<T: Target>(
    ti: *mut sys::dm_target,
    kind: sys::status_type_t,
    _flags: c_uint,
    result: *mut c_char,
    room: c_uint,
) {
    let kind = match kind {
        sys::STATUSTYPE_INFO => StatusKind::Info,
        sys::STATUSTYPE_TABLE => StatusKind::Table,
        _ => StatusKind::Ima,
    };
    // SAFETY: dm core gives a buffer of that size for the time of the call, and a live target.
    if let (target, Some(mut text)) = unsafe { (target::<T>(ti), StatusText::new(result, room)) } {
        target.status(kind, &mut text);
    }
}

pub(super) unsafe extern "C" fn message<T: Target>(
    ti: *mut sys::dm_target,
    argc: c_uint,
    argv: *mut *mut c_char,
    result: *mut c_char,
    room: c_uint,
) -> c_int {
    // SAFETY: as in `ctr` and `status`.
    let (target, args, text) =
        unsafe { (target::<T>(ti), Args::new(argc, argv), StatusText::new(result, room)) };
    let Some(mut text) = text else { return Errno::EINVAL.to_return() };
    match target.message(&args, &mut text) {
        // dm core copies the text to the caller only for this value.
        Ok(true) => 1,
        Ok(false) => 0,
        Err(errno) => errno.to_return(),
    }
}

pub(super) unsafe extern "C" fn iterate_devices<T: Target>(
    ti: *mut sys::dm_target,
    call: sys::iterate_devices_callout_fn,
    data: *mut c_void,
) -> c_int {
    let visitor = DeviceVisitor { ti, call, data, borrow: PhantomData };
    // SAFETY: the target is live.
    unsafe { target::<T>(ti) }.iterate_devices(&visitor)
}

pub(super) unsafe extern "C" fn io_hints<T: Target>(ti: *mut sys::dm_target, limits: *mut sys::queue_limits) {
    // SAFETY: the target is live, and dm core's limits are ours to change until we return.
    let (target, mut limits) = unsafe { (target::<T>(ti), Limits::new(limits)) };
    target.io_hints(&mut limits);
}

pub(super) unsafe extern "C" fn presuspend<T: Target>(ti: *mut sys::dm_target) {
    // SAFETY: the target is live.
    unsafe { target::<T>(ti) }.presuspend();
}

pub(super) unsafe extern "C" fn presuspend_undo<T: Target>(ti: *mut sys::dm_target) {
    // SAFETY: the target is live.
    unsafe { target::<T>(ti) }.presuspend_undo();
}

pub(super) unsafe extern "C" fn postsuspend<T: Target>(ti: *mut sys::dm_target) {
    // SAFETY: the target is live.
    unsafe { target::<T>(ti) }.postsuspend();
}

pub(super) unsafe extern "C" fn preresume<T: Target>(ti: *mut sys::dm_target) -> c_int {
    // SAFETY: the target is live.
    to_return(unsafe { target::<T>(ti) }.preresume())
}

pub(super) unsafe extern "C" fn resume<T: Target>(ti: *mut sys::dm_target) {
    // SAFETY: the target is live.
    unsafe { target::<T>(ti) }.resume();
}
