//! `test`: everything that shows that the checkout works.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::args::Args;
use crate::command::Command;
use crate::debug_kernel;
use crate::kernel::Kernel;
use crate::kernels;
use crate::module;
use crate::paths;
use crate::scenarios::{self, Scenario};
use crate::sh::{cmd, Context, Error, Result};
use crate::step::Step;
use crate::test_modules;
use crate::tool;
use crate::vm::Vm;

pub const COMMAND: Command = Command {
    name: "test",
    about: "run all tests, in guests too",
    help: "\
usage: ./x test [--fast] [--kernel NAME]... [--minutes N] [SCENARIO]...
       ./x test --bare [TREE]...

Runs the tests of all crates, builds and checks the module for all of Debian's
kernels that the package lists know, and runs the scenarios in tests/vm on each.
The last line counts what passed and what failed. With names of scenarios, only
those are run, and no other tests.

  --fast         no guests, no module
  --kernel NAME  only on this kernel, such as 6.12; or on debug, a kernel that looks
                 for faults: built when it is first asked for, one scenario a guest
  --minutes N    how long the scenario `stress` loads a device (default 1)
  --bare         the README's first commands on bare trees of Debian, made by
                 debootstrap: deb12-nosec (without the security suite), deb12 and
                 deb13. Needs root, 12 GB of disk and half an hour a tree
",
    run,
};

/// What was counted so far.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: Vec<String>,
}

impl Count {
    fn failure(&mut self, what: &str, error: &Error) {
        println!("{what}: FAIL {error}");
        self.failed.push(format!("{what}: {}", error.0.lines().next().unwrap_or_default()));
    }
}

fn run(mut args: Args) -> Result<i32> {
    let (mut fast, mut chosen_kernels, mut names, mut minutes) = (false, Vec::new(), Vec::new(), 1);
    while let Some(word) = args.next() {
        match word.as_str() {
            "--fast" => fast = true,
            "--bare" => return bare(&args.rest()),
            "--kernel" => chosen_kernels.push(args.value(&word)?),
            "--minutes" => {
                let value = args.value(&word)?;
                let number = value.parse().ok().filter(|n| (1..=10_000).contains(n));
                minutes = number.ok_or_else(|| format!("--minutes: not a number from 1 on: {value}"))?;
            }
            _ if word.starts_with('-') => return Err(Args::unknown(&word)),
            _ => names.push(word.trim_end_matches(".sh").to_string()),
        }
    }
    let chosen: Vec<Scenario> =
        scenarios::all()?.into_iter().filter(|one| names.is_empty() || names.contains(&one.name)).collect();
    if let Some(name) = names.iter().find(|name| chosen.iter().all(|one| one.name != **name)) {
        return Err(format!("no scenario tests/vm/{name}.sh").into());
    }
    if !fast {
        paths::fit_for_kbuild()?;
    }
    let mut count = Count::default();
    if names.is_empty() {
        crates(&mut count)?;
    }
    if !fast {
        if chosen_kernels.is_empty() {
            chosen_kernels = kernels::all_series()?;
        }
        let mut built: Vec<Vm> =
            chosen_kernels.iter().filter_map(|series| ready(series, &mut count)).collect();
        for vm in &mut built {
            vm.env.push(("MINUTES", minutes.to_string()));
        }
        in_guests(&built, chosen, minutes, &mut count);
    }
    for name in &count.failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", count.passed, count.failed.len());
    Ok(i32::from(!count.failed.is_empty() || count.passed == 0))
}

/// The first commands of the README on bare trees.
fn bare(trees: &[String]) -> Result<i32> {
    let mut script = cmd("sh", ["tests/bare/run.sh"]);
    let status = script.args(trees).current_dir(paths::checkout()).status().context(|| "cannot run sh")?;
    Ok(status.code().unwrap_or(1))
}

/// The tests of all crates, which need no guest.
fn crates(count: &mut Count) -> Result<()> {
    println!("tests of the crates");
    let mut cargo = cmd("cargo", ["test", "--workspace", "--no-fail-fast"]);
    let step = Step::new("tests of the crates").usually("5 minutes the first time, then 2");
    let (printed, status) = step.capture(cargo.current_dir(paths::checkout()))?;
    let text = &printed.out;
    let (passed, failed) = cargo_results(text);
    count.passed += passed;
    if failed > 0 || !status.success() {
        println!("{text}{}", printed.err);
        let names = text.lines().filter(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        count.failed.extend(names.map(str::to_string));
        if failed == 0 {
            count.failed.push("cargo test does not build or run".into());
        }
    }
    println!("crates: {passed} passed, {failed} failed");
    Ok(())
}

/// Sums up the lines that each test program ends with.
fn cargo_results(text: &str) -> (u32, u32) {
    let number = |line: &str, word: &str| -> u32 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = words.iter().position(|found| found.trim_end_matches(';') == word);
        place.and_then(|place| words.get(place.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
    };
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        (passed + number(line, "passed"), failed + number(line, "failed"))
    })
}

