//! What else uses main or spare: mounts, swaps and devices on top of it, of its partitions and of the disk below (S21).
//!
//! Device-mapper shares its claims among all mapped devices. So the kernel lets the target take a device that LVM, dm-crypt or
//! `dmsetup` holds, and both would write it: the tool has to look.

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
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use user::{User, What};
pub use words::{described, steps};

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
            number_of: &number_of_path,
            is_claimed: &is_claimed,
        }
    }
}

/// The number of the block device at a path.
fn number_of_path(path: &Path) -> Option<Number> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.file_type().is_block_device())?;
    Some(Number { major: rustix::fs::major(meta.rdev()), minor: rustix::fs::minor(meta.rdev()) })
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

/// As [`words_of`], of the block device at a path.
pub fn words_of_path(path: &Path) -> String {
    number_of_path(path).map(|number| words_of(number, None)).unwrap_or_default()
}
