//! From a table line to a set in service: reading superblocks, formatting, loading.
//!
//! The steps are kept out of line: each has its frame on the kernel's small stack only while it runs.

use remap_core::engine::commit::Work;
use remap_core::engine::load::LoadError;
use remap_core::format::{
    geometry::usable_blocks, BlankCheck, Block, ChooseError, Chooser, Formatter, Geometry, MainShape, SetId,
    Superblock, COPIES_MAX,
};
use remap_core::host::log::Urgency;
use remap_core::host::opening::{self, Seen, Step, COPIES_DEFAULT};
use remap_core::host::refusal::{Refusal, SpareFault};
use remap_core::host::service::Resume;
use remap_core::io::{Device as Which, IoRequest, Op};
use remap_core::units::SECTORS_PER_BLOCK;

use crate::bind::io::{BioPool, PageBuf};
use crate::bind::print::print;
use crate::bind::random;
use crate::bind::work::Wired;
use crate::devices::Pair;
use crate::set::Set;
use crate::{commits, params};

/// Bytes that are read or written at once.
pub const BUFFER_BYTES: usize = 128 * 1024;

/// What stands on the spare.
pub enum Found {
    /// A set, as its superblock says.
    Set(Superblock),
    /// Nothing yet: this set is to be written when the device is first resumed.
    ToFormat(Superblock),
}

impl Found {
    /// The superblock, of now or of then.
    pub fn superblock(&self) -> &Superblock {
        match self {
            Found::Set(superblock) | Found::ToFormat(superblock) => superblock,
        }
    }
}

/// Reads the five superblock places and lets core choose; once more by the recorded length, where the spare's device grew.
fn choose(pair: &Pair, pool: &BioPool, buffer: &mut PageBuf) -> Result<Superblock, ChooseError> {
    let mut blocks = usable_blocks(pair.placement.region.sectors);
    loop {
        match choose_by(blocks, pair, pool, buffer) {
            Err(why) => blocks = why.recorded_blocks().ok_or(why)?,
            chosen => return chosen,
        }
    }
}

#[inline(never)]
fn choose_by(
    blocks: u64,
    pair: &Pair,
    pool: &BioPool,
    buffer: &mut PageBuf,
) -> Result<Superblock, ChooseError> {
    let mut chooser = Chooser::new(blocks);
    for copy in 0..COPIES_MAX {
        let read = Geometry::superblock_at(blocks, copy).is_some_and(|at| {
            let request = IoRequest {
                device: Which::Spare,
                op: Op::Read,
                sector: at.first_sector(),
                sectors: SECTORS_PER_BLOCK,
                buffer_sector: 0,
            };
            pair.run(pool, request, buffer).is_ok()
        });
        let block = buffer.first_chunk::<4096>().filter(|_| read);
        // What is wrong with a single copy shows in what `finish` makes of all of them.
        let _ = chooser.offer(copy, block as Option<&Block>);
    }
    chooser.finish(false)
}

/// Reads and checks what stands on the spare; writes nothing (S19).
pub fn look(
    pair: &Pair,
    pool: &BioPool,
    buffer: &mut PageBuf,
    name: &str,
    format: bool,
) -> Result<Found, Refusal> {
    let len = pair.placement.main.sectors;
    let shape = MainShape::new(len, pair.placement.block_bytes).map_err(|_| Refusal::MainShape)?;
    let blocks = usable_blocks(pair.placement.region.sectors);
    let geometry = Geometry::new(blocks, None).map_err(|why| {
        error(format_args!("{name}: spare: {why}"));
        Refusal::SpareTooSmall
    })?;
    let found = choose(pair, pool, buffer);
    match opening::step(found.as_ref(), format) {
        Step::Use => {}
        Step::FormatIfBlank => check_blank(pair, pool, buffer, name)?,
        Step::Format => {}
        Step::Refuse(refusal) => return Err(say(found.as_ref().err(), refusal, name)),
    }
    match found {
        Ok(superblock) => check_main(&superblock, &shape, name).map(|()| Found::Set(superblock)),
        Err(_) => {
            let id = SetId::from_random(random::bytes());
            Ok(Found::ToFormat(Superblock::new(id, shape, geometry, COPIES_DEFAULT)))
        }
    }
}

fn error(line: core::fmt::Arguments<'_>) {
    print(Urgency::Error, line);
}

/// Logs what is wrong with a spare.
fn say(why: Option<&ChooseError>, refusal: Refusal, name: &str) -> Refusal {
    if let Some(why) = why {
        error(format_args!("{name}: spare: {why}"));
    }
    refusal
}

/// Logs a refusal in its own words.
fn log(refusal: Refusal, name: &str) -> Refusal {
    error(format_args!("{name}: {}", refusal.text().to_str().unwrap_or("?")));
    refusal
}

/// A set belongs to one main.
fn check_main(superblock: &Superblock, shape: &MainShape, name: &str) -> Result<(), Refusal> {
    opening::belongs(superblock, shape).inspect_err(|_| {
        let of = superblock.main;
        error(format_args!(
            "{name}: set {} belongs to a main of {} sectors with blocks of {} bytes, this one has {} and {}",
            superblock.id, of.sectors, of.block_bytes, shape.sectors, shape.block_bytes
        ));
    })
}

