//! `dmremap status`

use crate::args::StatusArgs;
use crate::device::{Access, Device};
use crate::dm::{Dm, Info};
use crate::failure::{Failure, Kind, Result};
use crate::linear;
use crate::output::{columns, size, Report};
use crate::set::{dm_failure, inactive, open_set, OpenSet};
use crate::spare::Spare;
use crate::table::{parse_linear_uuid, Mapping, Status, TARGET, UUID_PREFIX};
use remap_core::format::Superblock;
use serde_json::{json, Value};
use std::path::Path;

/// An open set and what is known about it.
struct Set {
    info: Info,
    mapping: Mapping,
    sectors: u64,
    status: Status,
    superblock: Option<Superblock>,
    /// Of a linear assembly: the sectors that are served from the spare.
    linear_mapped_sectors: Option<u64>,
}

impl Set {
    fn main(&self) -> String {
        self.mapping.node_of(&self.mapping.main).display().to_string()
    }

    fn spare(&self) -> String {
        self.mapping.node_of(&self.mapping.spare).display().to_string()
    }

    fn label(&self) -> &str {
        self.superblock.as_ref().map_or("", |s| s.label.as_str())
    }

    fn uuid(&self) -> Option<String> {
        self.status.set_uuid.clone().or_else(|| self.superblock.as_ref().map(|s| s.id.to_string()))
    }
}

/// Runs the verb.
pub fn run(args: &StatusArgs, dm: &dyn Dm) -> Result<Report> {
    let sets = match &args.name {
        Some(name) => vec![read_set(dm, name)?],
        None => {
            let names = dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))?;
            let ours = |name: &String| dm.info(name).is_ok_and(|info| info.uuid.starts_with(UUID_PREFIX));
            let has_target =
                |name: &String| dm.table(name).is_ok_and(|t| t.iter().any(|line| line.target == TARGET));
            // A set that was made by plain dmsetup may have no UUID of ours. One that is gone by now is left out.
            let names = names.iter().filter(|name| ours(name) || has_target(name));
            names.filter_map(|name| read_set(dm, name).ok()).collect()
        }
    };
    let text = match (sets.as_slice(), &args.name) {
        ([set], Some(_)) => details(set),
        ([], _) => "no set is open\n".into(),
        _ => overview(&sets),
    };
    Ok(Report::new(text, json!({ "devices": sets.iter().map(to_json).collect::<Vec<_>>() })))
}

fn read_set(dm: &dyn Dm, name: &str) -> Result<Set> {
    if let Some(info) = inactive(dm, name) {
        return Ok(inactive_set(info));
    }
    let set = open_set(dm, name)?;
    let superblock = read_superblock(&set.mapping);
    if set.linear {
        return Ok(linear_set(set, superblock));
    }
    let lines = dm.status(name).map_err(|e| dm_failure(&format!("read the status of {name}"), &e, dm))?;
    let line = lines.iter().find(|line| line.target == TARGET);
    let status = line.and_then(|line| Status::parse(&line.text)).ok_or_else(|| {
        let said = line.map_or("", |line| line.text.as_str());
        let what = format!("the status of {name} is not understood: \"{said}\"");
        Failure::new(Kind::Device, what, "tool and module should be of one version")
    })?;
    let sectors = set.sectors();
    let OpenSet { info, mapping, .. } = set;
    Ok(Set { info, mapping, sectors, status, superblock, linear_mapped_sectors: None })
}

/// A device without a table: where main and spare are, its UUID tells of a linear assembly alone.
fn inactive_set(info: Info) -> Set {
    let linear = parse_linear_uuid(&info.uuid);
    let linear_mapped_sectors = linear.is_some().then_some(0);
    let nowhere = || Mapping {
        main: "-".into(),
        main_offset: 0,
        spare: "-".into(),
        spare_offset: 0,
        features: Vec::new(),
    };
    let mapping = linear.map_or_else(nowhere, |(_, mapping)| mapping);
    let status = Status { mode: "inactive".into(), ..Status::default() };
    Set { info, mapping, sectors: 0, status, superblock: None, linear_mapped_sectors }
}

/// A linear assembly has no status of ours; what can be said stands in its table and in the superblock.
fn linear_set(set: OpenSet, superblock: Option<Superblock>) -> Set {
    let (mapped, lost) = linear::count(&set.lines, &set.mapping);
    let status = Status {
        mode: "linear".into(),
        total_slots: superblock.as_ref().map(|s| s.geometry.slot_count().into()),
        lost_sectors: Some(lost),
        copies_in_sync: superblock.as_ref().map(|s| s.in_sync.count_ones().into()),
        copies: superblock.as_ref().map(|s| s.copy_count.into()),
        ..Status::default()
    };
    let sectors = set.sectors();
    let OpenSet { info, mapping, .. } = set;
    Set { info, mapping, sectors, status, superblock, linear_mapped_sectors: Some(mapped) }
}

