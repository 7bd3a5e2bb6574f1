//! `dmremap open`

use crate::args::OpenArgs;
use crate::dm::{Dm, Line};
use crate::failure::{Failure, Kind, Result};
use crate::fingerprint;
use crate::holders::{self, System};
use crate::linear::Assembly;
use crate::names::check_name;
use crate::output::{size, Report};
use crate::pair::{Pair, Wish};
use crate::set::{check_not_open, dm_failure, OpenSet, Wanted};
use crate::shell;
use crate::table::{dm_uuid, linear_uuid, Mapping, TARGET};
use remap_core::format::Superblock;
use serde_json::json;
use std::io;
use std::path::Path;

/// A device to be.
struct Plan {
    uuid: String,
    lines: Vec<Line>,
    readonly: bool,
    mapping: Mapping,
    superblock: Superblock,
    /// What there is to say of a linear assembly.
    assembly: Option<Assembly>,
    warnings: Vec<String>,
}

impl Plan {
    fn wanted<'a>(&'a self, name: &'a str) -> Wanted<'a> {
        Wanted { name, id: &self.superblock.id, mapping: &self.mapping, linear: self.assembly.is_some() }
    }
}

/// Runs the verb.
pub fn run(args: &OpenArgs, dm: &dyn Dm) -> Result<Report> {
    check_name(&args.name)?;
    let plan = plan(args, dm)?;
    for warning in &plan.warnings {
        eprintln!("dmremap: {warning}");
    }
    let node = activate(args, dm, &plan)?;
    Ok(report(args, &plan, &node))
}

/// The command with other options.
fn command(args: &OpenArgs, options: &str) -> String {
    shell::open(options, args.offsets, &args.main, &args.spare, &args.name)
}

/// Reads and checks everything. The kernel claims both devices later; they are closed again by then.
fn plan(args: &OpenArgs, dm: &dyn Dm) -> Result<Plan> {
    // The kernel takes no minority of superblocks (docs/format.md, Loading, step 1).
    let by_few = command(args, "--linear --force ");
    let pair = Pair::read(&args.main, &args.spare, args.offsets, args.force && args.linear, &by_few)?;
    let mapping = pair.mapping_by_number()?;
    let id = pair.superblock.id;
    // While the set is open, main's content is not what it was at the last close: this has to come first.
    check_not_open(dm, &Wanted { name: &args.name, id: &id, mapping: &mapping, linear: args.linear }, None)?;
    let system = System::live(Some(dm));
    let readonly = args.readonly || (args.linear && !args.read_write);
    pair.check_devices(&system, readonly)?;
    let mut warnings = pair.check_holders(&system, args.beside_idle)?;
    let reads_linear = args.linear && !args.read_write;
    let wish = Wish { force: args.force, reads_linear, linear: command(args, "--linear ") };
    warnings.extend(pair.check_main(&wish)?);
    let sectors = pair.superblock.main.sectors;
    let (uuid, lines, assembly) = if args.linear {
        let assembly = Assembly::read(&pair, &wish)?;
        if args.read_write {
            check_writable(&pair, &assembly)?;
        }
        (linear_uuid(&id, &mapping), assembly.lines(&mapping), Some(assembly))
    } else {
        let line = Line { start: 0, sectors, target: TARGET.into(), text: mapping.to_string() };
        (dm_uuid(&id), vec![line], None)
    };
    Ok(Plan { uuid, lines, readonly, mapping, superblock: pair.superblock, assembly, warnings })
}

/// Refuses to write by a map that a later reading of the same spare might not find again: the target makes such a map durable
/// before the first I/O, and here nobody does (docs/dmremap.md).
fn check_writable(pair: &Pair, assembly: &Assembly) -> Result<()> {
    let superblock = &pair.superblock;
    let why = if superblock.ro_compat_unknown {
        "the set has features that this version does not know"
    } else if superblock.valid_places.count_ones() * 2 <= u32::from(superblock.copy_count) {
        "not more than half of its superblocks are readable"
    } else if assembly.copies_differ {
        "the copies of its metadata are not equal, or one cannot be read in places"
    } else {
        return Ok(());
    };
    let what = format!("{} cannot be opened for writing: {why}", pair.spare.path().display());
    let next = "open it without --read-write, or once by the module, which mends this";
    Err(Failure::new(Kind::Device, what, next))
}

