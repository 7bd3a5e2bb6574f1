//! Debian's kernels, downloaded and unpacked side by side without being installed.

use std::path::{Path, PathBuf};

use crate::paths;
use crate::sh::{cmd, output, read, Context, Error, Result};

/// The kernel series that every change is built for and tested on.
pub const SERIES: [&str; 2] = ["6.1", "6.12"];

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
        if !SERIES.contains(&series) {
            return Err(Error(format!("no kernel {series}: choose one of {}", SERIES.join(", "))));
        }
        let name = format!("kernel-{series}");
        let dir = paths::cache_dir()?.join(&name);
        if !dir.exists() {
            download(series, &name, &dir).or_else(|first| {
                // The package lists may be missing, or name versions that are gone.
                output(&mut cmd("apt-get", ["update", "-q"])).map_err(|_| first)?;
                download(series, &name, &dir)
            })?;
        }
        let version = read(&dir.join("version"))?;
        Ok(Kernel {
            name: series.to_string(),
            headers: dir.join("usr/src").join(format!("linux-headers-{version}")),
            boot: Some(Boot {
                image: dir.join("boot").join(format!("vmlinuz-{version}")),
                modules: dir.join("lib/modules").join(&version),
            }),
            version,
        })
    }

    /// An installed kernel, by the directory of its headers.
    pub fn from_headers(headers: &Path) -> Result<Kernel> {
        let release = headers.join("include/config/kernel.release");
        let version = read(&release)?.trim().to_string();
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

    /// The kernel's build configuration: the names set to `y` or `m`, and their values.
    pub fn config(&self) -> Result<Config> {
        let path = self.headers.join("include/config/auto.conf");
        Ok(Config { text: read(&path)? })
    }
}

/// A kernel's `auto.conf`.
pub struct Config {
    text: String,
}

impl Config {
    /// Whether any of the names is `y`; an option that was renamed is asked for by all its names.
    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.value(name) == Some("y"))
    }

    /// The value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::trim))
    }
}

/// Fills the cache with a series: all of it, or nothing.
fn download(series: &str, name: &str, dir: &Path) -> Result<()> {
    let staged = paths::staging(name)?;
    let version = newest(series)?;
    eprintln!("downloading kernel {version} (once, into {})", dir.display());
    unpack(series, &version, &staged)?;
    relocate(&version, &staged, dir)?;
    std::fs::write(staged.join("version"), &version).context(|| "cannot write version")?;
    paths::commit(&staged, name).map(|_| ())
}

/// The newest version of a series for which an image and headers are to be had.
fn newest(series: &str) -> Result<String> {
    let (prefix, suffix) = match series {
        "6.1" => ("linux-headers-6.1.0-", "-amd64"),
        _ => ("linux-headers-6.12.", "+deb12-amd64"),
    };
    let listed = output(&mut cmd("apt-cache", ["pkgnames", prefix]))?.out;
    let newest = listed
        .lines()
        .filter(|package| package.starts_with(prefix) && package.ends_with(suffix))
        .filter_map(|package| {
            let number = package.strip_prefix(prefix)?.strip_suffix(suffix)?;
            number.parse::<u32>().ok().map(|number| (number, package))
        })
        .filter(|(_, package)| image_package(&package["linux-headers-".len()..]).is_some())
        .max();
    match newest {
        Some((_, package)) => Ok(package["linux-headers-".len()..].to_string()),
        None => Err(Error(format!(
            "apt knows no linux-headers of {series}: run apt-get update, with bookworm and bookworm-security as sources"
        ))),
    }
}

/// The image package of a version: signed if there is one.
fn image_package(version: &str) -> Option<String> {
    [format!("linux-image-{version}"), format!("linux-image-{version}-unsigned")].into_iter().find(
        |package| {
            output(&mut cmd("apt-cache", ["policy", package.as_str()])).is_ok_and(|policy| {
                policy.out.contains("Candidate:") && !policy.out.contains("Candidate: (none)")
            })
        },
    )
}

/// Downloads a kernel's packages and unpacks them below `dir`.
fn unpack(series: &str, version: &str, dir: &Path) -> Result<()> {
    let flavourless = version.strip_suffix("-amd64").unwrap_or(version);
    let image = image_package(version).ok_or_else(|| Error(format!("no image of {version}")))?;
    let kbuild = match series {
        "6.1" => "linux-kbuild-6.1".to_string(),
        _ => format!("linux-kbuild-{flavourless}"),
    };
    let packages =
        [image, format!("linux-headers-{version}"), format!("linux-headers-{flavourless}-common"), kbuild];
    let downloads = dir.join("deb");
    crate::sh::mkdir(&downloads)?;
    let mut download = cmd("apt-get", ["download", "-q"]);
    download.args(&packages).current_dir(&downloads);
    output(&mut download)?;
    for entry in std::fs::read_dir(&downloads).context(|| "cannot list downloads")? {
        let deb = entry.context(|| "cannot list downloads")?.path();
        output(cmd("dpkg", ["-x"]).arg(&deb).arg(dir))?;
    }
    std::fs::remove_dir_all(&downloads).context(|| "cannot remove downloads")
}

/// Makes the unpacked tree usable where it will be: one absolute path in the headers' Makefile, and
/// the module lists that a package's installation would have made.
fn relocate(version: &str, staged: &Path, dir: &Path) -> Result<()> {
    let makefile = staged.join("usr/src").join(format!("linux-headers-{version}/Makefile"));
    let text = read(&makefile)?.replace("/usr/src/", &format!("{}/usr/src/", dir.display()));
    std::fs::write(&makefile, text).context(|| format!("cannot write {}", makefile.display()))?;
    let depmod = crate::sh::which("depmod").ok_or("depmod is missing: install kmod")?;
    output(cmd(depmod, ["-b"]).arg(staged).arg(version))?;
    Ok(())
}
