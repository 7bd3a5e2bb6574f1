//! Status and messages, as docs/interface.md lays them down.

use core::fmt::{self, Write};

use remap_core::engine::commit::Work;
use remap_core::engine::list::Listed;
use remap_core::engine::order::Range;
use remap_core::engine::Engine;
use remap_core::units::{Group, Sector, Slot};

use crate::bind::dm::{Args, StatusText};
use crate::bind::work::Wired;
use crate::bind::Errno;
use crate::reply::whole;
use crate::set::Set;
use crate::{commits, orders};

/// The line of `dmsetup status`.
pub fn info(set: &Set, out: &mut StatusText<'_>) -> fmt::Result {
    let written = set.state.store.with(|engine| {
        let (counters, superblock) = (engine.counters(), engine.superblock());
        write!(
            out,
            "{} {}/{} {} {} {}/{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            engine.mode().name(),
            engine.used(),
            engine.slots_total(),
            engine.lost_sectors(),
            engine.pending_blocks(),
            engine.copies_in_sync(),
            superblock.copy_count,
            engine.retired(),
            counters.repairs,
            counters.repaired,
            counters.repairs_failed,
            counters.remapped_sectors,
            counters.commits,
            engine.reason_name().unwrap_or("-"),
            superblock.id,
            counters.released_sectors,
            counters.reads,
            counters.reads_delivered,
            counters.reads_failed,
            counters.unproven,
            counters.evictions,
            counters.readmissions,
            counters.commits_failed,
            counters.flush_failures,
            counters.breaker_openings,
            counters.suspected_sectors,
            counters.notices_dropped
        )
    });
    // Not resumed yet: what the superblock said is all that is known.
    written.unwrap_or_else(|| {
        let (slots, id) = (set.state.geometry.slot_count(), set.state.id);
        write!(out, "inactive 0/{slots} - - - - - - - - - - {id} - - - - - - - - - - - -")
    })
}

/// The words that recreate the device.
pub fn table(set: &Set, out: &mut StatusText<'_>) -> fmt::Result {
    let pair = &set.pair;
    write!(out, "{} {} 1 {} {}", pair.main.name(), pair.main_offset, pair.spare.name(), pair.spare_offset)
}

/// The measurement of IMA.
pub fn ima(set: &Set, version: [u32; 3], out: &mut StatusText<'_>) -> fmt::Result {
    let (pair, [major, minor, patch]) = (&set.pair, version);
    write!(
        out,
        "target_name=remap,target_version={major}.{minor}.{patch},main={},main_offset={},spare={},spare_offset={},set={};",
        pair.main.name(),
        pair.main_offset,
        pair.spare.name(),
        pair.spare_offset,
        set.state.id
    )
}

/// Answers a message; the reply is in `out`.
pub fn message(set: &Wired<Set>, args: &Args<'_>, out: &mut StatusText<'_>) -> Result<(), Errno> {
    let sector = |index: usize| {
        let number = args.number(index).ok_or(Errno::EINVAL)?;
        Some(Sector(number)).filter(|s| s.0 < set.pair.placement.main.sectors).ok_or(Errno::EINVAL)
    };
    match (args.bytes(0), args.len()) {
        (Some(b"query"), 2) => {
            let at = sector(1)?;
            let answer = set.state.store.with(|engine| (engine.query(at), engine.is_in_doubt(at)));
            let (listed, doubt) = answer.ok_or(Errno::ENXIO)?;
            let refused = if doubt { " writes=refused" } else { "" };
            whole(line(set, &listed, refused, out))
        }
        (Some(b"list"), 1) => list(set, Sector(0), out),
        (Some(b"list"), 2) => list(set, sector(1)?, out),
        (Some(b"remap"), 2 | 3) => orders::remap(set, range(set, args)?, out),
        (Some(b"release"), 2 | 3) => orders::release(set, range(set, args)?, out),
        (Some(b"reset_stats"), 1) => {
            set.state.store.with(|engine| engine.reset_counters()).ok_or(Errno::ENXIO)?;
            whole(writeln!(out, "stats=reset"))
        }
        (Some(b"resume_remap"), 1) => resume(set, out),
        _ => Err(Errno::EINVAL),
    }
}

