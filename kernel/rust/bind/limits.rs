//! Queue limits: numbers out of the kernel's structures, and back.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use remap_core::host::limits::Limits as Numbers;

use super::dm_types::Device;
use crate::sys;

/// The queue limits of the mapped device, as dm core stacked them.
pub struct Limits<'a> {
    raw: *mut sys::queue_limits,
    borrow: PhantomData<&'a mut sys::queue_limits>,
}

impl Limits<'_> {
    /// # Safety
    /// `raw` must be limits that the caller may change for the lifetime of the result.
    pub(super) unsafe fn new(raw: *mut sys::queue_limits) -> Self {
        Limits { raw, borrow: PhantomData }
    }

    /// What they are.
    pub fn get(&self) -> Numbers {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: valid by the contract of `new`; the helper writes every field.
        numbers(unsafe {
            sys::dmr_limits_get(self.raw, raw.as_mut_ptr());
            raw.assume_init()
        })
    }

    /// Has them be these. What is not among the numbers stays.
    pub fn put(&mut self, numbers: &Numbers) {
        let raw = fields(numbers);
        // SAFETY: valid by the contract of `new`; the helper only reads the numbers.
        unsafe { sys::dmr_limits_put(self.raw, &raw) }
    }
}

/// The limits of the part of a device that begins at sector `start`, stacked alone. Sleeps.
pub fn of_part(device: &Device, start: u64) -> Numbers {
    let mut raw = MaybeUninit::uninit();
    // SAFETY: the device is open; the helper writes every field.
    numbers(unsafe {
        sys::dmr_limits_of_part(device.bdev(), start, raw.as_mut_ptr());
        raw.assume_init()
    })
}

fn numbers(raw: sys::dmr_limits) -> Numbers {
    Numbers {
        logical_block_bytes: raw.logical_block_size,
        physical_block_bytes: raw.physical_block_size,
        alignment_offset_bytes: raw.alignment_offset,
        io_min_bytes: raw.io_min,
        io_opt_bytes: raw.io_opt,
        max_sectors: raw.max_sectors,
        max_hw_sectors: raw.max_hw_sectors,
        max_dev_sectors: raw.max_dev_sectors,
        max_user_sectors: raw.max_user_sectors,
        chunk_sectors: raw.chunk_sectors,
        max_discard_sectors: raw.max_discard_sectors,
        max_hw_discard_sectors: raw.max_hw_discard_sectors,
        discard_granularity_bytes: raw.discard_granularity,
        discard_alignment_bytes: raw.discard_alignment,
        max_write_zeroes_sectors: raw.max_write_zeroes_sectors,
        max_hw_wzeroes_unmap_sectors: raw.max_hw_wzeroes_unmap_sectors,
        misaligned: raw.misaligned,
        discard_misaligned: raw.discard_misaligned,
    }
}

fn fields(limits: &Numbers) -> sys::dmr_limits {
    sys::dmr_limits {
        logical_block_size: limits.logical_block_bytes,
        physical_block_size: limits.physical_block_bytes,
        alignment_offset: limits.alignment_offset_bytes,
        io_min: limits.io_min_bytes,
        io_opt: limits.io_opt_bytes,
        max_sectors: limits.max_sectors,
        max_hw_sectors: limits.max_hw_sectors,
        max_dev_sectors: limits.max_dev_sectors,
        max_user_sectors: limits.max_user_sectors,
        chunk_sectors: limits.chunk_sectors,
        max_discard_sectors: limits.max_discard_sectors,
        max_hw_discard_sectors: limits.max_hw_discard_sectors,
        discard_granularity: limits.discard_granularity_bytes,
        discard_alignment: limits.discard_alignment_bytes,
        max_write_zeroes_sectors: limits.max_write_zeroes_sectors,
        max_hw_wzeroes_unmap_sectors: limits.max_hw_wzeroes_unmap_sectors,
        misaligned: limits.misaligned,
        discard_misaligned: limits.discard_misaligned,
    }
}
