//! Sets as text.

use super::finding::{Finding, Verdict};
use super::read::{Presence, Set};
use super::wear;
use crate::output::{columns, count, size};
use crate::table::Status;

/// A number, or a dash for one that is not known.
fn shown(number: Option<u64>) -> String {
    number.map_or("-".into(), |n| n.to_string())
}

/// All sets in a table, and below it what is to be known of those that are not well.
pub fn overview(sets: &[(Set, Vec<Finding>)]) -> String {
    let header =
        ["NAME", "MODE", "VERDICT", "USED/SLOTS", "LOST", "PENDING", "SIZE", "MAIN", "SPARE", "LABEL"];
    let row = |(set, findings): &(Set, Vec<Finding>)| {
        let s = &set.status;
        vec![
            set.info.name.clone(),
            s.mode.clone(),
            super::json::verdict(findings).to_string(),
            format!("{}/{}", shown(s.used_slots), shown(s.total_slots)),
            shown(s.lost_sectors),
            shown(set.pending_sectors().or(s.pending_blocks)),
            size(set.sectors),
            set.main(),
            set.spare(),
            set.label().into(),
        ]
    };
    let mut text = columns(&header, &sets.iter().map(row).collect::<Vec<_>>());
    for (set, findings) in sets {
        text += &check_lines(set, findings, false);
    }
    text
}

/// A line for each thing to know, as `status --check` prints it; `all`: also that all is well.
pub fn check_lines(set: &Set, findings: &[Finding], all: bool) -> String {
    let name = &set.info.name;
    let told = findings.iter().filter(|f| all || f.verdict != Verdict::Good);
    told.map(|f| format!("{name}: {}: {}\n{}", f.verdict, f.what, next(f, "  "))).collect()
}

fn next(finding: &Finding, indent: &str) -> String {
    match finding.next.as_str() {
        "" => String::new(),
        next => format!("{indent}next: {next}\n"),
    }
}

/// What happened since activation and shows nowhere else; nothing is said of what did not happen.
fn happened(status: &Status) -> String {
    let counts = [
        ("copies evicted", status.evictions),
        ("copies back in sync", status.readmissions),
        ("commits failed", status.commits_failed),
        ("flushes failed", status.flushes_failed),
        ("breaker opened", status.breaker_openings),
        ("sectors became suspect", status.suspected_sectors),
        ("log lines dropped", status.log_lines_dropped),
    ];
    let some = counts.iter().filter_map(|(what, count)| Some((what, count.filter(|n| *n != 0)?)));
    some.map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ")
}

/// One set in full.
pub fn details(set: &Set, findings: &[Finding]) -> String {
    let s = &set.status;
    let mode = s.reason.as_ref().map_or_else(|| s.mode.clone(), |reason| format!("{}, {reason}", s.mode));
    let mut text = format!("/dev/mapper/{}\n  mode    {mode}\n", set.info.name);
    for f in findings {
        text += &format!("  {}: {}\n{}", f.verdict, f.what, next(f, "    "));
    }
    for (name, value) in lines(set).iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {name:<8}{value}\n");
    }
    text
}

fn lines(set: &Set) -> Vec<(&'static str, String)> {
    let s = &set.status;
    let mut lines = vec![
        ("size", format!("{} ({})", size(set.sectors), count(set.sectors, "sector"))),
        ("main", format!("{} from sector {}", set.main(), set.mapping.main_offset)),
        ("spare", format!("{} from sector {}", set.spare(), set.mapping.spare_offset)),
        ("set", set.uuid().unwrap_or_else(|| "-".into())),
        ("label", set.label().into()),
    ];
    if set.unknown.is_some() || s.mode == "inactive" {
        return lines;
    }
    let lost = ("lost", s.lost_sectors.map_or("-".into(), |n| count(n, "sector")));
    if let Some(mapped) = set.linear_mapped_sectors {
        lines.extend([("mapped", count(mapped, "sector")), lost, ("copies", copies(set))]);
    } else {
        let (stored, repairs) = (shown(s.repairs_stored), shown(s.repairs));
        let (delivered, reads) = (shown(s.reads_delivered), shown(s.reads));
        lines.extend([
            ("slots", slots(set)),
            lost,
            ("pending", pending(set)),
            ("copies", copies(set)),
            ("repairs", format!("{stored} of {repairs} failed writes stored")),
            ("reads", format!("{delivered} of {reads} failed reads delivered after all")),
            ("events", happened(s)),
        ]);
    }
    if set.info.readonly {
        lines.push(("access", "read-only".into()));
    }
    if set.info.suspended {
        lines.push(("state", "suspended".into()));
    }
    lines
}

fn slots(set: &Set) -> String {
    let s = &set.status;
    let (used, total, retired) = (shown(s.used_slots), shown(s.total_slots), shown(s.retired_slots));
    format!("{used} of {total} in use, {retired} retired, {} free", shown(set.free_slots()))
}

fn pending(set: &Set) -> String {
    match (set.status.pending_blocks, wear::pending(set)) {
        (None, _) => "-".into(),
        (Some(_), None) => "0 sectors".into(),
        (Some(_), Some((n, thing))) => format!("{} that main cannot read", count(n, thing)),
    }
}

/// Copies in sync. What the module knows is of its last write, and says nothing of a spare that is gone.
fn copies(set: &Set) -> String {
    let (in_sync, copies) = (shown(set.status.copies_in_sync), shown(set.status.copies));
    match set.spare_presence {
        Presence::Present => format!("{in_sync} of {copies} in sync"),
        _ => format!("not known; {in_sync} of {copies} were in sync at the last change of the map"),
    }
}
