//! Commands in messages: each names a verb and options that exist, and can be pasted.

use crate::args::Cli;
use clap::error::ErrorKind;
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};

/// Sources with messages of the tool or of the module. Help is in `args`, and names its arguments in capitals.
fn sources() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![here.join("src"), here.join("../core/src"), here.join("../../kernel/rust")];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if path.ends_with("src/args") => {}
                true => dirs.push(path),
                false if path.extension().is_some_and(|e| e == "rs") && !is_test(&path) => files.push(path),
                false => {}
            }
        }
    }
    files
}

fn is_test(path: &Path) -> bool {
    ["advice.rs", "messages.rs", "tests.rs", "status/table.rs"].iter().any(|test| path.ends_with(test))
}

/// What stands between backquotes and begins with our name, comments and tests aside, each with `x` in place of what is put in.
fn commands(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let joined = code.join("\n").split("\\\n").map(str::trim_start).collect::<String>();
    let quoted = joined.split('`').filter(|part| part.starts_with("dmremap "));
    let filled = |part: &str| {
        let mut parts = part.split('{');
        let mut out = parts.next().unwrap_or_default().to_string();
        parts.for_each(|part| out += &format!("x{}", part.split_once('}').map_or("", |(_, rest)| rest)));
        out
    };
    quoted.map(filled).collect()
}

#[test]
fn every_command_that_advice_names_exists_and_can_be_pasted() {
    let mut found = 0;
    for path in sources() {
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            found += 1;
            let words: Vec<&str> = command.split_whitespace().collect();
            if words == ["dmremap", "help", "x"] {
                continue;
            }
            let wrong = Cli::try_parse_from(&words).err().filter(|e| e.kind() != ErrorKind::DisplayHelp);
            assert!(wrong.is_none(), "{}: `{command}`: {wrong:?}", path.display());
            let capital = words.iter().find(|word| word.chars().all(|c| c.is_ascii_uppercase()));
            assert_eq!(capital, None, "{}: `{command}`", path.display());
        }
    }
    assert!(found > 15, "{found}");
    let parts = commands("x `dmremap close {name}` and\n  \"a \\\n   `dmremap check`\"\n // `dmremap no`");
    assert_eq!(parts, ["dmremap close x", "dmremap check"]);
}
