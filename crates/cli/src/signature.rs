//! What a device holds before it becomes a spare.
//!
//! Recognising content is left to `blkid` of util-linux, which is part of every Debian system and knows hundreds of formats.
//! The crates that bind its library need libclang and the library's development files to build.

use crate::spare::Spare;
use remap_core::format::ChooseError;
use std::path::Path;
use std::process::Command;

/// What stands on a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// First and last MiB are zero, and nothing was recognised.
    Blank,
    /// A format that was cut off; nothing was ever mapped.
    CutOffFormat,
    /// Something, in words.
    Something(String),
}

/// Looks at a region: for a set of ours, for what blkid knows, and whether both ends are zero.
pub fn content(spare: &Spare<'_>, device: &Path) -> Content {
    match spare.choose(true) {
        Ok(set) => {
            let used =
                spare.slots(&set).map_or("an unknown number of".into(), |slots| slots.len().to_string());
            let label = if set.label.is_empty() { String::new() } else { format!(" \"{}\"", set.label) };
            let id = set.id;
            return Content::Something(format!(
                "dm-remap set {id}{label} with {used} slots in use or retired"
            ));
        }
        Err(ChooseError::Formatting(_)) => return Content::CutOffFormat,
        Err(ChooseError::NothingThere) => {}
        Err(e) => return Content::Something(format!("the metadata of a dm-remap set ({})", e.summary())),
    }
    match recognised(device, spare.offset, spare.region_blocks) {
        Some(found) => Content::Something(found),
        None => spare.not_blank().map_or(Content::Blank, Content::Something),
    }
}

/// What blkid recognises in the region; `None` also when it cannot be run, since the test for zeros follows.
fn recognised(device: &Path, offset_sectors: u64, region_blocks: u64) -> Option<String> {
    let mut command = Command::new("blkid");
    command
        .args(["--probe", "--output", "export", "--offset"])
        .arg((u128::from(offset_sectors) * 512).to_string());
    command.arg("--size").arg((u128::from(region_blocks) * 4096).to_string()).arg("--").arg(device);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let output = command.env("LC_ALL", "C").env("PATH", std::env::join_paths(dirs).ok()?).output().ok()?;
    const AMBIVALENT: i32 = 8;
    match output.status.code() {
        Some(0) => describe(&String::from_utf8_lossy(&output.stdout)),
        Some(AMBIVALENT) => Some("signatures of several formats (`wipefs --no-act` lists them)".into()),
        _ => None,
    }
}

/// The answer of blkid in words.
fn describe(export: &str) -> Option<String> {
    let value = |key: &str| {
        let pairs = export.lines().filter_map(|line| line.split_once('='));
        pairs.filter(|(k, _)| *k == key).map(|(_, v)| v.replace('\\', "")).next()
    };
    let name = value("LABEL").or_else(|| value("UUID")).map(|n| format!(" \"{n}\"")).unwrap_or_default();
    let kind = match (value("TYPE"), value("PTTYPE")) {
        (Some(kind), _) => kind,
        (None, Some(table)) => return Some(format!("a partition table ({table})")),
        (None, None) => return None,
    };
    Some(match value("USAGE").as_deref() {
        Some("filesystem") => format!("a filesystem ({kind}){name}"),
        Some("raid") => format!("a member of a RAID or volume group ({kind}){name}"),
        Some("crypto") => format!("an encrypted volume ({kind}){name}"),
        _ => format!("{kind}{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_put_in_words() {
        let ext4 = "DEVNAME=x\nLABEL=my\\ data\nUUID=1-2\nTYPE=ext4\nUSAGE=filesystem\n";
        assert_eq!(describe(ext4).as_deref(), Some("a filesystem (ext4) \"my data\""));
        assert_eq!(describe("PTTYPE=gpt\n").as_deref(), Some("a partition table (gpt)"));
        let lvm = "TYPE=LVM2_member\nUSAGE=raid\n";
        assert_eq!(describe(lvm).as_deref(), Some("a member of a RAID or volume group (LVM2_member)"));
        assert_eq!(describe("DEVNAME=x\n"), None);
    }
}
