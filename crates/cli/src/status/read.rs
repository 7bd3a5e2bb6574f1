//! What can be found out about an open set.

use crate::args::Offsets;
use crate::dm::{Dm, Info};
use crate::failure::{Failure, Kind, Result};
use crate::label::read_superblock;
use crate::linear;
use crate::set::{dm_failure, inactive, open_set, OpenSet};
use crate::shell;
use crate::table::{is_number, parse_linear_uuid, Mapping, Status, TARGET};
use remap_core::format::{ChooseError, Superblock};
use std::fs;
use std::path::Path;

/// Percent of slots in use from which on the module calls the spare nearly full, where its parameter cannot be read.
const EMERGENCY_PERCENT: u64 = 90;

/// How a device below a set is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// The kernel has it, and says nothing against it.
    #[default]
    Present,
    /// The kernel has no such device any more.
    Gone,
    /// The kernel has it and sends it nothing; the word of sysfs.
    Offline(String),
    /// None of the superblocks of the spare can be read.
    Silent,
}

/// An open set and what is known about it.
pub struct Set {
    pub info: Info,
    pub mapping: Mapping,
    pub sectors: u64,
    pub status: Status,
    pub superblock: Option<Superblock>,
    /// Of a linear assembly: the sectors that are served from the spare.
    pub linear_mapped_sectors: Option<u64>,
    pub main_presence: Presence,
    pub spare_presence: Presence,
    /// Percent of slots in use from which on the spare counts as nearly full.
    pub emergency_percent: u64,
    /// Why nothing more is known.
    pub unknown: Option<Failure>,
}

impl Set {
    /// A path of main.
    pub fn main(&self) -> String {
        self.mapping.node_of(&self.mapping.main).display().to_string()
    }

    /// A path of the spare.
    pub fn spare(&self) -> String {
        self.mapping.node_of(&self.mapping.spare).display().to_string()
    }

    pub fn label(&self) -> &str {
        self.superblock.as_ref().map_or("", |s| s.label.as_str())
    }

    pub fn uuid(&self) -> Option<String> {
        self.status.set_uuid.clone().or_else(|| self.superblock.as_ref().map(|s| s.id.to_string()))
    }

    /// Slots that the next bad groups can take.
    pub fn free_slots(&self) -> Option<u64> {
        let slots = self.superblock.as_ref().map(|s| u64::from(s.geometry.slot_count()));
        self.status.free_slots(slots)
    }

    /// Sectors of main that are pending, where the logical block of main is known.
    pub fn pending_sectors(&self) -> Option<u64> {
        let block = self.superblock.as_ref().map(|s| u64::from(s.main.block_bytes / 512))?;
        Some(self.status.pending_blocks?.saturating_mul(block))
    }

    /// The command that opens it again; `None` where main or spare is not known by a path.
    pub fn open_command(&self) -> Option<String> {
        let (main, spare) = (self.main(), self.spare());
        let is_path = |path: &str| path.starts_with('/') && !path.starts_with("/dev/block/");
        let Mapping { main_offset, spare_offset, .. } = self.mapping;
        let offsets = Offsets { main_offset, spare_offset };
        (is_path(&main) && is_path(&spare))
            .then(|| shell::open("", offsets, main.as_ref(), spare.as_ref(), &self.info.name))
    }
}

/// What is asked about the devices below a set.
pub struct Below<'a> {
    /// How the device `MAJOR:MINOR` or at this path is.
    pub presence: &'a dyn Fn(&str) -> Presence,
    /// The superblock on a spare.
    pub superblock: &'a dyn Fn(&Mapping) -> std::result::Result<Superblock, Option<ChooseError>>,
    /// See [`Set::emergency_percent`].
    pub emergency_percent: u64,
}

