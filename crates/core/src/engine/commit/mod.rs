//! Making changes durable: the commit protocol of `docs/format.md`.

pub(in crate::engine) mod block_state;
mod committer;
mod copies;
mod readmit;
mod superblocks;
mod table_round;

pub use committer::{Committer, Step, Work};
pub use table_round::{BATCH_BLOCKS, COMMIT_BUFFER_BYTES};
