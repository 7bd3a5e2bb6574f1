//! `dmremap remap` and `dmremap release`

use crate::args::{ReleaseArgs, RemapArgs};
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::holders::{self, System};
use crate::interrupt::Interrupt;
use crate::list::runs;
use crate::names;
use crate::output::Report;
use crate::query::check_range;
use crate::set::set_of_target;
use crate::shell;
use plan::Room;
use serde_json::{json, Map, Value};

/// Sectors from one on.
type Range = std::ops::Range<u64>;

/// A message that moves content, and the counts that it answers with.
struct Message {
    word: &'static str,
    doing: &'static str,
    /// As `doing`, while it goes on.
    progress: &'static str,
    keys: &'static [&'static str],
    /// After a sector that failed the rest is not tried: it would fail as well, slowly.
    ends_at_failure: bool,
}

const REMAP: Message = Message {
    word: "remap",
    doing: "move to the spare",
    progress: "moving to the spare",
    keys: &["remapped", "mapped", "unreadable", "failed"],
    ends_at_failure: true,
};

const RELEASE: Message = Message {
    word: "release",
    doing: "move back to main",
    progress: "moving back to main",
    keys: &["released", "main", "lost", "unreadable", "failed", "aside"],
    ends_at_failure: false,
};

/// What a row of messages came to.
struct Moved {
    message: &'static Message,
    counts: Vec<u64>,
    /// Where it ended before its end, and why if that was an error.
    stopped: Option<(u64, Option<Failure>)>,
    /// It ended there since the caller asked for it.
    interrupted: bool,
}

impl Moved {
    fn count(&self, key: &str) -> u64 {
        let place = self.message.keys.iter().position(|k| *k == key);
        place.and_then(|place| self.counts.get(place)).copied().unwrap_or(0)
    }

    /// The counts as fields of the JSON object.
    fn fields(&self, name: &str) -> Map<String, Value> {
        let counts = self.message.keys.iter().map(|key| (format!("{key}_sectors"), json!(self.count(key))));
        let ends = [("name".to_string(), json!(name)), ("dry_run".to_string(), json!(false))];
        ends.into_iter().chain(counts).collect()
    }
}

/// Says what stayed undone; `parts` are the counts of sectors that did, in words.
fn undone(
    moved: &mut Moved,
    name: &str,
    parts: &[(&str, &str)],
    next: &str,
    again: &dyn Fn(u64) -> String,
) -> Option<Failure> {
    let left = parts.iter().filter(|(key, _)| moved.count(key) > 0);
    let mut left: Vec<String> = left.map(|(key, words)| format!("{} {words}", moved.count(key))).collect();
    let mut failure = Failure::new(Kind::Device, "", next);
    if let Some((at, why)) = moved.stopped.take() {
        let why_not = if moved.interrupted { ", since it was interrupted" } else { "" };
        left.push(format!("from sector {at} on nothing was tried{why_not}"));
        if moved.interrupted {
            failure.next = format!("what is left: `{}`", again(at));
        }
        if let Some(why) = why {
            left.push(why.what);
            (failure.kind, failure.next) = (why.kind, why.next);
        }
    }
    failure.what = format!("not all sectors of {name} were moved: {}", left.join("; "));
    (!left.is_empty()).then_some(failure)
}

/// The sectors of the range that are mapped.
fn mapped_within(dm: &dyn Dm, name: &str, range: &Range) -> Result<u64> {
    let all = mapped_ranges(dm, name)?;
    let common = |r: &Range| r.end.min(range.end).saturating_sub(r.start.max(range.start));
    Ok(all.iter().map(common).sum())
}

