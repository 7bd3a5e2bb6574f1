//! `dmremap status`

mod finding;
mod json;
mod read;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
mod text;
mod wear;
mod words;

use crate::args::StatusArgs;
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::output::Report;
use crate::set::dm_failure;
use crate::table::{TARGET, UUID_PREFIX};
use finding::{Finding, Verdict};
use read::{Below, Set};
use serde_json::json;

/// Runs the verb.
pub fn run(args: &StatusArgs, dm: &dyn Dm) -> Result<Report> {
    run_with(args, dm, &Below::live())
}

/// How `status --check` ends where nothing can be told of any set.
pub fn check_failed(failure: &Failure) -> u8 {
    // Wrong arguments are the caller's, not the set's.
    match failure.kind {
        Kind::Parameters => Kind::Parameters as u8,
        _ => Verdict::Unknown.exit_status(),
    }
}

fn run_with(args: &StatusArgs, dm: &dyn Dm, below: &Below<'_>) -> Result<Report> {
    let (sets, unread) = match &args.name {
        Some(name) => (vec![below.read_set(dm, &names::resolve(dm, name)?)?], None),
        None => all_sets(dm, below)?,
    };
    let sets: Vec<(Set, Vec<Finding>)> =
        sets.into_iter().map(|set| (words::findings(&set), set)).map(|(found, set)| (set, found)).collect();
    let text = match (sets.as_slice(), &args.name) {
        ([], _) => "no set is open\n".into(),
        (sets, _) if args.check => sets.iter().map(|(set, f)| text::check_lines(set, f, true)).collect(),
        ([(set, findings)], Some(_)) => text::details(set, findings),
        (sets, _) => text::overview(sets),
    };
    let verdict = sets.iter().map(|(_, findings)| json::verdict(findings)).max().unwrap_or(Verdict::Unknown);
    let devices: Vec<_> = sets.iter().map(|(set, findings)| json::device(set, findings)).collect();
    let mut fields = json!({ "devices": devices });
    if args.check {
        fields = json!({ "verdict": verdict.name(), "devices": devices });
    }
    let mut report = Report::new(text, fields);
    if args.check {
        report.exit_status = Some(verdict.exit_status());
    } else {
        report.undone = unread;
    }
    Ok(report)
}

/// All sets that are open, and what there is to say if one of them could not be read.
fn all_sets(dm: &dyn Dm, below: &Below<'_>) -> Result<(Vec<Set>, Option<Failure>)> {
    let names = dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))?;
    let ours = |name: &String| dm.info(name).is_ok_and(|info| info.uuid.starts_with(UUID_PREFIX));
    // A set that was made by plain dmsetup may have no UUID of ours.
    let has_target = |name: &String| dm.table(name).is_ok_and(|t| t.iter().any(|line| line.target == TARGET));
    let mut sets = Vec::new();
    let mut unread = Vec::new();
    for name in names.iter().filter(|name| ours(name) || has_target(name)) {
        match (below.read_set(dm, name), dm.info(name)) {
            (Ok(set), _) => sets.push(set),
            (Err(why), Ok(info)) => {
                unread.push(name.clone());
                sets.push(below.unknown_set(info, why));
            }
            // It was closed meanwhile.
            (Err(_), Err(_)) => {}
        }
    }
    let failure = (!unread.is_empty()).then(|| {
        let what = format!("the state of {} could not be read", unread.join(", "));
        Failure::new(Kind::Device, what, "the table says why")
    });
    Ok((sets, failure))
}
