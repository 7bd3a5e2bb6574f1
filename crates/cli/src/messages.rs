//! The table of messages that are not about an open set: `messages.txt` beside this file has each, looked at as by a reader who has only
//! this line. What is said of open sets is in `status/words.txt`.

use crate::args::{NameArgs, QueryArgs, ReleaseArgs, RemapArgs};
use crate::device::{Access, Device};
use crate::dm::fake::FakeDm;
use crate::failure::Failure;
use crate::number::Number;
use crate::output::Report;
use crate::spare::Spare;
use crate::{control, loaded, moves, query};
use remap_core::engine::load::LoadError;
use remap_core::format::{BlockError, ChooseError, SetId};
use remap_core::placement::PlacementError;
use remap_core::units::Group;
use std::path::Path;

/// Every reason for which no superblock counts.
fn choose_errors() -> Vec<ChooseError> {
    let all = vec![
        ChooseError::NothingThere,
        ChooseError::Unreadable { places: 2 },
        ChooseError::Damaged { copy: 1, why: BlockError::Checksum },
        ChooseError::Newer(BlockError::Version(2)),
        ChooseError::TwoSets(SetId([1; 16]), SetId([2; 16])),
        ChooseError::OtherLength { formatted_blocks: 4096, region_blocks: 2048 },
        ChooseError::Minority { readable: 2, of: 5 },
        ChooseError::Formatting(SetId([1; 16])),
    ];
    // A new variant does not compile until it is above.
    all.iter().for_each(|error| match error {
        ChooseError::NothingThere
        | ChooseError::Unreadable { .. }
        | ChooseError::Damaged { .. }
        | ChooseError::Newer(_)
        | ChooseError::TwoSets(..)
        | ChooseError::OtherLength { .. }
        | ChooseError::Minority { .. }
        | ChooseError::Formatting(_) => {}
    });
    all
}

/// Every reason for which the target takes no such two devices.
fn placement_errors() -> Vec<PlacementError> {
    use PlacementError::*;
    let all =
        vec![Zoned, MainBlock, SpareBlock, MainTooLong, MainAlignment, SpareAlignment, SpareOffset, Overlap];
    all.iter().for_each(|error| match error {
        Zoned | MainBlock | SpareBlock | MainTooLong | MainAlignment | SpareAlignment | SpareOffset
        | Overlap => {}
    });
    all
}

fn spare_messages(table: &mut String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spare");
    std::fs::write(&path, vec![0; 8 << 20]).unwrap();
    let device = Device::open(&path, Access::Read).unwrap();
    let spare = Spare::new(&device, 0, None).unwrap();
    let mut said = |name: &str, failure: Failure| {
        let text = failure.to_string().replace(&path.display().to_string(), "/dev/sdc1");
        add(table, name, &text);
    };
    for error in choose_errors() {
        said("spare", spare.explain(&error));
    }
    for error in [LoadError::BlockLost(7), LoadError::Twins(Group(9))] {
        said("map", loaded::explain(&spare, &error));
    }
}

fn add(table: &mut String, name: &str, text: &str) {
    let text = text.trim_end().replace('\n', "\n  ");
    *table += &format!("{name}\n  {text}\n");
}

fn dm(mode: &str, used: u64, message: &str, reply: &str) -> FakeDm {
    let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    let id = "d0010203-0405-4607-8809-0a0b0c0d0e0f";
    dm.devices[1].2[0].text = format!("{mode} {used}/1950 0 0 5/5 0 0 0 0 0 0 - {id} 0");
    dm.replies = vec![(message.into(), reply.into())];
    dm
}

fn said(report: Report) -> String {
    let undone = report.undone.map(|failure| format!("undone: {failure}")).unwrap_or_default();
    report.text + &undone
}

fn query_messages(table: &mut String) {
    for state in ["main", "pending", "mapped", "suspect", "lost"] {
        let place = if state == "main" || state == "pending" { "" } else { " slot=3 spare_sector=17664" };
        for refused in ["", " writes=refused"] {
            let reply = format!("sector=8 sectors=1 state={state}{place}{refused}");
            let dm = dm("rw", 3, "query 8", &reply);
            let report = query::run(&QueryArgs { name: "archive".into(), sector: 8 }, &dm).unwrap();
            add(table, &format!("query{refused}"), &report.text);
        }
    }
}

fn moves_messages(table: &mut String) {
    let counts = |which: &str, keys: &[&str]| {
        keys.iter().map(|key| format!(" {key}={}", 8 * u64::from(*key == which))).collect::<String>()
    };
    for (mode, used) in [("rw", 3), ("rw", 1950), ("no-remap", 3)] {
        for which in ["remapped", "mapped", "unreadable", "failed"] {
            let keys = ["remapped", "mapped", "unreadable", "failed"];
            let reply = format!("sector=8 sectors=8{}", counts(which, &keys));
            let args = RemapArgs { name: "archive".into(), sector: 8, count: 8, dry_run: false };
            let report = moves::remap(&args, &dm(mode, used, "remap 8 8", &reply)).unwrap();
            add(table, &format!("remap, {which}, {mode}, {used} of 1950 slots"), &said(report));
        }
        let args = RemapArgs { name: "archive".into(), sector: 8, count: 8, dry_run: true };
        let report = moves::remap(&args, &dm(mode, used, "list 0", "")).unwrap();
        add(table, &format!("remap --dry-run, {mode}, {used} of 1950 slots"), &said(report));
    }
    for which in ["released", "main", "lost", "unreadable", "failed"] {
        let keys = ["released", "main", "lost", "unreadable", "failed"];
        let reply = format!("sector=8 sectors=8{}", counts(which, &keys));
        let args =
            ReleaseArgs { name: "archive".into(), sector: Some(8), count: 8, all: false, dry_run: false };
        let report = moves::release(&args, &dm("rw", 3, "release 8 8", &reply)).unwrap();
        add(table, &format!("release, {which}"), &said(report));
    }
}

fn control_messages(table: &mut String) {
    let args = NameArgs { name: "archive".into() };
    for mode in ["rw", "degraded", "no-remap", "fail"] {
        let dm = dm(mode, 3, "resume_remap", &format!("mode={mode}"));
        add(table, "resume", &said(control::resume(&args, &dm).unwrap()));
    }
    for (name, errno) in [
        ("read-only or closed", 30),
        ("suspended", 11),
        ("never resumed", 6),
        ("older module", 22),
        ("disk", 5),
    ] {
        let refused = FakeDm { message_errors: vec![("resume_remap".into(), errno)], ..dm("rw", 3, "", "") };
        add(table, name, &control::resume(&args, &refused).unwrap_err().to_string());
    }
}

#[test]
fn the_table_of_messages() {
    let mut table = String::new();
    spare_messages(&mut table);
    placement_errors().iter().for_each(|e| add(&mut table, "devices", &e.text().to_string_lossy()));
    query_messages(&mut table);
    moves_messages(&mut table);
    control_messages(&mut table);
    if std::env::var_os("WRITE_WORDS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/messages.txt");
        std::fs::write(path, &table).unwrap();
    }
    let wanted = include_str!("messages.txt");
    for (is, was) in table.lines().zip(wanted.lines()) {
        assert_eq!(is, was);
    }
    assert_eq!(table, wanted);
}
