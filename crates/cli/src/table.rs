//! The table line of the target and DM UUIDs, as `docs/interface.md` lays them down.

pub use crate::status_line::Status;
use remap_core::format::SetId;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Name of the target.
pub const TARGET: &str = "remap";
/// What the DM UUIDs of sets begin with.
pub const UUID_PREFIX: &str = "REMAP-";
/// What those of linear assemblies begin with.
const LINEAR_PREFIX: &str = "REMAP-LINEAR-";

/// The table line after the name of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Main, as MAJOR:MINOR or a path.
    pub main: String,
    /// First sector of main on its device.
    pub main_offset: u64,
    /// The spare, as MAJOR:MINOR or a path.
    pub spare: String,
    /// First sector of the spare on its device.
    pub spare_offset: u64,
    /// Features, usually none.
    pub features: Vec<String>,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} 1 {} {}", self.main, self.main_offset, self.spare, self.spare_offset)?;
        if !self.features.is_empty() {
            write!(f, " {} {}", self.features.len(), self.features.join(" "))?;
        }
        Ok(())
    }
}

impl Mapping {
    /// Reads a table line; `None` when it is not one of ours.
    pub fn parse(text: &str) -> Option<Mapping> {
        let mut words = text.split_whitespace();
        let (main, main_offset) = (words.next()?.to_string(), words.next()?.parse().ok()?);
        if words.next()? != "1" {
            return None;
        }
        let (spare, spare_offset) = (words.next()?.to_string(), words.next()?.parse().ok()?);
        let features = words.skip(1).map(str::to_string).collect();
        Some(Mapping { main, main_offset, spare, spare_offset, features })
    }

    /// A path to a device that is named as MAJOR:MINOR, or the path that is there. That of a mapped device is the one in
    /// /dev/mapper, which stays what it is from boot to boot.
    pub fn node_of(&self, device: &str) -> PathBuf {
        node_below(Path::new("/"), device)
    }
}

/// Whether a device is named as MAJOR:MINOR.
pub fn is_number(device: &str) -> bool {
    let parts = device.split_once(':');
    parts.is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
}

fn node_below(root: &Path, device: &str) -> PathBuf {
    if !is_number(device) {
        return PathBuf::from(device);
    }
    let sysfs = root.join("sys/dev/block").join(device);
    let mapped = fs::read_to_string(sysfs.join("dm/name")).ok();
    let mapped = mapped.map(|name| root.join("dev/mapper").join(name.trim_end()));
    // A name with characters that the file has in another way is not found.
    if let Some(node) = mapped.filter(|node| node.exists()) {
        return node;
    }
    let name = fs::read_link(sysfs).ok();
    let name = name.as_deref().and_then(|n| n.file_name()).map(|n| n.to_string_lossy().replace('!', "/"));
    root.join("dev").join(name.unwrap_or_else(|| format!("block/{device}")))
}

/// The DM UUID of a set that is open by the target.
pub fn dm_uuid(id: &SetId) -> String {
    format!("{UUID_PREFIX}{}", digits(id))
}

fn digits(id: &SetId) -> String {
    id.to_string().replace('-', "")
}

/// What all DM UUIDs of a linear assembly of a set begin with.
fn linear_prefix(id: &SetId) -> String {
    format!("{LINEAR_PREFIX}{}-", digits(id))
}

/// The DM UUID of a linear assembly. It holds where main and spare are, since the table of a set with nothing mapped does
/// not name the spare, and one with everything mapped not main.
pub fn linear_uuid(id: &SetId, mapping: &Mapping) -> String {
    let Mapping { main, main_offset, spare, spare_offset, .. } = mapping;
    format!("{}{main}+{main_offset}-{spare}+{spare_offset}", linear_prefix(id))
}

/// Whether a device of this DM UUID is the set, in one way or the other.
pub fn is_set(uuid: &str, id: &SetId) -> bool {
    uuid == dm_uuid(id) || uuid.starts_with(&linear_prefix(id))
}

/// Digits of the set's UUID, and the mapping, of a linear assembly with this DM UUID; `None` when it is not one.
pub fn parse_linear_uuid(uuid: &str) -> Option<(&str, Mapping)> {
    let (id, places) = uuid.strip_prefix(LINEAR_PREFIX)?.split_once('-')?;
    let (main, spare) = places.split_once('-')?;
    let place = |text: &str| -> Option<(String, u64)> {
        let (device, offset) = text.split_once('+')?;
        Some((device.to_string(), offset.parse().ok()?))
    };
    let ((main, main_offset), (spare, spare_offset)) = (place(main)?, place(spare)?);
    Some((id, Mapping { main, main_offset, spare, spare_offset, features: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_line_reads_back() {
        for text in ["8:16 0 1 8:33 2048", "/dev/sdb 8 1 /dev/sdc 0 1 format"] {
            assert_eq!(Mapping::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Mapping::parse("8:16 0 2 8:33 0 8:34 0"), None);
    }

    #[test]
    fn a_mapped_device_is_called_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        let sys = root.path().join("sys/dev/block");
        let mapper = root.path().join("dev/mapper");
        for dir in [&sys.join("dm-3/dm"), &sys.join("sdb"), &mapper] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(sys.join("dm-3/dm/name"), "old\n").unwrap();
        std::os::unix::fs::symlink("dm-3", sys.join("254:3")).unwrap();
        std::os::unix::fs::symlink("sdb", sys.join("8:16")).unwrap();
        let node =
            |device| node_below(root.path(), device).strip_prefix(root.path()).unwrap().display().to_string();
        assert_eq!(node("8:16"), "dev/sdb");
        assert_eq!(node("254:3"), "dev/dm-3", "nobody made the node");
        fs::write(mapper.join("old"), "").unwrap();
        assert_eq!(node("254:3"), "dev/mapper/old");
        assert_eq!(node_below(root.path(), "/dev/sdb"), Path::new("/dev/sdb"));
    }

    #[test]
    fn the_uuid_of_a_linear_assembly_reads_back_and_fits() {
        let id = SetId([0xab; 16]);
        let mapping = Mapping {
            main: "4095:1048575".into(),
            main_offset: u64::MAX >> 9,
            spare: "4095:1048575".into(),
            spare_offset: u64::MAX >> 9,
            features: Vec::new(),
        };
        let uuid = linear_uuid(&id, &mapping);
        assert!(uuid.len() < 129, "{}", uuid.len());
        assert_eq!(parse_linear_uuid(&uuid), Some((digits(&id).as_str(), mapping)));
        assert!(is_set(&uuid, &id) && is_set(&dm_uuid(&id), &id));
        assert!(!is_set(&uuid, &SetId([0xac; 16])) && !is_set(&dm_uuid(&id), &SetId([0xac; 16])));
        assert_eq!(parse_linear_uuid(&dm_uuid(&id)), None);
    }
}
