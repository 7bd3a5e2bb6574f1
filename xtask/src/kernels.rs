//! Debian's kernels, downloaded and unpacked side by side without being installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, Series, Version};
use crate::debug_kernel;
use crate::kbuild;
use crate::paths;
use crate::sh::{cmd, mkdir, output, read, which, Context, Error, Result};

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
    /// The kernel of that series, from the cache or downloaded now.
    pub fn fetch(series: &str) -> Result<Kernel> {
        if series == debug_kernel::NAME {
            return debug_kernel::fetch();
        }
        let all = all_series()?;
        let known = debian::versions().into_iter().chain(cached()?.into_iter().map(|(version, _)| version));
        let Some(wanted) = known.map(|version| version.series()).find(|one| one.to_string() == series) else {
            return Err(Error(format!(
                "no kernel {series}: the package lists of this machine have {}",
                all.join(" and ")
            )));
        };
        let listed = debian::newest(wanted);
        let (version, dir) = match (fitting(cached()?, wanted, listed.as_ref()), listed) {
            (Some(found), _) => found,
            (None, None) => {
                return Err(Error(format!(
                    "no image and headers of one kernel {series} can be had: {NO_KERNELS}"
                )))
            }
            (None, Some(version)) => match download(&version) {
                Ok(dir) => (version, dir),
                // Old lists name versions that are gone.
                Err(first) => {
                    let newer = debian::update().ok().and_then(|()| debian::newest(wanted));
                    let newer = newer.filter(|newer| *newer != version).ok_or(first)?;
                    let dir = download(&newer)?;
                    (newer, dir)
                }
            },
        };
        Ok(Kernel::unpacked(series, version.text, &dir))
    }

    /// A kernel whose packages are unpacked below a directory.
    fn unpacked(series: &str, version: String, dir: &Path) -> Kernel {
        let modules = dir.join("lib/modules").join(&version);
        // Since 7.x the image is beside the modules.
        let images = [dir.join("boot").join(format!("vmlinuz-{version}")), modules.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.is_file());
        Kernel {
            name: series.to_string(),
            headers: dir.join("usr/src").join(format!("linux-headers-{version}")),
            boot: image.map(|image| Boot { image, modules }),
            version,
        }
    }

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

/// A kernel's `auto.conf`.
pub struct Config {
    text: String,
}

impl Config {
    /// From the text of an `auto.conf`.
    pub fn new(text: String) -> Config {
        Config { text }
    }

    /// Whether any of the names is `y`; an option that was renamed is asked for by all its names.
    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.value(name) == Some("y"))
    }

    /// The value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::trim))
    }
}

/// Fills the cache with a kernel: all of it, or nothing.
fn download(version: &Version) -> Result<PathBuf> {
    let name = format!("kernel-{}", version.text);
    let dir = paths::cache_dir()?.join(&name);
    let staged = paths::staging(&name)?;
    debian::unpack(&version.text, &staged, &|sizes| {
        eprintln!("downloading kernel {}: {sizes}, once, into {}", version.text, dir.display());
    })?;
    relocate(&version.text, &staged, &dir)?;
    kbuild::programs_run(&staged.join("usr/src").join(format!("linux-headers-{}", version.text)))?;
    std::fs::write(staged.join("version"), &version.text).context(|| "cannot write version")?;
    paths::commit(&staged, &name)
}

/// The kernels in the cache, the oldest first, each with its directory.
fn cached() -> Result<Vec<(Version, PathBuf)>> {
    let cache = paths::cache_dir()?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&cache).context(|| format!("cannot list {}", cache.display()))? {
        let dir = entry.context(|| format!("cannot list {}", cache.display()))?.path();
        let is_kernel = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kernel-"));
        let text = if is_kernel { std::fs::read_to_string(dir.join("version")).ok() } else { None };
        found.extend(text.and_then(|text| Version::parse(text.trim())).map(|version| (version, dir)));
    }
    found.sort();
    Ok(found)
}

