//! Which packages `./x` asks for, by what a machine's lists have.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs lines of shell after reading xtask/packages.sh; what they printed.
fn sh(lines: &str) -> String {
    let text = format!(
        "set -eu\nsay() {{ echo \"./x: $*\" >&2; }}\nstop() {{ say \"$*\"; exit 1; }}\nas_owner() {{ \"$@\"; }}\n\
         has() {{ w=$1; shift; for a; do [ \"$a\" != \"$w\" ] || return 0; done; return 1; }}\n\
         home=\n. ./packages.sh\nDOC=/nonexistent\n{lines}\n"
    );
    let said = Command::new("sh").arg("-c").arg(text).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let said = said.expect("sh runs");
    String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
}

/// A directory with programs in place of a machine's own, each a name and the lines of its script.
fn programs(name: &str, scripts: &[(&str, &str)]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("made");
    for (program, lines) in scripts {
        let path = dir.join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("written");
        assert!(Command::new("chmod").arg("755").arg(&path).status().expect("runs").success());
    }
    dir
}

/// The lists of a suite, as `candidate` is told of them.
fn lists(versions: &str) -> String {
    let cases: String = versions
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, version)| format!("{name}) echo '{version}' ;; "))
        .collect();
    format!("candidate() {{ case $1 in {cases} esac; }}\n")
}

const DEB12_NOSEC: &str = "rustc=1.63.0+dfsg1-2 rustc-web=1.85.0+dfsg3-1~deb12u3 bindgen=0.60.1-2+b2";
const DEB13: &str =
    "rustc=1.85.1+dfsg1-1+deb13u1 rustc-web=1.96.0+dfsg1-1~deb13u1 bindgen=0.71.1-6 gcc-12=12.4.0-5";

const RESOLVE: &str = "resolve; echo \"$packages\"";

#[test]
fn rust_is_the_suites_own_if_it_is_new_enough() {
    let missing = "missing=' <cargo> <rust> <bindgen> libclang1 <rustfmt> <clippy>'\n";
    assert_eq!(
        sh(&(lists(DEB12_NOSEC) + missing + RESOLVE)),
        "cargo-web libclang1 rust-web-clippy rust-web-src rustc-web rustfmt-web\n"
    );
    assert_eq!(
        sh(&(lists(DEB13) + missing + RESOLVE)),
        "bindgen cargo libclang1 rust-clippy rust-src rustc rustfmt\n"
    );
}

#[test]
fn a_family_that_is_installed_is_kept() {
    let doc = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doc");
    std::fs::create_dir_all(doc.join("rustc-web")).expect("made");
    let lines = format!("DOC='{}'\nmissing=' <rust>'\n{RESOLVE}", doc.display());
    assert_eq!(sh(&(lists(DEB13) + &lines)), "rust-web-src rustc-web\n");
}

