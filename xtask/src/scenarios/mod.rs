//! The scenarios in `tests/vm`: finding them, grouping them into boots, reading what they print.
//!
//! A scenario without a `# vm:` line shares its boot with some others. One with such a line gets a
//! guest of its own: `# vm: disk=64M disk=1G boots=2 memory=2048 cpus=1`; its disks are new and zeroed, keep
//! their content from boot to boot, and the script is given the number of the boot, from 1, as its argument.
//! `scsi=64M@2003+2` is a disk of 64 MiB on which reads and writes of 2 sectors, from 2003 on, fail; so are `nvme=` and
//! `virtio=`. What the first two say is that the medium is bad, the third has one error for everything.

use std::time::Duration;

mod guest;
mod reader;

use crate::debug_kernel;
use crate::paths;
use crate::sh::{mkdir, read, Context, Result};
use crate::vm::{Ended, Vm};
use guest::Own;
use reader::Reader;
pub use reader::Tally;

/// One script in `tests/vm`.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its file name without `.sh`.
    pub name: String,
    /// The guest of its own that it asks for.
    own: Option<Own>,
}

/// A scenario that takes longer hangs; to this come the minutes that a load is asked to last.
const SECONDS_PER_SCENARIO: u64 = 600;

/// Scenarios that share a boot: more would leave the last guest running alone, fewer would boot more often than they test.
const SCENARIOS_PER_BOOT: usize = 4;

/// All scenarios, by name.
pub fn all() -> Result<Vec<Scenario>> {
    let dir = paths::checkout().join("tests/vm");
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(&dir).context(|| format!("cannot list {}", dir.display()))? {
        let path = entry.context(|| "cannot list scenarios")?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "sh") && name != "lib" {
            scenarios.push(Scenario { own: guest::own(&read(&path)?, &name)?, name });
        }
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenarios)
}

/// What one guest runs, one scenario after another.
pub type Turn = Vec<Scenario>;

/// How many scenarios share a boot of this guest: what is found on the debug kernel must be one's own.
pub fn per_boot(vm: &Vm) -> usize {
    if debug_kernel::is(&vm.kernel) {
        1
    } else {
        SCENARIOS_PER_BOOT
    }
}

/// Divides scenarios into turns of at most `per_boot`; those with a guest of their own, which take longest, come first.
pub fn turns(scenarios: Vec<Scenario>, per_boot: usize) -> Vec<Turn> {
    let (alone, together): (Vec<_>, Vec<_>) =
        scenarios.into_iter().partition(|scenario| scenario.own.is_some());
    let mut turns: Vec<Turn> = alone.into_iter().map(|scenario| vec![scenario]).collect();
    turns.extend(together.chunks(per_boot).map(<[Scenario]>::to_vec));
    turns
}

/// Runs a turn in a guest like `vm`, those that are a load for so many minutes; prints one line for each test.
pub fn run(vm: &Vm, turn: &[Scenario], minutes: u64) -> Result<Tally> {
    let slower = if debug_kernel::is(&vm.kernel) { debug_kernel::SLOWER } else { 1 };
    let seconds = SECONDS_PER_SCENARIO * slower + 60 * minutes;
    let mut vm = vm.clone();
    vm.timeout = Some(Duration::from_secs(seconds * turn.len() as u64));
    let mut tally = Tally::default();
    match turn {
        [scenario @ Scenario { own: Some(own), .. }] => {
            run_alone(&mut vm, scenario, own, seconds, &mut tally)?;
        }
        _ => boot(&vm, &script(turn, None, seconds), &mut tally)?,
    }
    Ok(tally)
}

fn run_alone(vm: &mut Vm, scenario: &Scenario, own: &Own, seconds: u64, tally: &mut Tally) -> Result<()> {
    let dir = paths::build_dir()?.join("vm").join(format!(
        "disks-{}-{}-{}",
        vm.kernel.name,
        scenario.name,
        std::process::id()
    ));
    mkdir(&dir)?;
    own.equip(vm, &dir)?;
    for number in 1..=own.boots {
        boot(vm, &script(std::slice::from_ref(scenario), Some(number), seconds), tally)?;
    }
    std::fs::remove_dir_all(&dir).context(|| "cannot remove the scenario's disks")
}

/// What the guest's shell does in a boot.
fn script(scenarios: &[Scenario], boot: Option<u32>, seconds: u64) -> String {
    let number = boot.map(|number| number.to_string()).unwrap_or_default();
    let line = |Scenario { name, .. }: &Scenario| {
        format!("echo 'begin {name}'; timeout {seconds} sh tests/vm/{name}.sh {number}\n")
    };
    scenarios.iter().map(line).collect()
}

fn boot(vm: &Vm, script: &str, tally: &mut Tally) -> Result<()> {
    let mut reader = Reader::new(&vm.kernel.name, tally);
    let afterwards = if debug_kernel::is(&vm.kernel) { debug_kernel::AFTERWARDS } else { "" };
    let outcome = vm.run(&format!("{script}{afterwards}"), &mut |bytes| reader.feed(bytes))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_its_turn_once() {
        let scenario = |index: u32| {
            let vm_line = if index % 3 == 0 { "# vm: memory=512\n" } else { "" };
            Scenario { name: index.to_string(), own: guest::own(vm_line, "x").expect("parses") }
        };
        let turns = turns((0..14).map(scenario).collect(), 4);
        let names: Vec<String> = turns
            .iter()
            .map(|turn| turn.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(names, ["0", "3", "6", "9", "12", "1 2 4 5", "7 8 10 11", "13"]);
    }

    #[test]
    fn a_script_gives_the_number_of_the_boot() {
        let scenarios = ["crash", "fio"].map(|name| Scenario { name: name.into(), own: None });
        let one = "echo 'begin crash'; timeout 60 sh tests/vm/crash.sh 2\n";
        assert_eq!(script(&scenarios[..1], Some(2), 60), one);
        assert_eq!(script(&scenarios, None, 60).lines().count(), 2);
    }
}
