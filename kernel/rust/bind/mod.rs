//! Safe types over the kernel's interface: the only place with `unsafe` code.
//!
//! Rules for this layer: it decides nothing, each `unsafe` block argues from facts about the
//! kernel, and what it hands out can't be misused by safe code in a way that breaks memory.

pub mod alloc;
pub mod arc;
mod beside;
pub mod bio;
pub mod dm;
pub(crate) mod dm_calls;
pub mod dm_types;
mod entry;
pub mod error;
pub mod held;
pub mod io;
pub mod limits;
pub mod once;
pub mod param;
pub mod print;
pub mod random;
pub mod registration;
pub mod store;
pub mod sync;
mod tie;
pub mod time;
pub mod work;

pub(crate) use entry::module_entry;
pub use error::{Errno, Result};
