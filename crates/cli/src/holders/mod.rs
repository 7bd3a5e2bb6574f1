//! What else uses main or spare: mounts, swaps and devices on top of it, of its partitions and of the disk below (S21).
//!
//! Device-mapper shares its claims among all mapped devices. So the kernel lets the target take a device that LVM, dm-crypt or
//! `dmsetup` holds, and both would write it: the tool has to look.

mod below;
mod scan;
#[cfg(test)]
pub mod tests;
mod user;
mod words;

use crate::dm::ioctl::Kernel;
use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::number::Number;
use crate::set::OpenSet;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use user::{User, What};
pub use words::{described, steps};

/// A regular file, by device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// Number of the filesystem's device.
    pub device: Number,
    /// Its inode there.
    pub inode: u64,
}

/// Sectors of a block device, or of a regular file, which has no number.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The path that was given.
    pub path: &'a Path,
    /// The number of a block device.
    pub number: Option<Number>,
    /// Sectors of it.
    pub sectors: Range<u64>,
}

/// The system that is asked: its files, and what they do not tell.
pub struct System<'a> {
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// Where `mountinfo` is.
    pub mounts: PathBuf,
    /// Where `swaps` is.
    pub swaps: PathBuf,
    /// Device-mapper, where there is one.
    pub dm: Option<&'a dyn Dm>,
    /// The number of the block device at a path.
    pub number_of: &'a dyn Fn(&Path) -> Option<Number>,
    /// The regular file at a path.
    pub file_of: &'a dyn Fn(&Path) -> Option<FileId>,
    /// Whether something claims the block device of this name in the kernel.
    pub is_claimed: &'a dyn Fn(&str) -> bool,
}

impl<'a> System<'a> {
    /// The running one.
    pub fn live(dm: Option<&'a dyn Dm>) -> System<'a> {
        System {
            sys: "/sys".into(),
            mounts: "/proc/self/mountinfo".into(),
            swaps: "/proc/swaps".into(),
            dm,
            number_of: &Number::at_path,
            file_of: &file_of,
            is_claimed: &is_claimed,
        }
    }
}

/// The regular file at a path.
fn file_of(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    Some(FileId { device: Number { major, minor }, inode: meta.ino() })
}

/// Whether the kernel refuses an exclusive claim, which is given back at once. Where there is no node, nothing can be said.
fn is_claimed(name: &str) -> bool {
    let flags = rustix::fs::OFlags::EXCL | rustix::fs::OFlags::NONBLOCK;
    let path = Path::new("/dev").join(name.replace('!', "/"));
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    opened.is_err_and(|e| e.kind() == std::io::ErrorKind::ResourceBusy)
}

/// What `--beside-idle` does to a user that is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BesideIdle {
    /// Given: it is only warned of.
    Given,
    /// Not given, and worth a word.
    NotGiven,
    /// Nothing: the claim cannot be shared.
    Useless,
}

impl BesideIdle {
    /// By whether the option was given.
    pub fn given(given: bool) -> BesideIdle {
        if given {
            BesideIdle::Given
        } else {
            BesideIdle::NotGiven
        }
    }
}

const NEXT_BOOT: &str =
    ". `dmremap help open` tells how LVM, crypttab, mdadm and fstab are kept off it at the next boot";

/// Refuses the device at `path`, if it is a block device, of which anything else uses these sectors; returns what it goes on beside.
pub fn check(
    system: &System<'_>,
    path: &Path,
    number: Option<Number>,
    sectors: Range<u64>,
    beside_idle: BesideIdle,
) -> Result<Option<String>> {
    let Some(number) = number else { return Ok(None) };
    check_lists(system)?;
    verdict(path, system.name(number), &system.users(number, &sectors), beside_idle)
}