impl Below<'_> {
    /// The running system.
    pub fn live() -> Below<'static> {
        let percent = fs::read_to_string("/sys/module/dm_remap/parameters/emergency_threshold").ok();
        Below {
            presence: &|device| presence_below(Path::new("/"), device),
            superblock: &read_superblock,
            emergency_percent: percent.and_then(|n| n.trim().parse().ok()).unwrap_or(EMERGENCY_PERCENT),
        }
    }

    /// Reads the set `name`.
    pub fn read_set(&self, dm: &dyn Dm, name: &str) -> Result<Set> {
        if let Some(info) = inactive(dm, name) {
            return Ok(self.inactive_set(info));
        }
        let set = open_set(dm, name)?;
        if set.linear {
            return Ok(self.linear_set(set));
        }
        let lines = dm.status(name).map_err(|e| dm_failure(&format!("read the status of {name}"), &e, dm))?;
        let line = lines.iter().find(|line| line.target == TARGET);
        let status = line.and_then(|line| Status::parse(&line.text)).ok_or_else(|| {
            let said = line.map_or("", |line| line.text.as_str());
            let what = format!("the status of {name} is not understood: \"{said}\"");
            Failure::new(Kind::Device, what, "install tool and module of one version")
        })?;
        Ok(self.set(set, status))
    }

    /// A set of which nothing but its name and the reason is known.
    pub fn unknown_set(&self, info: Info, why: Failure) -> Set {
        let status = Status { mode: "unknown".into(), ..Status::default() };
        Set { unknown: Some(why), ..self.bare(info, nowhere(), status) }
    }

    fn bare(&self, info: Info, mapping: Mapping, status: Status) -> Set {
        Set {
            info,
            mapping,
            sectors: 0,
            status,
            superblock: None,
            linear_mapped_sectors: None,
            main_presence: Presence::Present,
            spare_presence: Presence::Present,
            emergency_percent: self.emergency_percent,
            unknown: None,
        }
    }

    fn set(&self, set: OpenSet, status: Status) -> Set {
        let sectors = set.sectors();
        let OpenSet { info, mapping, .. } = set;
        let main_presence = (self.presence)(&mapping.main);
        let mut spare_presence = (self.presence)(&mapping.spare);
        let read = (self.superblock)(&mapping);
        if spare_presence == Presence::Present && matches!(read, Err(Some(ChooseError::Unreadable { .. }))) {
            spare_presence = Presence::Silent;
        }
        let superblock = read.ok();
        Set { sectors, superblock, main_presence, spare_presence, ..self.bare(info, mapping, status) }
    }

    /// A device without a table: where main and spare are, its UUID tells of a linear assembly alone.
    fn inactive_set(&self, info: Info) -> Set {
        let linear = parse_linear_uuid(&info.uuid);
        let linear_mapped_sectors = linear.is_some().then_some(0);
        let mapping = linear.map_or_else(nowhere, |(_, mapping)| mapping);
        let status = Status { mode: "inactive".into(), ..Status::default() };
        Set { linear_mapped_sectors, ..self.bare(info, mapping, status) }
    }

    /// A linear assembly has no status of ours; what can be said stands in its table and in the superblock.
    fn linear_set(&self, set: OpenSet) -> Set {
        let (mapped, lost) = linear::count(&set.lines, &set.mapping);
        let status = Status { mode: "linear".into(), lost_sectors: Some(lost), ..Status::default() };
        let mut set = Set { linear_mapped_sectors: Some(mapped), ..self.set(set, status) };
        if let Some(s) = &set.superblock {
            set.status.total_slots = Some(s.geometry.slot_count().into());
            set.status.copies_in_sync = Some(s.in_sync.count_ones().into());
            set.status.copies = Some(s.copy_count.into());
        }
        set
    }
}

fn nowhere() -> Mapping {
    Mapping { main: "-".into(), main_offset: 0, spare: "-".into(), spare_offset: 0, features: Vec::new() }
}

/// How the kernel has a device. One that was pulled leaves sysfs although the mapped device still holds it.
fn presence_below(root: &Path, device: &str) -> Presence {
    if !is_number(device) {
        return Presence::Present;
    }
    let sysfs = root.join("sys/dev/block").join(device);
    if !sysfs.exists() {
        return Presence::Gone;
    }
    let disk = if sysfs.join("partition").exists() { sysfs.join("..") } else { sysfs };
    let state = fs::read_to_string(disk.join("device/state")).unwrap_or_default();
    // Of SCSI these, of NVMe the last two.
    match state.trim() {
        bad @ ("offline" | "transport-offline" | "cancel" | "deleted" | "dead" | "deleting") => {
            Presence::Offline(bad.into())
        }
        _ => Presence::Present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_gone_or_offline_is_told_from_one_that_is_there() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path().join("sys/dev/block");
        for (number, state) in [("8:0", "running"), ("8:16", "offline"), ("259:0", "dead"), ("259:1", "live")]
        {
            fs::create_dir_all(sys.join(number).join("device")).unwrap();
            fs::write(sys.join(number).join("device/state"), format!("{state}\n")).unwrap();
        }
        fs::create_dir_all(sys.join("7:0")).unwrap();
        // A partition is as its disk is.
        fs::create_dir_all(sys.join("8:16/8:17")).unwrap();
        fs::write(sys.join("8:16/8:17/partition"), "1").unwrap();
        std::os::unix::fs::symlink("8:16/8:17", sys.join("8:17")).unwrap();
        let offline = |word: &str| Presence::Offline(word.into());
        for (device, wanted) in [
            ("8:0", Presence::Present),
            ("7:0", Presence::Present),
            ("259:1", Presence::Present),
            ("8:16", offline("offline")),
            ("8:17", offline("offline")),
            ("259:0", offline("dead")),
            ("8:32", Presence::Gone),
            ("/dev/sdb", Presence::Present),
        ] {
            assert_eq!(presence_below(root.path(), device), wanted, "{device}");
        }
    }
}