#[test]
fn lists_without_a_usable_rust_are_told() {
    let said = sh(&(lists("rustc=1.48.0+dfsg1-2") + "missing=' <rust>'\n" + RESOLVE));
    assert!(said.contains("no Rust 1.85") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_kernels_compiler_is_asked_for_where_the_lists_have_it() {
    let missing = "missing=' make <gcc-12> <gcc-9>'\n";
    assert_eq!(sh(&(lists(DEB13) + missing + RESOLVE)), "gcc-12 make\n");
}

/// apt translates what it says. The locale C turns LANGUAGE off as well.
#[test]
fn apt_is_asked_in_english() {
    let policy = "case ${LC_ALL-} in C) label=Candidate ;; *) label=Installationskandidat ;; esac\n\
                  echo \"  $label: 1.85.1\"";
    let dir = programs("translated", &[("apt-cache", policy)]);
    let lines = format!(
        "PATH='{}':$PATH\nexport LC_ALL=de_DE.UTF-8 LANGUAGE=de\ncandidate rustc\nmissing=' <rust>'\n{RESOLVE}",
        dir.display()
    );
    assert_eq!(sh(&lines), "1.85.1\nrust-src rustc\n");
}

/// Has install_packages ask for two packages, with an apt-get that says `plan` first; what was said, and whether it installed.
fn installed(name: &str, plan: &str) -> (String, bool) {
    let apt = format!(
        "case \"$*\" in *--assume-no*) cat <<'END'\n{plan}\nEND\nexit 1 ;; esac\n: >\"${{0%/*}}/ran\""
    );
    let dir = programs(name, &[("apt-get", &apt)]);
    let said = sh(&format!(
        "PATH='{}':$PATH\nsudo= log=/dev/null packages='cargo rustc'\ninstall_packages",
        dir.display()
    ));
    (said, dir.join("ran").exists())
}

#[test]
fn nothing_is_removed_unasked() {
    let plan = "The following NEW packages will be installed:\n  cargo rustc\nNeed to get 12 MB of archives.";
    let (said, ran) =
        installed("adds", &format!("{plan}\n0 upgraded, 2 newly installed, 0 to remove and 7 not upgraded."));
    assert!(ran && said.contains("installing 2 Debian packages: 12 MB"), "{said}");
    let removal = "The following packages will be REMOVED:\n  cargo-web rustc-web\n  rust-web-src";
    let (said, ran) = installed(
        "removes",
        &format!("{removal}\n{plan}\n0 upgraded, 2 newly installed, 3 to remove and 7 not upgraded."),
    );
    assert!(ran && said.contains("apt removes cargo-web rustc-web rust-web-src, which"), "{said}");
    for (answer, goes_on) in [("y", true), ("n", false), ("", false)] {
        let asked = format!(
            "has_terminal() {{ :; }}\nremoved='a b' packages='c'\necho {answer} | {{ may_remove; echo on; }}"
        );
        let said = sh(&asked);
        assert!(said.contains("to install c, apt removes a b. Go on? [y/N]"), "{said}");
        assert_eq!(said.lines().any(|line| line == "on"), goes_on, "{answer}: {said}");
    }
}

/// What commands lack on a machine that has nothing.
fn needs(command: &str) -> String {
    let nothing = "cargo_is_there() { false; }; rust_is_there() { false; }; libclang_is_there() { false; }\n\
                   bindgen_is_there() { false; }; compiler_of() { :; }\n\
                   files() { for item in $1; do missing=\"$missing ${item%%=*}\"; done; }\n";
    sh(&format!("{nothing}needs {command}; echo \"$missing \""))
}

#[test]
fn what_needs_no_guest_and_no_module_asks_for_neither() {
    for command in
        ["test --fast", "sim", "build --probe", "install --no-build", "uninstall", "test --bare deb13"]
    {
        let wanted = needs(command);
        assert!(wanted.contains(" <cargo> "), "{command}: {wanted}");
        for package in ["qemu-system-x86", "libclang1", "<rust>", "<bindgen>", "pahole", "make"] {
            assert!(!wanted.contains(&format!(" {package} ")), "{command}: {wanted}");
        }
    }
    let build = needs("build");
    assert!(
        build.contains(" libclang1 ") && build.contains(" <rust> ") && !build.contains("qemu"),
        "{build}"
    );
    let demo = needs("demo");
    assert!(demo.contains(" qemu-system-x86 ") && !demo.contains(" stress-ng "), "{demo}");
    assert!(needs("test").contains(" stress-ng "));
}

/// Sets when a file was changed.
fn touch(path: &Path, when: &str) {
    assert!(Command::new("touch").args(["-d", when]).arg(path).status().expect("runs").success());
}

#[test]
fn lists_are_old_a_day_after_an_update_that_worked() {
    let dir: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apt/lists");
    let home = dir.with_file_name("home");
    let apt =
        programs("update", &[("apt-get", "[ ! -e \"${0%/*}/fail\" ] || { echo W: no network; exit 100; }")]);
    let _ = std::fs::remove_dir_all(dir.parent().expect("is in apt"));
    std::fs::create_dir_all(dir.join("partial")).expect("made");
    let given =
        format!("PATH='{}':$PATH LISTS='{}' home='{}'\n", apt.display(), dir.display(), home.display());
    let state = || sh(&(given.clone() + "if lists_are_old; then echo old; else echo new; fi"));
    let update = || sh(&(given.clone() + "sudo= log=\"$home.log\"\nupdate_lists"));
    assert_eq!(state(), "old\n", "there are none");
    std::fs::write(dir.join("x_dists_y_main_binary-amd64_Packages.lz4"), "").expect("written");
    assert_eq!(
        state(),
        "old\n",
        "partial is new, by an update that failed or by the making of the directory"
    );

    std::fs::write(apt.join("fail"), "").expect("written");
    let said = update();
    assert!(said.contains("not all of that worked") && said.contains("W: no network"), "{said}");
    assert_eq!(state(), "old\n", "an update failed");
    std::fs::remove_file(apt.join("fail")).expect("removed");
    assert_eq!(update().lines().count(), 1);
    assert_eq!(state(), "new\n", "an update worked");
    touch(&home.join(".cache/dm-remap/lists-updated"), "25 hours ago");
    assert_eq!(state(), "old\n");

    let stamp = dir.with_file_name("periodic").join("update-success-stamp");
    std::fs::create_dir_all(stamp.parent().expect("is in periodic")).expect("made");
    std::fs::write(&stamp, "").expect("written");
    assert_eq!(state(), "new\n", "apt's timer did it");
    touch(&stamp, "25 hours ago");
    assert_eq!(state(), "old\n");
    // What apt renewed was changed now, by whatever time the archive gave it.
    let release = dir.join("x_dists_y_InRelease");
    std::fs::write(&release, "").expect("written");
    touch(&release, "30 days ago");
    assert_eq!(state(), "new\n", "an update by hand");
}

/// Has install_packages ask for two packages whose files the lists name wrongly, until an update if that is of use.
fn installed_from_stale_lists(name: &str, update_helps: bool) -> String {
    let plan = "0 upgraded, 2 newly installed, 0 to remove and 7 not upgraded.";
    let updated = if update_helps { ": >\"$CACHE/updated\"" } else { ":" };
    let apt = format!(
        "case \"$*\" in *--assume-no*) echo '{plan}' ;; update*) {updated} ;; \
         *--no-remove*) [ -e \"$CACHE/updated\" ] || exit 100 ;; *) exit 9 ;; esac"
    );
    let dir = programs(name, &[("apt-get", &apt)]);
    let lines =
        "sudo= log=/dev/null packages='cargo rustc'\nresolve() { :; }\ncache_place() { echo \"$CACHE\"; }\n\
                 install_packages\necho installed";
    sh(&format!("export CACHE='{0}'\nPATH='{0}':$PATH\n{lines}", dir.display()))
}

#[test]
fn what_fails_is_tried_again_with_new_lists() {
    let said = installed_from_stale_lists("stale", true);
    assert!(said.contains("not all packages could be had") && said.starts_with("installed\n"), "{said}");
}

#[test]
fn what_fails_names_the_whole_remedy() {
    let said = installed_from_stale_lists("fails", false);
    let remedy = "'apt-get update && apt-get install --no-install-recommends cargo rustc' as root";
    assert!(said.contains(remedy) && !said.contains("installed\n"), "{said}");
}
