//! The guest of its own that a scenario asks for in its `# vm:` line.

use std::path::{Path, PathBuf};

use crate::sh::{Context, Error, Result};
use crate::vm::Vm;

/// A guest as a scenario asks for it.
#[derive(Clone, Debug)]
pub struct Own {
    disk_bytes: Vec<u64>,
    bad_disks: Vec<BadDisk>,
    /// How often it is booted.
    pub boots: u32,
    memory_mib: Option<u32>,
    cpus: Option<u32>,
}

/// A disk of which `sectors` sectors from `first` on can neither be read nor written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BadDisk {
    device: &'static str,
    bytes: u64,
    first: u64,
    sectors: u64,
}

impl BadDisk {
    /// From a word such as `64M@2003+2`, for QEMU's device of that name.
    fn parse(device: &'static str, text: &str) -> Option<BadDisk> {
        let (size, range) = text.split_once('@')?;
        let (first, sectors) = range.split_once('+')?;
        Some(BadDisk {
            device,
            bytes: bytes(size)?,
            first: first.parse().ok()?,
            sectors: sectors.parse().ok()?,
        })
    }

    /// What QEMU is told, for the disk of this number in this image.
    fn qemu_args(&self, number: usize, image: &Path) -> [String; 4] {
        let node = format!("driver=raw,node-name=bad{number},file.driver=blkdebug");
        let mut node = format!("{node},file.image.driver=file,file.image.discard=unmap");
        // 61 is ENODATA: of all errors on the host the one that SCSI disks tell as one of the medium.
        for (rule, sector) in (self.first..).take(self.sectors as usize).enumerate() {
            let rule = format!("file.inject-error.{rule}");
            node += &format!(",{rule}.event=none,{rule}.errno=61,{rule}.sector={sector}");
        }
        node += &format!(",file.image.filename={}", image.to_string_lossy().replace(',', ",,"));
        let device = format!("{},drive=bad{number},serial=bad{number}", self.device);
        ["-blockdev".into(), node, "-device".into(), device]
    }
}

impl Own {
    /// Makes `vm` that guest; its disks are new files in `dir`.
    pub fn equip(&self, vm: &mut Vm, dir: &Path) -> Result<()> {
        vm.memory_mib = self.memory_mib.unwrap_or(vm.memory_mib);
        vm.cpus = self.cpus.unwrap_or(vm.cpus);
        vm.disks =
            self.disk_bytes.iter().enumerate().map(|(i, size)| disk(dir, i, *size)).collect::<Result<_>>()?;
        if self.bad_disks.iter().any(|bad| bad.device == "scsi-hd") {
            vm.qemu_args.extend(["-device".into(), "virtio-scsi-pci".into()]);
        }
        for (number, bad) in self.bad_disks.iter().enumerate() {
            let image = disk(dir, vm.disks.len() + number, bad.bytes)?;
            vm.qemu_args.extend(bad.qemu_args(number, &image));
        }
        Ok(())
    }
}

/// What the `# vm:` line of the scenario `name` asks for, if it has one.
pub fn own(text: &str, name: &str) -> Result<Option<Own>> {
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("# vm:")) else { return Ok(None) };
    let mut own =
        Own { disk_bytes: Vec::new(), bad_disks: Vec::new(), boots: 1, memory_mib: None, cpus: None };
    for word in line.split_whitespace() {
        let bad = || Error(format!("tests/vm/{name}.sh: bad word in its vm line: {word}"));
        let (key, value) = word.split_once('=').ok_or_else(bad)?;
        match key {
            "disk" => own.disk_bytes.push(bytes(value).ok_or_else(bad)?),
            "scsi" => own.bad_disks.push(BadDisk::parse("scsi-hd", value).ok_or_else(bad)?),
            "nvme" => own.bad_disks.push(BadDisk::parse("nvme", value).ok_or_else(bad)?),
            "virtio" => own.bad_disks.push(BadDisk::parse("virtio-blk-pci", value).ok_or_else(bad)?),
            "boots" => own.boots = value.parse().map_err(|_| bad())?,
            "memory" => own.memory_mib = Some(value.parse().map_err(|_| bad())?),
            "cpus" => own.cpus = Some(value.parse().map_err(|_| bad())?),
            _ => return Err(bad()),
        }
    }
    Ok(Some(own))
}

/// A size such as `64M`.
fn bytes(text: &str) -> Option<u64> {
    let (number, shift) = match text.as_bytes().last()? {
        b'K' => (text.get(..text.len() - 1)?, 10),
        b'M' => (text.get(..text.len() - 1)?, 20),
        b'G' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A new sparse image.
fn disk(dir: &Path, index: usize, size: u64) -> Result<PathBuf> {
    let path = dir.join(format!("disk{index}.img"));
    let file = std::fs::File::create(&path).context(|| format!("cannot make {}", path.display()))?;
    file.set_len(size).context(|| "cannot size a disk image")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_line_describes_a_guest() {
        let text = "#!/bin/sh\n# vm: disk=64M disk=1G boots=2 memory=2048\n";
        let own = own(text, "x").expect("parses").expect("is there");
        assert_eq!(own.disk_bytes, [64 << 20, 1 << 30]);
        assert_eq!((own.boots, own.memory_mib, own.cpus), (2, Some(2048), None));
        assert!(own.bad_disks.is_empty());
        assert!(super::own("# vm: disk=x\n", "x").is_err());
        assert!(super::own("echo\n", "x").expect("parses").is_none());
    }

    #[test]
    fn a_vm_line_asks_for_disks_with_bad_sectors() {
        let own = own("# vm: nvme=1M@2003+2\n", "x").expect("parses").expect("is there");
        assert_eq!(own.bad_disks, [BadDisk { device: "nvme", bytes: 1 << 20, first: 2003, sectors: 2 }]);
        let args = own.bad_disks[0].qemu_args(3, Path::new("/a,b/disk.img"));
        let rule = |number, sector| {
            let rule = format!("file.inject-error.{number}");
            format!("{rule}.event=none,{rule}.errno=61,{rule}.sector={sector},")
        };
        assert!(args[1].contains(&(rule(0, 2003) + &rule(1, 2004) + "file.image.filename=/a,,b/disk.img")));
        assert!(args[1].contains("node-name=bad3,") && !args[1].contains("inject-error.2"));
        assert_eq!(args[3], "nvme,drive=bad3,serial=bad3");
        for wrong in ["1M", "1M@5", "1M@5+", "@5+1", "1M@x+1"] {
            assert!(super::own(&format!("# vm: scsi={wrong}\n"), "x").is_err(), "{wrong}");
        }
    }
}
