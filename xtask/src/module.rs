//! Builds `dm_remap.ko` for one kernel: the kernel's own flags, bindings from its own headers,
//! Rust compiled with its own mitigations, and Kbuild to link it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::checks;
use crate::features;
use crate::finding::Finding;
use crate::kernel::Kernel;
use crate::paths;
use crate::probe;
use crate::rustflags;
use crate::sh::{cmd, mkdir, read, write_if_changed, Context, Error, Result};
use crate::step::{findings, output, Step};
use crate::toolchain::{self, Rustc};

/// A module that was built and has passed every check.
pub struct Built {
    /// The `.ko` file.
    pub ko: PathBuf,
    /// What each check found, in the order they ran.
    pub checks: Vec<Finding>,
}

/// C sources that Kbuild compiles, and its own file.
const KBUILD_SOURCES: [&str; 5] = ["Kbuild", "module.c", "helpers.c", "helpers.h", "bindings.h"];

/// What becomes of a warning of the Rust compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warnings {
    /// It is printed: a compiler of tomorrow warns of what none does today.
    Print,
    /// It is an error.
    Deny,
}

/// Builds the module for a kernel with the compiler that is installed.
pub fn build(kernel: &Kernel) -> Result<Built> {
    build_with(kernel, Rustc::find()?, Warnings::Print)
}

/// Builds the module for a kernel.
pub fn build_with(kernel: &Kernel, rustc: Rustc, warnings: Warnings) -> Result<Built> {
    paths::fit_for_kbuild()?;
    let _held = paths::build_lock()?;
    if let Some(refusal) = probe::refused(&kernel.config()?) {
        return Err(Error(format!("no module for {}: {refusal}", kernel.version)));
    }
    let source = paths::checkout().join("kernel");
    let dir = paths::build_dir()?.join(&kernel.version);
    mkdir(&dir)?;
    for name in KBUILD_SOURCES {
        let content = std::fs::read(source.join(name)).context(|| format!("cannot read kernel/{name}"))?;
        write_if_changed(&dir.join(name), &content)?;
    }
    let job = Job { kernel, source, dir, rustc, warnings };
    let probed = features::probe_all(kernel, &job.source.join("probes"), &job.dir)?;
    // Not helpers.o: a target that begins with "help" is taken by the kernel's Makefile as a wish for help.
    job.kbuild(&probed, "module.o")?;
    job.bindings()?;
    let layout = crate::layout::assertions(&read(&job.dir.join("bindings.rs"))?);
    write_if_changed(&job.dir.join("layout.h"), layout.as_bytes())?;
    job.rust_object()?;
    let printed = job.kbuild(&probed, "modules")?;
    let ko = job.dir.join("dm_remap.ko");
    let findings = checks::module(&job.dir, kernel, &printed)?;
    Ok(Built { ko, checks: findings })
}

/// Runs clippy over the module's sources, after a build for that kernel has made what they need.
pub fn clippy(kernel: &Kernel) -> Result<()> {
    build(kernel)?;
    let source = paths::checkout().join("kernel");
    let dir = paths::build_dir()?.join(&kernel.version);
    let job = Job { kernel, source, dir, rustc: Rustc::find()?, warnings: Warnings::Deny };
    let flags = rustflags::for_kernel(&kernel.config()?, &job.rustc)?;
    let core = job.rustc.core_for(&flags)?;
    let out = job.dir.join("clippy");
    mkdir(&out)?;
    let mut clippy = job.rustc.clippy_command()?;
    // For clippy.toml, which has the oldest compiler that the module builds with.
    clippy.env("CLIPPY_CONF_DIR", paths::checkout());
    clippy.args(["-Wclippy::all", "-Wclippy::undocumented_unsafe_blocks", "--emit=metadata"]);
    clippy.args([
        "-Aclippy::too_many_arguments",
        "-Aclippy::len_without_is_empty",
        "-Aclippy::new_without_default",
        "-Aclippy::large_enum_variant",
    ]);
    job.arguments(&mut clippy, "dm_remap", &job.source.join("rust/lib.rs"), &flags, &core);
    findings("clippy of the module", "20 s", clippy.arg("--out-dir").arg(&out))
}

/// Removes what Kbuild writes about a file so that a prebuilt object is taken as it is.
fn declare_prebuilt(dir: &Path) -> Result<()> {
    write_if_changed(&dir.join(".rust_core.o.cmd"), b"").map(|_| ())
}

struct Job<'a> {
    kernel: &'a Kernel,
    source: PathBuf,
    dir: PathBuf,
    rustc: Rustc,
    warnings: Warnings,
}

