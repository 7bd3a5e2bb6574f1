//! `bench`: what the target costs, counted in guest instructions.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::args::Args;
use crate::command::Command;
use crate::kernel::Kernel;
use crate::kernels;
use crate::module;
use crate::paths;
use crate::sh::{cmd, Context, Error, Result};
use crate::step::output;
use crate::vm::{explain, quote, Vm};

pub const COMMAND: Command = Command {
    name: "bench",
    about: "count guest instructions per transfer",
    help: "\
usage: ./x bench [--kernel NAME]... [--groups N] [--write]

Counts the guest instructions of a direct 4 KiB read and write on null_blk, on
dm-linear and on remap, with nothing mapped and through mapped slots. QEMU
counts (-icount), so the numbers do not depend on how busy the machine is.

  --kernel NAME  such as 6.12; all that the package lists know unless told otherwise
  --groups N     groups to map for the runs through slots (default 4096)
  --write        put the table into docs/performance.md
",
    run,
};

/// Where the table stands in docs/performance.md, between these lines.
const MARKS: [&str; 2] = ["<!-- instructions: begin -->", "<!-- instructions: end -->"];

fn run(mut args: Args) -> Result<i32> {
    paths::fit_for_kbuild()?;
    let (mut series, mut groups, mut write) = (Vec::new(), "4096".to_string(), false);
    while let Some(word) = args.next() {
        match word.as_str() {
            "--kernel" => series.push(args.value(&word)?),
            "--groups" => groups = args.value(&word)?,
            "--write" => write = true,
            _ => return Err(Error(format!("unknown option {word}"))),
        }
    }
    if series.is_empty() {
        series = kernels::all_series()?;
    }
    let mut text = head(&groups)?;
    for name in &series {
        text.push_str(&one_kernel(name, &groups)?);
    }
    print!("{text}");
    if write {
        put_into_docs(&text)?;
    }
    Ok(0)
}

/// Date, machine and command: a number without them says little.
fn head(groups: &str) -> Result<String> {
    let date = output(&mut cmd("date", ["+%Y-%m-%d"]))?.out;
    let qemu = output(&mut cmd("qemu-system-x86_64", ["--version"]))?.out;
    let qemu = qemu.lines().next().unwrap_or_default().to_string();
    Ok(format!("{}, {qemu}, `./x bench --groups {groups}`.\n", date.trim()))
}

fn one_kernel(name: &str, groups: &str) -> Result<String> {
    let kernel = Kernel::fetch(name)?;
    let mut vm = Vm::new(kernel);
    vm.module = Some(module::build(&vm.kernel)?.ko);
    vm.cpus = 1;
    // The figures in docs/performance.md are those of this processor and clock.
    vm.cpu = "max".into();
    vm.append = String::new();
    vm.accel = "tcg,thread=single".into();
    vm.qemu_args = vec!["-icount".into(), "shift=0,sleep=off".into()];
    let transfer = transfer_program()?;
    let mut printed = Vec::new();
    let script = format!("sh tests/bench/instructions.sh {groups} {}", quote(&transfer.to_string_lossy()));
    eprintln!("counting on {} (usually some minutes)", vm.kernel.version);
    let outcome = vm.run(&script, &mut |bytes| printed.extend_from_slice(bytes))?;
    explain(&outcome)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if outcome.status() != 0 {
        return Err(Error(format!("the measurement failed:\n{printed}")));
    }
    table(&vm.kernel.version, &printed)
}

/// Builds the program that does the transfers.
fn transfer_program() -> Result<std::path::PathBuf> {
    let program = paths::build_dir()?.join("transfer");
    let source = paths::checkout().join("tests/bench/transfer.c");
    output(cmd("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}

/// A device in one state, and one operation: its samples.
type Samples = BTreeMap<(String, String, String), Vec<i64>>;

fn parse(printed: &str) -> (Vec<(String, String)>, Samples) {
    let (mut order, mut samples) = (Vec::new(), Samples::new());
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [device, operation, mapped, count] = words[..] else { continue };
        let Ok(count) = count.parse() else { continue };
        let row = (device.to_string(), mapped.to_string());
        if !order.contains(&row) {
            order.push(row);
        }
        samples.entry((device.into(), mapped.into(), operation.into())).or_default().push(count);
    }
    (order, samples)
}

/// Median, and how far the samples lie apart, in percent of it.
fn median(samples: &[i64]) -> (i64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let middle = sorted[sorted.len() / 2];
    let spread = (sorted[sorted.len() - 1] - sorted[0]) as f64;
    (middle, spread * 100.0 / middle.max(1) as f64)
}

fn table(version: &str, printed: &str) -> Result<String> {
    let (order, samples) = parse(printed);
    let get = |device: &str, mapped: &str, operation: &str| {
        samples.get(&(device.to_string(), mapped.to_string(), operation.to_string())).map(|s| median(s))
    };
    // A transfer through a slot ends on the spare, which has memory, so it is compared with dm-linear there.
    let linear = |device: &str, mapped: &str, operation: &str| {
        let on_memory = device.ends_with("+memory") || mapped != "0";
        let base = if on_memory { "dm-linear+memory" } else { "dm-linear" };
        let base = get(base, "0", operation).map(|(median, _)| median);
        base.ok_or_else(|| Error(format!("dm-linear was not measured:\n{printed}")))
    };
    let mut text = format!(
        "\nKernel {version}, instructions for one direct 4 KiB transfer (spread of five runs):\n\n\
         | device | groups mapped | read | over dm-linear | write | over dm-linear |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for (device, mapped) in order {
        let (read, write) = (get(&device, &mapped, "read"), get(&device, &mapped, "write"));
        if let (Some((read, read_spread)), Some((write, write_spread))) = (read, write) {
            let (over_read, over_write) =
                (read - linear(&device, &mapped, "read")?, write - linear(&device, &mapped, "write")?);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {device} | {mapped} | {read} ({read_spread:.2} %) | {over_read:+} | {write} ({write_spread:.2} %) | {over_write:+} |",
            );
        }
    }
    Ok(text)
}

fn put_into_docs(text: &str) -> Result<()> {
    let path = paths::checkout().join("docs/performance.md");
    let old = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
    let (Some(begin), Some(end)) = (old.find(MARKS[0]), old.find(MARKS[1])) else {
        return Err(Error(format!("{} has no place for the table", path.display())));
    };
    let new = format!("{}{}\n{text}{}", &old[..begin], MARKS[0], &old[end..]);
    std::fs::write(&path, new).context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_remap_costs_over_dm_linear() {
        let printed =
            "dm-linear read 0 100\ndm-linear write 0 200\nremap read 0 110\nremap write 0 250\nnoise\n";
        let text = table("6", printed).unwrap();
        assert!(text.contains("| remap | 0 | 110 (0.00 %) | +10 | 250 (0.00 %) | +50 |"), "{text}");
        assert!(table("6", "remap read 0 1\nremap write 0 1").is_err());
    }

    #[test]
    fn the_median_is_of_the_sorted_samples() {
        assert_eq!(median(&[30, 10, 20]), (20, 100.0));
    }
}
