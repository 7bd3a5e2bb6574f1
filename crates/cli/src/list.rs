//! `dmremap list`

use crate::args::ListArgs;
use crate::device::{Access, Device};
use crate::dm::Dm;
use crate::failure::Result;
use crate::names;
use crate::output::{columns, Report};
use crate::reply::{ask, not_understood, number, value};
use crate::set::open_set;
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::{Entry, SlotState, Superblock};
use serde_json::{json, Value};
use std::path::Path;

/// A run of sectors in one state, or a retired slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// First sector of main; `None` for a retired slot.
    pub sector: Option<u64>,
    /// Length in sectors.
    pub sectors: u64,
    /// `mapped`, `suspect`, `lost` or `retired`.
    pub state: String,
    slot: Option<u64>,
    /// First sector on the spare device.
    spare_sector: Option<u64>,
}

/// Runs the verb on a spare that is not in use.
pub fn offline(args: &ListArgs, path: &Path) -> Result<Report> {
    let device = Device::open(path, Access::Read)?;
    let spare = Spare::new(&device, args.spare_offset, args.main_offset)?;
    let superblock = spare.superblock(args.force)?;
    let slots = spare.slots(&superblock)?;
    let mut runs: Vec<Run> =
        slots.iter().flat_map(|(&slot, entry)| runs_of(&spare, &superblock, slot, entry)).collect();
    runs.sort_by_key(|run| (run.sector.is_none(), run.sector, run.slot));
    let mut report = report(&runs);
    if let Some(fields) = report.json.as_object_mut() {
        fields.insert("set_uuid".into(), json!(superblock.id.to_string()));
        fields.insert("label".into(), json!(superblock.label.as_str()));
    }
    Ok(report)
}

/// The runs of sectors that one entry describes.
fn runs_of(spare: &Spare<'_>, superblock: &Superblock, slot: u32, entry: &Entry) -> Vec<Run> {
    let slot_sector = spare.slot_sector(superblock, slot);
    let run = |sector, sectors, state: &str, spare_sector| Run {
        sector,
        sectors,
        state: state.into(),
        slot: Some(slot.into()),
        spare_sector: Some(spare_sector),
    };
    if entry.state == SlotState::Retired {
        return vec![run(None, 8, "retired", slot_sector)];
    }
    let state_of = |i: u64| match (entry.mask >> i & 1, entry.lost >> i & 1) {
        (0, _) => None,
        (_, 0) => Some("mapped"),
        (_, _) => Some("lost"),
    };
    let mut runs: Vec<Run> = Vec::new();
    let mut before = None;
    for i in 0..8 {
        let state = state_of(i);
        match (state, runs.last_mut()) {
            (Some(_), Some(last)) if state == before => last.sectors += 1,
            (Some(state), _) => runs.push(run(Some(entry.group.0 * 8 + i), 1, state, slot_sector + i)),
            (None, _) => {}
        }
        before = state;
    }
    runs
}

/// Runs the verb on an open set.
pub fn live(dm: &dyn Dm, name: &str) -> Result<Report> {
    let name = &names::resolve(dm, name)?;
    let set = open_set(dm, name)?;
    if set.linear {
        // What is on the spare does not change as long as it is open.
        let Mapping { main, main_offset, spare, spare_offset, .. } = &set.mapping;
        let main_offset = (main == spare).then_some(*main_offset);
        let (spare, spare_offset) = (set.mapping.node_of(spare), *spare_offset);
        let args = ListArgs { name: None, spare: None, spare_offset, main_offset, force: true };
        return offline(&args, &spare);
    }
    runs(dm, name).map(|runs| report(&runs))
}

/// What an open set maps, in ascending order.
pub fn runs(dm: &dyn Dm, name: &str) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut from = 0;
    loop {
        let reply = ask(dm, name, &format!("list {from}"), &format!("list what {name} maps"))?;
        let (found, next) = parse_reply(&reply).ok_or_else(|| not_understood(name, &reply))?;
        runs.extend(found);
        match next {
            // A target that names no later sector would be asked for ever.
            Some(next) if next > from => from = next,
            _ => return Ok(runs),
        }
    }
}

/// The lines of one reply, and the sector to go on from.
fn parse_reply(reply: &str) -> Option<(Vec<Run>, Option<u64>)> {
    let mut runs = Vec::new();
    let mut next = None;
    for line in reply.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(sector) = number(line, "next") {
            next = Some(sector);
            continue;
        }
        runs.push(Run {
            sector: Some(number(line, "sector")?),
            sectors: number(line, "sectors")?,
            state: value(line, "state")?.into(),
            slot: number(line, "slot"),
            spare_sector: number(line, "spare_sector"),
        });
    }
    Some((runs, next))
}

fn report(runs: &[Run]) -> Report {
    let shown = |number: Option<u64>| number.map_or("-".into(), |n| n.to_string());
    let row = |run: &Run| {
        let sectors = run.sectors.to_string();
        vec![shown(run.sector), sectors, shown(run.slot), shown(run.spare_sector), run.state.clone()]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let text = match rows.as_slice() {
        [] => "nothing is mapped\n".into(),
        rows => columns(&["SECTOR", "SECTORS", "SLOT", "SPARE SECTOR", "STATE"], rows),
    };
    let to_json = |run: &Run| -> Value {
        json!({ "sector": run.sector, "sectors": run.sectors, "slot": run.slot,
                "spare_sector": run.spare_sector, "state": run.state })
    };
    Report::new(text, json!({ "runs": runs.iter().map(to_json).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::failure::Kind;
    use crate::number::Number;

    #[test]
    fn replies_are_asked_for_until_the_last() {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        dm.replies = vec![
            ("list 0".into(), "sector=8 sectors=8 state=mapped slot=0 spare_sector=96\nnext=16\n".into()),
            ("list 16".into(), "sector=24 sectors=1 state=lost slot=1 spare_sector=104 new=1\n".into()),
        ];
        let report = live(&dm, "archive").unwrap();
        assert_eq!(report.json["runs"][0]["spare_sector"], 96);
        assert_eq!(report.json["runs"][1]["state"], "lost");
        assert_eq!(report.json["runs"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_reply_that_makes_no_sense_is_refused() {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        dm.replies = vec![("list 0".into(), "what?\n".into())];
        assert_eq!(live(&dm, "archive").unwrap_err().kind, Kind::Device);
        dm.replies = vec![("list 0".into(), "next=0\n".into())];
        assert!(live(&dm, "archive").unwrap().text.contains("nothing is mapped"));
    }
}