/// The superblock on the spare, for its label. It may be in the middle of a change, so that a failure says nothing.
fn read_superblock(mapping: &Mapping) -> Option<Superblock> {
    let device = Device::open(Path::new(&mapping.node_of(&mapping.spare)), Access::Read).ok()?;
    let main_start = (mapping.main == mapping.spare).then_some(mapping.main_offset);
    Spare::new(&device, mapping.spare_offset, main_start).ok()?.choose(true).ok()
}

/// A number, or a dash for one that is not known.
fn shown(number: Option<u64>) -> String {
    number.map_or("-".into(), |n| n.to_string())
}

fn overview(sets: &[Set]) -> String {
    let header = ["NAME", "MODE", "USED/SLOTS", "LOST", "PENDING", "SIZE", "MAIN", "SPARE", "LABEL"];
    let rows: Vec<Vec<String>> = sets
        .iter()
        .map(|set| {
            let s = &set.status;
            vec![
                set.info.name.clone(),
                s.mode.clone(),
                format!("{}/{}", shown(s.used_slots), shown(s.total_slots)),
                shown(s.lost_sectors),
                shown(s.pending_blocks),
                size(set.sectors),
                set.main(),
                set.spare(),
                set.label().into(),
            ]
        })
        .collect();
    columns(&header, &rows)
}

