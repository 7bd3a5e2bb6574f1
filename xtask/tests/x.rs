//! `./x` gives help and refuses words before anything is built or installed; what it says is what the commands say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the checkout")
}

/// A directory with programs that leave a mark when they run: none of them may be needed.
fn traps(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("made");
    for program in ["cargo", "rustc", "apt-get", "apt-cache", "sudo"] {
        let path = dir.join(program);
        std::fs::write(&path, format!("#!/bin/sh\n: >'{}/ran'\n", dir.display())).expect("written");
        assert!(Command::new("chmod").arg("755").arg(&path).status().expect("runs").success());
    }
    dir
}

fn x(traps: &Path, words: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", traps.display());
    Command::new("sh")
        .arg(checkout().join("x"))
        .args(words)
        .env("PATH", path)
        .env("DM_REMAP_ONLY_CHECK", "y")
        .output()
        .expect("sh runs")
}

/// Runs `./x` from another directory, as a user of that number, with stand-ins for what has to be there; what it hands on to the developer commands.
fn handed_on(name: &str, user: u32, words: &[&str]) -> Output {
    let dir = traps(name);
    let target = dir.join("target/release");
    std::fs::create_dir_all(&target).expect("made");
    // The last is looked for as a file or a program, and not every machine has the package.
    for (path, lines) in [
        (dir.join("cargo"), "[ \"$1\" != --version ] || echo 'cargo 1.85.0 (x)'"),
        (target.join("xtask"), "printf '%s\\n' \"$@\""),
        (dir.join("id"), &format!("echo {user}")),
        (dir.join("ca-certificates.crt"), ""),
    ] {
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("written");
        assert!(Command::new("chmod").arg("755").arg(&path).status().expect("runs").success());
    }
    let headers = dir.join("from here/headers/include/config");
    std::fs::create_dir_all(&headers).expect("made");
    std::fs::write(headers.join("auto.conf"), "").expect("written");
    Command::new("sh")
        .arg(checkout().join("x"))
        .args(words)
        .current_dir(dir.join("from here"))
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display()))
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .output()
        .expect("sh runs")
}

fn xtask(words: &[&str]) -> String {
    let said = Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).output().expect("xtask runs");
    String::from_utf8(said.stdout).expect("text")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands, as `--help` lists them.
fn verbs() -> Vec<String> {
    let lines = xtask(&["--help"]);
    let names = lines.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.map(str::to_string).collect()
}

/// The options that a help text describes, each with whether it takes a value.
fn options(help: &str) -> Vec<(String, Option<String>)> {
    let lines = help.lines().filter(|line| line.starts_with("  -"));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let option = words.next()?.to_string();
            let value = words.next().filter(|word| word.chars().all(|c| c.is_ascii_uppercase()));
            Some((option, value.map(str::to_string)))
        })
        .collect()
}

#[test]
fn help_is_the_same_and_needs_nothing() {
    let traps = traps("help");
    assert_eq!(text(&x(&traps, &["--help"]).stdout), xtask(&["--help"]));
    assert_eq!(text(&x(&traps, &[]).stdout), xtask(&[]));
    assert_eq!(text(&x(&traps, &["help", "help"]).stdout), xtask(&["help", "--help"]));
    assert!(verbs().len() >= 9);
    for verb in verbs() {
        let said = x(&traps, &[&verb, "--help"]);
        assert_eq!(text(&said.stdout), xtask(&[&verb, "--help"]), "{verb}");
        assert!(said.status.success() && said.stdout.len() > 100, "{verb}");
        for help in ["help", "--help"] {
            assert_eq!(x(&traps, &[help, &verb]).stdout, said.stdout, "{help} {verb}");
            assert_eq!(xtask(&[help, &verb]), text(&said.stdout), "{help} {verb}");
        }
    }
    assert!(!traps.join("ran").exists(), "help ran something");
}

