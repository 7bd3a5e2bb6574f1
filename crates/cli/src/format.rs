//! `dmremap format`

use crate::args::FormatArgs;
use crate::confirm;
use crate::device::{read_only, Access, Device};
use crate::failure::{Failure, Kind, Result};
use crate::holders::{self, BesideIdle};
use crate::identity;
use crate::names::name_for;
use crate::output::{size, Report};
use crate::shell;
use crate::signature::{content, Content};
use crate::spare::Spare;
use remap_core::format::{Geometry, MainShape, SetId, Superblock, Text64};
use remap_core::placement::{place, PlacementError};
use serde_json::json;

/// Runs the verb.
pub fn run(args: &FormatArgs) -> Result<Report> {
    let main = Device::open(&args.main, Access::Read)?;
    // Before the spare is claimed here, which may be on the same disk.
    let mut warnings = check_holders(args, &main)?;
    for warning in &warnings {
        eprintln!("dmremap: {warning}");
    }
    let access = if args.dry_run { Access::ReadExclusive } else { Access::WriteExclusive };
    let spare_device = Device::open(&args.spare, access)?;
    let spare = region_of(args, &main, &spare_device)?;
    let mut superblock = plan(args, &main, &spare_device, &spare)?;
    let found = content(&spare, &args.spare);
    refuse_or_ask(args, &found)?;
    if !args.dry_run {
        superblock.created_s = identity::now_s();
        let (samples, unread) = identity::record(&mut superblock, &main, args.offsets.main_offset);
        if let Some(warning) = &unread {
            eprintln!("dmremap: {warning}");
        }
        warnings.extend(unread);
        if let Content::Something(_) = found {
            spare.wipe()?;
        }
        spare.format(superblock.clone(), &samples)?;
    }
    let mut report = report(args, &superblock, &spare, &found);
    if let Some(fields) = report.json.as_object_mut() {
        fields.insert("warnings".into(), json!(warnings));
    }
    Ok(report)
}

/// Refuses devices that anything else uses (S21); returns what `--beside-idle` lets pass. A claim on the spare cannot be shared: it is written.
fn check_holders(args: &FormatArgs, main: &Device) -> Result<Vec<String>> {
    let spare = Device::open(&args.spare, Access::Read)?;
    let same = main.is_same(&spare);
    let (main_start, spare_start) = (args.offsets.main_offset, args.offsets.spare_offset);
    let region = Spare::new(&spare, spare_start, same.then_some(main_start))?;
    let main_range = main_start..main_start.saturating_add(main_sectors(args, main, same));
    let spare_range = spare_start..spare_start.saturating_add(region.region_blocks.saturating_mul(8));
    holders::check_apart_live(&main.part(main_range.clone()), &spare.part(spare_range.clone()))?;
    if spare.is_read_only() {
        return Err(read_only(&args.spare));
    }
    let passed =
        holders::check_live(main.path(), main.number, main_range, BesideIdle::given(args.beside_idle))?;
    holders::check_live(spare.path(), spare.number, spare_range, BesideIdle::Useless)?;
    let only_read = main.is_read_only().then(|| {
        format!(
            "{} is read-only: the set can be opened with --readonly only, until that ends",
            args.main.display()
        )
    });
    Ok(passed.into_iter().chain(only_read).collect())
}

/// The region of the spare, after the checks of how the two devices lie to each other.
fn region_of<'a>(args: &FormatArgs, main: &Device, spare: &'a Device) -> Result<Spare<'a>> {
    let (main_start, spare_start) = (args.offsets.main_offset, args.offsets.spare_offset);
    let same = main.is_same(spare);
    let region = Spare::new(spare, spare_start, same.then_some(main_start))?;
    region.check_size("use a larger device, or another --spare-offset")?;
    check_kinds(args, main, spare)?;
    Ok(region)
}

/// Refuses what `open` would refuse: what the kernel's target says of the two devices (S23).
fn check_kinds(args: &FormatArgs, main: &Device, spare: &Device) -> Result<()> {
    let same = main.is_same(spare);
    let main_facts = main.facts(0, args.offsets.main_offset);
    let spare_facts = spare.facts(u32::from(!same), args.offsets.spare_offset);
    let sectors = main_sectors(args, main, same);
    let Err(why) = place(&main_facts, &spare_facts, sectors) else { return Ok(()) };
    let (main, spare) = (args.main.display(), args.spare.display());
    let next = match why {
        PlacementError::Zoned => "use disks that are not zoned (`lsblk --zoned` tells)",
        PlacementError::SpareBlock => "use a spare with smaller logical blocks (`lsblk --topology` tells)",
        PlacementError::MainAlignment => "choose another --main-offset",
        _ => "check both devices and offsets",
    };
    Err(Failure::new(Kind::Device, format!("{main} and {spare}: {}", why.text().to_string_lossy()), next))
}

