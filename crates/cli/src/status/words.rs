//! The state of a set in words, each right for a reader who has only this line, with what to do next.

use super::finding::{finding, name, Finding, Verdict};
use super::read::{Presence, Set};
use super::wear;
use crate::output::count;

/// All there is to know, what matters most first; never empty.
pub fn findings(set: &Set) -> Vec<Finding> {
    let mut found = devices(set);
    found.extend(mode(set));
    if set.unknown.is_none() && set.status.mode != "inactive" {
        found.extend(wear::slots(set));
        found.extend(wear::content(set));
    }
    if set.info.suspended && set.status.mode != "inactive" {
        let resume = format!("`dmsetup resume {}`", name(set));
        found.push(finding(
            Verdict::Act,
            "it is suspended: reads and writes wait until it is resumed",
            resume,
        ));
    }
    // Of what matters alike the first stays first.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    if found.is_empty() {
        found.push(good(set));
    }
    found
}

/// How to open the set anew: `umount` is left to the reader, who knows what is mounted.
fn reopen(set: &Set) -> String {
    let close = format!("`dmremap close {}`", name(set));
    match set.open_command() {
        Some(open) => format!("{close}, then `{open}`"),
        None => format!("{close}, and open it again by the paths that main and spare have now"),
    }
}

fn good(set: &Set) -> Finding {
    let free = match (set.free_slots(), set.status.total_slots) {
        (Some(free), Some(total)) => format!("; {free} of {} free", count(total, "slot")),
        _ => String::new(),
    };
    match set.info.readonly {
        true => {
            finding(Verdict::Good, "read-only: everything is served from where it is, nothing is written", "")
        }
        false => finding(Verdict::Good, format!("bad sectors are replaced{free}"), ""),
    }
}

/// Devices below that do not answer, whatever the mode says: it changes only with I/O.
fn devices(set: &Set) -> Vec<Finding> {
    let mut found = Vec::new();
    let absent = |presence: &Presence, which: &str, path: String| match presence {
        Presence::Present => None,
        Presence::Gone => Some(format!("{which} is gone: the kernel has no device {path} any more")),
        Presence::Offline(state) => Some(format!("{which}, {path}, is {state}: the kernel sends it nothing")),
        Presence::Silent => {
            Some(format!("{which}, {path}, does not answer: none of its superblocks can be read"))
        }
    };
    let back =
        |which: &str| format!("look after the cable and power of {which}; when it is back, {}", reopen(set));
    if let Some(what) = absent(&set.main_presence, "main", set.main()) {
        let what = format!("{what}; reads and writes of all that is not on the spare fail");
        found.push(finding(Verdict::Act, what, back("main")));
    }
    if let Some(what) = absent(&set.spare_presence, "the spare", set.spare()) {
        let what = format!("{what}; what lives on it cannot be read, and no further bad sector is replaced");
        found.push(finding(Verdict::Act, what, back("the spare")));
    }
    found
}

/// What the mode means, where it is not that all is well.
fn mode(set: &Set) -> Option<Finding> {
    let s = &set.status;
    let resume = format!("`dmremap resume {}`", name(set));
    let finding = match (s.mode.as_str(), s.reason.as_deref()) {
        ("rw", _) => return None,
        ("unknown", _) => {
            let why = set.unknown.as_ref();
            let what = why.map_or_else(|| "its state is not known".into(), |why| why.what.clone());
            finding(Verdict::Unknown, what, why.map_or("", |why| &why.next))
        }
        ("inactive", _) => {
            let what =
                "it was never put into service, since an `open` was cut off: nothing is read or written";
            finding(Verdict::Act, what, reopen(set))
        }
        ("linear", _) => {
            let what =
                "opened with --linear: what is on the spare is served, and no further bad sector is replaced";
            finding(Verdict::Look, what, format!("to have them replaced, with the module: {}", reopen(set)))
        }
        ("degraded", _) => {
            let what = format!("bad sectors are replaced, but {}", copies(set));
            let next = format!("look after the spare's cable and power; {resume} writes the others anew");
            finding(Verdict::Look, what, next)
        }
        ("no-remap", reason) => no_remap(set, reason, &resume),
        ("fail", reason) => fail(set, reason, &resume),
        (other, _) => {
            let what = format!("its mode \"{other}\" is none that this version knows");
            finding(Verdict::Unknown, what, "install tool and module of one version")
        }
    };
    Some(finding)
}

/// `only 1 of 5 copies of the map is in sync`.
fn copies(set: &Set) -> String {
    match (set.status.copies_in_sync, set.status.copies) {
        (Some(1), Some(of)) => format!("only 1 of {of} copies of the map is in sync"),
        (Some(some), Some(of)) => format!("only {some} of {of} copies of the map are in sync"),
        _ => "not all copies of the map are in sync".into(),
    }
}

fn no_remap(set: &Set, reason: Option<&str>, resume: &str) -> Finding {
    const SO: &str = "no further bad sector is replaced";
    let (what, next) = match reason {
        Some("breaker") => (
            format!("{SO}: too many writes failed at once, as when main is pulled. Writes that fail are errors"),
            format!("look after main's cable and power. Replacing goes on when main takes writes again; {resume} asks at once"),
        ),
        Some("commit-failed") => (
            format!("{SO}: the map could not be written to the spare. Writes to what was being replaced fail"),
            format!("look after the spare's cable and power, then {resume}; if that does not help, copy the data off"),
        ),
        Some("copies") => (
            format!("{SO}: {}, and a map needs two", copies(set)),
            format!("look after the spare's cable and power, then {resume}; if that does not help, copy the data off"),
        ),
        Some("features") => (
            format!("{SO}: the set has features that this module does not know. What is mapped is served"),
            "install the dm-remap that the set was last open with, or a newer one".into(),
        ),
        Some(other) => (
            format!("{SO}, for a reason that this version does not know: {other}"),
            "install tool and module of one version".into(),
        ),
        None => (format!("{SO}. What is mapped is served"), format!("copy the data off, or try {resume}")),
    };
    finding(Verdict::Act, what, next)
}

fn fail(set: &Set, reason: Option<&str>, resume: &str) -> Finding {
    let (what, next) = match reason {
        Some("flush-failed") => (
            "writes are refused: a flush failed, and what was written last may be missing. Reads are served"
                .into(),
            format!("check the content (fsck, for a filesystem), then {resume} to accept writes again"),
        ),
        // The line is told at every level, and never kept back.
        Some("invariant") => (
            "reads and writes are refused: the module found its own state broken".to_string(),
            format!("report the line that `dmesg | grep 'broken invariant'` prints; {}", reopen(set)),
        ),
        Some(other) => (
            format!("writes are refused, for a reason that this version does not know: {other}"),
            "install tool and module of one version".into(),
        ),
        None => ("writes are refused".into(), format!("check the content, then {resume}")),
    };
    finding(Verdict::Act, what, next)
}
