//! The question of `dmremap format`, asked on a terminal.

mod common;

use common::{Files, MIB};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{grantpt, openpt, ptsname, unlockpt, OpenptFlags};
use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs the tool with a terminal as its input, on which `typed` is typed. Status, and what it wrote to its error output.
fn on_terminal(arguments: &[&str], typed: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let path = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(path.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    File::from(ours.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmremap"));
    let output = command.args(arguments).stdin(theirs).stdout(Stdio::piped()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// End of file, as a terminal gives it.
const CONTROL_D: &str = "\x04";

#[test]
fn s20_a_spare_that_holds_something_is_overwritten_only_after_its_name_was_typed() {
    let files = Files::new(20 * MIB, 8 * MIB);
    let before = vec![1; 8 * MIB];
    fs::write(&files.spare, &before).unwrap();
    let words = ["format", "--force", files.main(), files.spare()];
    let near = &files.spare()[1..];
    for typed in ["\n", "yes\n", "y\n", CONTROL_D, &format!("{near}\n"), &format!("{}\n", files.main())] {
        let (status, said) = on_terminal(&words, typed);
        assert_eq!(status, 1, "{typed:?}: {said}");
        assert!(said.contains("All of it will be lost") && said.contains(files.spare()), "{said}");
        assert!(said.contains("nothing was written"), "{said}");
        assert!(fs::read(&files.spare).unwrap() == before, "{typed:?}");
    }
    let (status, said) = on_terminal(&words, &format!("{}\n", files.spare()));
    assert_eq!(status, 0, "{said}");
    assert_eq!(&fs::read(&files.spare).unwrap()[4096..4104], b"dm-remap");
}

#[test]
fn s20_without_force_a_terminal_does_not_help() {
    let files = Files::new(20 * MIB, 8 * MIB);
    fs::write(&files.spare, vec![1; 8 * MIB]).unwrap();
    let (status, said) =
        on_terminal(&["format", files.main(), files.spare()], &format!("{}\n", files.spare()));
    assert_eq!(status, 4, "{said}");
    assert!(!said.contains("to go on"), "{said}");
}

#[test]
fn a_blank_spare_takes_a_yes() {
    let files = Files::new(20 * MIB, 8 * MIB);
    let words = ["format", files.main(), files.spare()];
    for typed in ["no\n", "\n", CONTROL_D] {
        assert_eq!(on_terminal(&words, typed).0, 1);
        assert!(fs::read(&files.spare).unwrap().iter().all(|&b| b == 0), "{typed:?}");
    }
    assert_eq!(on_terminal(&words, "yes\n").0, 0);
}
