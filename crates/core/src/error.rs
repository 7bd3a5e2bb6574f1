//! Kinds of error that a block device reports, and what each means for repair (S14, S15).

/// Why a device failed a request, as the block layer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The medium: unreadable or unwritable sector.
    Medium,
    /// Unspecific I/O error; time-outs, offline disks and write faults arrive like this.
    Io,
    /// The target failed: hardware or identity errors.
    Target,
    /// The way to the device failed.
    Transport,
    /// Held by another host (reservation).
    Reservation,
    /// No room (thin provisioning below).
    NoSpace,
    /// Integrity metadata does not match.
    Protection,
    /// The device cannot do this.
    NotSupported,
    /// The request is malformed for the device.
    Invalid,
    /// Would have blocked.
    Again,
    /// No memory or another resource was short.
    Resource,
    /// The block layer's own time-out.
    Timeout,
    /// The device is gone.
    Offline,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// From the errno that the kernel gives for a block status (`blk_errors` in block/blk-core.c).
    pub const fn from_errno(errno: i32) -> ErrorKind {
        match errno.unsigned_abs() {
            61 => ErrorKind::Medium,
            5 => ErrorKind::Io,
            121 => ErrorKind::Target,
            67 => ErrorKind::Transport,
            52 => ErrorKind::Reservation,
            28 => ErrorKind::NoSpace,
            84 => ErrorKind::Protection,
            95 => ErrorKind::NotSupported,
            22 => ErrorKind::Invalid,
            11 => ErrorKind::Again,
            12 | 16 => ErrorKind::Resource,
            110 => ErrorKind::Timeout,
            19 => ErrorKind::Offline,
            _ => ErrorKind::Other,
        }
    }

    /// As the block layer names it, the reverse of [`ErrorKind::from_errno`]. Kinds for which a bio has no word of its own become an I/O error.
    pub const fn to_errno(self) -> i32 {
        match self {
            ErrorKind::Medium => 61,
            ErrorKind::Target => 121,
            ErrorKind::Transport => 67,
            ErrorKind::NoSpace => 28,
            ErrorKind::Protection => 84,
            ErrorKind::NotSupported => 95,
            ErrorKind::Invalid => 22,
            ErrorKind::Again => 11,
            ErrorKind::Resource => 12,
            ErrorKind::Timeout => 110,
            ErrorKind::Io | ErrorKind::Reservation | ErrorKind::Offline | ErrorKind::Other => 5,
        }
    }

    /// Whether the error can mean that the medium is bad here, so that a write may be repaired (S14). All others are passed
    /// up as they are (S15).
    pub const fn can_mean_medium(self) -> bool {
        matches!(self, ErrorKind::Medium | ErrorKind::Io | ErrorKind::Target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_medium_io_and_target_errors_may_be_repaired() {
        for errno in [-61, -5, -121] {
            assert!(ErrorKind::from_errno(errno).can_mean_medium(), "{errno}");
        }
    }

    #[test]
    fn s15_an_error_of_core_keeps_its_kind_on_the_way_up() {
        use ErrorKind::*;
        for kind in [
            Medium,
            Io,
            Target,
            Transport,
            NoSpace,
            Protection,
            NotSupported,
            Invalid,
            Again,
            Resource,
            Timeout,
        ] {
            assert_eq!(ErrorKind::from_errno(kind.to_errno()), kind);
        }
        for kind in [Reservation, Offline, Other] {
            assert_eq!(ErrorKind::from_errno(kind.to_errno()), Io);
        }
    }

    #[test]
    fn s15_no_other_error_is_ever_repaired() {
        for errno in (0..=140).filter(|e| ![61, 5, 121].contains(e)) {
            assert!(!ErrorKind::from_errno(-errno).can_mean_medium(), "{errno}");
        }
    }
}