/// The length of main as it will be used.
fn main_sectors(args: &FormatArgs, main: &Device, same: bool) -> u64 {
    main.sectors_of_main(args.offsets.main_offset, same.then_some(args.offsets.spare_offset))
}

/// The superblock of the new set, without time and fingerprint.
fn plan(args: &FormatArgs, main: &Device, spare_device: &Device, spare: &Spare<'_>) -> Result<Superblock> {
    let wrong = |what: String, next: &str| Failure::new(Kind::Parameters, what, next);
    let per_block = u64::from(main.block_bytes / 512).max(1);
    if args.offsets.main_offset % per_block != 0 {
        let what =
            format!("--main-offset is not a multiple of main's logical block ({} bytes)", main.block_bytes);
        return Err(wrong(what, "choose another offset"));
    }
    let sectors = main_sectors(args, main, main.is_same(spare_device));
    let shape = MainShape::new(sectors, main.block_bytes).map_err(|e| {
        let what = format!("{} cannot be main: it has {e}", args.main.display());
        Failure::new(Kind::Device, what, "check the path and --main-offset")
    })?;
    let geometry = Geometry::new(spare.region_blocks, args.slots)
        .map_err(|e| wrong(e.to_string(), "choose another number of --slots, or leave it out"))?;
    let mut id = [0u8; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Failure::system("cannot make a UUID", &e.into()))?;
    // A random UUID, RFC 9562: version 4, variant 1.
    (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
    let mut superblock = Superblock::new(SetId(id), shape, geometry, args.copies);
    superblock.label = Text64::new(&args.label).ok_or_else(|| {
        wrong(
            "the label is longer than 64 bytes or holds control characters".into(),
            "choose another --label",
        )
    })?;
    Ok(superblock)
}

/// Refuses a spare that holds something, unless told twice; asks in any case.
fn refuse_or_ask(args: &FormatArgs, found: &Content) -> Result<()> {
    let spare = args.spare.display();
    match found {
        Content::Something(what) if !args.force => {
            let what = format!("{spare} holds {what}; nothing was written");
            Err(Failure::new(Kind::Device, what, "check that it is the right device; --force overwrites it"))
        }
        _ if args.dry_run => Ok(()),
        Content::Something(what) => {
            let question = format!("{spare} holds {what}. All of it will be lost.");
            confirm::typed(&question, &spare.to_string(), args.batch_mode)
        }
        _ => {
            let question = format!("{spare} becomes the spare of {}.", args.main.display());
            confirm::typed(&question, "yes", args.batch_mode)
        }
    }
}

fn report(args: &FormatArgs, s: &Superblock, spare: &Spare<'_>, found: &Content) -> Report {
    let g = &s.geometry;
    let done = if args.dry_run { "would become" } else { "is now" };
    let slots = g.slot_count();
    let mut text = format!("{} {done} the spare of {}\n", args.spare.display(), args.main.display());
    if !args.dry_run {
        text += &format!("  set     {}\n", s.id);
    }
    text += &format!("  main    {} ({} sectors)\n", size(s.main.sectors), s.main.sectors);
    text += &format!("  slots   {slots}, room for {} of bad sectors\n", size(u64::from(slots) * 8));
    text += &format!("  copies  {} of the metadata\n", s.copy_count);
    if let Content::Something(what) = found {
        let verb = if args.dry_run { "would be" } else { "is" };
        text += &format!("  what was there {verb} lost: {what}\n");
    }
    if !args.dry_run {
        let open = shell::open("", args.offsets, &args.main, &args.spare, &name_for(&args.label, &args.main));
        text += &format!("next: {open}\n");
    }
    let json = json!({
        "dry_run": args.dry_run,
        "set_uuid": if args.dry_run { None } else { Some(s.id.to_string()) },
        "label": s.label.as_str(),
        "main": { "path": args.main.display().to_string(), "offset_sectors": args.offsets.main_offset,
                  "sectors": s.main.sectors, "block_bytes": s.main.block_bytes, "identity": s.main_identity.as_str() },
        "spare": { "path": args.spare.display().to_string(), "offset_sectors": spare.offset,
                   "sectors": g.region_blocks() * 8,
                   "overwritten": if let Content::Something(what) = found { Some(what) } else { None } },
        "slots": slots,
        "slot_bytes": 4096,
        "copies": s.copy_count,
    });
    Report::new(text, json)
}
