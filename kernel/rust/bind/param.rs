//! Module parameters: variables of the C glue that the administrator may change at any time.

use crate::sys;

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident: $raw:ident -> $type:ty = $convert:expr;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> $type {
            // SAFETY: an aligned integer that sysfs stores as a whole; volatile, since it changes behind our back.
            let value = unsafe { (&raw const sys::$raw).read_volatile() };
            $convert(value)
        }
    )*};
}

parameters! {
    /// What is logged, 0 to 3.
    debug_level: dmr_debug_level -> u32 = |v| v;
    /// Failed attempts on a physical block before it counts as bad, 1 to 100.
    error_threshold: dmr_error_threshold -> u32 = |v| v;
    /// Whether failed writes are remapped.
    auto_remap_enabled: dmr_auto_remap_enabled -> bool = |v| v;
    /// Whether the breaker may open.
    enable_production_mode: dmr_enable_production_mode -> bool = |v| v;
    /// Most slots in use on a device; 0: all.
    max_remaps: dmr_max_remaps -> u32 = |v| v;
    /// Percent of slots in use from which on the spare counts as nearly full, 1 to 100.
    emergency_threshold: dmr_emergency_threshold -> u32 = |v| v;
    /// Retries of a block that fails a read, 0 to 100.
    max_retries_production: dmr_max_retries_production -> u32 = |v| v;
}
