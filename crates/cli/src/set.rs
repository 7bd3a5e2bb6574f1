//! Open sets: finding them among the mapped devices.

use crate::dm::{Dm, Info, Line};
use crate::failure::{Failure, Kind, Result};
use crate::table::{is_set, parse_linear_uuid, Mapping, Status, TARGET, UUID_PREFIX};
use remap_core::format::SetId;
use std::io;

/// An open set.
#[derive(Debug)]
pub struct OpenSet {
    /// State of the mapped device.
    pub info: Info,
    /// Where main and spare are.
    pub mapping: Mapping,
    /// It was opened with `--linear`: its table has no target of ours.
    pub linear: bool,
    /// The live table.
    pub lines: Vec<Line>,
}

impl OpenSet {
    /// Length in sectors.
    pub fn sectors(&self) -> u64 {
        self.lines.iter().map(|line| line.sectors).sum()
    }
}

/// The open set `name`, open in one way or the other.
pub fn open_set(dm: &dyn Dm, name: &str) -> Result<OpenSet> {
    let info = dm.info(name).map_err(|e| {
        let mut failure = dm_failure(&format!("find a mapped device {name}"), &e, dm);
        failure.next = "`dmremap status` lists the open sets".into();
        failure
    })?;
    let lines = dm.table(name).map_err(|e| dm_failure(&format!("read the table of {name}"), &e, dm))?;
    if let Some((_, mapping)) = parse_linear_uuid(&info.uuid) {
        return Ok(OpenSet { info, mapping, linear: true, lines });
    }
    let mapping = lines.iter().find(|line| line.target == TARGET).and_then(|line| Mapping::parse(&line.text));
    match mapping {
        Some(mapping) => Ok(OpenSet { info, mapping, linear: false, lines }),
        None => {
            let what = format!("{name} is no set of dm-remap");
            Err(Failure::new(Kind::Device, what, "`dmremap status` lists the open sets"))
        }
    }
}

/// The device `name`, if an `open` that was cut off left it: it has the UUID of a set and no live table.
pub fn inactive(dm: &dyn Dm, name: &str) -> Option<Info> {
    let info = dm.info(name).ok().filter(|info| info.uuid.starts_with(UUID_PREFIX))?;
    dm.table(name).is_ok_and(|lines| lines.is_empty()).then_some(info)
}

/// The open set `name`, if it can be asked and told things: one that the target serves.
pub fn set_of_target(dm: &dyn Dm, name: &str) -> Result<OpenSet> {
    let set = open_set(dm, name)?;
    if set.linear {
        let what =
            format!("{name} was opened with --linear: without the module its map cannot be asked or changed");
        let next = format!(
            "`dmremap list {name}` shows the map; `dmremap close {name}` and open it without --linear"
        );
        return Err(Failure::new(Kind::Device, what, next));
    }
    Ok(set)
}

/// Refuses a set that is open already, and a name that is taken. For a linear assembly, which the kernel does not know as
/// a set, also what the target uses under another UUID. The device `own` does not count.
pub fn check_not_open(dm: &dyn Dm, wanted: &Wanted<'_>, own: Option<&str>) -> Result<()> {
    for name in dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))? {
        if own == Some(&name) {
            continue;
        }
        let uuid = dm.info(&name).map(|info| info.uuid).unwrap_or_default();
        if is_set(&uuid, wanted.id) || (wanted.linear && uses(dm, &name, wanted)) {
            let what = format!("the set, or a device of it, is open already, as /dev/mapper/{name}");
            return Err(Failure::new(Kind::Busy, what, format!("use that, or `dmremap close {name}` first")));
        }
        if name == wanted.name {
            let what = format!("there is a mapped device {name} already");
            return Err(Failure::new(Kind::Busy, what, "choose another name"));
        }
    }
    Ok(())
}

/// What is to be opened.
pub struct Wanted<'a> {
    /// Name of the mapped device.
    pub name: &'a str,
    /// The set.
    pub id: &'a SetId,
    /// Main and spare, by number.
    pub mapping: &'a Mapping,
    /// Without the target.
    pub linear: bool,
}

