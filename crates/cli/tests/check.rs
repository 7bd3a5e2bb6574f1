//! Exit statuses of `status --check` where no set can be asked.

mod common;

use common::{dmremap, parse};

#[test]
fn what_cannot_be_told_is_12_and_wrong_arguments_are_1() {
    // As a user without privileges, or without device-mapper; as root there is no set of that name.
    let out = dmremap(&["status", "--check", "no-such-set"]);
    assert_eq!(out.status, 12, "{}{}", out.stdout, out.stderr);
    let out = dmremap(&["--json", "status", "--check", "no-such-set"]);
    assert_eq!(out.status, 12);
    assert_eq!(parse(&out.stdout)["command"], "status");
    assert_eq!(dmremap(&["status", "--check", "a", "b"]).status, 1);
    assert_ne!(dmremap(&["status", "no-such-set"]).status, 12);
}
