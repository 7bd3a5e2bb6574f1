//! From a table line to a set in service: reading superblocks, formatting, loading.
//!
//! The steps are kept out of line: each has its frame on the kernel's small stack only while it runs.

use core::ffi::CStr;

use remap_core::engine::commit::Work;
use remap_core::engine::load::LoadError;
use remap_core::format::{
    geometry::usable_blocks, BlankCheck, Block, ChooseError, Chooser, Formatter, Geometry, MainShape, SetId,
    Superblock, COPIES_MAX,
};
use remap_core::io::{Device as Which, IoRequest, Op};
use remap_core::units::SECTORS_PER_BLOCK;

use crate::bind::arc::KArc;
use crate::bind::dm::CtrError;
use crate::bind::io::{BioPool, PageBuf};
use crate::bind::print::{print, Level};
use crate::bind::{random, Errno};
use crate::set::{Pair, Set, Shared};
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

fn refuse(errno: Errno, text: &'static CStr) -> CtrError {
    CtrError { errno, text }
}

/// Number of copies of a set that the kernel formats.
const COPIES_DEFAULT: u8 = COPIES_MAX;

fn choose_errno(error: &ChooseError) -> Errno {
    match error {
        ChooseError::NothingThere => Errno::ENXIO,
        ChooseError::Unreadable { .. } => Errno::EIO,
        _ => Errno::EUCLEAN,
    }
}

/// Reads the five superblock places and lets core choose.
#[inline(never)]
fn choose(pair: &Pair, pool: &BioPool, buffer: &mut PageBuf) -> Result<Superblock, ChooseError> {
    let blocks = usable_blocks(pair.placement.region.sectors);
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
) -> Result<Found, CtrError> {
    let len = pair.placement.main.sectors;
    let shape = MainShape::new(len, pair.placement.block_bytes).map_err(|_| {
        refuse(Errno::EINVAL, c"main is empty, too long, or not a multiple of its logical block")
    })?;
    let blocks = usable_blocks(pair.placement.region.sectors);
    let geometry = Geometry::new(blocks, None).map_err(|why| {
        print(Level::Error, format_args!("{name}: spare: {why}"));
        refuse(Errno::EINVAL, c"the spare is too small; it needs at least 8 MiB")
    })?;
    let new = || Superblock::new(SetId::from_random(random::bytes()), shape, geometry, COPIES_DEFAULT);
    match choose(pair, pool, buffer) {
        Ok(superblock) => check_main(&superblock, &shape, name).map(|()| Found::Set(superblock)),
        Err(ChooseError::NothingThere) if format => {
            check_blank(pair, pool, buffer, name)?;
            Ok(Found::ToFormat(new()))
        }
        Err(ChooseError::Formatting(_)) if format => Ok(Found::ToFormat(new())),
        Err(error) => {
            print(Level::Error, format_args!("{name}: spare: {error}"));
            Err(refuse(choose_errno(&error), c"the spare cannot be used; the line before says why"))
        }
    }
}

/// A set belongs to a main of one length and block size (S21).
fn check_main(superblock: &Superblock, shape: &MainShape, name: &str) -> Result<(), CtrError> {
    if superblock.main == *shape {
        return Ok(());
    }
    let of = superblock.main;
    print(
        Level::Error,
        format_args!(
            "{name}: set {} belongs to a main of {} sectors with blocks of {} bytes, this one has {} and {}",
            superblock.id, of.sectors, of.block_bytes, shape.sectors, shape.block_bytes
        ),
    );
    Err(refuse(Errno::EMEDIUMTYPE, c"the spare belongs to another main"))
}

/// The kernel formats only what is visibly unused (S20).
#[inline(never)]
fn check_blank(pair: &Pair, pool: &BioPool, buffer: &mut PageBuf, name: &str) -> Result<(), CtrError> {
    let mut check = BlankCheck::new(usable_blocks(pair.placement.region.sectors));
    while let Some(request) = check.next(buffer.len()) {
        let read = pair.run(pool, request, buffer).is_ok();
        let bytes = (request.sectors as usize).saturating_mul(512);
        let outcome = check.done(buffer.get(..bytes).filter(|_| read));
        if let Err(why) = outcome {
            print(Level::Error, format_args!("{name}: spare not formatted: {why}"));
            return Err(refuse(
                Errno::ENXIO,
                c"the spare is not blank; zero its first and last MiB, or use dmremap format",
            ));
        }
    }
    Ok(())
}

