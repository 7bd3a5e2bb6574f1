//! `dmremap table`

use crate::args::TableArgs;
use crate::device::Device;
use crate::dm::ioctl::Kernel;
use crate::dm::{Dm, Line};
use crate::failure::Result;
use crate::holders::System;
use crate::linear::Assembly;
use crate::names::name_for;
use crate::output::Report;
use crate::pair::{Pair, Wish};
use crate::shell;
use crate::table::{dm_uuid, linear_uuid, TARGET};
use serde_json::json;

/// Runs the verb.
pub fn run(args: &TableArgs) -> Result<Report> {
    // As `open`; but what uses main or spare is only told, since nothing is opened.
    let by_few = shell::table("--linear --force ", args.offsets, &args.main, &args.spare);
    let pair = Pair::read(&args.main, &args.spare, args.offsets, args.force && args.linear, &by_few)?;
    let linear = shell::table("--linear ", args.offsets, &args.main, &args.spare);
    let wish = Wish { force: args.force, reads_linear: args.linear, linear };
    let mut warnings = pair.check_main(&wish)?;
    pair.check_placement(&wish)?;
    let id = pair.superblock.id;
    let sectors = pair.superblock.main.sectors;
    let mapping = pair.mapping_by_path()?;
    let (uuid, lines, assembly) = if args.linear {
        let assembly = Assembly::read(&pair, &wish)?;
        let uuid = pair.mapping_by_number().map(|numbers| linear_uuid(&id, &numbers)).ok();
        (uuid, assembly.lines(&mapping), Some(assembly))
    } else {
        let line = Line { start: 0, sectors, target: TARGET.into(), text: mapping.to_string() };
        (Some(dm_uuid(&id)), vec![line], None)
    };
    let kernel = Kernel::open().ok();
    let system = System::live(kernel.as_ref().map(|kernel| kernel as &dyn Dm));
    pair.check_devices(&system, true)?;
    match pair.check_holders(&system, true) {
        Ok(passed) => warnings.extend(passed),
        Err(failure) => warnings.push(format!("{}: do not open a device of this table", failure.what)),
    }
    warnings.extend(files(&[&pair.main, &pair.spare]));
    if assembly.as_ref().is_some_and(|assembly| assembly.copies_differ) {
        warnings
            .push("the copies of the metadata are not equal: do not write to a device of this table".into());
    }
    if args.linear && !pair.superblock.clean {
        let what = "the set was not closed: should it be open, a later remapping makes this table wrong";
        warnings.push(what.into());
    }
    for note in warnings.iter().chain(&hint(args, uuid.as_deref(), pair.superblock.label.as_str())) {
        eprintln!("dmremap: {note}");
    }
    let lines: Vec<String> = lines.iter().map(Line::to_string).collect();
    let mut json = json!({
        "set_uuid": id.to_string(),
        "label": pair.superblock.label.as_str(),
        "sectors": sectors,
        "linear": args.linear,
        "dm_uuid": uuid,
        "lines": lines,
        "warnings": warnings,
    });
    if let (Some(assembly), Some(fields)) = (&assembly, json.as_object_mut()) {
        fields.insert("mapped_sectors".into(), json!(assembly.mapped_sectors));
        fields.insert("lost_sectors".into(), json!(assembly.lost_sectors));
    }
    Ok(Report::new(lines.iter().map(|line| format!("{line}\n")).collect(), json))
}

/// A word about each that dmsetup does not take.
fn files(devices: &[&Device]) -> Vec<String> {
    let files = devices.iter().filter(|device| device.number.is_none());
    let word = |device: &&Device| {
        let path = device.path().display();
        format!("{path} is a file: dmsetup takes what `losetup --find --show {path}` makes of it")
    };
    files.map(word).collect()
}

/// How to use the table, beside the table itself.
fn hint(args: &TableArgs, uuid: Option<&str>, label: &str) -> Option<String> {
    let uuid = uuid?;
    let readonly = if args.linear { "--readonly " } else { "" };
    let name = name_for(label, &args.main);
    Some(format!("for: dmsetup create {readonly}--uuid {uuid} {}", shell::quoted(&name)))
}
