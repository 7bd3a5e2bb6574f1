//! `dmremap open` and `dmremap close`

use crate::args::{CloseArgs, OpenArgs};
use crate::device::{users_of, Access, Device};
use crate::dm::{Dm, Line};
use crate::failure::{Failure, Kind, Result};
use crate::identity;
use crate::output::{size, Report};
use crate::spare::Spare;
use crate::table::{Mapping, TARGET, UUID_PREFIX};
use remap_core::format::{SetId, Superblock};
use serde_json::json;
use std::io;
use std::path::Path;

/// The DM UUID of a set.
fn dm_uuid(id: &SetId) -> String {
    format!("{UUID_PREFIX}{}", id.to_string().replace('-', ""))
}

/// Runs `open`.
pub fn open(args: &OpenArgs, dm: &dyn Dm) -> Result<Report> {
    check_name(&args.name)?;
    let (superblock, mapping, warnings) = {
        // The kernel claims both devices later; they are closed again by then.
        let main = Device::open(&args.main, Access::Read)?;
        let spare_device = Device::open(&args.spare, Access::Read)?;
        let (superblock, mapping) = read_set(args, &main, &spare_device)?;
        // While the set is open, main's content is not what it was at the last close: this has to come first.
        check_not_open(args, dm, &dm_uuid(&superblock.id))?;
        let spare_start = main.is_same(&spare_device).then_some(args.offsets.spare_offset);
        let sectors = main.sectors_of_main(args.offsets.main_offset, spare_start);
        let warnings = check_main(args, &superblock, &main, sectors)?;
        (superblock, mapping, warnings)
    };
    for warning in &warnings {
        eprintln!("dmremap: {warning}");
    }
    let line =
        Line { start: 0, sectors: superblock.main.sectors, target: TARGET.into(), text: mapping.to_string() };
    let node = activate(args, dm, &dm_uuid(&superblock.id), &line)?;
    let text = format!(
        "{node}: set {}, {}, {} slots\nuse {node} from now on, in place of {}\n",
        superblock.id,
        size(superblock.main.sectors),
        superblock.geometry.slot_count(),
        args.main.display()
    );
    let json = json!({
        "name": args.name,
        "node": node,
        "set_uuid": superblock.id.to_string(),
        "label": superblock.label.as_str(),
        "sectors": superblock.main.sectors,
        "readonly": args.readonly,
        "table": format!("0 {} {TARGET} {mapping}", superblock.main.sectors),
        "warnings": warnings,
    });
    Ok(Report { text, json })
}

/// Names that can be a file in /dev/mapper, and that device-mapper takes.
fn check_name(name: &str) -> Result<()> {
    let good = !name.is_empty() && name.len() < 128 && !matches!(name, "." | ".." | "control");
    if good && name.chars().all(|c| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c)) {
        return Ok(());
    }
    let next = "use up to 127 letters, digits and any of # + - . : = @ _";
    Err(Failure::new(Kind::Parameters, format!("\"{name}\" cannot be the name of a device"), next))
}

/// Reads the superblocks, and makes the table.
fn read_set(args: &OpenArgs, main: &Device, spare_device: &Device) -> Result<(Superblock, Mapping)> {
    let (Some(main_number), Some(spare_number)) = (main.number, spare_device.number) else {
        let file = if main.number.is_none() { &args.main } else { &args.spare };
        let what = format!("{} is a file, not a block device", file.display());
        return Err(Failure::new(Kind::Device, what, "make it a device with `losetup --find --show FILE`"));
    };
    let (main_offset, spare_offset) = (args.offsets.main_offset, args.offsets.spare_offset);
    let same = main.is_same(spare_device);
    let spare = Spare::new(spare_device, spare_offset, same.then_some(main_offset))?;
    let mapping = Mapping {
        main: main_number.to_string(),
        main_offset,
        spare: spare_number.to_string(),
        spare_offset,
        features: Vec::new(),
    };
    let superblock = spare.superblock(args.force).map_err(|mut failure| {
        if !same && Spare::new(main, main_offset, None).is_ok_and(|spare| spare.choose(true).is_ok()) {
            failure.next = format!("{} is one: MAIN comes first, then SPARE", args.main.display());
        }
        failure
    })?;
    Ok((superblock, mapping))
}

