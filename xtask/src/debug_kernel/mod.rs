//! A kernel that looks for faults: built once from Debian's sources, with a configuration of our own.
//!
//! It is built only when it is asked for by name. What has been compiled stays beside it in the cache until all is done, so that a build
//! that was interrupted goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian;
use crate::kernel::{Boot, Kernel};
use crate::lock;
use crate::paths;
use crate::sh::{cmd, mkdir, read, Context, Error, Result};
use crate::step::{output, Step};

/// Its name on command lines.
pub const NAME: &str = "debug";

/// The package with its sources.
const SOURCE: &str = "linux-source-6.12";
const REMEDY: &str = "Debian 12 has the package in its security suite, Debian 13 in its main archive";

/// What is asked for; the rest is what that selects.
const CONFIG: &str = include_str!("kernel.config");

/// How many times longer than on Debian's kernels a scenario may take.
pub const SLOWER: u64 = 8;

/// What a guest does when a scenario has ended: it looks for memory that was lost, and whether lockdep is still at work.
pub const AFTERWARDS: &str = "echo 'begin afterwards'; sh tests/vm/debug/afterwards.sh\n";

/// Whether a kernel is this one.
pub fn is(kernel: &Kernel) -> bool {
    kernel.name == NAME
}

/// Memory for a guest that would need `mib` on Debian's kernels: the checks keep a shadow and records of it all.
pub fn memory_mib(kernel: &Kernel, mib: u32) -> u32 {
    if is(kernel) {
        mib + mib / 4 + 512
    } else {
        mib
    }
}

/// The kernel, from the cache or built now.
pub fn fetch() -> Result<Kernel> {
    // Another configuration is another kernel.
    let name = format!("debug-kernel-{:016x}", fingerprint(CONFIG));
    let cache = paths::cache_dir()?;
    let dir = cache.join(&name);
    if !dir.exists() {
        let lock = cache.join(format!("{name}.lock"));
        let _held = lock::hold(&lock, "another process builds the debug kernel; waiting for it")?;
        if !dir.exists() {
            build(&name, &cache.join(format!("{name}.build")))?;
        }
    }
    let version = read(&dir.join("version"))?;
    Ok(Kernel {
        name: NAME.to_string(),
        headers: headers(&dir, &version),
        boot: Some(Boot {
            image: dir.join("boot").join(format!("vmlinuz-{version}")),
            modules: dir.join("lib/modules").join(&version),
        }),
        version,
    })
}

fn headers(dir: &Path, version: &str) -> PathBuf {
    dir.join("usr/src").join(format!("linux-headers-{version}"))
}

/// A hash that is the same on every run.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Builds below `tree`, and puts the result into the cache.
fn build(name: &str, tree: &Path) -> Result<()> {
    mkdir(tree)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    eprintln!(
        "building the debug kernel (once, with 3 GB of disk meanwhile; interrupted it goes on the next time)"
    );
    let source = unpacked(tree)?;
    configure(tree, &source)?;
    let usually = format!("{} minutes with {jobs} processors to itself", 16 / jobs + 1);
    let mut compile = make(&source);
    compile.arg(format!("-j{jobs}")).args(["bzImage", "modules"]);
    Step::new("compiling the debug kernel").usually(&usually).run(&mut compile)?;
    install(name, &source)?;
    std::fs::remove_dir_all(tree).context(|| format!("cannot remove {}", tree.display()))
}

