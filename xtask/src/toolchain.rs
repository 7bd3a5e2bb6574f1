//! The parts that turn Rust into kernel objects: a compiler with the sources of its own `core`, and bindgen.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;
use crate::sh::{cmd, read, which, Context, Error, Result};
use crate::step::output;

/// A Rust compiler whose `core` can be built from source.
#[derive(Clone, Debug)]
pub struct Rustc {
    program: PathBuf,
    /// One word that names the compiler and its version, for cache names.
    pub id: String,
    /// Minor number and patch level: 85 and 1 for 1.85.1.
    pub release: (u32, u32),
    library: PathBuf,
    /// Where the compiler's own libraries are, if it is not installed.
    libraries: Option<PathBuf>,
}

/// Compilers older than this lack the code generation options that the kernel's mitigations need.
pub const MINOR_MIN: u32 = 85;

impl Rustc {
    /// The first compiler on this machine that has its sources installed.
    pub fn find() -> Result<Rustc> {
        let mut seen = Vec::new();
        for program in [PathBuf::from("/usr/bin/rustc"), which("rustc").unwrap_or_default()] {
            if !program.is_file() {
                continue;
            }
            match Rustc::probe(&program, None) {
                Ok(rustc) => return Ok(rustc),
                Err(e) => seen.push(e.0),
            }
        }
        seen.push("install rustc-web and rust-web-src (or rustc >= 1.85 with rust-src)".to_string());
        Err(Error(format!("no usable Rust compiler: {}", seen.join("; "))))
    }

    /// A compiler that was unpacked and not installed; its own libraries are in `libraries`.
    pub fn unpacked(program: &Path, libraries: &Path) -> Result<Rustc> {
        Rustc::probe(program, Some(libraries))
    }

    fn probe(program: &Path, libraries: Option<&Path>) -> Result<Rustc> {
        let mut rustc = Rustc {
            program: program.to_path_buf(),
            id: String::new(),
            release: (0, 0),
            library: PathBuf::new(),
            libraries: libraries.map(Path::to_path_buf),
        };
        let version = output(rustc.bare().arg("--version"))?.out;
        let number = version.split_whitespace().nth(1).unwrap_or_default();
        let mut parts = number.split(['.', '-']).skip(1).map(|part| part.parse().unwrap_or(0));
        rustc.release = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if rustc.release.0 < MINOR_MIN {
            return Err(Error(format!("{} is {number}, older than 1.{MINOR_MIN}", program.display())));
        }
        let sysroot = output(rustc.bare().args(["--print", "sysroot"]))?.out;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        if !library.join("core/src/lib.rs").is_file() {
            return Err(Error(format!("{} has no sources of core", program.display())));
        }
        rustc.id = version.trim().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        rustc.library = library;
        Ok(rustc)
    }

    fn bare(&self) -> Command {
        let mut command = cmd(&self.program, [""; 0]);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// A command that compiles for the kernel: unstable options are allowed, nothing is taken from outside.
    pub fn command(&self) -> Command {
        let mut command = self.bare();
        command.args(["--target", "x86_64-unknown-none"]);
        command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
        command
    }

    /// Whether the compiler knows an option. It reads all of them before it prints anything.
    pub fn knows(&self, option: &str) -> bool {
        output(self.command().args([option, "--print", "sysroot"])).is_ok()
    }

    /// The first of several options for the same thing that the compiler knows.
    pub fn first_known<'a>(&self, options: &[&'a str]) -> Result<&'a str> {
        let known = options.iter().find(|option| self.knows(option));
        known
            .copied()
            .ok_or_else(|| Error(format!("{} knows none of {}", self.program.display(), options.join(", "))))
    }

    /// The same for clippy, which must be of the compiler's own version.
    pub fn clippy_command(&self) -> Result<Command> {
        let driver = self.program.with_file_name("clippy-driver");
        if !driver.is_file() {
            return Err(Error(format!(
                "{} is missing: install rust-web-clippy or rust-clippy, of the compiler's version",
                driver.display()
            )));
        }
        let mut command = cmd(driver, ["--target", "x86_64-unknown-none"]);
        command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
        Ok(command)
    }

    /// Builds `core` with these code generation flags, once for each set of them; the directory it is in.
    pub fn core_for(&self, flags: &[String]) -> Result<PathBuf> {
        let name = format!("core-{}-{:016x}", self.id, fingerprint(flags));
        let dir = paths::cache_dir()?.join(&name);
        if dir.exists() {
            return Ok(dir);
        }
        eprintln!("building core for this kernel's flags (once; usually 20 s)");
        let staged = paths::staging(&name)?;
        let manifest = read(&self.library.join("core/Cargo.toml"))?;
        let edition = manifest
            .lines()
            .find_map(|line| line.strip_prefix("edition = "))
            .map_or("2021", |value| value.trim().trim_matches('"'));
        let mut core = self.command();
        core.args([
            "--crate-name",
            "core",
            "--crate-type",
            "rlib",
            "--edition",
            edition,
            "--cap-lints",
            "allow",
        ])
        .args(["--cfg", "no_fp_fmt_parse", "--out-dir"])
        .arg(&staged)
        .args(flags)
        .arg(self.library.join("core/src/lib.rs"));
        crate::step::Step::new("building core").usually("20 s").run(&mut core)?;
        // The real compiler_builtins are what the kernel provides itself: memcpy and its kin. Nothing else may be
        // needed; an unresolved symbol at link time says so.
        let stub = staged.join("compiler_builtins.rs");
        let text = "#![feature(compiler_builtins)]\n#![compiler_builtins]\n#![no_std]\n";
        std::fs::write(&stub, text).context(|| "cannot write the stub of compiler_builtins")?;
        let mut builtins = self.command();
        builtins
            .args(["--crate-name", "compiler_builtins", "--crate-type", "rlib", "--edition", "2021"])
            .args(["--cap-lints", "allow", "--sysroot", "/dev/null", "-L"])
            .arg(&staged)
            .arg("--out-dir")
            .arg(&staged)
            .args(flags)
            .arg(&stub);
        output(&mut builtins)?;
        paths::commit(&staged, &name)
    }
}

