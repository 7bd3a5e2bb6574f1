//! `demo`: the whole of it once, on disks that really fail.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::command::Command;
use crate::kernel::Kernel;
use crate::kernels;
use crate::module;
use crate::paths;
use crate::sh::{cmd, mkdir, Context, Result};
use crate::step::output;
use crate::tool;
use crate::vm::{explain, Outcome, Vm};

pub const COMMAND: Command = Command {
    name: "demo",
    about: "show a filesystem on a failing disk, without and with dm-remap",
    help: "\
usage: ./x demo [--kernel NAME]

In a guest, an ext4 filesystem with checksummed files is on a disk of which some
sectors cannot be read, and more begin to fail writes while files are written:
first as it is, then with `remap` in between. The guest is booted again and
everything is verified once more. At the end stand a table of what happened and a
map of the disk.

Every sentence about what was seen is checked. Exit status 1: something was not
so; it is printed with what was expected and what was found.

  --kernel NAME  such as 6.12 (default: the newest that the package lists know)
",
    run,
};

/// A demonstration that takes longer hangs.
const SECONDS_PER_BOOT: u64 = 300;

fn run(mut args: Args) -> Result<i32> {
    paths::fit_for_kbuild()?;
    let mut series = None;
    while let Some(word) = args.next() {
        match word.as_str() {
            "--kernel" => series = Some(args.value(&word)?),
            _ => return Err(Args::unknown(&word)),
        }
    }
    let mut vm = Vm::new(Kernel::fetch(&series.map_or_else(kernels::newest_series, Ok)?)?);
    eprintln!(
        "building the module for {}, and the tool (usually 2 minutes the first time)",
        vm.kernel.version
    );
    vm.module = Some(module::build(&vm.kernel)?.ko);
    vm.tool = Some(tool::build()?);
    let started = Instant::now();
    let dir = disks()?;
    for disk in ["bare", "adopted"] {
        attach(&mut vm, &dir, disk);
    }
    vm.disks.push(dir.join("spare.img"));
    vm.share = Some(dir.clone());
    vm.timeout = Some(Duration::from_secs(SECONDS_PER_BOOT));
    let mut status = 0;
    for script in ["first", "second"] {
        eprintln!("booting {} (the whole usually takes 1 to 2 minutes)", vm.kernel.version);
        status = boot(&vm, script)?;
        if status != 0 {
            break;
        }
    }
    match status {
        0 => {
            std::fs::remove_dir_all(&dir).context(|| format!("cannot remove {}", dir.display()))?;
            println!("\nAll of this was checked. It took {} s.", started.elapsed().as_secs());
        }
        _ => println!("\nNot all of this is so: see above. The disks are in {}.", dir.display()),
    }
    Ok(status)
}

/// Makes the disk images; the directory they are in.
fn disks() -> Result<PathBuf> {
    let dir = paths::build_dir()?.join("demo");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context(|| format!("cannot clear {}", dir.display()))?;
    }
    mkdir(&dir)?;
    let mut make = cmd("sh", ["tests/demo/make.sh"]);
    output(make.arg(&dir).current_dir(paths::checkout()))?;
    Ok(dir)
}

/// Adds an image as a SCSI disk that answers as its configuration says: with medium errors, as a disk does.
fn attach(vm: &mut Vm, dir: &Path, name: &str) {
    if vm.qemu_args.is_empty() {
        vm.qemu_args.extend(["-device", "virtio-scsi-pci"].map(str::to_string));
    }
    let id = vm.qemu_args.iter().filter(|word| *word == "-blockdev").count();
    let path = |extension: &str| json(&dir.join(format!("{name}.{extension}")).to_string_lossy());
    let node = format!(
        r#"{{"driver":"blkdebug","node-name":"{name}","config":{},"image":{{"driver":"file","filename":{}}}}}"#,
        path("conf"),
        path("img")
    );
    let device = format!(
        "scsi-hd,drive={name},scsi-id={id},serial={name},write-cache=off,rerror=report,werror=report"
    );
    vm.qemu_args.extend(["-blockdev".into(), node, "-device".into(), device]);
}

/// A text as JSON writes it.
fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Boots and runs one of the scripts; its exit status.
fn boot(vm: &Vm, script: &str) -> Result<i32> {
    let mut stdout = std::io::stdout();
    let colour = u8::from(stdout.is_terminal());
    let line = format!("export COLOUR={colour}; exec sh tests/demo/{script}.sh");
    let outcome: Outcome = vm.run(&line, &mut |bytes| {
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    })?;
    explain(&outcome)?;
    for line in &outcome.complaints {
        println!("NOT SO: the kernel log has no complaint: {line}");
    }
    Ok(outcome.status())
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_quoted_for_json() {
        assert_eq!(super::json(r#"/a "b"\c"#), r#""/a \"b\"\\c""#);
    }
}