/// Refuses to judge without the lists of mounts and swaps. A kernel without swap has no list of it.
fn check_lists(system: &System<'_>) -> Result<()> {
    for (path, may_be_missing) in [(&system.mounts, false), (&system.swaps, true)] {
        match fs::read(path) {
            Err(e) if !(may_be_missing && e.kind() == std::io::ErrorKind::NotFound) => {
                let what = format!("cannot tell what is mounted or swap: {}: {e}", path.display());
                return Err(Failure::new(Kind::Device, what, "mount /proc"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn verdict(
    path: &Path,
    own: Option<String>,
    users: &[User],
    beside_idle: BesideIdle,
) -> Result<Option<String>> {
    if users.is_empty() {
        return Ok(None);
    }
    let what = format!("{} is in use: {}", path.display(), described(users, own));
    let mut next = steps(users);
    match (users.iter().all(User::is_idle), beside_idle) {
        (true, BesideIdle::Given) => {
            return Ok(Some(format!("{what}; gone on beside it: do not use that while the set is open")))
        }
        (true, BesideIdle::NotGiven) => next += ", or give --beside-idle to go on beside it",
        _ => {}
    }
    Err(Failure::new(Kind::Busy, what, next + NEXT_BOOT))
}

/// As [`check`], of the running system, for a verb that needs no device-mapper otherwise.
pub fn check_live(
    path: &Path,
    number: Option<Number>,
    sectors: Range<u64>,
    beside_idle: BesideIdle,
) -> Result<Option<String>> {
    let kernel = number.and_then(|_| Kernel::open().ok());
    let system = System::live(kernel.as_ref().map(|kernel| kernel as &dyn Dm));
    check(&system, path, number, sectors, beside_idle)
}

/// Refuses a spare that is in part the same place as main, whatever they are called (S23).
pub fn check_apart(system: &System<'_>, main: &Part<'_>, spare: &Part<'_>) -> Result<()> {
    if !system.overlap(main, spare) {
        return Ok(());
    }
    let (main_path, spare_path) = (main.path.display(), spare.path.display());
    if main.path == spare.path {
        let what = format!("main and the spare overlap on {main_path}");
        let next = "give two devices, or one with --main-offset or --spare-offset, so that each has a part of its own";
        return Err(Failure::new(Kind::Parameters, what, next));
    }
    let what = format!(
        "{spare_path} and {main_path} overlap: they are in part the same place, as what lies below them tells, and what is \
         written to one destroys the other"
    );
    let next = "use a spare that lies elsewhere (`lsblk --inverse` shows what lies below)";
    Err(Failure::new(Kind::Parameters, what, next))
}

/// As [`check_apart`], of the running system.
pub fn check_apart_live(main: &Part<'_>, spare: &Part<'_>) -> Result<()> {
    let kernel = Kernel::open().ok();
    let system = System::live(kernel.as_ref().map(|kernel| kernel as &dyn Dm));
    check_apart(&system, main, spare)
}

/// Refuses to move content of an open set while anything but the set itself is using main or spare.
pub fn check_open_set(system: &System<'_>, set: &OpenSet) -> Result<()> {
    check_claimed(system, set, true)
}

/// As [`check_open_set`]; an idle user counts too, unless `beside_idle`. The set may have its table loaded and not live.
pub fn check_claimed(system: &System<'_>, set: &OpenSet, beside_idle: bool) -> Result<()> {
    check_lists(system)?;
    let (mapping, name) = (&set.mapping, &set.info.name);
    let main_end = mapping.main_offset.saturating_add(set.sectors());
    let one_device = mapping.main == mapping.spare && mapping.main_offset > mapping.spare_offset;
    let spare_end = if one_device { mapping.main_offset } else { u64::MAX };
    let places = [
        ("main", &mapping.main, mapping.main_offset..main_end),
        ("the spare", &mapping.spare, mapping.spare_offset..spare_end),
    ];
    for (which, device, sectors) in places {
        let Some(number) = Number::parse(device) else { continue };
        let mut users = system.users_named(number, &sectors, Some(name));
        users.retain(|user| !beside_idle || !user.is_idle());
        if !users.is_empty() {
            let words = described(&users, system.name(number));
            let what = format!("{which} of {name}, device {number}, is in use past the map: {words}");
            // Nothing finds a spare by its content at boot.
            let next_boot = if which == "main" { NEXT_BOOT } else { "" };
            return Err(Failure::new(Kind::Busy, what, steps(&users) + next_boot));
        }
    }
    Ok(())
}

/// The users of all of a device, in words: ": mounted at /srv", or nothing.
pub fn words_of(number: Number, dm: Option<&dyn Dm>) -> String {
    let system = System::live(dm);
    let users = system.users_named(number, &(0..u64::MAX), None);
    if users.is_empty() {
        String::new()
    } else {
        format!(": {}", described(&users, system.name(number)))
    }
}

/// How all users of a device are ended, as commands; empty where none is known.
pub fn steps_of(number: Number, dm: Option<&dyn Dm>) -> String {
    steps(&System::live(dm).users_named(number, &(0..u64::MAX), None))
}

/// As [`words_of`], of the block device at a path.
pub fn words_of_path(path: &Path) -> String {
    Number::at_path(path).map(|number| words_of(number, None)).unwrap_or_default()
}
