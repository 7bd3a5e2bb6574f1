//! `lint`: what can be said about the sources without running them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::args::Args;
use crate::command::Command;
use crate::compilers::oldest_and_newest;
use crate::imports;
use crate::kernel::Kernel;
use crate::module;
use crate::paths;
use crate::sh::{cmd, read, which, Context, Error, Result};
use crate::step::findings;

pub const COMMAND: Command = Command {
    name: "lint",
    about: "check formatting, warnings and the rules of the sources",
    help: "\
usage: ./x lint [--compilers] [--imports]

Formatting and clippy for all crates and the module, shellcheck for scripts, and
the project's own rules: no long file, nothing that can panic in code that runs
in the kernel, no test named in a document that is not there, and no modules that
import one another in a circle.

  --compilers  also build the module with the oldest Rust that is supported and
               with the newest that the package lists know, for every kernel;
               a warning is an error (each is downloaded once, some 150 MB)
  --imports    check nothing, but print which modules import which, for each
               crate, with the circles
",
    run,
};

/// No file is longer, in lines.
const LINES_MAX: usize = 600;

/// Words that may not occur in code that runs in the kernel, tests aside.
const PANICS: [&str; 7] =
    [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!(", ".unwrap_err()"];

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 9] = [
    ("formatting", formatting),
    ("formatting of the module", kernel_formatting),
    ("clippy", clippy),
    ("clippy of the module", kernel_clippy),
    ("scripts", scripts),
    ("length of files", length),
    ("no panics in kernel code", no_panics),
    ("tests named in documents", named_tests),
    ("circles of imports", imports::check),
];

fn run(mut args: Args) -> Result<i32> {
    let mut checks = CHECKS.to_vec();
    while let Some(word) = args.next() {
        match word.as_str() {
            "--imports" => return imports::print(),
            "--compilers" => checks.push(("module with the oldest and the newest Rust", compilers)),
            _ => return Err(Args::unknown(&word)),
        }
    }
    let mut failed = 0;
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("ok {name}"),
            Err(e) => {
                println!("FAIL {name}\n{e}");
                failed += 1;
            }
        }
    }
    Ok(i32::from(failed > 0))
}

fn in_checkout(program: &str, args: &[&str]) -> Process {
    let mut process = cmd(program, args);
    process.current_dir(paths::checkout());
    process
}

fn formatting() -> Result<()> {
    findings("cargo fmt", "1 s", &mut in_checkout("cargo", &["fmt", "--all", "--check"]))
}

fn kernel_formatting() -> Result<()> {
    let mut rustfmt =
        in_checkout("rustfmt", &["--check", "--edition", "2021", "--config-path", "rustfmt.toml"]);
    findings("rustfmt", "1 s", rustfmt.arg("kernel/rust/lib.rs"))
}

fn clippy() -> Result<()> {
    let args = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    findings("cargo clippy", "1 minute the first time", &mut in_checkout("cargo", &args))
}

fn kernel_clippy() -> Result<()> {
    module::clippy(&Kernel::fetch(&crate::kernels::newest_series()?)?)
}

fn compilers() -> Result<()> {
    for rustc in oldest_and_newest()? {
        for series in crate::kernels::all_series()? {
            let kernel = Kernel::fetch(&series)?;
            let built = module::build_with(&kernel, rustc.clone(), module::Warnings::Deny);
            built.context(|| format!("{}, for {}", rustc.id, kernel.version))?;
            println!("   {}, for {}", rustc.id, kernel.version);
        }
    }
    Ok(())
}

fn scripts() -> Result<()> {
    if which("shellcheck").is_none() {
        return Err("shellcheck is missing".into());
    }
    let mut shellcheck = in_checkout("shellcheck", &["-x", "x", ".ci/run", "xtask/src/guest-init.sh"]);
    shellcheck.arg("xtask/packages.sh").args(files(&["tests"], &["sh"])?);
    findings("shellcheck", "5 s", shellcheck.args(["--severity", "warning"]))
}

fn length() -> Result<()> {
    let mut long = Vec::new();
    for path in files(&["crates", "kernel", "xtask", "tests", "packaging"], &["rs", "c", "h", "sh"])? {
        let lines = read(&path)?.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines, more than {LINES_MAX}", path.display()));
        }
    }
    none(long)
}

fn no_panics() -> Result<()> {
    let mut found = Vec::new();
    for path in files(&["kernel", "crates/core/src"], &["rs"])? {
        if path.file_name().is_some_and(|name| name == "tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        for (number, line) in read(&path)?.lines().enumerate() {
            // Tests are at the end of a file.
            if line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            if PANICS.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    none(found)
}

/// The documents name tests by semantic, as in `s07_a_write_that_fails`; each must be there, and the table of semantics in
/// docs/testing.md has no empty cell.
fn named_tests() -> Result<()> {
    let mut sources = String::new();
    for path in files(&["crates", "kernel", "tests"], &["rs", "sh"])? {
        sources.push_str(&read(&path)?);
    }
    let known: HashSet<&str> = sources.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut wrong = Vec::new();
    for path in files(&["docs"], &["md"])? {
        let text = read(&path)?;
        for (number, line) in text.lines().enumerate() {
            let names = line.split('`').skip(1).step_by(2).filter(|name| is_test_name(name));
            let missing = names.filter(|name| !known.contains(name)).map(|name| format!("no test {name}"));
            let row = line.starts_with("| S").then(|| line.trim_end_matches('|').split('|').skip(1));
            let empty = row.is_some_and(|mut cells| cells.any(|cell| cell.trim().is_empty()));
            let elsewhere = scenarios_of(line).into_iter().filter(|(file, test)| {
                let text = read(&paths::checkout().join(format!("tests/vm/{file}.sh"))).unwrap_or_default();
                !text.lines().any(|line| line.starts_with(&format!("t {test} ")))
            });
            let elsewhere = elsewhere.map(|(file, test)| format!("no test {test} in tests/vm/{file}.sh"));
            let all = missing.chain(empty.then(|| "an empty cell".to_string())).chain(elsewhere);
            wrong.extend(all.map(|what| format!("{}:{}: {what}", path.display(), number + 1)));
        }
    }
    none(wrong)
}

/// The scenarios, each with the test in it, that the last cell of a row about a semantic names.
fn scenarios_of(line: &str) -> Vec<(&str, &str)> {
    let row = line.strip_prefix("| S").and_then(|row| row.trim_end().strip_suffix(" |"));
    let cell = row.and_then(|row| row.rsplit_once("| ")).map_or("", |(_, cell)| cell);
    cell.split("; ").filter_map(|one| one.strip_suffix('`')?.split_once(": `")).collect()
}

/// Whether a word is `s`, two digits, and more behind an underscore.
fn is_test_name(word: &str) -> bool {
    let bytes = word.as_bytes();
    matches!(bytes, [b's', a, b, b'_', _, ..] if a.is_ascii_digit() && b.is_ascii_digit())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_')
}

fn none(found: Vec<String>) -> Result<()> {
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error(found.join("\n"))),
    }
}

/// The files below some directories of the checkout with one of these extensions, in order.
fn files(dirs: &[&str], extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for dir in dirs {
        let dir = paths::checkout().join(dir);
        if dir.is_dir() {
            collect(&dir, extensions, &mut found)?;
        }
    }
    found.sort();
    Ok(found)
}

fn collect(dir: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).context(|| format!("cannot list {}", dir.display()))? {
        let path = entry.context(|| "cannot list files")?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, extensions, found)?;
            }
        } else if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
            found.push(path);
        }
    }
    Ok(())
}