/// Compares main with what the superblock says; returns what is worth knowing.
fn check_main(args: &OpenArgs, superblock: &Superblock, main: &Device, sectors: u64) -> Result<Vec<String>> {
    let found = identity::compare(superblock, main, args.offsets.main_offset, sectors);
    let mut warnings = found.warnings;
    if !found.mismatches.is_empty() {
        let why = found.mismatches.join("; ");
        let what = format!("{} is not as the set knows its main: {why}", args.main.display());
        if !args.force {
            let next = "check both devices and offsets. If main was written without the target since, sectors that live \
                        on the spare may not fit the rest; --force opens it all the same";
            return Err(Failure::new(Kind::Device, what, next));
        }
        warnings.push(format!("{what}; forced"));
    }
    Ok(warnings)
}

fn check_not_open(args: &OpenArgs, dm: &dyn Dm, uuid: &str) -> Result<()> {
    for name in dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))? {
        let same_set = dm.info(&name).is_ok_and(|info| info.uuid == uuid);
        if same_set {
            let what = format!("the set is open already, as /dev/mapper/{name}");
            return Err(Failure::new(Kind::Busy, what, format!("use that, or `dmremap close {name}` first")));
        }
        if name == args.name {
            let what = format!("there is a mapped device {name} already");
            return Err(Failure::new(Kind::Busy, what, "choose another name"));
        }
    }
    Ok(())
}

/// Creates the device, loads the table and makes it live. What was created is removed again when a step fails.
fn activate(args: &OpenArgs, dm: &dyn Dm, uuid: &str, line: &Line) -> Result<String> {
    let name = &args.name;
    dm.create(name, uuid).map_err(|e| dm_failure(&format!("create {name}"), &e, dm))?;
    let live = dm.load(name, line, args.readonly).and_then(|()| dm.resume(name));
    let result = match live {
        Ok(()) => dm
            .info(name)
            .and_then(|info| dm.node_appears(&info))
            .map_err(|e| Failure::system(format_args!("cannot make /dev/mapper/{name}"), &e)),
        Err(e) => Err(explain_load(args, dm, &e)),
    };
    result.inspect_err(|_| {
        let _ = dm.remove(name, false);
        dm.node_vanishes(name);
    })
}

/// Why the kernel did not take the table: the target is missing, a device is in use, or what the kernel log says.
fn explain_load(args: &OpenArgs, dm: &dyn Dm, error: &io::Error) -> Failure {
    let missing = dm.targets().is_ok_and(|targets| targets.iter().all(|(name, _)| name != TARGET));
    if missing {
        let what = "the kernel has no target `remap`: the module dm_remap is not loaded";
        let next = "`modprobe dm_remap`; if there is no such module, install it with `./x install` in the source tree";
        return Failure::new(Kind::Device, what, next);
    }
    let mut failure = dm_failure(&format!("open {}", args.name), error, dm);
    if failure.kind == Kind::Busy {
        let (main, spare) = (users_of(&args.main), users_of(&args.spare));
        let of = |path: &Path, users: &str| {
            if users.is_empty() {
                String::new()
            } else {
                format!("; {}{users}", path.display())
            }
        };
        failure.what += &(of(&args.main, &main) + &of(&args.spare, &spare));
    }
    failure
}

/// A failure of device-mapper, with what the kernel log says about it.
pub fn dm_failure(doing: &str, error: &io::Error, dm: &dyn Dm) -> Failure {
    let mut failure = Failure::system(format_args!("cannot {doing}"), error);
    if let Some(said) = dm.kernel_said() {
        failure.what += &format!("\n  kernel: {said}");
    }
    failure
}

/// Runs `close`.
pub fn close(args: &CloseArgs, dm: &dyn Dm) -> Result<Report> {
    let name = &args.name;
    let (info, mapping) = crate::status::open_set(dm, name)?;
    if info.open_count > 0 && !args.deferred {
        let users = info.number.users();
        let by = if users.is_empty() { "another program".into() } else { users.join(", ") };
        let next = "unmount it or end what uses it (`fuser -v` tells), or give --deferred";
        return Err(Failure::new(Kind::Busy, format!("/dev/mapper/{name} is in use: {by}"), next));
    }
    dm.remove(name, args.deferred).map_err(|e| dm_failure(&format!("close {name}"), &e, dm))?;
    let deferred = args.deferred && dm.info(name).is_ok();
    let mut fingerprint_stored = false;
    if !deferred || !crate::dm::node::udev_runs() {
        dm.node_vanishes(name);
    }
    if !deferred {
        fingerprint_stored = store_fingerprint(&mapping).is_ok();
    }
    let text = if deferred {
        format!("{name} is in use and closes when its last user is gone\n")
    } else {
        String::new()
    };
    Ok(Report {
        text,
        json: json!({ "name": name, "deferred": deferred, "fingerprint_stored": fingerprint_stored }),
    })
}

