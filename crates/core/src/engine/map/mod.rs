//! The map: its slots, what is on the way into it, and what becomes visible.

pub(in crate::engine) mod changes;
pub mod list;
pub(in crate::engine) mod queue;
pub(in crate::engine) mod slots;
pub(in crate::engine) mod stamp;

mod doubt;
mod hold;
mod publish;
mod removal;
mod retire;
