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
    match error {
        ErrorKind::Medium => Status::MEDIUM,
        ErrorKind::Target => Status::TARGET,
        ErrorKind::Transport => Status::TRANSPORT,
        ErrorKind::NoSpace => Status::NOSPC,
        ErrorKind::Protection => Status::PROTECTION,
        ErrorKind::NotSupported => Status::NOTSUPP,
        ErrorKind::Invalid => Status::INVAL,
        ErrorKind::Again => Status::AGAIN,
        ErrorKind::Resource => Status::RESOURCE,
        ErrorKind::Timeout => Status::TIMEOUT,
        ErrorKind::Io | ErrorKind::Reservation | ErrorKind::Offline | ErrorKind::Other => Status::IOERR,
    }
}
