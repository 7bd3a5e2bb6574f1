//! Numbers of block devices, and what sysfs tells of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Number of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Number {
    /// The directory of the device in sysfs.
    fn sysfs(self) -> PathBuf {
        PathBuf::from(format!("/sys/dev/block/{self}"))
    }

    fn number(self, attribute: &str) -> Option<u64> {
        text_of(&self.sysfs().join(attribute))?.parse().ok()
    }

    /// Its physical block in bytes, where sysfs tells.
    pub fn physical_block_bytes(self) -> Option<u64> {
        text_of(&self.queue().join("physical_block_size"))?.parse().ok()
    }

    fn is_partition(self) -> bool {
        self.sysfs().join("partition").exists()
    }

    /// The directory of its queue in sysfs, which for a partition is that of the disk.
    fn queue(self) -> PathBuf {
        self.sysfs().join(if self.is_partition() { "../queue" } else { "queue" })
    }

    /// Serial number, WWN or model, whichever the kernel knows, in this order of trust; empty when it knows none.
    pub fn identity(self) -> String {
        let disk = if self.is_partition() { self.sysfs().join("..") } else { self.sysfs() };
        let known = ["wwid", "device/wwid", "serial", "device/serial", "dm/uuid", "device/model"];
        let found = known.iter().find_map(|name| text_of(&disk.join(name)));
        let partition = self.number("partition").map(|n| format!(" part {n}")).unwrap_or_default();
        found.map(|text| shorten(&text, 64 - partition.len()) + &partition).unwrap_or_default()
    }

    /// From the number of a node.
    pub fn of_node(rdev: u64) -> Number {
        Number { major: rustix::fs::major(rdev), minor: rustix::fs::minor(rdev) }
    }

    /// The logical block in bytes.
    pub fn logical_block_bytes(self) -> Option<u32> {
        text_of(&self.queue().join("logical_block_size"))?.parse().ok()
    }

    /// The model of zones; `None` when the kernel names none.
    pub fn zones(self) -> Option<String> {
        text_of(&self.queue().join("zoned"))
    }

    /// Of the block device at a path.
    pub fn at_path(path: &Path) -> Option<Number> {
        let meta = fs::metadata(path).ok().filter(|meta| meta.file_type().is_block_device())?;
        Some(Number::of_node(meta.rdev()))
    }

    /// Whether it takes no writes (`blockdev --getro`).
    pub fn is_read_only(self) -> bool {
        self.number("ro") == Some(1)
    }

    /// From `MAJOR:MINOR`.
    pub fn parse(text: &str) -> Option<Number> {
        let (major, minor) = text.split_once(':')?;
        Some(Number { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// The text of a sysfs attribute, without control characters; `None` when missing or empty.
fn text_of(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// At most `bytes_max` bytes of `text`, cut between characters.
fn shorten(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("aü", 2), "a");
        assert_eq!(shorten("aü", 3), "aü");
    }
}
