//! A kernel to build the module for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kbuild;
use crate::kconfig::Config;
use crate::sh::{cmd, read, which, Error, Result};
use crate::step::output;

/// A kernel to build the module for, and perhaps to boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The name used on command lines, such as `6.12`.
    pub name: String,
    /// What `uname -r` says under it.
    pub version: String,
    /// The directory to run Kbuild in.
    pub headers: PathBuf,
    /// The compressed image and the directory of modules, if it can be booted here.
    pub boot: Option<Boot>,
}

/// What it takes to boot a kernel.
#[derive(Clone, Debug)]
pub struct Boot {
    /// `vmlinuz`.
    pub image: PathBuf,
    /// The content of `/lib/modules/VERSION`.
    pub modules: PathBuf,
}

impl Kernel {
    /// An installed kernel, by the directory of its headers.
    pub fn from_headers(headers: &Path) -> Result<Kernel> {
        let version = release_of(headers)?;
        Ok(Kernel { name: version.clone(), version, headers: headers.to_path_buf(), boot: None })
    }

    /// The kernel that runs now.
    pub fn running() -> Result<Kernel> {
        let version = output(&mut cmd("uname", ["-r"]))?.out.trim().to_string();
        let headers = PathBuf::from(format!("/lib/modules/{version}/build"));
        if !headers.exists() {
            return Err(Error(format!(
                "no headers for the running kernel: install linux-headers-{version} ({} is missing)",
                headers.display()
            )));
        }
        Kernel::from_headers(&headers)
    }

    /// The compiler that the kernel was built with, or one of the same major version.
    pub fn compiler(&self) -> Result<PathBuf> {
        kbuild::compiler_of(&self.config()?, &which, &kbuild::major_version)
            .map_err(|e| Error(format!("{}: {e}", self.version)))
    }

    /// A run of Kbuild for the directory `dir`, with the kernel's own compiler.
    pub fn kbuild(&self, dir: &Path) -> Result<Command> {
        let mut make = cmd("make", ["-s", "-C"]);
        make.arg(&self.headers)
            .arg(format!("M={}", dir.display()))
            .arg(format!("CC={}", self.compiler()?.display()));
        // The kernel's Makefile forgets LC_ALL, and without it gcc quotes names as the language has it.
        make.envs([("LANG", "C"), ("LC_CTYPE", "C"), ("LC_MESSAGES", "C")]);
        make.env_remove("LC_ALL").env_remove("LANGUAGE").env_remove("MAKEFLAGS").env_remove("MFLAGS");
        Ok(make)
    }

    /// The kernel's build configuration: the names set to `y` or `m`, and their values.
    pub fn config(&self) -> Result<Config> {
        let path = self.headers.join("include/config/auto.conf");
        Ok(Config::new(read(&path)?))
    }
}

/// What `uname -r` says under the kernel with these headers. Debian's 6.1 keeps another name in `kernel.release`: `6.1.176` for
/// `6.1.0-50-amd64`.
fn release_of(headers: &Path) -> Result<String> {
    let text = read(&headers.join("include/generated/utsrelease.h"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE ")?.split('"').nth(1));
    value.map(str::to_string).ok_or_else(|| Error(format!("{} do not name their kernel", headers.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_of_the_kernel_that_uname_names() {
        let headers = std::env::temp_dir().join(format!("dm-remap-headers-{}", std::process::id()));
        for (name, text) in [
            ("include/config/kernel.release", "6.1.176\n"),
            ("include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1.0-50-amd64\"\n"),
        ] {
            let path = headers.join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let kernel = Kernel::from_headers(&headers).expect("read");
        assert_eq!(kernel.version, "6.1.0-50-amd64");
        std::fs::remove_dir_all(&headers).expect("removed");
    }
}
