//! `vm`: one command in a guest.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::args::Args;
use crate::command::Command;
use crate::kernel::Kernel;
use crate::kernels;
use crate::module;
use crate::paths;
use crate::sh::{Error, Result};
use crate::test_modules;
use crate::tool;
use crate::vm::{explain, quote, Vm};

pub const COMMAND: Command = Command {
    name: "vm",
    about: "run a command in a guest with this checkout's module loaded",
    help: "\
usage: ./x vm [options] -- COMMAND [ARGUMENT]...

Boots a stock Debian kernel in QEMU. The guest sees the host's files; what it
writes to them is forgotten. COMMAND runs as root in the checkout, with this
checkout's dm_remap.ko loaded and its tool built, as $DMREMAP; its output is passed through and its exit status
returned. A single argument with spaces in it is run by the shell.

  --kernel NAME      such as 6.12 (default: the newest that the package lists know);
                     or debug, which looks for faults, built when first asked for
  --disk PATH        a raw image as a disk, writable: /dev/vda, /dev/vdb, ...
  --share DIR        a directory that the guest may write to, at /mnt/share
  --build-only       build the module, boot nothing
  --no-module        build and load no module
  --ignore-log       do not look for complaints in the kernel log
  --timeout SECONDS  end the guest after that time, with status 124
  --memory MIB       memory of the guest (default 1024)
  --cpus N           processors of the guest (default 2)
  --console FILE     where the kernel's console goes
  --append WORDS     more words for the kernel's command line
  --qemu-arg WORD    one more argument for QEMU

Exit status 99: the command succeeded, but the kernel log holds a warning, an
oops or the like. 124: the time was over. 125: the guest went away.
",
    run,
};

fn run(mut args: Args) -> Result<i32> {
    paths::fit_for_kbuild()?;
    let (mut series, mut build_only, mut no_module, mut ignore_log) = (None, false, false, false);
    let mut settings: Vec<Setting> = Vec::new();
    let mut command = Vec::new();
    while let Some(word) = args.next() {
        match word.as_str() {
            "--kernel" => series = Some(args.value(&word)?),
            "--build-only" => build_only = true,
            "--no-module" => no_module = true,
            "--ignore-log" => ignore_log = true,
            "--" => command = args.rest(),
            _ => settings.push(setting(&word, &mut args)?),
        }
    }
    let mut vm = Vm::new(Kernel::fetch(&series.map_or_else(kernels::newest_series, Ok)?)?);
    for setting in settings {
        setting(&mut vm);
    }
    if !no_module {
        vm.module = Some(module::build(&vm.kernel)?.ko);
        vm.tool = Some(tool::build()?);
        vm.env.push(("TEST_MODULES", test_modules::build(&vm.kernel)?.display().to_string()));
    }
    if build_only {
        if let Some(ko) = &vm.module {
            println!("{}", ko.display());
        }
        return Ok(0);
    }
    if command.is_empty() {
        return Err(Error("no command: ./x vm [options] -- COMMAND".into()));
    }
    eprintln!("booting {} (usually 5 to 30 s)", vm.kernel.version);
    let mut stdout = std::io::stdout();
    let outcome = vm.run(&script(&command), &mut |bytes| {
        // Nobody reading any more is no reason to stop the guest half-way.
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    })?;
    if let Some(time) = outcome.first_output {
        eprintln!("first output after {:.1} s; console: {}", time.as_secs_f32(), outcome.console.display());
    }
    if let Err(e) = explain(&outcome) {
        eprintln!("{e}");
    }
    if ignore_log {
        return Ok(match outcome.ended {
            crate::vm::Ended::Exited(status) => status,
            _ => outcome.status(),
        });
    }
    if !outcome.complaints.is_empty() {
        eprintln!("the kernel log ({}) complains:", outcome.console.display());
        for line in &outcome.complaints {
            eprintln!("  {line}");
        }
    }
    Ok(outcome.status())
}

/// A change to the guest, made once the kernel is known.
type Setting = Box<dyn FnOnce(&mut Vm)>;

fn setting(word: &str, args: &mut Args) -> Result<Setting> {
    Ok(match word {
        "--disk" => {
            let path = PathBuf::from(args.value(word)?);
            Box::new(move |vm| vm.disks.push(path))
        }
        "--share" => {
            let path = PathBuf::from(args.value(word)?);
            Box::new(move |vm| vm.share = Some(path))
        }
        "--timeout" => {
            let time = Duration::from_secs(args.number(word)?);
            Box::new(move |vm| vm.timeout = Some(time))
        }
        "--memory" => {
            let mib = args.number(word)?;
            Box::new(move |vm| vm.memory_mib = mib)
        }
        "--cpus" => {
            let cpus = args.number(word)?;
            Box::new(move |vm| vm.cpus = cpus)
        }
        "--console" => {
            let path = PathBuf::from(args.value(word)?);
            Box::new(move |vm| vm.console = Some(path))
        }
        "--append" => {
            let words = args.value(word)?;
            Box::new(move |vm| vm.append = format!("{} {words}", vm.append))
        }
        "--qemu-arg" => {
            let word = args.value(word)?;
            Box::new(move |vm| vm.qemu_args.push(word))
        }
        _ => return Err(Args::unknown(word)),
    })
}

/// The command as a script: one word is the shell's to read, more are taken as they are.
fn script(command: &[String]) -> String {
    match command {
        [one] => one.clone(),
        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}