fn report(args: &OpenArgs, plan: &Plan, node: &str) -> Report {
    let superblock = &plan.superblock;
    let mut text = format!(
        "{node}: set {}, {}, {} slots\n",
        superblock.id,
        size(superblock.main.sectors),
        superblock.geometry.slot_count(),
    );
    if let Some(assembly) = &plan.assembly {
        text += &described(assembly, plan.readonly);
    }
    text += &format!("use {node} from now on, in place of {}\n", args.main.display());
    let table: Vec<String> = plan.lines.iter().map(Line::to_string).collect();
    let mut json = json!({
        "name": args.name,
        "node": node,
        "set_uuid": superblock.id.to_string(),
        "label": superblock.label.as_str(),
        "sectors": superblock.main.sectors,
        "readonly": plan.readonly,
        "table": table.join("\n"),
        "warnings": plan.warnings,
        "linear": plan.assembly.is_some(),
    });
    if let (Some(assembly), Some(fields)) = (&plan.assembly, json.as_object_mut()) {
        fields.insert("segments".into(), json!(plan.lines.len()));
        fields.insert("mapped_sectors".into(), json!(assembly.mapped_sectors));
        fields.insert("lost_sectors".into(), json!(assembly.lost_sectors));
    }
    Report::new(text, json)
}

fn described(assembly: &Assembly, readonly: bool) -> String {
    let Assembly { used_slots, mapped_sectors, lost_sectors, .. } = assembly;
    let access = match readonly {
        true => "read-only; nothing is written to main or spare",
        false => "writes go where the sectors are; one that fails fails",
    };
    format!(
        "linear assembly without the module: nothing is remapped\n  served from the spare: {mapped_sectors} sectors in \
         {used_slots} slots; lost, I/O errors: {lost_sectors} sectors\n  {access}\n"
    )
}

/// Creates the device, loads the table and makes it live. What was created is removed again when a step fails.
fn activate(args: &OpenArgs, dm: &dyn Dm, plan: &Plan) -> Result<String> {
    let name = &args.name;
    dm.create(name, &plan.uuid).map_err(|e| dm_failure(&format!("create {name}"), &e, dm))?;
    let result = prepare(args, dm, plan).and_then(|()| {
        dm.load(name, &plan.lines, plan.readonly).map_err(|e| explain_load(args, dm, &e))?;
        check_claims(args, dm, plan)?;
        dm.resume(name).map_err(|e| explain_load(args, dm, &e))?;
        let node = dm.info(name).and_then(|info| dm.node_appears(&info));
        node.map_err(|e| Failure::system(format_args!("cannot make /dev/mapper/{name}"), &e))
    });
    result.inspect_err(|_| {
        let _ = dm.remove(name, false);
        dm.node_vanishes(name);
    })
}

/// What comes before the table. The UUID keeps another `open` of the same way off, and from here on those of the other way see
/// it; so they are looked for once more.
fn prepare(args: &OpenArgs, dm: &dyn Dm, plan: &Plan) -> Result<()> {
    check_not_open(dm, &plan.wanted(&args.name), Some(&args.name))?;
    if plan.assembly.is_some() && !plan.readonly {
        // Main's content is about to change, and rightly so: the next open is not to take it for another disk's.
        fingerprint::forget(&plan.mapping, |superblock| superblock.id == plan.superblock.id)?;
    }
    Ok(())
}

/// Looks once more for what uses main or spare: the load claimed both, and a mapped device may have come since the first look.
fn check_claims(args: &OpenArgs, dm: &dyn Dm, plan: &Plan) -> Result<()> {
    let info = dm.info(&args.name).map_err(|e| dm_failure(&format!("examine {}", args.name), &e, dm))?;
    let set = OpenSet {
        info,
        mapping: plan.mapping.clone(),
        linear: plan.assembly.is_some(),
        lines: plan.lines.clone(),
    };
    holders::check_claimed(&System::live(Some(dm)), &set, args.beside_idle)
}

/// Why the kernel did not take the table: the target is missing, a device is in use, or what the kernel log says.
fn explain_load(args: &OpenArgs, dm: &dyn Dm, error: &io::Error) -> Failure {
    let missing = dm.targets().is_ok_and(|targets| targets.iter().all(|(name, _)| name != TARGET));
    if missing && !args.linear {
        let what = "the kernel has no target `remap`: the module dm_remap is not loaded";
        let next = format!(
            "`modprobe dm_remap`; if there is no such module, install it with `./x install` in the source tree, or read what \
             is there without it: `{}`",
            command(args, "--linear ")
        );
        return Failure::new(Kind::Device, what, next);
    }
    let mut failure = dm_failure(&format!("open {}", args.name), error, dm);
    if failure.next.is_empty() && !args.linear {
        failure.next =
            format!("what is there may be read without the module: `{}`", command(args, "--linear "));
    }
    if failure.kind == Kind::Busy {
        let users_of = holders::words_of_path;
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

#[cfg(test)]
mod tests;
