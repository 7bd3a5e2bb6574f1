//! `dmremap reset-stats` and `dmremap resume`

use crate::args::NameArgs;
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::output::Report;
use crate::reply::{ask, not_understood, value};
use crate::set::set_of_target;
use serde_json::json;

/// Runs `reset-stats`.
pub fn reset_stats(args: &NameArgs, dm: &dyn Dm) -> Result<Report> {
    let name = &names::resolve(dm, &args.name)?;
    set_of_target(dm, name)?;
    let reply = ask(dm, name, "reset_stats", &format!("reset the counts of {name}"))?;
    if value(&reply, "stats") != Some("reset") {
        return Err(not_understood(name, &reply));
    }
    Ok(Report::new(String::new(), json!({ "name": name })))
}

/// Runs `resume`.
pub fn resume(args: &NameArgs, dm: &dyn Dm) -> Result<Report> {
    let name = &names::resolve(dm, &args.name)?;
    set_of_target(dm, name)?;
    let reply = ask(dm, name, "resume_remap", &format!("resume {name}"))?;
    let mode = value(&reply, "mode").ok_or_else(|| not_understood(name, &reply))?;
    let mut report = Report::new(format!("{name}: mode {mode}\n"), json!({ "name": name, "mode": mode }));
    if !matches!(mode, "rw" | "degraded") {
        let what = format!("{name} does not remap: its mode is {mode}");
        let next = format!("`dmremap status {name}` says why, and what to do");
        report.undone = Some(Failure::new(Kind::Device, what, next));
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::number::Number;

    fn dm(message: &str, reply: &str) -> FakeDm {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        dm.replies = vec![(message.into(), reply.into())];
        dm
    }

    fn args() -> NameArgs {
        NameArgs { name: "archive".into() }
    }

    #[test]
    fn s08_resume_succeeds_only_if_the_set_remaps_again() {
        for (reply, good) in [
            ("mode=rw\n", true),
            ("mode=degraded x=1\n", true),
            ("mode=no-remap\n", false),
            ("mode=fail", false),
        ] {
            let report = resume(&args(), &dm("resume_remap", reply)).unwrap();
            assert_eq!(report.undone.is_none(), good, "{reply}");
        }
        assert!(resume(&args(), &dm("resume_remap", "rw")).is_err());
        let refused = FakeDm { message_errors: vec![("resume_remap".into(), 30)], ..dm("", "") };
        let failure = resume(&args(), &refused).unwrap_err();
        assert!(failure.what.contains("read-only") && failure.next.contains("status"), "{failure}");
    }

    #[test]
    fn counts_are_reset_only_if_the_target_says_so() {
        assert!(reset_stats(&args(), &dm("reset_stats", "stats=reset\n")).is_ok());
        assert!(reset_stats(&args(), &dm("reset_stats", "\n")).is_err());
        let older = reset_stats(&args(), &dm("", "")).unwrap_err();
        assert!(older.next.contains("older"), "{older}");
    }
}
