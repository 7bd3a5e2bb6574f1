//! The scenarios in `tests/vm`: finding them, grouping them into boots, reading what they print.
//!
//! A scenario without a `# vm:` line shares one boot with the others. One with such a line gets a
//! guest of its own: `# vm: disk=64M disk=1G boots=2 memory=2048 cpus=1`; its disks are new and zeroed, keep
//! their content from boot to boot, and the script is given the number of the boot, from 1, as its argument.
//! `scsi=64M@2003+2` is a disk of 64 MiB on which reads and writes of 2 sectors, from 2003 on, fail; so are `nvme=` and
//! `virtio=`. What the first two say is that the medium is bad, the third has one error for everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paths;
use crate::sh::{mkdir, read, Context, Error, Result};
use crate::vm::{Ended, Vm};

/// One script in `tests/vm`.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its file name without `.sh`.
    pub name: String,
    /// The guest of its own that it asks for.
    own: Option<Own>,
}

#[derive(Clone, Debug)]
struct Own {
    disk_bytes: Vec<u64>,
    bad_disks: Vec<BadDisk>,
    boots: u32,
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

/// What scenarios said.
#[derive(Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u32,
    /// What failed, by name.
    pub failed: Vec<String>,
}

/// A scenario that takes longer hangs; to this come the minutes that a load is asked to last.
const SECONDS_PER_SCENARIO: u64 = 600;

/// All scenarios, by name.
pub fn all() -> Result<Vec<Scenario>> {
    let dir = paths::checkout().join("tests/vm");
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(&dir).context(|| format!("cannot list {}", dir.display()))? {
        let path = entry.context(|| "cannot list scenarios")?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "sh") && name != "lib" {
            scenarios.push(Scenario { own: own(&read(&path)?, &name)?, name });
        }
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenarios)
}

fn own(text: &str, name: &str) -> Result<Option<Own>> {
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

/// Runs scenarios in guests like `vm`, those that are a load for so many minutes; prints one line for each test.
pub fn run(vm: &Vm, scenarios: &[Scenario], minutes: u64) -> Result<Tally> {
    let seconds = SECONDS_PER_SCENARIO + 60 * minutes;
    let mut tally = Tally::default();
    let (alone, together): (Vec<_>, Vec<_>) = scenarios.iter().partition(|scenario| scenario.own.is_some());
    if !together.is_empty() {
        let mut vm = vm.clone();
        vm.timeout = Some(Duration::from_secs(seconds * together.len() as u64));
        let steps: Vec<Step> = together.iter().map(|scenario| Step { scenario, boot: None }).collect();
        boot(&vm, &steps, seconds, &mut tally)?;
    }
    for scenario in alone {
        run_alone(vm, scenario, seconds, &mut tally)?;
    }
    Ok(tally)
}

fn run_alone(vm: &Vm, scenario: &Scenario, seconds: u64, tally: &mut Tally) -> Result<()> {
    let Some(own) = &scenario.own else { return Ok(()) };
    let mut vm = vm.clone();
    vm.timeout = Some(Duration::from_secs(seconds));
    vm.memory_mib = own.memory_mib.unwrap_or(vm.memory_mib);
    vm.cpus = own.cpus.unwrap_or(vm.cpus);
    let dir = paths::build_dir()?.join("vm").join(format!("disks-{}-{}", vm.kernel.name, scenario.name));
    mkdir(&dir)?;
    vm.disks =
        own.disk_bytes.iter().enumerate().map(|(i, size)| disk(&dir, i, *size)).collect::<Result<_>>()?;
    if own.bad_disks.iter().any(|bad| bad.device == "scsi-hd") {
        vm.qemu_args.extend(["-device".into(), "virtio-scsi-pci".into()]);
    }
    for (number, bad) in own.bad_disks.iter().enumerate() {
        let image = disk(&dir, vm.disks.len() + number, bad.bytes)?;
        vm.qemu_args.extend(bad.qemu_args(number, &image));
    }
    for number in 1..=own.boots {
        boot(&vm, &[Step { scenario, boot: Some(number) }], seconds, tally)?;
    }
    std::fs::remove_dir_all(&dir).context(|| "cannot remove the scenario's disks")
}

/// A new sparse image.
fn disk(dir: &Path, index: usize, size: u64) -> Result<PathBuf> {
    let path = dir.join(format!("disk{index}.img"));
    let file = std::fs::File::create(&path).context(|| format!("cannot make {}", path.display()))?;
    file.set_len(size).context(|| "cannot size a disk image")?;
    Ok(path)
}

/// A scenario's turn in a boot.
struct Step<'a> {
    scenario: &'a Scenario,
    boot: Option<u32>,
}

fn boot(vm: &Vm, steps: &[Step<'_>], seconds: u64, tally: &mut Tally) -> Result<()> {
    let mut script = String::new();
    for Step { scenario, boot } in steps {
        let name = &scenario.name;
        let number = boot.map(|number| number.to_string()).unwrap_or_default();
        script.push_str(&format!("echo 'begin {name}'; timeout {seconds} sh tests/vm/{name}.sh {number}\n"));
    }
    let mut reader =
        Reader { kernel: &vm.kernel.name, scenario: String::new(), ended: true, line: Vec::new(), tally };
    let outcome = vm.run(&script, &mut |bytes| reader.feed(bytes))?;
    reader.end_scenario();
    if outcome.ended == Ended::TimedOut || outcome.ended == Ended::Crashed {
        eprintln!("{}", outcome.console_tail(60));
        reader.fail(&format!(
            "the guest {}",
            if outcome.ended == Ended::TimedOut { "hung" } else { "went away" }
        ));
    }
    reader.scenario = "kernel log".into();
    if outcome.complaints.is_empty() {
        reader.tally.passed += 1;
        let _ = std::fs::remove_file(&outcome.console);
    } else {
        eprintln!("{}", outcome.complaints.join("\n"));
        reader.fail(&format!("has complaints: {}", outcome.console.display()));
    }
    Ok(())
}

/// Reads a guest's output line by line.
struct Reader<'a> {
    kernel: &'a str,
    scenario: String,
    ended: bool,
    line: Vec<u8>,
    tally: &'a mut Tally,
}

impl Reader<'_> {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            self.take(line.trim_end());
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("begin ") {
            self.end_scenario();
            self.scenario = name.to_string();
            self.ended = false;
        } else if line == "end" {
            self.ended = true;
        } else if let Some(name) = line.strip_prefix("ok ") {
            println!("{} {}: ok {name}", self.kernel, self.scenario);
            self.tally.passed += 1;
        } else if let Some(name) = line.strip_prefix("FAIL ") {
            self.fail(name);
        } else {
            println!("{line}");
        }
    }

    fn fail(&mut self, name: &str) {
        println!("{} {}: FAIL {name}", self.kernel, self.scenario);
        self.tally.failed.push(format!("{} {}: {name}", self.kernel, self.scenario));
    }

    /// A scenario that never came to its end is a failure of its own.
    fn end_scenario(&mut self) {
        if !self.ended {
            self.fail("did not come to its end");
            self.ended = true;
        }
    }
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

    #[test]
    fn output_is_counted() {
        let mut tally = Tally::default();
        let mut reader =
            Reader { kernel: "k", scenario: String::new(), ended: true, line: Vec::new(), tally: &mut tally };
        reader.feed(b"begin one\nok a\nFAIL b (status 1)\nend\nbegin tw");
        reader.feed(b"o\nok c\n");
        reader.end_scenario();
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failed.len(), 2);
    }
}
