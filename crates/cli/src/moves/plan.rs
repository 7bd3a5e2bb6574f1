//! What a `remap` would move, and what to do about what it could not.

use super::mapped::mapped_within;
use super::send::Range;
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::list::runs;
use crate::number::Number;
use crate::output::Report;
use crate::set::OpenSet;
use crate::shell;
use crate::table::{Status, TARGET};
use serde_json::json;
use std::collections::BTreeSet;

/// Sectors of a group.
const GROUP_SECTORS: u64 = 8;

/// Room on the spare, and whether anything may be moved there; `None` where the target does not say.
pub struct Room {
    free_slots: Option<u64>,
    mode: Option<String>,
}

impl Room {
    /// As the set is now.
    pub fn of(dm: &dyn Dm, set: &OpenSet) -> Room {
        let lines = dm.status(&set.info.name).unwrap_or_default();
        let status = lines.iter().find(|line| line.target == TARGET).and_then(|l| Status::parse(&l.text));
        Room { free_slots: status.as_ref().and_then(|s| s.free_slots(None)), mode: status.map(|s| s.mode) }
    }

    /// The mode, if it is one that takes nothing.
    fn closed(&self) -> Option<&str> {
        self.mode.as_deref().filter(|mode| !matches!(*mode, "rw" | "degraded"))
    }
}

/// What to do about sectors that were not moved; `unreadable`: some could not be read.
pub fn next(room: &Room, name: &str, unreadable: bool) -> String {
    let name = shell::quoted(name);
    if let Some(mode) = room.closed() {
        return format!("its mode is {mode}: `dmremap status {name}` says why, and what to do");
    }
    if room.free_slots == Some(0) {
        return format!(
            "no slot is free, so that a write that main refuses fails as well: copy the data off, or make room: `dmremap \
             release --all {name}` moves back what main takes again"
        );
    }
    if unreadable {
        return "what main cannot read is moved when it is written: restore it from a backup".into();
    }
    format!("`dmremap status {name}` says how the spare is, and what to do")
}

/// What `remap` of the range would do now.
pub fn remap(dm: &dyn Dm, set: &OpenSet, range: &Range) -> Result<Report> {
    let name = &set.info.name;
    let range = widened(set, range);
    let mapped = mapped_within(dm, name, &range)?;
    let main = (range.end - range.start).saturating_sub(mapped);
    let needed = if main == 0 { 0 } else { slots_needed(dm, name, &range)? };
    let room = Room::of(dm, set);
    let free = room.free_slots;
    let takes = free.map_or(String::new(), |free| format!(", which takes {needed} of {free} free slots"));
    let text = format!("{name}: would move {main} sectors to the spare{takes}; {mapped} are there\n");
    let json = json!({ "name": name, "dry_run": true, "main_sectors": main, "mapped_sectors": mapped,
                       "needed_slots": needed, "free_slots": free });
    let mut report = Report::new(text, json);
    let short = free.filter(|&free| free < needed);
    let what = match (room.closed().filter(|_| main > 0), short) {
        (Some(mode), _) => format!("nothing would be moved: the mode of {name} is {mode}"),
        (None, Some(free)) => {
            let fit = free.saturating_mul(GROUP_SECTORS).min(main);
            format!("not all of that fits: {free} slots are free, for {fit} sectors at most")
        }
        (None, None) => return Ok(report),
    };
    report.text = format!("{name}: {main} sectors of the range are on main, {mapped} on the spare\n");
    report.undone = Some(Failure::new(Kind::Device, what, next(&room, name, false)));
    Ok(report)
}

/// The range in whole physical blocks of main, as the target takes it.
fn widened(set: &OpenSet, range: &Range) -> Range {
    let bytes = Number::parse(&set.mapping.main).and_then(Number::physical_block_bytes).unwrap_or(512);
    let block = (bytes / 512).max(1);
    let end = range.end.div_ceil(block).saturating_mul(block).min(set.sectors());
    range.start - range.start % block..end
}

/// Groups of the range that have no slot yet.
fn slots_needed(dm: &dyn Dm, name: &str, range: &Range) -> Result<u64> {
    let (first, end) = (range.start / GROUP_SECTORS, range.end.div_ceil(GROUP_SECTORS));
    let mut with_slot = BTreeSet::new();
    for run in runs(dm, name)? {
        let Some(start) = run.sector.filter(|_| run.state != "pending") else { continue };
        let groups = start / GROUP_SECTORS..start.saturating_add(run.sectors).div_ceil(GROUP_SECTORS);
        with_slot.extend(groups.start.max(first)..groups.end.min(end));
    }
    Ok((end - first).saturating_sub(with_slot.len() as u64))
}
