//! What the administrator chooses.

use crate::units::SECTOR_BYTES;

/// What the administrator may choose; the kernel's module parameters of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failed attempts on one physical block of main before it counts as bad, 1 to 100.
    pub error_threshold: u32,
    /// Whether failed writes are repaired at all.
    pub auto_remap: bool,
    /// Most slots in use; 0 for all.
    pub slots_max: u32,
    /// Slots in use, in percent, from which on the spare counts as nearly full, 1 to 100.
    pub emergency_percent: u32,
    /// Time for narrowing one failed bio, in milliseconds; what has not proved good by then goes to slots.
    pub repair_deadline_ms: u64,
    /// Retries of a block that fails a read, after the first read of it alone, 0 to 100.
    pub read_retries: u32,
    /// Time for narrowing one failed read, in milliseconds; what has not been read well by then is an error.
    pub read_deadline_ms: u64,
    /// How long a block of main that was found unreadable is known to be, in milliseconds: until then it is not retried (S34).
    pub reread_after_ms: u64,
    /// How old a success elsewhere on main may be to be evidence that main takes writes, in milliseconds.
    pub evidence_window_ms: u64,
    /// Whether the breaker may open. Not in a laboratory.
    pub production: bool,
    /// How long the breaker stays open at least, in milliseconds; not less than `evidence_window_ms`.
    pub breaker_pause_ms: u64,
    /// Physical block of main in sectors: the unit in which it fails. A power of two. It stays as it is from the first job on.
    pub physical_sectors: u32,
    /// Where on main the first physical block begins that does not begin before it, in sectors, less than `physical_sectors`. Likewise.
    pub alignment_sectors: u32,
    /// Time from an activation or an eviction to the first attempt to bring evicted copies back, in milliseconds.
    pub readmit_after_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            error_threshold: 3,
            auto_remap: true,
            slots_max: 0,
            emergency_percent: 90,
            repair_deadline_ms: 30_000,
            read_retries: 5,
            read_deadline_ms: 30_000,
            reread_after_ms: 300_000,
            evidence_window_ms: 5000,
            production: true,
            breaker_pause_ms: 30_000,
            physical_sectors: 8,
            alignment_sectors: 0,
            readmit_after_ms: 60_000,
        }
    }
}

/// What a host knows of the physical blocks of main's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Length of a physical block in bytes.
    pub physical_bytes: u32,
    /// From the beginning of the device to its first physical block that does not begin before, in bytes: what Linux calls its alignment offset.
    /// `None`: the device cannot say.
    pub alignment_bytes: Option<u32>,
    /// Where main begins on the device, in sectors.
    pub offset_sectors: u64,
}

impl Settings {
    /// The settings for a main of this topology.
    pub fn on(self, main: Topology) -> Settings {
        let physical_sectors = (main.physical_bytes / SECTOR_BYTES).max(1);
        let aligned = u64::from(main.alignment_bytes.unwrap_or(0) / SECTOR_BYTES);
        let physical = u64::from(physical_sectors).max(1);
        let behind = main.offset_sectors % physical;
        let alignment = (aligned % physical).saturating_add(physical).saturating_sub(behind) % physical;
        Settings { physical_sectors, alignment_sectors: alignment as u32, ..self }
    }
}
