//! Random numbers.

use crate::sys;

/// Fills an array from the kernel's generator.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: the helper writes exactly the array.
    unsafe { sys::dmr_random(bytes.as_mut_ptr().cast(), N) };
    bytes
}
