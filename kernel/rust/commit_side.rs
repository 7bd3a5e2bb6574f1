//! The committer with what it works in.

use remap_core::engine::commit::{Committer, BATCH_BLOCKS};
use remap_core::format::COPIES_MAX;
use remap_core::io::IoRequest;

use crate::bind::alloc::{KBox, KSlice};
use crate::bind::io::PageBuf;
use crate::bind::Result;

/// Most requests of a round: every block of a batch to every copy but the first.
pub const ROUND_MAX: usize = BATCH_BLOCKS * (COPIES_MAX as usize - 1);

/// The committer with its buffer; the holder of the lock drives it.
pub struct CommitSide {
    /// What is driven.
    pub committer: Committer,
    /// Its buffer.
    pub buffer: PageBuf,
    /// The requests of the round under way; here, since the kernel's stack is small.
    pub round: KSlice<Option<(IoRequest, u8)>>,
}

impl CommitSide {
    /// A committer with nothing to do, on the heap: it is large.
    #[inline(never)]
    pub fn new(buffer: PageBuf) -> Result<KBox<CommitSide>> {
        KBox::new(CommitSide { committer: Committer::new(), buffer, round: KSlice::filled(ROUND_MAX, None)? })
    }
}
