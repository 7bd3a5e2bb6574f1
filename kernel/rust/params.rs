//! Module parameters, read at each decision so that a change at run time holds at once.

use remap_core::engine::{Settings, Topology};

use crate::bind::param;
use crate::devices::Pair;

/// What the engine is to do with these devices.
pub fn settings(pair: &Pair) -> Settings {
    let main = Topology {
        physical_bytes: pair.main.physical_block_bytes(),
        alignment_bytes: pair.main.alignment_bytes(),
        offset_sectors: pair.main_offset,
    };
    let settings = Settings {
        error_threshold: param::error_threshold(),
        auto_remap: param::auto_remap_enabled(),
        production: param::enable_production_mode(),
        slots_max: param::max_remaps(),
        emergency_percent: param::emergency_threshold(),
        read_retries: param::max_retries_production(),
        ..Settings::default()
    };
    settings.on(main)
}
