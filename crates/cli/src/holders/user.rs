//! What uses a device.

use std::path::PathBuf;

/// What a user of a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A mount point.
    Mount(PathBuf),
    /// A btrfs filesystem by its UUID, of which no mount names this device.
    Btrfs(String),
    /// Swap, by the path that the kernel knows.
    Swap(PathBuf),
    /// A mapped device.
    Mapped {
        /// Its name.
        name: String,
        /// Its DM UUID, which says what made it.
        uuid: String,
        /// How often it is open; `None` when that cannot be told.
        open_count: Option<u32>,
        /// Whether it is a set of ours, made by the tool or by `dmsetup`.
        is_set: bool,
    },
    /// A loop device, by name.
    Loop(String),
    /// Another device of the kernel, by name: `md0`, `bcache0`.
    Device(String),
    /// A claim of which nothing else is known.
    Unnamed,
}

/// One that uses a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name of the device in the kernel that it uses.
    pub of: String,
    /// What it is.
    pub what: What,
    /// What uses it in turn.
    pub above: Vec<User>,
}

impl User {
    /// Whether it does nothing to the device at present: a mapped device that is not open, or a loop device that nothing uses.
    /// A set of ours is never idle: its map is in memory. Nor is a multipath device, which is main by another name: what opens it
    /// next writes past the map.
    pub fn is_idle(&self) -> bool {
        match &self.what {
            What::Mapped { open_count, is_set, uuid, .. } => {
                *open_count == Some(0) && !is_set && !is_multipath(uuid)
            }
            What::Loop(_) => self.above.is_empty(),
            _ => false,
        }
    }
}

/// Whether it is a multipath device or a partition of one, whose UUID is `part1-mpath-…`.
pub fn is_multipath(uuid: &str) -> bool {
    let whole = match uuid.strip_prefix("part") {
        Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix('-').unwrap_or(uuid),
        None => uuid,
    };
    whole.starts_with("mpath-")
}
