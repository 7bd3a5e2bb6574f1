//! Words for what a user types wrongly, and the commands that advice consists of.

mod common;

use common::{dmremap, parse, Files, MIB};
use std::fs;

#[test]
fn wrong_arguments_are_json_where_that_was_asked_for() {
    for (arguments, command, words) in [
        (&["--json", "frobnicate"][..], "", "no verb"),
        (&["status", "--json", "--frobnicate"], "status", "--frobnicate"),
        (&["--json", "list"], "list", "required"),
        (&["--json", "remap", "archive", "ten"], "remap", "ten"),
    ] {
        let out = dmremap(arguments);
        assert_eq!(out.status, 1, "{arguments:?}");
        let json = parse(&out.stdout);
        assert_eq!(
            (json["command"].as_str(), json["error"]["exit_status"].as_u64()),
            (Some(command), Some(1))
        );
        assert!(json["error"]["message"].as_str().unwrap().contains(words), "{json}");
    }
    // Help is no error.
    let help = dmremap(&["--json", "help", "status"]);
    assert!(help.status == 0 && help.stdout.contains("Usage"), "{}", help.stdout);
}

#[test]
fn a_word_that_is_no_verb_is_not_taken_for_format() {
    let out = dmremap(&["frobnicate"]);
    assert_eq!(out.status, 1);
    assert!(!out.stderr.contains("similar") && out.stderr.contains("there is no verb"), "{}", out.stderr);
    assert!(out.stderr.contains("format, open, close"), "{}", out.stderr);
}

#[test]
fn a_file_that_is_no_spare_is_called_a_file() {
    let files = Files::new(20 * MIB, 8 * MIB);
    for arguments in [
        &["list", "--spare", "/etc/passwd"][..],
        &["format", "-q", files.main(), "/etc/passwd"],
        &["table", files.main(), "/etc/passwd"],
    ] {
        let out = dmremap(arguments);
        assert_eq!(out.status, 4, "{arguments:?}: {}", out.stderr);
        let said = &out.stderr;
        assert!(said.contains("/etc/passwd is a file of") && said.contains("check the path"), "{said}");
        assert!(!said.contains("larger device"), "{said}");
    }
}

#[test]
fn the_next_command_after_format_can_be_pasted() {
    let files = Files::new(20 * MIB, 8 * MIB);
    for (label, name) in [("attic", "attic"), ("my attic", "remap-main")] {
        let out = dmremap(&["format", "-q", "--force", "--label", label, files.main(), files.spare()]);
        let wanted = format!("next: dmremap open {} {} {name}\n", files.main(), files.spare());
        assert!(out.stdout.contains(&wanted), "{}", out.stdout);
        fs::write(&files.spare, vec![0; 8 * MIB]).unwrap();
    }
}

#[test]
fn numbers_have_units_wherever_they_are_asked_for() {
    let files = Files::new(40 * MIB, 8 * MIB);
    let out = dmremap(&[
        "--json",
        "format",
        "-q",
        "--main-offset",
        "8M",
        "--slots",
        "0x10",
        files.main(),
        files.main(),
    ]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let json = parse(&out.stdout);
    assert_eq!((json["main"]["offset_sectors"].as_u64(), json["slots"].as_u64()), (Some(16_384), Some(16)));
    for offset in ["16384", "0x4000", "16384s", "8MiB", "8388608B"] {
        let out = dmremap(&["list", "--spare", files.main(), "--main-offset", offset]);
        assert_eq!(out.status, 0, "{offset}: {}", out.stderr);
    }
    let out = dmremap(&["list", "--spare", files.main(), "--main-offset", "8MB"]);
    assert!(out.status == 1 && out.stderr.contains("64s, 1G or 1GiB"), "{}", out.stderr);
    // Both are as the verbs take them, where there is no set either.
    for arguments in [&["query", "no-such-set", "64s"][..], &["remap", "no-such-set", "1G", "0x10"]] {
        assert_ne!(dmremap(arguments).status, 1, "{arguments:?}");
    }
    for arguments in [&["query", "no-such-set", "1X"][..], &["remap", "no-such-set", "1G", "0s"]] {
        assert_eq!(dmremap(arguments).status, 1, "{arguments:?}");
    }
}
