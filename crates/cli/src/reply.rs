//! Replies of the target to messages: lines of `key=value`. Keys that are not known are skipped.

use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::set::dm_failure;
use std::io;

/// The value of a key in a line.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.find(|(k, _)| *k == key).map(|(_, v)| v)
}

/// The number that a key has in a line.
pub fn number(line: &str, key: &str) -> Option<u64> {
    value(line, key)?.parse().ok()
}

/// A reply that lacks what the interface promises.
pub fn not_understood(name: &str, reply: &str) -> Failure {
    let what = format!("the answer of {name} is not understood: \"{}\"", reply.trim_end());
    Failure::new(Kind::Device, what, "install tool and module of one version")
}

/// Sends a message and returns the reply. `doing` reads like "move sector 8 of archive".
pub fn ask(dm: &dyn Dm, name: &str, message: &str, doing: &str) -> Result<String> {
    dm.message(name, message).map_err(|e| explain(dm, name, doing, &e))
}

const ENXIO: i32 = 6;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;
const EROFS: i32 = 30;

fn explain(dm: &dyn Dm, name: &str, doing: &str, error: &io::Error) -> Failure {
    let mut failure = dm_failure(doing, error, dm);
    match error.raw_os_error() {
        Some(EROFS) => {
            failure.what = format!("cannot {doing}: it is read-only, or its mode forbids changes of the map");
            failure.next = format!("`dmremap status {name}` tells which, and what to do");
        }
        Some(ENXIO) => {
            failure.next = format!("it was never resumed: `dmsetup resume {name}`, or close and open it")
        }
        Some(EAGAIN) => failure.next = format!("it is suspended: `dmsetup resume {name}`, then ask again"),
        Some(EINVAL) => failure.next = "the module may be older than this tool: install both anew".into(),
        _ => {}
    }
    failure
}
