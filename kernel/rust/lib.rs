//! `dm_remap.ko`: the host of `remap_core` inside the Linux kernel.
//!
//! Everything unsafe is in [`bind`], below types that are safe to use; the target itself is plain Rust.
#![no_std]
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod answer;
mod beside;
mod bind;
mod bios;
mod clock;
mod commit_side;
mod commits;
mod devices;
mod open;
mod orders;
mod params;
mod registry;
mod repairs;
mod reply;
mod report;
mod set;
mod state;
mod status;
mod steps;
mod sys;
mod target;
mod waiting;
mod worker;

use bind::registration::Registration;
use target::Remap;

static TARGET: Registration<Remap> = Registration::new();

bind::module_entry!(init, exit);

fn init() -> bind::Result<()> {
    registry::open()?;
    TARGET.register().inspect_err(|_| registry::close())
}

fn exit() {
    TARGET.unregister();
    registry::close();
}