/// Which of the kernels in the cache serves where the lists know `listed` as the newest of the series: the newest of the same release
/// of Debian, which is also the compiler's and the C library's.
fn fitting(
    cached: Vec<(Version, PathBuf)>,
    series: Series,
    listed: Option<&Version>,
) -> Option<(Version, PathBuf)> {
    let of_series = cached.into_iter().rev().filter(|(version, _)| version.series() == series);
    of_series.into_iter().find(|(version, _)| listed.is_none_or(|listed| listed.suite() == version.suite()))
}

/// All series that this machine's package lists know, and those in the cache where the lists know none; the oldest first.
pub fn all_series() -> Result<Vec<String>> {
    let mut known: Vec<Series> = debian::versions().iter().map(Version::series).collect();
    if known.is_empty() {
        known = cached()?.iter().map(|(version, _)| version.series()).collect();
    }
    if known.is_empty() && debian::update().is_ok() {
        known = debian::versions().iter().map(Version::series).collect();
    }
    known.sort();
    known.dedup();
    if known.is_empty() {
        return Err(NO_KERNELS.into());
    }
    Ok(known.iter().map(Series::to_string).collect())
}

/// The newest of them.
pub fn newest_series() -> Result<String> {
    all_series()?.pop().ok_or_else(|| NO_KERNELS.into())
}

const NO_KERNELS: &str =
    "the package lists know no kernel: run `apt-get update` as root, with Debian's main archive as a source";

/// Makes the unpacked tree usable where it will be: one absolute path in the headers' Makefile, and
/// the module lists that a package's installation would have made.
fn relocate(version: &str, staged: &Path, dir: &Path) -> Result<()> {
    let makefile = staged.join("usr/src").join(format!("linux-headers-{version}/Makefile"));
    let text = read(&makefile)?.replace("/usr/src/", &format!("{}/usr/src/", dir.display()));
    std::fs::write(&makefile, text).context(|| format!("cannot write {}", makefile.display()))?;
    // Packages of one release have their modules below /lib, those of another below /usr/lib; so have versions of depmod.
    let (modules, usr_modules) = (staged.join("lib/modules"), staged.join("usr/lib/modules"));
    for (there, link, target) in
        [(&usr_modules, &modules, "../usr/lib/modules"), (&modules, &usr_modules, "../../lib/modules")]
    {
        if there.is_dir() && !link.exists() {
            mkdir(link.parent().unwrap_or(staged))?;
            std::os::unix::fs::symlink(target, link).context(|| format!("cannot link {}", link.display()))?;
        }
    }
    let depmod = which("depmod").ok_or("depmod is missing: install kmod")?;
    output(cmd(depmod, ["-b"]).arg(staged).arg(version))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(text: &str) -> (Version, PathBuf) {
        (Version::parse(text).expect("is a version"), PathBuf::from(text))
    }

    #[test]
    fn the_cache_serves_as_long_as_the_release_is_the_same() {
        let cached =
            || ["6.1.0-56-amd64", "6.12.100+deb12-amd64", "6.12.107+deb12-amd64"].map(kernel).to_vec();
        let series = |text: &str| kernel(text).0.series();
        let fits = |listed: &str| {
            let listed = kernel(listed).0;
            fitting(cached(), listed.series(), Some(&listed)).map(|(version, _)| version.text)
        };
        assert_eq!(fits("6.12.117+deb12-amd64").as_deref(), Some("6.12.107+deb12-amd64"));
        assert_eq!(fits("6.12.117+deb13-amd64"), None);
        assert_eq!(fits("6.1.0-57-amd64").as_deref(), Some("6.1.0-56-amd64"));
        let offline = fitting(cached(), series("6.12.1-amd64"), None).map(|(version, _)| version.text);
        assert_eq!(offline.as_deref(), Some("6.12.107+deb12-amd64"));
    }

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