/// Whether a device of our target has the set, or main or spare of it.
fn uses(dm: &dyn Dm, name: &str, wanted: &Wanted<'_>) -> bool {
    let lines =
        |lines: io::Result<Vec<Line>>| lines.unwrap_or_default().into_iter().filter(|l| l.target == TARGET);
    let ours = wanted.mapping;
    let place = |device: &str, offset: u64| {
        (device == ours.main && offset == ours.main_offset)
            || (device == ours.spare && offset == ours.spare_offset)
    };
    let places = lines(dm.table(name)).filter_map(|line| Mapping::parse(&line.text));
    let mut ids = lines(dm.status(name)).filter_map(|line| Status::parse(&line.text)?.set_uuid);
    let id = wanted.id.to_string();
    places.into_iter().any(|m| place(&m.main, m.main_offset) || place(&m.spare, m.spare_offset))
        || ids.any(|other| other == id)
}

/// A failure of device-mapper, with what the kernel log says about it.
pub fn dm_failure(doing: &str, error: &io::Error, dm: &dyn Dm) -> Failure {
    let mut failure = Failure::system(format_args!("cannot {doing}"), error);
    if let Some(said) = dm.kernel_said() {
        failure.what += &format!("\n  kernel: {said}");
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;
    use crate::number::Number;
    use crate::table::{dm_uuid, linear_uuid};

    const ID: SetId = SetId([0x11; 16]);
    const NUMBER: Number = Number { major: 254, minor: 3 };

    fn mapping(main: &str, spare: &str) -> Mapping {
        Mapping {
            main: main.into(),
            main_offset: 2048,
            spare: spare.into(),
            spare_offset: 0,
            features: vec![],
        }
    }

    fn refused(dm: &FakeDm, name: &str, id: &SetId, mapping: &Mapping, linear: bool) -> bool {
        let result = check_not_open(dm, &Wanted { name, id, mapping, linear }, None);
        result.is_err_and(|failure| failure.kind == Kind::Busy)
    }

    #[test]
    fn s20_an_open_set_is_not_opened_twice_in_either_way() {
        let elsewhere = mapping("8:0", "8:16");
        for uuid in [dm_uuid(&ID), linear_uuid(&ID, &elsewhere)] {
            let dm = FakeDm::with_set("first", &uuid, NUMBER, 0);
            for linear in [false, true] {
                assert!(refused(&dm, "archive", &ID, &elsewhere, linear), "{uuid}");
                assert!(!refused(&dm, "archive", &SetId([0x12; 16]), &elsewhere, linear), "{uuid}");
                assert!(refused(&dm, "first", &SetId([0x12; 16]), &elsewhere, linear), "the name is taken");
            }
            let wanted = Wanted { name: "first", id: &ID, mapping: &elsewhere, linear: true };
            assert!(check_not_open(&dm, &wanted, Some("first")).is_ok(), "it is not in its own way");
        }
    }

    #[test]
    fn s20_what_dmsetup_made_is_in_the_way_of_a_linear_assembly() {
        // The table of the fake has main 0:4001 from 2048, the spare 0:4002 from 0.
        let dm = FakeDm::with_set("first", "", NUMBER, 0);
        let mut status_id = [0; 16];
        for (byte, i) in status_id.iter_mut().zip(0u8..) {
            *byte = i;
        }
        (status_id[0], status_id[6], status_id[8]) = (0xd0, 0x46, 0x88);
        for (id, mapping, wanted) in [
            (ID, mapping("0:4001", "8:16"), true),
            (ID, mapping("8:0", "0:4002"), true),
            (ID, mapping("8:0", "0:4003"), false),
            (SetId(status_id), mapping("8:0", "8:16"), true),
        ] {
            assert_eq!(refused(&dm, "archive", &id, &mapping, true), wanted, "{mapping}");
        }
    }
}