/// A hash that is the same on every run; it only names cache directories.
fn fingerprint(flags: &[String]) -> u64 {
    flags.iter().flat_map(|flag| flag.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// bindgen: the cache's, else that of PATH if it is recent enough, else built once into the cache.
pub fn bindgen() -> Result<PathBuf> {
    const VERSION: &str = "0.73.2";
    let name = format!("bindgen-{VERSION}");
    let dir = paths::cache_dir()?.join(&name);
    let program = dir.join("bin/bindgen");
    if program.is_file() {
        return Ok(program);
    }
    if let Some(found) = which("bindgen").filter(|found| is_recent_bindgen(found)) {
        return Ok(found);
    }
    eprintln!("building bindgen {VERSION} (once; usually two to five minutes)");
    let staged = paths::staging(&name)?;
    let mut install =
        cmd("cargo", ["install", "--quiet", "--locked", "--version", VERSION, "bindgen-cli", "--root"]);
    install.arg(&staged).env_remove("CARGO_TARGET_DIR");
    // It runs for a second; more optimization would take longer than it saves.
    install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "off");
    let remedy = "it comes from crates.io: look at the network, and run this again";
    crate::step::Step::new("building bindgen").usually("3 minutes").remedy(remedy).run(&mut install)?;
    paths::commit(&staged, &name)?;
    Ok(program)
}

/// The oldest libclang that reads the headers of every kernel.
const CLANG_MIN: u32 = 14;

/// The library that bindgen reads C with: the newest one of Debian's, by the directory that its version has.
pub fn libclang() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("LIBCLANG_PATH") {
        return Ok(chosen.into());
    }
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let major = name.to_str()?.strip_prefix("llvm-")?.parse().ok()?;
        (major >= CLANG_MIN).then_some(major)
    });
    newest_libclang(Path::new("/usr/lib"), versions.collect())
        .ok_or_else(|| Error(format!("libclang {CLANG_MIN} or newer is missing: install libclang1")))
}

fn newest_libclang(lib: &Path, mut majors: Vec<u32>) -> Option<PathBuf> {
    majors.sort_unstable();
    majors.into_iter().rev().find_map(|major| {
        let dir = lib.join(format!("llvm-{major}/lib"));
        ["libclang.so.1".to_string(), format!("libclang-{major}.so.1")]
            .iter()
            .map(|name| dir.join(name))
            .find(|path| path.is_file())
    })
}

/// The oldest bindgen whose bindings are known to be right.
const BINDGEN_MIN: (u32, u32, u32) = (0, 71, 1);

fn is_recent_bindgen(program: &Path) -> bool {
    output(&mut cmd(program, ["--version"])).is_ok_and(|said| version(&said.out) >= Some(BINDGEN_MIN))
}

/// The three numbers in a text such as `bindgen 0.71.1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split_whitespace().nth(1)?.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_libclang_that_is_there_is_taken() {
        let lib = std::env::temp_dir().join(format!("dm-remap-libclang-{}", std::process::id()));
        let wanted = lib.join("llvm-19/lib/libclang-19.so.1");
        for path in [&wanted, &lib.join("llvm-14/lib/libclang.so.1"), &lib.join("llvm-20/lib/libLLVM.so")] {
            std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        assert_eq!(newest_libclang(&lib, vec![19, 20, 14]), Some(wanted));
        assert_eq!(newest_libclang(&lib, vec![20]), None);
        std::fs::remove_dir_all(&lib).expect("removed");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("bindgen 0.71.1\n"), Some((0, 71, 1)));
        assert!(version("bindgen 0.100.0") >= Some(BINDGEN_MIN));
        assert!(version("bindgen 0.60.1") < Some(BINDGEN_MIN));
        assert!(version("bindgen") < Some(BINDGEN_MIN));
    }
}