/// The kernel formats only what is visibly unused (S20).
#[inline(never)]
fn check_blank(pair: &Pair, pool: &BioPool, buffer: &mut PageBuf, name: &str) -> Result<(), Refusal> {
    let mut check = BlankCheck::new(usable_blocks(pair.placement.region.sectors));
    while let Some(request) = check.next(buffer.len()) {
        let read = pair.run(pool, request, buffer).is_ok();
        let bytes = (request.sectors as usize).saturating_mul(512);
        if let Err(why) = check.done(buffer.get(..bytes).filter(|_| read)) {
            error(format_args!("{name}: spare not formatted: {why}"));
            return Err(Refusal::NotBlank);
        }
    }
    Ok(())
}

/// Writes a new set.
#[inline(never)]
fn format(set: &Set, superblock: Superblock, buffer: &mut PageBuf, name: &str) -> Result<(), Refusal> {
    let mut formatter = Formatter::new(superblock);
    while let Some(request) = formatter.next(buffer) {
        let ok = set.pair.run(&set.pool, request, buffer).is_ok();
        if let Err(why) = formatter.done(ok) {
            error(format_args!("{name}: spare not formatted: {why}"));
            return Err(Refusal::Format);
        }
    }
    Ok(())
}

/// Takes a set into service, as far as a resume is to: format if that is due, read again what the constructor saw, load, equalise (S12,
/// S19).
///
/// The buffer is the one of the first repair context, which has nothing to do yet: the device may be suspended, with memory
/// that can only be had by writing to it.
pub fn activate(set: &Wired<Set>, resume: Resume, to_format: Option<&Superblock>) -> Result<(), Refusal> {
    let name = set.handle().device_name();
    if resume.read_in {
        let [context, ..] = &set.repairs;
        read_in(set, to_format, &mut context.take(), name)?;
    }
    if resume.takeover && !commits::drive(set, Some(Work::Takeover)) {
        return Err(log(Refusal::Takeover, name));
    }
    set.stepped();
    announce(set, name);
    Ok(())
}

fn read_in(
    set: &Set,
    to_format: Option<&Superblock>,
    buffer: &mut PageBuf,
    name: &str,
) -> Result<(), Refusal> {
    let mut found = choose(&set.pair, &set.pool, buffer);
    // Time may have passed since the constructor looked.
    let step = opening::step(found.as_ref(), to_format.is_some());
    if step == Step::FormatIfBlank {
        check_blank(&set.pair, &set.pool, buffer, name)?;
    }
    if let (Step::FormatIfBlank | Step::Format, Some(superblock)) = (step, to_format) {
        format(set, superblock.clone(), buffer, name)?;
        found = choose(&set.pair, &set.pool, buffer);
    }
    let superblock = found.map_err(|why| {
        let refusal = Refusal::Spare(SpareFault::of(&why));
        say(Some(&why), refusal, name)
    })?;
    let (id, geometry, placement) = (set.state.id, set.state.geometry, &set.pair.placement);
    let seen =
        Seen { id, geometry, main_sectors: placement.main.sectors, block_bytes: placement.block_bytes };
    seen.is_still(&superblock).map_err(|refusal| log(refusal, name))?;
    load(set, &superblock, buffer, name)
}

fn load(set: &Set, superblock: &Superblock, buffer: &mut PageBuf, name: &str) -> Result<(), Refusal> {
    let clean = superblock.clean;
    match load_engine(set, superblock, buffer) {
        Ok(true) => {}
        Ok(false) => return Err(log(Refusal::LoadedBefore, name)),
        Err(why) => {
            error(format_args!("{name}: set not loaded: {why}"));
            return Err(Refusal::Load);
        }
    }
    if !clean {
        print(
            Urgency::Info,
            format_args!("{name}: the set was not closed; its metadata is checked and whole"),
        );
    }
    Ok(())
}

/// Reads the metadata and makes the engine of it; `false` if that was tried before.
fn load_engine(set: &Set, superblock: &Superblock, buffer: &mut PageBuf) -> Result<bool, LoadError> {
    let settings = params::settings(&set.pair);
    if !set.state.store.begin_load(superblock, settings)? {
        return Ok(false);
    }
    while let Some(request) =
        set.state.store.loading(|loader| loader.next(buffer.len())).transpose()?.flatten()
    {
        let ok = set.pair.run(&set.pool, request, buffer).is_ok();
        set.state.store.loading(|loader| loader.done(ok, buffer));
    }
    set.state.store.finish_load().map(|()| true)
}

#[inline(never)]
fn announce(set: &Set, name: &str) {
    set.state.store.with(|engine| {
        let superblock = engine.superblock();
        print(
            Urgency::Info,
            format_args!(
                "{name}: active: set {}, {} of {} slots in use, {} of {} copies in sync, mode {}",
                superblock.id,
                engine.used(),
                engine.slots_total(),
                engine.copies_in_sync(),
                superblock.copy_count,
                engine.mode().name()
            ),
        );
    });
}
