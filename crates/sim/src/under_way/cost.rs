//! What failed writes have cost.

use remap_core::units::Slot;

/// Content that a write did not carry and made unreadable.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The sector of the mapped device.
    pub(crate) sector: u64,
    /// Where it lived, in this slot or on main.
    pub(crate) slot: Option<Slot>,
    /// Whose write it was.
    pub(crate) context: usize,
}
