//! Device-mapper targets: a trait for the callbacks, and the table of functions that calls it.

use core::ffi::{c_int, CStr};
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::bio::{Bio, Ended, Mapped, Status};
use super::held::Settle;
use super::tie::{Tie, Ties};
use super::{Errno, Result};
use crate::sys;

pub use super::dm_types::{Args, CtrError, Device, DeviceVisitor, StatusText};
pub use super::limits::Limits;

/// Feature of a target of which a table has only one.
pub const SINGLETON: u64 = sys::DMR_TARGET_SINGLETON as u64;
/// Feature of a target whose `map` never sleeps.
pub const NOWAIT: u64 = sys::DMR_TARGET_NOWAIT as u64;

/// Which text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// `dmsetup status`.
    Info,
    /// `dmsetup table`.
    Table,
    /// What the integrity measurement log gets.
    Ima,
}

/// What a target offers beyond reads and writes: how many copies of such a bio it wants, 0 for none.
#[derive(Clone, Copy)]
pub struct Offers {
    /// Flushes.
    pub flush_bios: u32,
    /// Discards.
    pub discard_bios: u32,
    /// Secure erases.
    pub secure_erase_bios: u32,
    /// Whether discards are offered though not all devices take them.
    pub always_discard: bool,
    /// Writes of zeroes.
    pub write_zeroes_bios: u32,
    /// Whether flushes are wanted even if no device below has a write cache.
    pub always_flush: bool,
}

impl Offers {
    /// Reads and writes only.
    pub const NONE: Offers = Offers {
        flush_bios: 0,
        discard_bios: 0,
        always_discard: false,
        secure_erase_bios: 0,
        write_zeroes_bios: 0,
        always_flush: false,
    };
}

/// A target under construction.
pub struct TargetInfo<'a> {
    raw: NonNull<sys::dm_target>,
    ties: &'a Ties,
    borrow: PhantomData<&'a mut sys::dm_target>,
}

impl<'a> TargetInfo<'a> {
    /// # Safety
    /// `raw` must be a target that its constructor has to itself for the lifetime of the result, and `ties` be dropped before it is
    /// gone.
    pub(super) unsafe fn new(raw: NonNull<sys::dm_target>, ties: &'a Ties) -> Self {
        TargetInfo { raw, ties, borrow: PhantomData }
    }

    /// First sector of the target in its mapped device.
    pub fn begin(&self) -> u64 {
        // SAFETY: the target is live during its constructor.
        unsafe { self.raw.as_ref() }.begin
    }

    /// Length of the target in sectors.
    pub fn len(&self) -> u64 {
        // SAFETY: as in `begin`.
        unsafe { self.raw.as_ref() }.len
    }

    /// Whether the table may be written through.
    pub fn is_writable(&self) -> bool {
        // SAFETY: as in `begin`; the table lives as long as its target.
        unsafe { sys::dmr_table_is_writable(self.raw.as_ref().table) }
    }

    /// Opens the device that a word names.
    pub fn open(&mut self, args: &Args<'_>, index: usize) -> Result<Device> {
        Device::open(self.raw, args.get(index).ok_or(Errno::EINVAL)?, self.ties.tie())
    }

    /// Says what else than reads and writes may be sent.
    pub fn offer(&mut self, offers: &Offers) {
        // SAFETY: the constructor alone uses the target.
        let ti = unsafe { self.raw.as_mut() };
        ti.num_flush_bios = offers.flush_bios;
        ti.num_discard_bios = offers.discard_bios;
        ti.num_secure_erase_bios = offers.secure_erase_bios;
        ti.num_write_zeroes_bios = offers.write_zeroes_bios;
        ti.set_flush_supported(offers.always_flush);
        ti.set_discards_supported(offers.always_discard);
    }

    /// A handle for events and questions.
    pub fn handle(&self) -> Handle {
        Handle { raw: self.raw, _tie: self.ties.tie() }
    }
}

/// The target as dm core knows it. The target's destructor waits for it.
pub struct Handle {
    raw: NonNull<sys::dm_target>,
    _tie: Tie,
}

// SAFETY: the calls below may come from any thread, and dm core keeps the target until its destructor ends, for which the tie stands.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// Wakes those who wait for an event of the mapped device. Sleeps.
    pub fn event(&self) {
        // SAFETY: the target and its table live as long as the handle's holder, which calls this where sleeping is allowed.
        unsafe { sys::dm_table_event(self.raw.as_ref().table) }
    }

    /// The number of the mapped device.
    pub fn device_number(&self) -> u32 {
        // SAFETY: as in `event`; the mapped device outlives its tables.
        unsafe { sys::dmr_mapped_device_number(self.raw.as_ref().table) }
    }

    /// Whether the device is being suspended without flushing, when a bio may be requeued.
    pub fn is_noflush_suspending(&self) -> bool {
        // SAFETY: as in `event`.
        unsafe { sys::dm_noflush_suspending(self.raw.as_ptr()) != 0 }
    }

    /// The name of the mapped device's node: `MAJOR:MINOR`, written by dm core.
    pub fn device_name(&self) -> &str {
        // SAFETY: dm core keeps the name as long as the mapped device, which outlives its target.
        let name =
            unsafe { CStr::from_ptr(sys::dm_device_name(sys::dm_table_get_md(self.raw.as_ref().table))) };
        name.to_str().unwrap_or("?")
    }
}

/// A device-mapper target. The callbacks come from dm core, which calls `ctr` first and never calls
/// another one after the value was dropped.
pub trait Target: Sized + Send + Sync + 'static {
    /// Kept by dm core beside every bio, from `map`, where it is the default, to its end.
    type PerBio: Settle;
    /// The name in tables.
    const NAME: &'static CStr;
    /// Its version.
    const VERSION: [u32; 3];
    /// Feature flags, `DM_TARGET_*`.
    const FEATURES: u64 = 0;

    /// Builds the target from a table line. May sleep.
    fn ctr(ti: &mut TargetInfo<'_>, args: &Args<'_>) -> core::result::Result<Self, CtrError>;
    /// Directs a bio. Must not sleep, lock or allocate.
    fn map(&self, bio: Bio<'_, Self::PerBio>) -> Mapped;
    /// Sees a bio end; may change its status. Must not sleep.
    fn end_io(&self, bio: Bio<'_, Self::PerBio>, status: Status) -> Ended;
    /// Writes a status text.
    fn status(&self, kind: StatusKind, out: &mut StatusText<'_>);
    /// Names every device it uses.
    fn iterate_devices(&self, visitor: &DeviceVisitor<'_>) -> c_int;
    /// Answers a message: `Ok(true)` if `reply` holds text for the caller.
    fn message(&self, _args: &Args<'_>, _reply: &mut StatusText<'_>) -> Result<bool> {
        Err(Errno::EINVAL)
    }
    /// Suspension begins; I/O may still be in flight.
    fn presuspend(&self) {}
    /// Suspension was given up.
    fn presuspend_undo(&self) {}
    /// Suspended: no I/O is in flight.
    fn postsuspend(&self) {}
    /// About to resume: the first time, this is activation.
    fn preresume(&self) -> Result<()> {
        Ok(())
    }
    /// Resumed.
    fn resume(&self) {}
    /// Adjusts the queue limits that dm core stacked.
    fn io_hints(&self, _limits: &mut Limits<'_>) {}
}
