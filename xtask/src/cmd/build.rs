//! `build`: the module, for one or more kernels.

use std::path::Path;

use crate::args::Args;
use crate::command::Command;
use crate::kernel::Kernel;
use crate::kernels;
use crate::module;
use crate::paths;
use crate::probe;
use crate::sh::Result;

pub const COMMAND: Command = Command {
    name: "build",
    about: "build dm_remap.ko and check it",
    help: "\
usage: ./x build [--kernel NAME]... [--headers DIR] [--running] [--probe]

Builds dm_remap.ko and checks it: no code that can panic, no warning, no
unresolved import, no export, within the size budget.

  --kernel NAME   for Debian's kernel of that series, such as 6.12; for all that
                  the package lists know unless told otherwise
  --headers DIR   for the kernel whose headers are in DIR
  --running       for the kernel that runs now
  --probe         build nothing; say in one line what is missing, or \"y\"
",
    run,
};

fn run(mut args: Args) -> Result<i32> {
    paths::fit_for_kbuild()?;
    let mut chosen = Vec::new();
    let mut probe_only = false;
    while let Some(word) = args.next() {
        match word.as_str() {
            "--kernel" => chosen.push(Kernel::fetch(&args.value("--kernel")?)?),
            "--headers" => chosen.push(Kernel::from_headers(Path::new(&args.value("--headers")?))?),
            "--running" => chosen.push(Kernel::running()?),
            "--probe" => probe_only = true,
            _ => return Err(Args::unknown(&word)),
        }
    }
    if chosen.is_empty() {
        for series in kernels::all_series()? {
            chosen.push(Kernel::fetch(&series)?);
        }
    }
    for kernel in &chosen {
        if probe_only {
            if let Some(missing) = probe::missing(kernel) {
                println!("{}: {missing}", kernel.version);
                return Ok(1);
            }
            println!("{}: y", kernel.version);
            continue;
        }
        let built = module::build(kernel)?;
        for check in &built.checks {
            println!("{}: ok {}: {}", kernel.version, check.name, check.seen);
        }
        println!("{}", built.ko.display());
    }
    Ok(0)
}
