//! `dm_remap.ko`: the host of `remap_core` inside the Linux kernel.
//!
//! Everything unsafe is in [`bind`], below types that are safe to use; the target itself is plain Rust.
#![no_std]
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod answer;
mod bind;
mod bios;
mod commits;
mod open;
mod orders;
mod params;
mod registry;
mod repairs;
mod report;
mod set;
mod status;
mod sys;
mod target;

use bind::dm::Registration;
use bind::once::Once;
use registry::Registry;
use target::Remap;

static TARGET: Registration<Remap> = Registration::new();
static REGISTRY: Once<Registry> = Once::new();

bind::module_entry!(init, exit);

fn init() -> bind::Result<()> {
    REGISTRY.set(Registry::new()?);
    TARGET.register().inspect_err(|_| REGISTRY.clear())
}

fn exit() {
    TARGET.unregister();
    REGISTRY.clear();
}

/// The list of live mappings; there as long as the target is registered.
fn registry() -> bind::Result<&'static Registry> {
    REGISTRY.get().ok_or(bind::Errno::ENODEV)
}
