//! Which error goes up when a repair has ended (S15).

use crate::error::ErrorKind;

/// How a bio ends; `S` is the host's own word for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesUp<S> {
    /// Well.
    Ok,
    /// With a status that a device gave.
    Status(S),
    /// With an error of core's own.
    Kind(ErrorKind),
}

/// How a bio ends of which the machine says `verdict`: it failed with `failed` when it was sent, and `last` is what a device said last to
/// the repair that was not good. What a device said itself goes up as it was.
pub fn goes_up<S>(
    verdict: Result<(), ErrorKind>,
    failed: (S, ErrorKind),
    last: Option<(S, ErrorKind)>,
) -> GoesUp<S> {
    match (verdict, last) {
        (Ok(()), _) => GoesUp::Ok,
        (Err(kind), _) if kind == failed.1 => GoesUp::Status(failed.0),
        (Err(kind), Some((status, of))) if of == kind => GoesUp::Status(status),
        (Err(kind), _) => GoesUp::Kind(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s15_what_the_device_said_of_the_bio_goes_up_as_it_was() {
        let failed = ("first", ErrorKind::Io);
        assert_eq!(goes_up(Err(ErrorKind::Io), failed, None), GoesUp::Status("first"));
        // Of two that core cannot tell apart, the one that the bio met itself.
        assert_eq!(
            goes_up(Err(ErrorKind::Io), failed, Some(("last", ErrorKind::Io))),
            GoesUp::Status("first")
        );
    }

    #[test]
    fn s15_what_a_device_said_to_the_repair_goes_up_as_it_was() {
        let failed = ("first", ErrorKind::Io);
        let last = Some(("last", ErrorKind::NoSpace));
        assert_eq!(goes_up(Err(ErrorKind::NoSpace), failed, last), GoesUp::Status("last"));
        assert_eq!(goes_up(Err(ErrorKind::Medium), failed, last), GoesUp::Kind(ErrorKind::Medium));
    }

    #[test]
    fn s05_a_repair_that_stored_everything_leaves_no_error() {
        let failed = ("first", ErrorKind::Medium);
        assert_eq!(goes_up(Ok(()), failed, Some(("last", ErrorKind::Medium))), GoesUp::Ok);
    }
}