/// Writes a new set.
#[inline(never)]
fn format(set: &Set, superblock: Superblock, buffer: &mut PageBuf, name: &str) -> Result<(), Errno> {
    let mut formatter = Formatter::new(superblock);
    while let Some(request) = formatter.next(buffer) {
        let ok = set.pair.run(&set.pool, request, buffer).is_ok();
        if let Err(why) = formatter.done(ok) {
            print(Level::Error, format_args!("{name}: spare not formatted: {why}"));
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Takes a set into service: format if that is due, read again what the constructor saw, load, equalise (S12, S19). It may be
/// called again after it failed, and goes on where it stopped.
///
/// A read-only table skips what writes. What it reads is right all the same, since nothing it serves can change.
///
/// The buffer is the one of the first repair context, which has nothing to do yet: the device may be suspended, with memory
/// that can only be had by writing to it.
pub fn activate(set: &KArc<Set>, to_format: Option<&Superblock>) -> Result<(), Errno> {
    let name = set.handle().device_name();
    if !set.store.is_live() {
        let [context, ..] = &set.contexts;
        read_in(set, to_format, &mut context.lock(), name)?;
    }
    if set.writable && !commits::drive(set, Some(Work::Takeover)) {
        print(
            Level::Error,
            format_args!("{name}: the copies of the metadata could not be made equal; see the spare's log"),
        );
        return Err(Errno::EIO);
    }
    set.stepped();
    announce(set, name);
    Ok(())
}

fn read_in(set: &Set, to_format: Option<&Superblock>, buffer: &mut PageBuf, name: &str) -> Result<(), Errno> {
    let mut found = choose(&set.pair, &set.pool, buffer);
    if let (Some(superblock), Err(why)) = (to_format, &found) {
        // Time may have passed since the constructor looked.
        match why {
            ChooseError::NothingThere => {
                check_blank(&set.pair, &set.pool, buffer, name).map_err(|refused| refused.errno)?;
                format(set, superblock.clone(), buffer, name)?;
                found = choose(&set.pair, &set.pool, buffer);
            }
            ChooseError::Formatting(_) => {
                format(set, superblock.clone(), buffer, name)?;
                found = choose(&set.pair, &set.pool, buffer);
            }
            _ => {}
        }
    }
    let superblock = found.map_err(|error| {
        print(Level::Error, format_args!("{name}: spare: {error}"));
        choose_errno(&error)
    })?;
    let main = set.pair.placement.main.sectors;
    let same_main =
        superblock.main.sectors == main && superblock.main.block_bytes == set.pair.placement.block_bytes;
    if superblock.id != set.id || superblock.geometry != set.geometry || !same_main {
        print(Level::Error, format_args!("{name}: the spare was changed since the table was loaded"));
        return Err(Errno::EUCLEAN);
    }
    load(set, &superblock, buffer, name)
}

fn load(set: &Set, superblock: &Superblock, buffer: &mut PageBuf, name: &str) -> Result<(), Errno> {
    let clean = superblock.clean;
    match load_engine(set, superblock, buffer) {
        Ok(true) => {}
        Ok(false) => {
            print(
                Level::Error,
                format_args!("{name}: a table that could not be loaded cannot be resumed: load it again"),
            );
            return Err(Errno::EINVAL);
        }
        Err(why) => {
            print(Level::Error, format_args!("{name}: set not loaded: {why}"));
            return Err(Errno::EUCLEAN);
        }
    }
    if !clean {
        print(Level::Info, format_args!("{name}: the set was not closed; its metadata is checked and whole"));
    }
    Ok(())
}

/// Reads the metadata and makes the engine of it; `false` if that was tried before.
fn load_engine(set: &Set, superblock: &Superblock, buffer: &mut PageBuf) -> Result<bool, LoadError> {
    let settings = params::settings(&set.pair);
    if !set.store.begin_load(superblock, settings)? {
        return Ok(false);
    }
    while let Some(request) = set.store.loading(|loader| loader.next(buffer.len())).transpose()?.flatten() {
        let ok = set.pair.run(&set.pool, request, buffer).is_ok();
        set.store.loading(|loader| loader.done(ok, buffer));
    }
    set.store.finish_load().map(|()| true)
}

#[inline(never)]
fn announce(set: &Set, name: &str) {
    set.store.with(|engine| {
        let superblock = engine.superblock();
        print(
            Level::Info,
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
