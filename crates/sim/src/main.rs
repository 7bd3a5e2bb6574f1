//! Runs histories from the command line.

use std::process::ExitCode;

use remap_sim::history;
use remap_sim::plan::Planted;
use remap_sim::world::{Options, Stats};

const USAGE: &str = "\
usage: remap-sim [--seeds N] [--seed S] [--from S] [--steps N] [--planted BUG] [-v]

  --seeds N      run N histories (default 200)
  --seed S       run the history of one seed
  --from S       first seed (default 1)
  --steps N      most steps of a history (default 4000)
  --planted BUG  put a bug into the host, to see it found; one of:
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("remap-sim: {message}\n\n{USAGE}");
            Planted::ALL.iter().for_each(|(name, _)| eprintln!("                   {name}"));
            ExitCode::from(2)
        }
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let (mut from, mut seeds, mut options) = (1, 200, Options::default());
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--seeds" => seeds = number(value()?)?,
            "--from" => from = number(value()?)?,
            "--seed" => (from, seeds) = (number(value()?)?, 1),
            "--steps" => options.steps = number(value()?)?,
            "--planted" => {
                let name = value()?;
                options.planted = Some(Planted::from_name(&name).ok_or(format!("no bug named {name}"))?);
            }
            "-v" => options.verbose = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    let mut sum = Stats::default();
    for seed in from..from.saturating_add(seeds) {
        match history::run(seed, options) {
            Ok(stats) => sum.add(&stats),
            Err(failure) => {
                println!("{failure}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    println!("{seeds} histories, all promises kept: {sum:?}");
    Ok(ExitCode::SUCCESS)
}
