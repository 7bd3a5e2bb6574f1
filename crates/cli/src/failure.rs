//! What went wrong, where, and what to do next; and the exit status that goes with it.

use std::fmt;
use std::io;
use std::path::Path;

/// Exit statuses, the same as those of cryptsetup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong parameters, or a question that was answered with no.
    Parameters = 1,
    /// No permission.
    Permission = 2,
    /// Out of memory.
    Memory = 3,
    /// A device that is missing, cannot be used, does not fit or fails.
    Device = 4,
    /// A device or name that exists already or is busy.
    Busy = 5,
}

/// A failure of a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit status.
    pub kind: Kind,
    /// What is wrong and where.
    pub what: String,
    /// What to do next; may be empty.
    pub next: String,
}

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with advice.
    pub fn new(kind: Kind, what: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { kind, what: what.into(), next: next.into() }
    }

    /// A failure of a call to the system: `doing` reads like "cannot read /dev/sdb".
    pub fn system(doing: impl fmt::Display, error: &io::Error) -> Failure {
        let (kind, next) = match error.kind() {
            io::ErrorKind::PermissionDenied => (Kind::Permission, "run it as root"),
            io::ErrorKind::OutOfMemory => (Kind::Memory, "free some memory and try again"),
            io::ErrorKind::ResourceBusy => (Kind::Busy, "unmount or close what uses it, then try again"),
            io::ErrorKind::AlreadyExists => (Kind::Busy, "choose another name"),
            io::ErrorKind::NotFound => (Kind::Device, "check the path"),
            _ if is_of_device(error) => (Kind::Device, "`dmesg` tells which sector of which device failed"),
            _ => (Kind::Device, ""),
        };
        Failure::new(kind, format!("{doing}: {}", plain(error)), next)
    }

    /// As [`Failure::system`], for a path.
    pub fn path(doing: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::system(format_args!("cannot {doing} {}", path.display()), error)
    }
}

/// Whether the block layer says something of it in the kernel log: EIO, ENODATA and EREMOTEIO.
fn is_of_device(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(5 | 61 | 121))
}

/// The text of an error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.next.is_empty() {
            write!(f, "\n  next: {}", self.next)?;
        }
        Ok(())
    }
}
