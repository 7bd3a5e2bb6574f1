//! `dmremap list`

use crate::args::ListArgs;
use crate::device::{Access, Device};
use crate::dm::Dm;
use crate::failure::Result;
use crate::names;
use crate::output::{columns, count, Report};
use crate::reply::{ask, not_understood, number, value};
use crate::set::open_set;
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::{Entry, SlotState, Superblock};
use serde_json::{json, Map, Value};
use std::collections::BTreeSet;
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

/// A line of the text: runs that follow one another on main and on the spare.
struct Row<'a> {
    first: &'a Run,
    last: &'a Run,
    sectors: u64,
}

impl<'a> Row<'a> {
    fn new(run: &'a Run) -> Row<'a> {
        Row { first: run, last: run, sectors: run.sectors }
    }

    /// Whether the run goes on where this row ends, in the same state.
    fn goes_on_with(&self, run: &Run) -> bool {
        let follows = |last: Option<u64>, next: Option<u64>, by: u64| match (last, next) {
            (Some(last), Some(next)) => last.checked_add(by) == Some(next),
            (None, None) => true,
            _ => false,
        };
        let Run { sector, sectors, slot, spare_sector, ref state } = *self.last;
        // Two runs can be in one slot.
        let slots = follows(slot, run.slot, 0) || follows(slot, run.slot, 1);
        *state == run.state
            && slots
            && follows(sector, run.sector, sectors)
            && follows(spare_sector, run.spare_sector, sectors)
    }

    fn cells(&self) -> Vec<String> {
        let shown = |number: Option<u64>| number.map_or("-".into(), |n| n.to_string());
        let slots = match (self.first.slot, self.last.slot) {
            (first, last) if first == last => shown(first),
            (first, last) => format!("{}-{}", shown(first), shown(last)),
        };
        let Run { sector, spare_sector, ref state, .. } = *self.first;
        vec![shown(sector), self.sectors.to_string(), slots, shown(spare_sector), state.clone()]
    }
}

fn rows(runs: &[Run]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for run in runs {
        match rows.last_mut().filter(|row| row.goes_on_with(run)) {
            Some(row) => (row.last, row.sectors) = (run, row.sectors.saturating_add(run.sectors)),
            None => rows.push(Row::new(run)),
        }
    }
    rows
}

/// Sectors in each state, in the order of the first of each, and the slots that serve sectors; retired slots apart.
fn totals(runs: &[Run]) -> (Vec<(String, u64)>, usize, usize) {
    let mut states: Vec<(String, u64)> = Vec::new();
    let (retired, serving): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.sector.is_none());
    for run in &serving {
        match states.iter_mut().find(|(state, _)| *state == run.state) {
            Some((_, sectors)) => *sectors = sectors.saturating_add(run.sectors),
            None => states.push((run.state.clone(), run.sectors)),
        }
    }
    let slots: BTreeSet<u64> = serving.iter().filter_map(|run| run.slot).collect();
    (states, slots.len(), retired.len())
}

fn report(runs: &[Run]) -> Report {
    let (states, slots, retired) = totals(runs);
    let mut parts: Vec<String> =
        states.iter().map(|(state, n)| format!("{} {state}", count(*n, "sector"))).collect();
    parts.push(format!("{} in use", count(slots as u64, "slot")));
    parts.extend((retired > 0).then(|| format!("{} retired", count(retired as u64, "slot"))));
    let cells: Vec<Vec<String>> = rows(runs).iter().map(Row::cells).collect();
    let text = match cells.as_slice() {
        [] => "nothing is mapped\n".into(),
        cells => {
            let table = columns(&["SECTOR", "SECTORS", "SLOT", "SPARE SECTOR", "STATE"], cells);
            format!("{table}total: {}\n", parts.join(", "))
        }
    };
    let to_json = |run: &Run| -> Value {
        json!({ "sector": run.sector, "sectors": run.sectors, "slot": run.slot,
                "spare_sector": run.spare_sector, "state": run.state })
    };
    let sums = states.iter().map(|(state, n)| (format!("{state}_sectors"), json!(n)));
    let ends = [("slots".to_string(), json!(slots)), ("retired_slots".to_string(), json!(retired))];
    let totals: Map<String, Value> = sums.chain(ends).collect();
    let runs: Vec<Value> = runs.iter().map(to_json).collect();
    Report::new(text, json!({ "runs": runs, "totals": totals }))
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

    #[test]
    fn neighbouring_slots_are_one_line_and_the_last_line_has_totals() {
        let run = |sector: Option<u64>, sectors, slot, spare_sector, state: &str| Run {
            sector,
            sectors,
            state: state.into(),
            slot: Some(slot),
            spare_sector: Some(spare_sector),
        };
        let mut runs: Vec<Run> =
            (0..100).map(|i| run(Some(800 + i * 8), 8, i, 96 + i * 8, "mapped")).collect();
        // One slot holds sectors in two states; the next slot on the spare serves sectors elsewhere; a slot elsewhere goes on.
        runs.push(run(Some(1600), 2, 100, 896, "lost"));
        runs.push(run(Some(1602), 6, 100, 898, "mapped"));
        runs.push(run(Some(2000), 8, 101, 904, "mapped"));
        runs.push(run(Some(2008), 8, 300, 2496, "mapped"));
        runs.push(run(None, 8, 7, 152, "retired"));
        runs.push(run(None, 8, 8, 160, "retired"));
        let report = report(&runs);
        let lines: Vec<String> =
            report.text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "SECTOR SECTORS SLOT SPARE SECTOR STATE",
                "800 800 0-99 96 mapped",
                "1600 2 100 896 lost",
                "1602 6 100 898 mapped",
                "2000 8 101 904 mapped",
                "2008 8 300 2496 mapped",
                "- 16 7-8 152 retired",
                "total: 822 sectors mapped, 2 sectors lost, 103 slots in use, 2 slots retired"
            ]
        );
        assert_eq!(report.json["runs"].as_array().unwrap().len(), runs.len());
        assert_eq!(report.json["totals"]["mapped_sectors"], 822);
        assert_eq!(report.json["totals"]["retired_slots"], 2);
    }
}