/// The range that a message names: a sector, and how many from there on.
fn range(set: &Set, args: &Args<'_>) -> Result<Range, Errno> {
    let sectors = if args.len() == 2 { Some(1) } else { args.number(2) };
    let (first, sectors) = args.number(1).zip(sectors).ok_or(Errno::EINVAL)?;
    Range::of_message(first, sectors, set.pair.placement.main.sectors).ok_or(Errno::EINVAL)
}

fn line(set: &Set, listed: &Listed, more: &str, out: &mut StatusText<'_>) -> fmt::Result {
    write!(out, "sector={} sectors={} state={}", listed.sector.0, listed.sectors, listed.state.name())?;
    if let Some((slot, sector)) = listed.place {
        write!(out, " slot={} spare_sector={}", slot.0, set.pair.spare_offset.saturating_add(sector))?;
    }
    writeln!(out, "{more}")
}

/// Longest line of a reply.
const LINE_MAX: usize = 128;
/// Groups that are looked up at a time.
const GROUPS_AT_ONCE: usize = 64;

fn list(set: &Set, from: Sector, out: &mut StatusText<'_>) -> Result<(), Errno> {
    let mut from = from;
    loop {
        let mut groups = [(Group(0), Slot(0)); GROUPS_AT_ONCE];
        let listed = set.state.store.with(|engine| {
            let found = engine.list_groups(from.group(), &mut groups);
            let groups = groups.get(..found).unwrap_or(&[]);
            list_groups(set, engine, groups, from, out)
        });
        match listed.ok_or(Errno::ENXIO)?? {
            Listing::All => return Ok(()),
            Listing::Full(next) => return whole(writeln!(out, "next={}", next.0)),
            Listing::More(next) => from = next,
        }
    }
}

enum Listing {
    All,
    Full(Sector),
    More(Sector),
}

fn list_groups(
    set: &Set,
    engine: &Engine<'_>,
    groups: &[(Group, Slot)],
    from: Sector,
    out: &mut StatusText<'_>,
) -> Result<Listing, Errno> {
    for (group, slot) in groups {
        let mut at = if *group == from.group() { from.in_group() } else { 0 };
        while let Some(listed) = engine.list_run(*slot, at) {
            // Room for this line and for `next=`.
            if out.left() < 2 * LINE_MAX {
                return Ok(Listing::Full(listed.sector));
            }
            whole(line(set, &listed, "", out))?;
            at = listed.sector.in_group().saturating_add(listed.sectors);
            if at >= 8 {
                break;
            }
        }
    }
    match groups.last() {
        Some((group, _)) if groups.len() == GROUPS_AT_ONCE => {
            Ok(Listing::More(Sector(group.first_sector().0.saturating_add(8))))
        }
        _ => Ok(Listing::All),
    }
}

fn resume(set: &Wired<Set>, out: &mut StatusText<'_>) -> Result<(), Errno> {
    if !set.state.writable {
        return Err(Errno::EROFS);
    }
    set.state.store.with(|_| ()).ok_or(Errno::ENXIO)?;
    // A suspended device does no I/O of its own. A suspension that begins behind this waits for us: dm core does not let go of the
    // table before.
    if set.orders.is_paused() {
        return Err(Errno::EAGAIN);
    }
    set.state.store.with(|engine| set.state.access.resume(engine)).ok_or(Errno::ENXIO)?;
    set.stepped();
    // What there is to do core knows; what came of it shows in the mode.
    commits::carry_out(set, Work::Resume)?;
    // Retirements that waited until metadata can be written go on now.
    set.kick_commit();
    let mode = set.state.store.with(|engine| engine.mode().name()).ok_or(Errno::ENXIO)?;
    whole(writeln!(out, "mode={mode}"))
}
