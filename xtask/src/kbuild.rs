//! What builds modules for a kernel: the compiler that it was built with, and the programs of its headers.

use std::path::{Path, PathBuf};

use crate::kconfig::Config;
use crate::sh::{cmd, Error, Result};
use crate::step::output;

/// Finds the compiler of a kernel: the program by which its configuration names it, or else gcc by its version.
pub fn compiler_of(
    config: &Config,
    find: &dyn Fn(&str) -> Option<PathBuf>,
    major: &dyn Fn(&Path) -> Option<u32>,
) -> Result<PathBuf> {
    let version: u32 = config.value("CONFIG_GCC_VERSION").and_then(|value| value.parse().ok()).unwrap_or(0);
    let wanted = version / 10_000;
    if wanted == 0 {
        return Err("the kernel was not built with gcc, and its modules cannot be either".into());
    }
    let text = config.value("CONFIG_CC_VERSION_TEXT").unwrap_or_default();
    let named = text.trim_matches('"').split_whitespace().next().unwrap_or("gcc");
    let suffixed = format!("gcc-{wanted}");
    let is_right =
        |path: &PathBuf| path.to_string_lossy().ends_with(&suffixed) || major(path) == Some(wanted);
    let found = [named, &suffixed, "gcc"].into_iter().filter_map(find).find(is_right);
    found.ok_or_else(|| format!("{suffixed}, the kernel's compiler, is missing: install {suffixed}").into())
}

/// The major version of a gcc.
pub fn major_version(program: &Path) -> Option<u32> {
    let said = output(&mut cmd(program, ["-dumpversion"])).ok()?.out;
    said.split('.').next()?.trim().parse().ok()
}

/// Programs of a kernel's headers that a build runs; some kernels have not all of them.
const PROGRAMS: [&str; 5] = [
    "scripts/basic/fixdep",
    "scripts/mod/modpost",
    "scripts/mod/modpost.real-lsb-64",
    "tools/objtool/objtool.real-x86",
    "tools/bpf/resolve_btfids/resolve_btfids",
];

/// Fails where the programs with which a kernel's headers build modules do not start: they are a release's own, and may want a newer
/// C library than this machine has.
pub fn programs_run(headers: &Path) -> Result<()> {
    for program in PROGRAMS.map(|program| headers.join(program)) {
        if !program.exists() && !program.ends_with(PROGRAMS[0]) {
            continue;
        }
        let done = cmd(&program, ["--help"]).output().map_err(|e| {
            Error(format!(
                "{} does not start ({e}): install the linux-kbuild package of these headers",
                program.display()
            ))
        })?;
        if let Some(lacks) = lacking(&String::from_utf8_lossy(&done.stderr)) {
            return Err(Error(format!(
                "{} wants {lacks}, which this machine lacks: build on the release of Debian that the kernel is from, \
                 in a tree made by debootstrap for instance",
                program.display()
            )));
        }
    }
    Ok(())
}

/// The version of the C library, or the library, for want of which the loader did not start a program.
fn lacking(said: &str) -> Option<&str> {
    let version = said.split_once(": version `").and_then(|(_, rest)| rest.split_once("' not found"));
    let library =
        said.split_once("error while loading shared libraries: ").and_then(|(_, rest)| rest.split_once(':'));
    version.or(library).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh::mkdir;

    #[test]
    fn a_compiler_is_found_by_the_kernels_configuration() {
        let config = |text: &str| Config::new(text.to_string());
        let debian = config(
            "CONFIG_GCC_VERSION=140200\nCONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian) 14.2.0\"\n",
        );
        let there = |programs: &'static [&'static str]| {
            move |program: &str| programs.iter().find(|known| **known == program).map(PathBuf::from)
        };
        let major = |_: &Path| Some(12);
        let found = |config: &Config, programs| {
            compiler_of(config, &there(programs), &major).map(|path| path.display().to_string())
        };
        assert_eq!(
            found(&debian, &["gcc", "gcc-14", "x86_64-linux-gnu-gcc-14"]).unwrap(),
            "x86_64-linux-gnu-gcc-14"
        );
        assert_eq!(found(&debian, &["gcc", "gcc-14"]).unwrap(), "gcc-14");
        assert!(found(&debian, &["gcc"]).unwrap_err().0.contains("install gcc-14"));
        let own =
            config("CONFIG_GCC_VERSION=120200\nCONFIG_CC_VERSION_TEXT=\"gcc (Debian 12.2.0-14) 12.2.0\"\n");
        assert_eq!(found(&own, &["gcc"]).unwrap(), "gcc");
        let newer =
            config("CONFIG_GCC_VERSION=130200\nCONFIG_CC_VERSION_TEXT=\"gcc (Debian 13.2.0-14) 13.2.0\"\n");
        assert!(found(&newer, &["gcc"]).is_err());
        let clang = config("CONFIG_GCC_VERSION=0\nCONFIG_CC_VERSION_TEXT=\"clang version 19\"\n");
        assert!(found(&clang, &["gcc", "clang"]).unwrap_err().0.contains("not built with gcc"));
    }

    #[test]
    fn programs_for_another_c_library_are_told_by_name() {
        let dir = std::env::temp_dir().join(format!("dm-remap-programs-{}", std::process::id()));
        let script = |name: &str, line: &str| {
            let program = dir.join(name);
            mkdir(program.parent().unwrap()).unwrap();
            std::fs::write(&program, format!("#!/bin/sh\n{line}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
            programs_run(&dir)
        };
        assert!(programs_run(&dir).unwrap_err().0.contains("install the linux-kbuild package"));
        assert!(script(PROGRAMS[0], "echo 'Usage: fixdep' >&2; exit 1").is_ok());
        let wants =
            "echo \"$0: /lib/libc.so.6: version \\`GLIBC_2.38' not found (required by $0)\" >&2; exit 1";
        let said = script(PROGRAMS[4], wants).unwrap_err().0;
        assert!(said.contains("resolve_btfids wants GLIBC_2.38, which"), "{said}");
        let library =
            "error while loading shared libraries: libelf.so.1: cannot open shared object file: No such file";
        assert_eq!(lacking(&format!("{}: {library}", PROGRAMS[1])), Some("libelf.so.1"));
        assert_eq!(lacking("Usage: fixdep <depfile> <target> <cmdline>"), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
