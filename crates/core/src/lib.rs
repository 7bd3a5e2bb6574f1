//! Every decision of dm-remap, and nothing else: no I/O, no clock, no allocation.
//!
//! Hosts (the kernel module, the tool, the simulator) carry out what the state machines here ask for and report what came
//! of it. `ARCHITECTURE.md` has the overview, `docs/format.md` and `docs/lookup.md` the two structures that everything
//! else rests on.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod crc32c;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod extent;
pub mod format;
pub mod gate;
pub mod health;
pub mod host;
pub mod io;
pub mod lookup;
pub mod path;
pub mod pending;
pub mod placement;
pub mod units;
