//! `dmremap close`

use crate::args::CloseArgs;
use crate::dm::Dm;
use crate::dm::Info;
use crate::failure::{Failure, Kind, Result};
use crate::fingerprint;
use crate::holders;
use crate::names;
use crate::output::Report;
use crate::set::{dm_failure, inactive, open_set, OpenSet};
use crate::table::is_set;
use serde_json::json;

/// Runs the verb.
pub fn run(args: &CloseArgs, dm: &dyn Dm) -> Result<Report> {
    let args = &CloseArgs { name: names::resolve(dm, &args.name)?, deferred: args.deferred };
    let name = &args.name;
    // A device without a table has never been written through: main is as it was, and no fingerprint is due.
    let unused = inactive(dm, name);
    let set = if unused.is_none() { Some(open_set(dm, name)?) } else { None };
    if let Some(info) = unused.as_ref().or(set.as_ref().map(|set| &set.info)) {
        check_unused(args, dm, info)?;
    }
    dm.remove(name, args.deferred).map_err(|e| dm_failure(&format!("close {name}"), &e, dm))?;
    finish(args, dm, set.as_ref())
}

/// Refuses to take away what is in use, unless that may wait.
fn check_unused(args: &CloseArgs, dm: &dyn Dm, info: &Info) -> Result<()> {
    let name = &args.name;
    if info.open_count > 0 && !args.deferred {
        let words = holders::words_of(info.number, Some(dm));
        let by = if words.is_empty() { ": opened by a program" } else { &words };
        let steps = holders::steps_of(info.number, Some(dm));
        let next = match steps.is_empty() {
            true => format!("end the program (`fuser --verbose /dev/mapper/{name}` of the package psmisc names it), or give --deferred"),
            false => format!("{steps}, or give --deferred"),
        };
        return Err(Failure::new(Kind::Busy, format!("/dev/mapper/{name} is in use{by}"), next));
    }
    Ok(())
}

/// What follows the removal; `set` is what was open.
fn finish(args: &CloseArgs, dm: &dyn Dm, set: Option<&OpenSet>) -> Result<Report> {
    let name = &args.name;
    let deferred = args.deferred && dm.info(name).is_ok();
    if !deferred || !crate::dm::node::udev_runs() {
        dm.node_vanishes(name);
    }
    let mut warnings = Vec::new();
    let mut fingerprint_stored = false;
    if let Some(set) = set.filter(|set| !deferred && !set.info.readonly) {
        match store_fingerprint(set) {
            Ok(unread) => {
                fingerprint_stored = true;
                warnings.extend(unread);
            }
            Err(e) => warnings.push(format!(
                "no fingerprint of main was stored, so that the next open cannot tell whether main changed: {}",
                e.what
            )),
        }
    }
    for warning in &warnings {
        eprintln!("dmremap: {warning}");
    }
    let text = if deferred {
        format!("{name} is in use and closes when its last user is gone\n")
    } else {
        String::new()
    };
    let json = json!({ "name": name, "deferred": deferred, "fingerprint_stored": fingerprint_stored, "warnings": warnings });
    Ok(Report::new(text, json))
}

/// Stores the fingerprint of main. Not for a set that was read-only: the one that is there then still tells whether main was
/// written past the map before.
fn store_fingerprint(set: &OpenSet) -> Result<Option<String>> {
    fingerprint::store(&set.mapping, |superblock| set_is(set, superblock))
}

/// Whether the superblock is the set's. By its target it is, since that had the spare to itself until now; a linear assembly
/// with nothing mapped had only main.
fn set_is(set: &OpenSet, superblock: &remap_core::format::Superblock) -> bool {
    !set.linear || is_set(&set.info.uuid, &superblock.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::number::Number;
    use crate::table::linear_uuid;

    const LINEAR: &str = "REMAP-LINEAR-";

    #[test]
    fn s21_a_read_only_set_leaves_the_fingerprint_as_it_was() {
        for (uuid, readonly, stored) in
            [("REMAP-1", false, true), ("REMAP-1", true, false), (LINEAR, true, false), (LINEAR, false, true)]
        {
            let dir = tempfile::tempdir().unwrap();
            let mapping = fingerprint::tests::set(dir.path(), true);
            let linear = linear_uuid(&fingerprint::tests::ID, &mapping);
            let uuid = if uuid == LINEAR { &linear } else { uuid };
            let mut dm = FakeDm::with_set("archive", uuid, Number { major: 254, minor: 3 }, 0);
            dm.devices[1].0.readonly = readonly;
            dm.devices[1].1[0].text = mapping.to_string();
            // It was written past the map, and opened all the same.
            std::fs::write(&mapping.main, vec![4; 1 << 20]).unwrap();
            let before = std::fs::read(&mapping.spare).unwrap();
            let report = run(&CloseArgs { name: "archive".into(), deferred: false }, &dm).unwrap();
            assert_eq!(report.json["fingerprint_stored"], stored, "{uuid} {readonly}");
            assert_eq!(std::fs::read(&mapping.spare).unwrap() != before, stored, "{uuid} {readonly}");
        }
    }

    #[test]
    fn s20_a_device_that_open_left_half_made_is_closed() {
        for uuid in ["REMAP-1", "REMAP-LINEAR-1-8:0+0-8:16+0"] {
            let mut dm = FakeDm::half_open(uuid);
            let args = CloseArgs { name: "archive".into(), deferred: false };
            let report = run(&args, &dm).unwrap();
            assert_eq!(report.json["fingerprint_stored"], false);
            assert_eq!(dm.calls(), ["remove archive"]);
            dm.devices[1].0.open_count = 1;
            assert_eq!(run(&args, &dm).unwrap_err().kind, Kind::Busy);
        }
    }

    #[test]
    fn a_set_in_use_is_not_closed() {
        let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 0, minor: 4000 }, 1);
        let failure = run(&CloseArgs { name: "archive".into(), deferred: false }, &dm).unwrap_err();
        assert_eq!(failure.kind, Kind::Busy);
        assert!(run(&CloseArgs { name: "archive".into(), deferred: true }, &dm).is_ok());
    }
}
