//! What a repair context does: failed writes, failed reads, and what an administrator ordered.

pub mod host;
pub mod machine;
pub mod order;
pub mod protocol;
pub mod repair;
pub mod reread;

mod beside;
mod place;
mod sweep;
mod window;