/// The sources, downloaded and unpacked unless they are there.
fn unpacked(tree: &Path) -> Result<PathBuf> {
    let source = tree.join("source");
    if source.exists() {
        return Ok(source);
    }
    let package = tree.join("package");
    if package.exists() {
        std::fs::remove_dir_all(&package).context(|| format!("cannot clear {}", package.display()))?;
    }
    mkdir(&package)?;
    let download = || {
        let step = Step::new("downloading the kernel's sources (150 MB)").usually("a minute");
        step.remedy(REMEDY).run(cmd("apt-get", ["download", "-q", SOURCE]).current_dir(&package))
    };
    // The package lists may be missing, or name versions that are gone.
    download().or_else(|first| debian::update().map_err(|_| first).and_then(|()| download()))?;
    for entry in std::fs::read_dir(&package).context(|| "cannot list the download")? {
        let deb = entry.context(|| "cannot list the download")?.path();
        output(cmd("dpkg", ["-x"]).arg(&deb).arg(&package))?;
    }
    let archive = package.join("usr/src").join(format!("{SOURCE}.tar.xz"));
    let unpack = Step::new("unpacking the kernel's sources").usually("a minute");
    unpack.run(cmd("tar", ["-x", "-f"]).arg(&archive).arg("-C").arg(&package))?;
    std::fs::rename(package.join(SOURCE), &source).context(|| format!("{SOURCE} has no {SOURCE}"))?;
    std::fs::remove_dir_all(&package).context(|| format!("cannot remove {}", package.display()))?;
    Ok(source)
}

fn configure(tree: &Path, source: &Path) -> Result<()> {
    let wanted = tree.join("kernel.config");
    std::fs::write(&wanted, CONFIG).context(|| format!("cannot write {}", wanted.display()))?;
    output(make(source).arg("allnoconfig").env("KCONFIG_ALLCONFIG", &wanted))?;
    let missing = unmet(CONFIG, &read(&source.join(".config"))?);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error(format!("{SOURCE} does not take these options of kernel.config: {}", missing.join(" "))))
}

/// What is asked for and not so in the configuration that came of it.
fn unmet<'a>(wanted: &'a str, config: &str) -> Vec<&'a str> {
    let set = |option: &str| config.lines().any(|line| line == option);
    let options = wanted.lines().filter(|line| line.starts_with("CONFIG_"));
    options
        .filter(|option| match option.strip_suffix("=n") {
            Some(name) => config.lines().any(|line| line.split('=').next() == Some(name)),
            None => !set(option),
        })
        .collect()
}

/// What a guest boots and what modules are built against; the rest is not kept.
fn install(name: &str, source: &Path) -> Result<()> {
    let version = read(&source.join("include/config/kernel.release"))?.trim().to_string();
    let staged = paths::staging(name)?;
    output(make(source).arg("modules_install").arg(format!("INSTALL_MOD_PATH={}", staged.display())))?;
    for link in ["build", "source"] {
        let link = staged.join("lib/modules").join(&version).join(link);
        if link.is_symlink() {
            std::fs::remove_file(&link).context(|| format!("cannot remove {}", link.display()))?;
        }
    }
    mkdir(&staged.join("boot"))?;
    let image = staged.join("boot").join(format!("vmlinuz-{version}"));
    std::fs::copy(source.join("arch/x86/boot/bzImage"), image).context(|| "cannot copy the image")?;
    let mut script = cmd("sh", ["scripts/package/install-extmod-build"]);
    script.arg(headers(&staged, &version)).current_dir(source);
    script.env("srctree", ".").env("SRCARCH", "x86").env("CC", "gcc").env("HOSTCC", "gcc");
    output(&mut script)?;
    std::fs::write(staged.join("version"), &version).context(|| "cannot write version")?;
    paths::commit(&staged, name).map(|_| ())
}

/// `make` in the sources, behind all else that the machine does.
fn make(source: &Path) -> Command {
    let mut make = cmd("nice", ["make", "-C"]);
    // A name of its own is in the configuration; nothing is to be added to it.
    make.arg(source).env("LOCALVERSION", "").env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_a_kernel_does_not_take_are_found() {
        let wanted = "# text\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_C=n\nCONFIG_D=n\nCONFIG_E=16\n";
        assert_eq!(unmet(wanted, "CONFIG_A=y\nCONFIG_B=m\nCONFIG_E=16\n"), [""; 0]);
        let config = "CONFIG_A=m\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_E=17\n";
        assert_eq!(unmet(wanted, config), ["CONFIG_A=y", "CONFIG_B=m", "CONFIG_C=n", "CONFIG_E=16"]);
    }
}
