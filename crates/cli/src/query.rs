//! `dmremap query`

use crate::args::QueryArgs;
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::names;
use crate::output::Report;
use crate::reply::{ask, not_understood, number, value};
use crate::set::{set_of_target, OpenSet};
use serde_json::json;

/// Fails unless the sectors lie in the set.
pub fn check_range(set: &OpenSet, sector: u64, count: u64) -> Result<()> {
    let sectors = set.sectors();
    if sector.checked_add(count).is_some_and(|end| end <= sectors) {
        return Ok(());
    }
    let last = sector.saturating_add(count - 1);
    let what = format!("{} has {sectors} sectors: there is no sector {last}", set.info.name);
    Err(Failure::new(Kind::Parameters, what, "sectors have 512 bytes and count from 0"))
}

/// Runs the verb.
pub fn run(args: &QueryArgs, dm: &dyn Dm) -> Result<Report> {
    let (name, sector) = (&names::resolve(dm, &args.name)?, args.sector);
    check_range(&set_of_target(dm, name)?, sector, 1)?;
    let reply = ask(dm, name, &format!("query {sector}"), &format!("ask {name} for sector {sector}"))?;
    let state = value(&reply, "state").ok_or_else(|| not_understood(name, &reply))?;
    let (slot, spare_sector) = (number(&reply, "slot"), number(&reply, "spare_sector"));
    let writes_refused = value(&reply, "writes") == Some("refused");
    let place = slot.zip(spare_sector);
    let place = place.map(|(slot, at)| format!(", slot {slot}, sector {at} of the spare's device"));
    let meaning = match state {
        "main" => "on main",
        "pending" => "on main, which cannot read it; a write heals it",
        "mapped" => "on the spare",
        "suspect" => "on the spare, which could not read it; a write heals it",
        "lost" => "its content is lost; a write gives it a new one",
        _ => "a state that this version does not know",
    };
    let resume = format!(
        "; writes are refused since the map could not be written, `dmremap resume {name}` tries again"
    );
    let refused = if writes_refused { resume.as_str() } else { "" };
    let text = format!("{sector}: {state} ({meaning}{refused}){}\n", place.unwrap_or_default());
    let json = json!({ "name": name, "sector": sector, "state": state, "slot": slot, "spare_sector": spare_sector,
                       "writes_refused": writes_refused });
    Ok(Report::new(text, json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::number::Number;

    fn asked(sector: u64, reply: &str) -> Result<Report> {
        let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
        dm.replies = vec![(format!("query {sector}"), reply.into())];
        run(&QueryArgs { name: "archive".into(), sector }, &dm)
    }

    #[test]
    fn the_state_of_a_sector_is_told() {
        let mapped =
            asked(2050, "sector=2050 sectors=1 state=mapped slot=3 spare_sector=17664 new=x\n").unwrap();
        assert!(mapped.text.contains("2050: mapped") && mapped.text.contains("17664"), "{}", mapped.text);
        assert_eq!(
            (mapped.json["slot"].as_u64(), mapped.json["writes_refused"].as_bool()),
            (Some(3), Some(false))
        );
        let main = asked(7, "sector=7 sectors=1 state=main writes=refused\n").unwrap();
        assert!(main.text.contains("7: main") && main.text.contains("refused"), "{}", main.text);
        assert_eq!((main.json["slot"].as_u64(), main.json["writes_refused"].as_bool()), (None, Some(true)));
    }

    #[test]
    fn s27_strange_sectors_and_answers_are_refused() {
        assert_eq!(asked(100_000, "sector=0 state=main").unwrap_err().kind, Kind::Parameters);
        assert_eq!(asked(99_999, "?").unwrap_err().kind, Kind::Device);
        assert_eq!(asked(u64::MAX, "sector=0 state=main").unwrap_err().kind, Kind::Parameters);
    }
}
