//! What a set has used up and lost, in words.

use super::finding::{finding, name, Finding, Verdict};
use super::read::Set;
use crate::output::count;

/// How much room is left on the spare.
pub fn slots(set: &Set) -> Vec<Finding> {
    let s = &set.status;
    let mut found = Vec::new();
    if let (Some(free), Some(total)) = (set.free_slots(), s.total_slots.filter(|&n| n > 0)) {
        let percent = (total.saturating_sub(free)).saturating_mul(100) / total;
        let next = format!(
            "copy the data off, or make room: `dmremap release --all {}` moves back what main takes again",
            name(set)
        );
        let left = || {
            let (slots, groups) = (count(total, "slot"), count(free, "further group"));
            format!("{percent} % of the {slots} are taken: {groups} of 4 KiB can be replaced")
        };
        if free == 0 {
            let what = format!(
                "all of {} taken: the next bad sector is not replaced, and writing it fails",
                of_slots(total)
            );
            found.push(finding(Verdict::Act, what, next));
        } else if percent >= set.emergency_percent {
            found.push(finding(Verdict::Act, left(), next));
        } else if percent >= 75.min(set.emergency_percent) {
            found.push(finding(Verdict::Look, left(), next));
        }
    }
    if let Some(retired) = s.retired_slots.filter(|&n| n > 0) {
        let what = match retired {
            1 => "1 slot of the spare failed and is given up: the spare has bad sectors too".into(),
            n => format!("{n} slots of the spare failed and are given up: the spare has bad sectors too"),
        };
        found.push(finding(
            Verdict::Look,
            what,
            "get another disk ready, and copy the data off while it is served",
        ));
    }
    found
}

fn of_slots(total: u64) -> String {
    if total == 1 {
        "the one slot is".into()
    } else {
        format!("the {total} slots are")
    }
}

/// `1 slot was`, `2 slots were`.
fn were(number: u64, thing: &str) -> String {
    format!("{} {}", count(number, thing), if number == 1 { "was" } else { "were" })
}

/// Content that cannot be read, and writes that were not stored.
pub fn content(set: &Set) -> Vec<Finding> {
    let (s, name) = (&set.status, name(set));
    let mut found = Vec::new();
    let mut look = |what: String, next: String| found.push(finding(Verdict::Look, what, next));
    if let Some(failed) = s.repairs_failed.filter(|&n| n > 0) {
        let what = format!(
            "{} stored nowhere and failed, since it was opened or its counts were reset",
            were(failed, "write")
        );
        look(
            what,
            format!("check what is above it (fsck, for a filesystem), then `dmremap reset-stats {name}`"),
        );
    }
    if let Some(lost) = s.lost_sectors.filter(|&n| n > 0) {
        let what =
            format!("{}: reading {} is an error until {} written", lost_of(lost), them(lost), they_are(lost));
        look(what, format!("`dmremap list {name}` names them; restore what lay there from a backup"));
    }
    if let Some((n, thing)) = pending(set) {
        let what =
            format!("main cannot read {}: that is an error until {} written", count(n, thing), they_are(n));
        let next = "restore from a backup what lay there: a write heals them. `dmesg | grep unreadable` names those that the \
                    kernel log still has";
        look(what, next.into());
    }
    found
}

/// How much of main failed a read and was not written since, and in what unit; `None` where nothing did or it is not told.
pub fn pending(set: &Set) -> Option<(u64, &'static str)> {
    let blocks = set.status.pending_blocks.filter(|&n| n > 0)?;
    Some(set.pending_sectors().map_or((blocks, "logical block"), |sectors| (sectors, "sector")))
}

fn lost_of(lost: u64) -> String {
    match lost {
        1 => "the content of 1 sector is lost".into(),
        n => format!("the content of {n} sectors is lost"),
    }
}

fn them(number: u64) -> &'static str {
    if number == 1 {
        "it"
    } else {
        "them"
    }
}

fn they_are(number: u64) -> &'static str {
    if number == 1 {
        "it is"
    } else {
        "they are"
    }
}
