//! Health on the spare: blocks of kind 3 (docs/format.md, Health). Nothing here does I/O.
//!
//! A block stands alone: it is valid, or it is dropped, whatever becomes of the others. Each has two places in each of two copies, written in
//! turn, so that a save that is cut off costs nothing.

mod body;
mod findings;
mod head;
mod header;
pub(super) mod layout;
mod load;
mod save;
mod tag;
mod why;

pub use findings::{Finding, What};
pub use layout::{
    BlockState, Layout, Store, BLOCKS_MAX, BODY_BYTES, FAILURES_MAX, LAZY_EVERY, ZONES_PER_BLOCK,
};
pub use load::{Loader, Report};
pub use save::{may_save, Save, SaveKind};
pub use why::Why;