/// Stores the fingerprint of main after a clean close, so that the next `open` notices if main was written in between.
/// Without it nothing is lost but that check.
fn store_fingerprint(mapping: &Mapping) -> Result<()> {
    let main = Device::open(&mapping.node_of(&mapping.main), Access::Read)?;
    let spare_device = Device::open(&mapping.node_of(&mapping.spare), Access::WriteExclusive)?;
    let same = mapping.main == mapping.spare;
    let spare = Spare::new(&spare_device, mapping.spare_offset, same.then_some(mapping.main_offset))?;
    let mut superblock = spare.superblock(false)?;
    let skip = !superblock.clean || superblock.ro_compat_unknown;
    if skip {
        return Err(Failure::new(Kind::Device, "the set was not closed cleanly", ""));
    }
    identity::record(&mut superblock, &main, mapping.main_offset);
    superblock.seq += 1;
    spare.write_superblocks(&superblock).map_err(|e| Failure::path("write", spare_device.path(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Number;
    use crate::dm::fake::FakeDm;
    use std::path::PathBuf;

    fn open_args() -> OpenArgs {
        OpenArgs {
            main: PathBuf::from("/dev/null"),
            spare: PathBuf::from("/dev/null"),
            name: "archive".into(),
            offsets: Default::default(),
            readonly: false,
            force: false,
        }
    }

    fn line() -> Line {
        Line { start: 0, sectors: 8, target: TARGET.into(), text: "8:0 0 1 8:16 0".into() }
    }

    #[test]
    fn a_device_is_created_loaded_and_resumed() {
        let dm = FakeDm::default();
        assert_eq!(activate(&open_args(), &dm, "REMAP-1", &line()).unwrap(), "/dev/mapper/archive");
        assert_eq!(
            dm.calls(),
            ["create archive REMAP-1", "load archive 0 8 remap 8:0 0 1 8:16 0", "resume archive"]
        );
    }

    #[test]
    fn a_missing_target_is_named_and_nothing_stays_behind() {
        let dm =
            FakeDm { load_error: Some(22), targets: vec![("linear".into(), [1, 0, 0])], ..FakeDm::default() };
        let failure = activate(&open_args(), &dm, "REMAP-1", &line()).unwrap_err();
        assert!(failure.next.contains("modprobe dm_remap"), "{failure}");
        assert!(dm.calls().contains(&"remove archive".to_string()));
    }

    #[test]
    fn s27_the_words_of_the_kernel_are_passed_on() {
        let dm = FakeDm {
            load_error: Some(22),
            targets: vec![(TARGET.into(), [1, 0, 0])],
            said: Some("superblock of a newer format".into()),
            ..FakeDm::default()
        };
        let failure = activate(&open_args(), &dm, "REMAP-1", &line()).unwrap_err();
        assert!(failure.what.contains("kernel: superblock of a newer format"), "{failure}");
        assert_eq!(failure.kind, Kind::Device);
    }

    #[test]
    fn an_open_set_is_not_opened_twice() {
        let dm = FakeDm::with_set("first", "REMAP-1", Number { major: 254, minor: 0 }, 0);
        assert_eq!(check_not_open(&open_args(), &dm, "REMAP-1").unwrap_err().kind, Kind::Busy);
        let dm = FakeDm::with_set("archive", "REMAP-2", Number { major: 254, minor: 0 }, 0);
        assert_eq!(check_not_open(&open_args(), &dm, "REMAP-1").unwrap_err().kind, Kind::Busy);
        assert!(check_not_open(&open_args(), &dm, "REMAP-3").is_err());
    }

    #[test]
    fn a_set_in_use_is_not_closed() {
        let dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 0, minor: 4000 }, 1);
        let failure = close(&CloseArgs { name: "archive".into(), deferred: false }, &dm).unwrap_err();
        assert_eq!(failure.kind, Kind::Busy);
        assert!(close(&CloseArgs { name: "archive".into(), deferred: true }, &dm).is_ok());
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("archive-1.a").is_ok());
        for bad in ["", "a/b", "..", "control", "a b", &"x".repeat(128)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
