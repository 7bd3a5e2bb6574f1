//! Module parameters, read at each decision so that a change at run time holds at once.

use remap_core::engine::Settings;

use crate::bind::param;

/// What the engine is to do, for a main with this physical block.
pub fn settings(physical_block_bytes: u32) -> Settings {
    Settings {
        error_threshold: param::error_threshold(),
        auto_remap: param::auto_remap_enabled(),
        production: param::enable_production_mode(),
        slots_max: param::max_remaps(),
        emergency_percent: param::emergency_threshold(),
        read_retries: param::max_retries_production(),
        physical_sectors: (physical_block_bytes / remap_core::units::SECTOR_BYTES).max(1),
        ..Settings::default()
    }
}