/// Processors of guests that do not say how many they want: two on one kernel and one on the others, so that each scenario is seen with
/// both. With more of them than the host has to spare most of QEMU's time goes by waiting for one another.
fn processors(series: &str) -> u32 {
    if series == "6.1" {
        1
    } else {
        2
    }
}

/// Builds and checks the module for a kernel; a guest with it, unless that failed.
fn ready(series: &str, count: &mut Count) -> Option<Vm> {
    let built = Kernel::fetch(series).and_then(|kernel| {
        println!("{series}: building for {}", kernel.version);
        Ok((module::build(&kernel)?, tool::build()?, test_modules::build(&kernel)?, kernel))
    });
    match built {
        Ok((built, tool, test_modules, kernel)) => {
            for check in &built.checks {
                println!("{series} module: ok {}: {}", check.name, check.seen);
                count.passed += 1;
            }
            let mut vm = Vm::new(kernel);
            vm.cpus = processors(series);
            vm.module = Some(built.ko);
            vm.tool = Some(tool);
            vm.env.push(("TEST_MODULES", test_modules.display().to_string()));
            Some(vm)
        }
        Err(e) => {
            count.failure(series, &e);
            None
        }
    }
}

/// Runs the scenarios on all kernels, in twice as many guests as there are processors: scenarios wait for clocks and disks more often
/// than they compute.
fn in_guests(guests: &[Vm], chosen: Vec<Scenario>, minutes: u64, count: &mut Count) {
    let per_boot = guests.iter().map(scenarios::per_boot).min().unwrap_or(1);
    let turns = scenarios::turns(chosen, per_boot);
    let total = guests.len() * turns.iter().map(Vec::len).sum::<usize>();
    let runs = turns.iter().flat_map(|turn| guests.iter().map(move |vm| (vm, turn)));
    // The number of each run's last scenario.
    let numbered = runs.scan(0, |count, (vm, turn)| {
        *count += turn.len();
        Some((vm, turn, *count))
    });
    let queue = Mutex::new(numbered);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some((vm, turn, last)) = next() {
            let started = Instant::now();
            let names: Vec<&str> = turn.iter().map(|one| one.name.as_str()).collect();
            let names = names.join(" ");
            println!("{}", begins(&vm.kernel.name, &names, last, turn.len(), total, minutes));
            let tally = scenarios::run(vm, turn, minutes);
            println!("{} {names}: took {} s", vm.kernel.name, started.elapsed().as_secs());
            done.push((vm, tally));
        }
        done
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // On the debug kernel a guest computes all the time.
    let is_debug = guests.iter().any(|vm| debug_kernel::is(&vm.kernel));
    let workers = if is_debug { processors.div_ceil(2) } else { processors * 2 };
    let results = std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for result in results {
        let Ok(done) = result else {
            count.failure("runner", &Error("it panicked".into()));
            continue;
        };
        for (vm, tally) in done {
            match tally {
                Ok(tally) => {
                    count.passed += tally.passed;
                    count.failed.extend(tally.failed);
                }
                Err(e) => count.failure(&vm.kernel.name, &e),
            }
        }
    }
}

/// What is said when a guest begins with `count` scenarios, of which the last has number `last` of `total`.
fn begins(kernel: &str, names: &str, last: usize, count: usize, total: usize, minutes: u64) -> String {
    let numbers = match count {
        1 => format!("scenario {last}"),
        _ => format!("scenarios {} to {last}", last + 1 - count),
    };
    let load = if names == "stress" { minutes } else { 0 };
    format!("{kernel} {names}: begins, {numbers} of {total} (usually {} to {} minutes)", 1 + load, 4 + load)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_said_how_many_scenarios_there_are() {
        let one = super::begins("6.12", "stress", 3, 1, 60, 30);
        assert_eq!(one, "6.12 stress: begins, scenario 3 of 60 (usually 31 to 34 minutes)");
        let four = super::begins("6.1", "a b c d", 8, 4, 60, 1);
        assert_eq!(four, "6.1 a b c d: begins, scenarios 5 to 8 of 60 (usually 1 to 4 minutes)");
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let text = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored\n";
        assert_eq!(super::cargo_results(text), (5, 1));
    }
}