impl Job<'_> {
    /// Runs Kbuild; what it printed.
    fn kbuild(&self, probed: &[String], target: &str) -> Result<String> {
        let mut make = self.kernel.kbuild(&self.dir)?;
        make.arg(format!("DM_REMAP_PROBED={}", probed.join(" "))).arg(target);
        let what = format!("building {target} for {}", self.kernel.version);
        let printed = Step::new(&what).usually("10 s").shown().run(&mut make)?;
        Ok(printed.out + &printed.err)
    }

    /// The preprocessor's part of the command line with which Kbuild compiled `module.c`.
    fn preprocessor_flags(&self) -> Result<Vec<String>> {
        let record = self.dir.join(".module.o.cmd");
        let text = read(&record)?;
        let line = text.lines().next().unwrap_or_default().split(" := ").nth(1).unwrap_or_default();
        let mut flags = Vec::new();
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "-include" | "-isystem" => {
                    flags.push(word.to_string());
                    flags.extend(words.next().map(str::to_string));
                }
                _ if ["-I", "-D", "-U", "-nostdinc", "-std="].iter().any(|start| word.starts_with(start)) => {
                    flags.push(unquote(word));
                }
                _ => {}
            }
        }
        if flags.is_empty() {
            return Err(Error(format!("no compiler flags found in {}", record.display())));
        }
        Ok(flags)
    }

    /// Runs bindgen over the kernel's headers into `bindings.rs`.
    fn bindings(&self) -> Result<()> {
        let out = self.dir.join("bindings.rs");
        let stamp = self.dir.join("bindings.stamp");
        let allow = read(&self.source.join("bindgen.allow"))?;
        let flags = self.preprocessor_flags()?;
        let program = toolchain::bindgen()?;
        let mut key = format!("{}\n{allow}\n{flags:?}\n", program.display());
        for name in ["bindings.h", "helpers.h"] {
            key.push_str(&read(&self.source.join(name))?);
        }
        if out.exists() && std::fs::read_to_string(&stamp).is_ok_and(|old| old == key) {
            return Ok(());
        }
        let mut bindgen = cmd(program, ["--use-core", "--no-doc-comments", "--no-prepend-enum-name"]);
        bindgen.args(["--ctypes-prefix", "core::ffi", "--rust-edition", "2021", "--rust-target", "1.85"]);
        for line in allow.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (option, value) =
                line.split_once(' ').ok_or_else(|| format!("bindgen.allow: bad line: {line}"))?;
            bindgen.arg(format!("--{option}")).arg(value);
        }
        bindgen.arg("--output").arg(&out).arg(self.dir.join("bindings.h")).arg("--");
        bindgen.args(&flags).args(["-fms-extensions", "-fshort-wchar", "-fno-builtin", "-w"]);
        bindgen.args(["--target=x86_64-linux-gnu", "-mno-sse", "-fno-strict-aliasing"]);
        bindgen.current_dir(&self.kernel.headers).env("LIBCLANG_PATH", toolchain::libclang()?);
        let step = Step::new("reading the kernel's headers with bindgen").usually("2 s").shown();
        step.run(&mut bindgen)?;
        std::fs::write(&stamp, key).context(|| format!("cannot write {}", stamp.display()))
    }

    /// Compiles core's host and everything it stands on into one relocatable object.
    fn rust_object(&self) -> Result<()> {
        let config = self.kernel.config()?;
        let flags = rustflags::for_kernel(&config, &self.rustc)?;
        let core = self.rustc.core_for(&flags)?;
        let libs = self.dir.join("rlib");
        mkdir(&libs)?;
        let engine = paths::checkout().join("crates/core/src/lib.rs");
        self.compile("remap_core", &engine, &flags, &core, &libs)?;
        self.compile("dm_remap", &self.source.join("rust/lib.rs"), &flags, &core, &libs)?;
        let object = self.dir.join("rust_core.o");
        let linked = self.dir.join("rust_core.linked");
        let mut ld = cmd("ld", ["-r", "--gc-sections", "-z", "noexecstack"]);
        ld.args(["-u", "dm_remap_rust_init", "-u", "dm_remap_rust_exit"]);
        ld.arg("-T").arg(self.source.join("rust.lds"));
        ld.arg("-o").arg(&linked).arg(libs.join("libdm_remap.rlib")).arg(libs.join("libremap_core.rlib"));
        ld.arg(core.join("libcore.rlib"));
        output(&mut ld)?;
        checks::no_panic(&linked)?;
        rustflags::objtool(self.kernel, &config, &linked)?;
        let content = std::fs::read(&linked).context(|| "cannot read the linked object")?;
        write_if_changed(&object, &content)?;
        declare_prebuilt(&self.dir)
    }

    fn compile(&self, name: &str, source: &Path, flags: &[String], core: &Path, out: &Path) -> Result<()> {
        let mut rustc = self.rustc.command();
        self.arguments(&mut rustc, name, source, flags, core);
        let what = format!("compiling {name} for {}", self.kernel.version);
        let printed = Step::new(&what).usually("20 s").shown().run(rustc.arg("--out-dir").arg(out))?;
        eprint!("{}", rustflags::without_expected(&printed.err));
        Ok(())
    }

    /// What the compiler, or clippy in its place, is told about a crate.
    fn arguments(&self, rustc: &mut Command, name: &str, source: &Path, flags: &[String], core: &Path) {
        rustc
            .args(["--crate-name", name, "--crate-type", "rlib", "--edition", "2021"])
            .args((self.warnings == Warnings::Deny).then_some("-Dwarnings"))
            .args(flags)
            .args(["--sysroot", "/dev/null", "-L"])
            .arg(core)
            .arg("-L")
            .arg(self.dir.join("rlib"))
            .arg(source)
            .env("DM_REMAP_BINDINGS", self.dir.join("bindings.rs"));
        if name == "dm_remap" {
            rustc.args(["--extern", "remap_core"]);
        }
    }
}

/// Removes one level of shell quoting, as found in Kbuild's records.
fn unquote(word: &str) -> String {
    word.replace("'\"", "\"").replace("\"'", "\"").replace('\'', "").replace("\\\"", "\"")
}
