//! The block layer's status codes and core's kinds of error.

use remap_core::error::ErrorKind;

use crate::bind::bio::Status;

/// What core makes of a status; `Ok` for success.
pub fn result_of(status: Status) -> Result<(), ErrorKind> {
    match status.to_errno() {
        None => Ok(()),
        Some(errno) => Err(ErrorKind::from_errno(errno.number())),
    }
}

/// The status for an error that core decided on.
pub fn status_of(error: ErrorKind) -> Status {
    Status::of_errno(error.to_errno())
}
