//! `dmremap remap` and `dmremap release`

use crate::args::{ReleaseArgs, RemapArgs};
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::holders::{self, System};
use crate::interrupt::Interrupt;
use crate::names;
use crate::output::Report;
use crate::query::check_range;
use crate::set::set_of_target;
use crate::shell;
use mapped::{mapped_ranges, mapped_within};
use plan::Room;
use send::{send, Moved, RELEASE, REMAP};
use serde_json::{json, Value};

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
    let mut moved = send(dm, name, &REMAP, &[range], &Interrupt::taken())?;
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
    let mut moved = send(dm, name, &RELEASE, &ranges, &Interrupt::taken())?;
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
    let lost = if moved.count("lost") > 0 { "; a write gives lost sectors new content" } else { "" };
    let next = format!("they stay mapped, as `dmremap list {name}` shows{lost}");
    let again = |at: u64| match args.all {
        true => format!("dmremap release --all {}", shell::quoted(name)),
        false => format!("dmremap release {} {at} {}", shell::quoted(name), end.saturating_sub(at)),
    };
    let undone = undone(&mut moved, name, &parts, &next, &again);
    Ok(Report { undone, ..Report::new(text + "\n", Value::Object(fields)) })
}

mod mapped;
mod plan;
mod send;
#[cfg(test)]
mod tests;
