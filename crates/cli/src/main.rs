//! `dmremap`: makes, opens and inspects sets of dm-remap.

mod args;
mod confirm;
mod device;
mod dm;
mod failure;
mod format;
mod identity;
mod list;
mod open;
mod output;
mod signature;
mod spare;
mod status;
mod table;

use args::{Cli, Verb};
use clap::Parser;
use dm::ioctl::Kernel;
use failure::{Failure, Kind, Result};
use output::Report;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            let wrong = e.use_stderr();
            return ExitCode::from(if wrong { Kind::Parameters as u8 } else { 0 });
        }
    };
    let command = name_of(&cli.verb);
    match (run(&cli.verb), cli.json) {
        (Ok(report), json) => {
            let text = if json { format!("{:#}\n", output::envelope(command, &report)) } else { report.text };
            print(&text);
            ExitCode::SUCCESS
        }
        (Err(failure), json) => {
            if json {
                print(&format!("{:#}\n", output::failure_envelope(command, &failure)));
            } else {
                eprintln!("dmremap {command}: {failure}");
            }
            ExitCode::from(failure.kind as u8)
        }
    }
}

/// Prints; a reader that went away is no failure.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn name_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Format(_) => "format",
        Verb::Open(_) => "open",
        Verb::Close(_) => "close",
        Verb::Status(_) => "status",
        Verb::List(_) => "list",
    }
}

fn run(verb: &Verb) -> Result<Report> {
    match verb {
        Verb::Format(args) => format::run(args),
        Verb::Open(args) => open::open(args, &kernel()?),
        Verb::Close(args) => open::close(args, &kernel()?),
        Verb::Status(args) => status::run(args, &kernel()?),
        Verb::List(args) => match (&args.spare, &args.name) {
            (Some(spare), _) => list::offline(args, spare),
            (None, Some(name)) => list::live(&kernel()?, name),
            (None, None) => {
                Err(Failure::new(Kind::Parameters, "neither NAME nor --spare was given", "see --help"))
            }
        },
    }
}

/// Device-mapper of the running kernel.
fn kernel() -> Result<Kernel> {
    Kernel::open().map_err(|e| {
        let mut failure = Failure::system("cannot open /dev/mapper/control", &e);
        if e.kind() == std::io::ErrorKind::NotFound {
            failure.next = "load device-mapper: `modprobe dm_mod`".into();
        }
        failure
    })
}
