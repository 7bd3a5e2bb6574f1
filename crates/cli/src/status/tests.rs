//! What `status` says of sets, whatever their state.

use super::read::Presence;
use super::*;
use crate::dm::fake::FakeDm;
use crate::number::Number;
use crate::table::Mapping;
use remap_core::format::{ChooseError, Superblock};
use serde_json::Value;

/// Devices that are there, and a spare of which the superblock cannot be told.
fn below() -> Below<'static> {
    Below { presence: &|_| Presence::Present, superblock: &no_superblock, emergency_percent: 90 }
}

fn no_superblock(_: &Mapping) -> std::result::Result<Superblock, Option<ChooseError>> {
    Err(None)
}

fn shown(name: Option<&str>, dm: &FakeDm) -> Result<Report> {
    run_with(&StatusArgs { name: name.map(str::to_string), check: false }, dm, &below())
}

#[test]
fn all_sets_are_shown_and_nothing_else() {
    let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    let report = shown(None, &dm).unwrap();
    assert!(report.text.contains("archive"), "{}", report.text);
    assert!(!report.text.lines().any(|line| line.starts_with("other")), "{}", report.text);
    let device = &report.json["devices"][0];
    assert_eq!(device["used_slots"], 3);
    assert_eq!(device["lost_sectors"], 8);
    assert_eq!(device["main"]["offset_sectors"], 2048);
    assert_eq!(device["pending_blocks"], Value::Null);
}

#[test]
fn one_set_is_shown_in_full() {
    let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    let report = shown(Some("archive"), &dm).unwrap();
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
    let report = shown(Some("archive"), &dm).unwrap();
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
    let report = shown(Some("archive"), &dm).unwrap();
    assert!(report.text.contains("no further bad sector is replaced"), "{}", report.text);
    assert!(report.text.contains("6 sectors") && report.text.contains("2 sectors"), "{}", report.text);
    let device = &report.json["devices"][0];
    assert_eq!((device["mode"].as_str(), device["linear"].as_bool()), (Some("linear"), Some(true)));
    assert_eq!((device["mapped_sectors"].as_u64(), device["sectors"].as_u64()), (Some(6), Some(100)));
    assert_eq!(device["used_slots"], Value::Null);
    assert!(shown(None, &dm).unwrap().text.contains("linear"));
}

#[test]
fn s20_a_device_that_open_left_half_made_is_shown() {
    for uuid in ["REMAP-1", "REMAP-LINEAR-1-8:0+0-8:16+0"] {
        let dm = FakeDm::half_open(uuid);
        for name in [None, Some("archive")] {
            let report = shown(name, &dm).unwrap();
            assert!(report.text.contains("archive") && report.text.contains("inactive"), "{}", report.text);
            let device = &report.json["devices"][0];
            assert_eq!((device["mode"].as_str(), device["used_slots"].as_u64()), (Some("inactive"), None));
            assert_eq!(device["linear"], uuid.contains("LINEAR"));
        }
    }
}

#[test]
fn what_is_no_set_is_refused() {
    let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    for name in ["other", "nobody"] {
        let failure = shown(Some(name), &dm).unwrap_err();
        assert_eq!(failure.kind, Kind::Device);
        assert!(failure.next.contains("dmremap status"));
    }
}

#[test]
fn s30_a_set_that_cannot_be_read_is_not_left_out() {
    let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    dm.devices[1].2[0].text = "?".into();
    let report = shown(None, &dm).unwrap();
    assert!(
        report.text.contains("archive: unknown: the status of archive is not understood"),
        "{}",
        report.text
    );
    assert_eq!(report.json["devices"][0]["verdict"], "unknown");
    assert!(report.undone.unwrap().what.contains("archive"));
}

#[test]
fn the_gravest_verdict_of_all_sets_is_the_exit_status() {
    let id = "d0010203-0405-4607-8809-0a0b0c0d0e0f";
    let line = |head: &str| format!("{head} 0 0 0 0 0 0 - {id} 0 0 0 0 0 0 0 0 0 0 0 0");
    for (heads, wanted) in [
        (vec!["rw 0/9 0 0 5/5"], 0),
        (vec!["rw 0/9 0 0 5/5", "rw 0/9 8 0 5/5"], 10),
        (vec!["?", "rw 0/9 8 0 5/5"], 12),
        (vec!["?", "rw 9/9 0 0 5/5", "rw 0/9 0 0 5/5"], 11),
        (vec![], 12),
    ] {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        let one = dm.devices.remove(1);
        for (i, head) in heads.iter().enumerate() {
            let mut set = one.clone();
            set.0.name = format!("set{i}");
            set.2[0].text = if *head == "?" { "?".into() } else { line(head) };
            dm.devices.push(set);
        }
        let report = run_with(&StatusArgs { name: None, check: true }, &dm, &below()).unwrap();
        assert_eq!(report.exit_status, Some(wanted), "{heads:?}: {}", report.text);
        assert!(report.undone.is_none());
        assert_eq!(report.json["devices"].as_array().unwrap().len(), heads.len());
    }
    // Without --check the exit status says whether the state could be read.
    let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    assert_eq!(shown(None, &dm).unwrap().exit_status, None);
}