/// Everything that is mapped, as few ranges as can be.
fn mapped_ranges(dm: &dyn Dm, name: &str) -> Result<Vec<Range>> {
    let mut ranges: Vec<Range> = Vec::new();
    for run in runs(dm, name)? {
        // Of what main cannot read nothing is mapped, should the target list it.
        let Some(start) = run.sector.filter(|_| run.state != "pending") else { continue };
        match ranges.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = start.saturating_add(run.sectors),
            None => ranges.push(start..start.saturating_add(run.sectors)),
        }
    }
    Ok(ranges)
}

/// Runs `remap`.
pub fn remap(args: &RemapArgs, dm: &dyn Dm) -> Result<Report> {
    let name = &names::resolve(dm, &args.name)?;
    let set = set_of_target(dm, name)?;
    check_range(&set, args.sector, args.count)?;
    holders::check_open_set(&System::live(Some(dm)), &set)?;
    let range = args.sector..args.sector + args.count;
    if args.dry_run {
        return plan::remap(dm, &set, &range);
    }
    let end = range.end;
    let mut moved = send::send(dm, name, &REMAP, &[range], &Interrupt::taken())?;
    let (new, old) = (moved.count("remapped"), moved.count("mapped"));
    let fields = moved.fields(name);
    let mut text = format!("{name}: {new} sectors moved to the spare");
    if old > 0 {
        text += &format!("; {old} were there");
    }
    let parts =
        [("unreadable", "could not be read from main"), ("failed", "could not be stored on the spare")];
    let next = plan::next(&Room::of(dm, &set), name, moved.count("unreadable") > 0);
    let again = |at: u64| format!("dmremap remap {} {at} {}", shell::quoted(name), end.saturating_sub(at));
    let undone = undone(&mut moved, name, &parts, &next, &again);
    Ok(Report { undone, ..Report::new(text + "\n", Value::Object(fields)) })
}

/// Runs `release`.
pub fn release(args: &ReleaseArgs, dm: &dyn Dm) -> Result<Report> {
    let name = &names::resolve(dm, &args.name)?;
    let set = set_of_target(dm, name)?;
    let range = args.sector.unwrap_or(0)..args.sector.unwrap_or(0).saturating_add(args.count);
    let ranges = match args.sector {
        Some(sector) => {
            check_range(&set, sector, args.count)?;
            vec![range.clone()]
        }
        None => mapped_ranges(dm, name)?,
    };
    // Content that goes back to main would meet what was written there past the map.
    holders::check_open_set(&System::live(Some(dm)), &set)?;
    if args.dry_run {
        let mapped = match args.sector {
            Some(_) => mapped_within(dm, name, &range)?,
            None => ranges.iter().map(|r| r.end - r.start).sum(),
        };
        let text = format!("{name}: would move {mapped} sectors back to main\n");
        return Ok(Report::new(text, json!({ "name": name, "dry_run": true, "mapped_sectors": mapped })));
    }
    let end = range.end;
    let mut moved = send::send(dm, name, &RELEASE, &ranges, &Interrupt::taken())?;
    let (released, main) = (moved.count("released"), moved.count("main"));
    let fields = moved.fields(name);
    let mut text = format!("{name}: {released} sectors moved back to main");
    if main > 0 && !args.all {
        text += &format!("; {main} were there");
    }
    let aside = moved.count("aside");
    if aside > 0 {
        text += &format!("; {aside} beside them moved to the spare");
    }
    let parts = [
        ("lost", "are lost and have no content to go back"),
        ("unreadable", "could not be read from the spare"),
        ("failed", "were not taken by main"),
    ];
    let next = format!("they stay mapped, as `dmremap list {name}` shows; lost sectors can be written");
    let again = |at: u64| match args.all {
        true => format!("dmremap release --all {}", shell::quoted(name)),
        false => format!("dmremap release {} {at} {}", shell::quoted(name), end.saturating_sub(at)),
    };
    let undone = undone(&mut moved, name, &parts, &next, &again);
    Ok(Report { undone, ..Report::new(text + "\n", Value::Object(fields)) })
}

mod plan;
mod send;
#[cfg(test)]
mod tests;
