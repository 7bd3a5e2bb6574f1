//! Replies to messages.

use core::fmt;

use crate::bind::Errno;

/// A reply that does not fit is an error of the caller's buffer, never cut off in silence.
pub fn whole(written: fmt::Result) -> Result<(), Errno> {
    written.map_err(|_| Errno::ENOSPC)
}
