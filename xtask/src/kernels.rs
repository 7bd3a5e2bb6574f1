//! Debian's kernels, downloaded and unpacked side by side without being installed.

use std::path::{Path, PathBuf};

use crate::debian::{self, Series, Version};
use crate::debug_kernel;
use crate::kbuild;
use crate::kernel::{Boot, Kernel};
use crate::paths;
use crate::sh::{cmd, mkdir, read, which, Context, Error, Result};
use crate::step::output;

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
}
