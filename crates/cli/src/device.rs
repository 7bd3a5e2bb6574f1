//! Devices and files: size, logical block, identity, and I/O by sector.

use crate::failure::{Failure, Kind, Result};
use crate::holders;
use crate::number::Number;
use crate::shell;
use remap_core::placement::DeviceFacts;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read, also while others use it.
    Read,
    /// Only read, and fail if anything else claimed the device.
    ReadExclusive,
    /// Read and write, and fail if anything else claimed the device.
    WriteExclusive,
}

/// An open block device or regular file.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// Logical block in bytes; 512 for a file.
    pub block_bytes: u32,
    /// Device number for a block device.
    pub number: Option<Number>,
    inode: (u64, u64),
}

impl Device {
    /// Opens a block device or a regular file.
    pub fn open(path: &Path, access: Access) -> Result<Device> {
        let flags = if access == Access::Read { OFlags::empty() } else { OFlags::EXCL };
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::WriteExclusive);
        options.custom_flags((flags | OFlags::NONBLOCK).bits() as i32);
        let file = options.open(path).map_err(|e| explain_open(path, &e))?;
        let meta = file.metadata().map_err(|e| Failure::path("examine", path, &e))?;
        let kind = meta.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            let what = format!("{} is neither a block device nor a file", path.display());
            return Err(Failure::new(Kind::Device, what, "give a disk, a partition or an image file"));
        }
        let number = kind.is_block_device().then(|| Number::of_node(meta.rdev()));
        let bytes = match number {
            None => meta.len(),
            Some(_) => rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))
                .map_err(|e| Failure::path("find the length of", path, &e.into()))?,
        };
        let block_bytes = match number {
            None => 512,
            Some(n) => n.logical_block_bytes().ok_or_else(|| {
                let what = format!("sysfs does not tell the logical block of {}", path.display());
                Failure::new(Kind::Device, what, "mount sysfs at /sys")
            })?,
        };
        let inode = (meta.dev(), meta.ino());
        Ok(Device { file, path: path.to_path_buf(), sectors: bytes / 512, block_bytes, number, inode })
    }

    /// The path that was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// These sectors of it, as its place is judged.
    pub fn part(&self, sectors: std::ops::Range<u64>) -> holders::Part<'_> {
        holders::Part { path: &self.path, number: self.number, sectors }
    }

    /// Whether it is a block device that takes no writes (`blockdev --getro`).
    pub fn is_read_only(&self) -> bool {
        self.number.is_some_and(Number::is_read_only)
    }

    /// Whether it is a zoned block device.
    pub fn is_zoned(&self) -> bool {
        let model = self.number.and_then(Number::zones);
        model.is_some_and(|model| model != "none")
    }

    /// What core judges a device of a table by. `number` is any that tells main from spare.
    pub fn facts(&self, number: u32, offset: u64) -> DeviceFacts {
        let (sectors, logical_block_bytes, zoned) = (self.sectors, self.block_bytes, self.is_zoned());
        DeviceFacts { number, sectors, logical_block_bytes, zoned, offset }
    }

    /// Serial number, WWN or model; empty when unknown.
    pub fn identity(&self) -> String {
        self.number.map(Number::identity).unwrap_or_default()
    }

    /// True when both are the same device or file.
    pub fn is_same(&self, other: &Device) -> bool {
        match (self.number, other.number) {
            (None, None) => self.inode == other.inode,
            (a, b) => a == b,
        }
    }

    /// The length in sectors of a main that begins at sector `start`: whole logical blocks, to the end of the device or to
    /// the spare where that follows on it.
    pub fn sectors_of_main(&self, start: u64, spare_start: Option<u64>) -> u64 {
        let end =
            spare_start.filter(|&spare| spare > start).map_or(self.sectors, |spare| spare.min(self.sectors));
        let sectors = end.saturating_sub(start);
        sectors - sectors % u64::from(self.block_bytes / 512).max(1)
    }

    /// Reads whole sectors from `sector` on.
    pub fn read_at(&self, sector: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, byte_of(sector)?)
    }

    /// Writes whole sectors from `sector` on.
    pub fn write_at(&self, sector: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, byte_of(sector)?)
    }

    /// Makes everything written durable.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Forgets what was read before, since the target writes past the page cache.
    pub fn drop_cache(&self) {
        let _ = rustix::fs::fadvise(self.file.as_fd(), 0, None, rustix::fs::Advice::DontNeed);
    }
}

fn byte_of(sector: u64) -> io::Result<u64> {
    sector.checked_mul(512).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// That a device takes no writes.
pub fn read_only(path: &Path) -> Failure {
    let what = format!("{} is read-only: the kernel takes no writes to it", path.display());
    let path = shell::quoted(&path.to_string_lossy());
    Failure::new(
        Kind::Device,
        what,
        format!("if it is meant to be written: `blockdev --setrw {path}`, or the switch of the disk"),
    )
}

/// Names what uses a device that could not be claimed.
fn explain_open(path: &Path, error: &io::Error) -> Failure {
    let mut failure = Failure::path("open", path, error);
    let sets_read_only = || Number::at_path(path).is_some_and(Number::is_read_only);
    if failure.kind == Kind::Permission && sets_read_only() {
        return read_only(path);
    }
    if failure.kind == Kind::Busy {
        failure.what = format!("{} is busy{}", path.display(), holders::words_of_path(path));
    }
    failure
}