/// What a usage line offers and no line below describes would be refused.
#[test]
fn help_describes_what_its_usage_offers() {
    let mut seen = 0;
    for verb in verbs() {
        let help = xtask(&[&verb, "--help"]);
        let usage = help.split("\n\n").next().expect("there is some");
        let words = usage.split(|c: char| c.is_whitespace() || "[]|".contains(c));
        let described: Vec<String> = options(&help).into_iter().map(|(option, _)| option).collect();
        for word in words.filter(|word| word.len() > 2 && word.starts_with('-')) {
            assert!(described.iter().any(|option| option == word), "{verb} {word}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} options seen");
}

#[test]
fn what_help_describes_is_accepted() {
    let traps = traps("accepted");
    let headers = traps.join("headers");
    std::fs::create_dir_all(headers.join("include/config")).expect("made");
    std::fs::write(headers.join("include/config/auto.conf"), "").expect("written");
    let headers = headers.to_string_lossy();
    for verb in verbs() {
        for (option, value) in options(&xtask(&[&verb, "--help"])) {
            let mut words = vec![verb.as_str(), option.as_str()];
            words.extend(value.as_deref().map(|value| match value {
                "DIR" => headers.as_ref(),
                _ => "7",
            }));
            let said = x(&traps, &words);
            assert!(said.status.success(), "{words:?}: {}", text(&said.stderr));
            if value.is_some() {
                assert_eq!(x(&traps, &words[..2]).status.code(), Some(2), "{words:?} without its value");
            }
        }
    }
    for words in [&["test", "--fast"][..], &["test", "slots", "flush.sh"], &["vm", "--", "ls", "--colour"]] {
        assert!(x(&traps, words).status.success(), "{words:?}");
    }
    assert!(x(&traps, &["test", "--bare", "deb13"]).status.success());
}

#[test]
fn directories_are_meant_from_where_the_caller_stands() {
    let words = ["uninstall", "--headers", "headers", "--prefix", "/opt", "--destdir", "../a tree"];
    let said = handed_on("relative", 1000, &words);
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relative/from here");
    let here = here.display();
    let wanted =
        format!("uninstall\n--headers\n{here}/headers\n--prefix\n/opt\n--destdir\n{here}/../a tree\n");
    assert_eq!(text(&said.stdout), wanted, "{}", text(&said.stderr));
    let said = handed_on("absolute", 1000, &["uninstall", "--destdir", "/a tree"]);
    assert_eq!(text(&said.stdout), "uninstall\n--destdir\n/a tree\n", "{}", text(&said.stderr));
}

#[test]
fn installing_asks_for_root_before_it_builds() {
    for words in [&["install"][..], &["install", "--no-build"], &["uninstall", "--prefix", "/opt"]] {
        let said = handed_on("no_root", 1000, words);
        assert_eq!(said.status.code(), Some(1), "{words:?}");
        let err = text(&said.stderr);
        assert!(err.contains(&format!("sudo ./x {}", words[0])) && err.lines().count() == 1, "{err}");
        assert!(said.stdout.is_empty(), "{words:?} went on: {}", text(&said.stdout));
    }
    let said = handed_on("no_root", 1000, &["uninstall", "--destdir", "/a"]);
    assert_eq!(text(&said.stdout), "uninstall\n--destdir\n/a\n", "{}", text(&said.stderr));
}

#[test]
fn wrong_words_are_refused_at_once() {
    let traps = traps("refused");
    for words in [
        &["tset"][..],
        &["help", "tset"],
        &["help", "test", "slots"],
        &["test", "--fsat"],
        &["test", "no_such_scenario"],
        &["test", "--minutes", "x"],
        &["test", "--bare", "deb11"],
        &["build", "slots"],
        &["build", "--headers", "/nonexistent"],
        &["build", "--", "x"],
        &["install", "--prefix", "usr"],
        &["install", "--destdir", ""],
        &["lint", "--fast"],
        &["vm", "ls"],
        &["vm", "--memory", "much", "--", "ls"],
        &["sim", "--seed"],
    ] {
        let said = x(&traps, words);
        assert_eq!(said.status.code(), Some(2), "{words:?}");
        assert_eq!(text(&said.stderr).lines().count(), 1, "{words:?}");
        assert!(said.stdout.is_empty(), "{words:?}");
    }
    assert!(!traps.join("ran").exists(), "a refusal ran something");
}

/// Each option that a command's source compares a word with stands in that file's help, and the other way round.
#[test]
fn help_describes_what_the_sources_take() {
    let mut seen = 0;
    for entry in std::fs::read_dir(checkout().join("xtask/src/cmd")).expect("listed") {
        let path = entry.expect("listed").path();
        let source = std::fs::read_to_string(&path).expect("read");
        // `sim` hands its words on.
        if !source.contains("help: \"\\") || path.ends_with("sim.rs") {
            continue;
        }
        let arms = source.lines().filter(|line| line.contains(" => ")).map(str::trim_start);
        let taken: BTreeSet<String> = arms
            .filter_map(|line| line.strip_prefix("\"-")?.split_once('"'))
            .map(|(word, _)| format!("-{word}"))
            .collect();
        let taken: BTreeSet<String> = taken.into_iter().filter(|word| word != "--").collect();
        let described: BTreeSet<String> = options(&source).into_iter().map(|(option, _)| option).collect();
        assert_eq!(taken, described, "{}", path.display());
        seen += taken.len();
    }
    assert!(seen > 15, "{seen} options seen");
}