/// What a mode means, and what to do.
fn advice(status: &Status) -> &'static str {
    match (status.mode.as_str(), status.reason.as_deref()) {
        ("rw", _) => "bad sectors are replaced",
        ("inactive", _) => "an open was cut off: nothing is served; `dmremap close NAME` takes the device away",
        ("linear", _) => "opened with --linear: what is mapped is served, nothing is remapped",
        ("degraded", _) => {
            "bad sectors are replaced, but copies of the metadata are out of sync: look after the spare"
        }
        ("no-remap", Some("breaker")) => {
            "main takes no writes, or too many failed at once: look after its cable and power; replacing goes on when it takes writes again"
        }
        ("no-remap", _) => {
            "no further bad sector can be replaced: copy the data off; the kernel log says why"
        }
        ("fail", Some("flush-failed")) => {
            "writes are refused after a failed flush: check the content, then `dmremap resume NAME`"
        }
        ("fail", _) => "writes are refused: the kernel log says why",
        _ => "",
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

fn details(set: &Set) -> String {
    let s = &set.status;
    let mut lines = vec![
        ("mode", format!("{} ({})", s.mode, advice(s))),
        ("size", format!("{} ({} sectors)", size(set.sectors), set.sectors)),
        ("main", format!("{} from sector {}", set.main(), set.mapping.main_offset)),
        ("spare", format!("{} from sector {}", set.spare(), set.mapping.spare_offset)),
        ("set", set.uuid().unwrap_or_else(|| "-".into())),
        ("label", set.label().into()),
    ];
    let lost = ("lost", format!("{} sectors", shown(s.lost_sectors)));
    let copies = ("copies", format!("{} of {} in sync", shown(s.copies_in_sync), shown(s.copies)));
    if let Some(mapped) = set.linear_mapped_sectors {
        lines.extend([("mapped", format!("{mapped} sectors")), lost, copies]);
    } else {
        let (used, total, retired) = (shown(s.used_slots), shown(s.total_slots), shown(s.retired_slots));
        let (stored, repairs) = (shown(s.repairs_stored), shown(s.repairs));
        let (delivered, reads) = (shown(s.reads_delivered), shown(s.reads));
        lines.extend([
            ("slots", format!("{used} of {total} in use, {retired} retired")),
            lost,
            ("pending", format!("{} blocks of main could not be read", shown(s.pending_blocks))),
            copies,
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
    let mut text = format!("/dev/mapper/{}\n", set.info.name);
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {name:<8}{value}\n");
    }
    text
}

fn to_json(set: &Set) -> Value {
    let s = &set.status;
    json!({
        "name": set.info.name,
        "dm_uuid": set.info.uuid,
        "device_number": set.info.number.to_string(),
        "set_uuid": set.uuid(),
        "label": set.superblock.as_ref().map(|s| s.label.as_str()),
        "sectors": set.sectors,
        "main": { "path": set.main(), "offset_sectors": set.mapping.main_offset },
        "spare": { "path": set.spare(), "offset_sectors": set.mapping.spare_offset },
        "mode": s.mode,
        "reason": s.reason,
        "used_slots": s.used_slots,
        "total_slots": s.total_slots,
        "retired_slots": s.retired_slots,
        "lost_sectors": s.lost_sectors,
        "pending_blocks": s.pending_blocks,
        "copies_in_sync": s.copies_in_sync,
        "copies": s.copies,
        "repairs": s.repairs,
        "repairs_stored": s.repairs_stored,
        "repairs_failed": s.repairs_failed,
        "remapped_sectors": s.remapped_sectors,
        "commits": s.commits,
        "released_sectors": s.released_sectors,
        "reads": s.reads,
        "reads_delivered": s.reads_delivered,
        "reads_failed": s.reads_failed,
        "unproven": s.unproven,
        "evictions": s.evictions,
        "readmissions": s.readmissions,
        "commits_failed": s.commits_failed,
        "flushes_failed": s.flushes_failed,
        "breaker_openings": s.breaker_openings,
        "suspected_sectors": s.suspected_sectors,
        "log_lines_dropped": s.log_lines_dropped,
        "suspended": set.info.suspended,
        "readonly": set.info.readonly,
        "open_count": set.info.open_count,
        "further_status_fields": s.further,
        "linear": set.linear_mapped_sectors.is_some(),
        "mapped_sectors": set.linear_mapped_sectors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::number::Number;

    #[test]
    fn all_sets_are_shown_and_nothing_else() {
        let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        let report = run(&StatusArgs { name: None }, &dm).unwrap();
        assert!(report.text.contains("archive"), "{}", report.text);
        assert!(!report.text.contains("other"), "{}", report.text);
        let device = &report.json["devices"][0];
        assert_eq!(device["used_slots"], 3);
        assert_eq!(device["lost_sectors"], 8);
        assert_eq!(device["main"]["offset_sectors"], 2048);
        assert_eq!(device["pending_blocks"], Value::Null);
    }

    #[test]
    fn one_set_is_shown_in_full() {
        let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        let report = run(&StatusArgs { name: Some("archive".into()) }, &dm).unwrap();
        assert!(report.text.contains("3 of 1950 in use, 1 retired"), "{}", report.text);
        // An older module does not say, and nothing is said of it.
        assert!(!report.text.contains("events"), "{}", report.text);
        assert_eq!(report.json["devices"][0]["evictions"], Value::Null);
    }

    #[test]
    fn s30_what_happened_is_told_and_what_did_not_is_not() {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        let id = "d0010203-0405-4607-8809-0a0b0c0d0e0f";
        let text = format!("degraded 3/1950 0 0 4/5 1 12 11 1 40 9 - {id} 0 0 0 0 0 2 1 0 0 1 0 0");
        dm.devices[1].2[0].text = text;
        let report = run(&StatusArgs { name: Some("archive".into()) }, &dm).unwrap();
        let wanted = "  events  copies evicted: 2, copies back in sync: 1, breaker opened: 1\n";
        assert!(report.text.contains(wanted), "{}", report.text);
        let device = &report.json["devices"][0];
        assert_eq!((device["evictions"].as_u64(), device["flushes_failed"].as_u64()), (Some(2), Some(0)));
        assert_eq!(device["breaker_openings"], 1);
    }

    #[test]
    fn a_linear_assembly_is_called_one() {
        let uuid = "REMAP-LINEAR-d0010203040546078809".to_string() + "0a0b0c0d0e0f-0:4001+2048-0:4002+0";
        let mut dm = FakeDm::with_set("archive", &uuid, Number { major: 254, minor: 3 }, 0);
        let line = |start, sectors, target: &str, text: &str| crate::dm::Line {
            start,
            sectors,
            target: target.into(),
            text: text.into(),
        };
        dm.devices[1].1 = vec![
            line(0, 8, "linear", "0:4001 2048"),
            line(8, 6, "linear", "0:4002 96"),
            line(14, 2, "error", ""),
            line(16, 84, "linear", "0:4001 2064"),
        ];
        dm.devices[1].2.clear();
        let report = run(&StatusArgs { name: Some("archive".into()) }, &dm).unwrap();
        assert!(report.text.contains("nothing is remapped"), "{}", report.text);
        assert!(report.text.contains("6 sectors") && report.text.contains("2 sectors"), "{}", report.text);
        let device = &report.json["devices"][0];
        assert_eq!((device["mode"].as_str(), device["linear"].as_bool()), (Some("linear"), Some(true)));
        assert_eq!((device["mapped_sectors"].as_u64(), device["sectors"].as_u64()), (Some(6), Some(100)));
        assert_eq!(device["used_slots"], Value::Null);
        assert!(run(&StatusArgs { name: None }, &dm).unwrap().text.contains("linear"));
    }

    #[test]
    fn s20_a_device_that_open_left_half_made_is_shown() {
        for uuid in ["REMAP-1", "REMAP-LINEAR-1-8:0+0-8:16+0"] {
            let dm = FakeDm::half_open(uuid);
            for name in [None, Some("archive".into())] {
                let report = run(&StatusArgs { name }, &dm).unwrap();
                assert!(
                    report.text.contains("archive") && report.text.contains("inactive"),
                    "{}",
                    report.text
                );
                let device = &report.json["devices"][0];
                assert_eq!(
                    (device["mode"].as_str(), device["used_slots"].as_u64()),
                    (Some("inactive"), None)
                );
                assert_eq!(device["linear"], uuid.contains("LINEAR"));
            }
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        for name in ["other", "nobody"] {
            let failure = run(&StatusArgs { name: Some(name.into()) }, &dm).unwrap_err();
            assert_eq!(failure.kind, Kind::Device);
            assert!(failure.next.contains("dmremap status"));
        }
    }
}
