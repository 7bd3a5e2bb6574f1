//! `dmremap`: makes, opens and inspects sets of dm-remap.

#[cfg(test)]
mod advice;
mod args;
mod close;
mod confirm;
mod control;
mod device;
mod dm;
mod failure;
mod fingerprint;
mod format;
mod holders;
mod identity;
mod interrupt;
mod label;
mod linear;
mod lines;
mod list;
mod loaded;
mod man;
#[cfg(test)]
mod messages;
mod moves;
mod names;
mod number;
mod open;
mod output;
mod pair;
mod progress;
mod query;
mod reply;
mod samples;
mod set;
mod shell;
mod signature;
mod spare;
mod status;
mod status_line;
mod table;
mod wrong;

use args::{Cli, Verb};
use clap::Parser;
use dm::ioctl::Kernel;
use failure::{Failure, Kind, Result};
use output::{print, Report};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return wrong::arguments(&e),
    };
    let command = name_of(&cli.verb);
    match (run(&cli.verb), cli.json) {
        (Ok(report), json) => {
            let object = json.then(|| format!("{:#}\n", output::envelope(command, &report)));
            print(object.as_ref().unwrap_or(&report.text));
            let exit = report.exit_status.map_or(ExitCode::SUCCESS, ExitCode::from);
            report.undone.map_or(exit, |failure| failed(command, &failure, json))
        }
        (Err(failure), json) => {
            if json {
                print(&format!("{:#}\n", output::failure_envelope(command, &failure)));
            }
            let exit = failed(command, &failure, json);
            match &cli.verb {
                Verb::Status(args) if args.check => ExitCode::from(status::check_failed(&failure)),
                _ => exit,
            }
        }
    }
}

/// Says what failed, unless the object does, and gives the exit status.
fn failed(command: &str, failure: &Failure, json: bool) -> ExitCode {
    if !json {
        eprintln!("dmremap {command}: {failure}");
    }
    ExitCode::from(failure.kind as u8)
}

fn name_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Format(_) => "format",
        Verb::Open(_) => "open",
        Verb::Close(_) => "close",
        Verb::Status(_) => "status",
        Verb::List(_) => "list",
        Verb::Table(_) => "table",
        Verb::Query(_) => "query",
        Verb::Remap(_) => "remap",
        Verb::Release(_) => "release",
        Verb::ResetStats(_) => "reset-stats",
        Verb::Resume(_) => "resume",
        Verb::Man => "man",
    }
}

fn run(verb: &Verb) -> Result<Report> {
    match verb {
        Verb::Format(args) => format::run(args),
        Verb::Open(args) => open::run(args, &kernel()?),
        Verb::Close(args) => close::run(args, &kernel()?),
        Verb::Status(args) => status::run(args, &kernel()?),
        Verb::List(args) => match (&args.spare, &args.name) {
            (Some(spare), _) => list::offline(args, spare),
            (None, Some(name)) => list::live(&kernel()?, name),
            (None, None) => {
                Err(Failure::new(Kind::Parameters, "neither NAME nor --spare was given", "see --help"))
            }
        },
        Verb::Table(args) => lines::run(args),
        Verb::Query(args) => query::run(args, &kernel()?),
        Verb::Remap(args) => moves::remap(args, &kernel()?),
        Verb::Release(args) => moves::release(args, &kernel()?),
        Verb::ResetStats(args) => control::reset_stats(args, &kernel()?),
        Verb::Resume(args) => control::resume(args, &kernel()?),
        Verb::Man => {
            let page = man::page().map_err(|e| Failure::system("cannot make the man page", &e))?;
            Ok(Report::new(page.clone(), serde_json::json!({ "page": page })))
        }
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
