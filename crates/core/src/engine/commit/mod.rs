//! Making changes durable: the commit protocol of `docs/format.md`.

mod committer;
pub(in crate::engine) mod copies;
mod readmit;
mod superblocks;
mod table_round;

pub use committer::{Committer, Step, Work};
pub use table_round::{BATCH_BLOCKS, COMMIT_BUFFER_BYTES};
