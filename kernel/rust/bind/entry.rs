//! Loading and unloading.

/// Makes the two functions that the module's C glue calls.
macro_rules! module_entry {
    ($init:path, $exit:path) => {
        #[no_mangle]
        extern "C" fn dm_remap_rust_init() -> core::ffi::c_int {
            $crate::bind::error::to_return($init())
        }

        #[no_mangle]
        extern "C" fn dm_remap_rust_exit() {
            $exit();
        }
    };
}
pub(crate) use module_entry;

extern "C" {
    /// Defined nowhere: a module in which a panic can be reached does not link.
    fn dm_remap_must_not_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: this is never part of a finished module: the build refuses one that refers to the symbol.
    unsafe { dm_remap_must_not_panic() }
}
