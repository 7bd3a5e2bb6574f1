//! Nodes in /dev/mapper with and without udev, and what the kernel log says.

use super::Info;
use rustix::fs::{FileType, Mode};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long udev may take.
const UDEV_WAIT_MAX: Duration = Duration::from_secs(10);

/// True when udev runs and is to be used: `DM_DISABLE_UDEV` is honoured as by dmsetup.
pub fn udev_runs() -> bool {
    std::env::var_os("DM_DISABLE_UDEV").is_none() && Path::new("/run/udev/control").exists()
}

fn path_of(name: &str) -> PathBuf {
    Path::new("/dev/mapper").join(name)
}

/// Waits until `done` says so; false when udev took too long.
fn wait_for(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > UDEV_WAIT_MAX {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The node of a device, once it is there; made here where udev does not.
pub fn appears(info: &Info) -> io::Result<String> {
    let path = path_of(&info.name);
    let number = rustix::fs::makedev(info.number.major, info.number.minor);
    let is_there =
        || fs::metadata(&path).is_ok_and(|m| m.file_type().is_block_device() && m.rdev() == number);
    let udev_made_it = udev_runs() && wait_for(is_there);
    if !udev_made_it && !is_there() {
        let _ = fs::remove_file(&path);
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::BlockDevice, mode, number)?;
    }
    Ok(path.display().to_string())
}

/// Removes the node of a removed device, where udev does not.
pub fn vanishes(name: &str) {
    let path = path_of(name);
    let is_gone = || fs::symlink_metadata(&path).is_err();
    let udev_did_it = udev_runs() && wait_for(is_gone);
    if !udev_did_it && !is_gone() {
        let _ = fs::remove_file(&path);
    }
}

/// The kernel log from a moment on.
#[derive(Debug)]
pub struct KernelLog {
    records: File,
}

impl KernelLog {
    /// What is logged from now on; `None` without permission.
    pub fn from_now() -> Option<KernelLog> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut records = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").ok()?;
        records.seek(SeekFrom::End(0)).ok()?;
        Some(KernelLog { records })
    }

    /// The last line about the target.
    pub fn last_about_us(&self) -> Option<String> {
        let mut records = &self.records;
        let mut buffer = [0; 8192];
        let mut last = None;
        loop {
            match records.read(&mut buffer) {
                Ok(0) => return last,
                Ok(bytes) => last = about_us(&String::from_utf8_lossy(&buffer[..bytes])).or(last),
                // The record was overwritten before it was read; the next read goes on behind it.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                Err(_) => return last,
            }
        }
    }
}

/// The message of a record of the log, if it is about the target.
fn about_us(record: &str) -> Option<String> {
    let (_, message) = record.split_once(';')?;
    let message = message.lines().next()?;
    let (_, said) = message.split_once("remap: ")?;
    Some(said.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_the_target_count() {
        let ours =
            "3,812,99,-;device-mapper: table: 254:0: remap: no superblock readable\n SUBSYSTEM=block\n";
        assert_eq!(about_us(ours).as_deref(), Some("no superblock readable"));
        assert_eq!(about_us("4,1,2,-;usb 1-1: new device"), None);
    }
}
