//! What the machine's package lists know of Debian's kernels, and their packages unpacked into a directory.

use std::path::Path;

use crate::sh::{cmd, mkdir, Context, Error, Result};
use crate::step::{output, Step};

/// How the names of packages for 64-bit PCs end.
const ARCH: &str = "-amd64";

/// The version of a kernel, as its packages have it in their names and `uname -r` says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Its numbers, the most significant first.
    numbers: Vec<u32>,
    /// All of it, such as `6.12.117+deb12-amd64`.
    pub text: String,
}

impl Version {
    /// From text; nothing for a kernel of another flavour or architecture, for a release candidate, and for a name without a
    /// third number, which is that of a package that only leads to others.
    pub fn parse(text: &str) -> Option<Version> {
        let rest = text.strip_suffix(ARCH)?;
        let flavour =
            rest.rsplit_once('-').is_some_and(|(_, last)| !last.starts_with(|c: char| c.is_ascii_digit()));
        if flavour || rest.contains('~') || rest.contains("rc") {
            return None;
        }
        let upstream = rest.split(['+', '-']).next()?;
        if upstream.split('.').count() < 3 || !upstream.split('.').all(|part| part.parse::<u32>().is_ok()) {
            return None;
        }
        let numbers =
            rest.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
        Some(Version { numbers, text: text.to_string() })
    }

    /// The series that it belongs to, such as `6.12`.
    pub fn series(&self) -> Series {
        Series(self.numbers[0], self.numbers[1])
    }

    /// What tells the kernels of one release of Debian from those of another: `deb12`, or nothing in its older names.
    pub fn suite(&self) -> &str {
        let rest = self.text.strip_suffix(ARCH).unwrap_or(&self.text);
        rest.split_once('+').map_or("", |(_, suite)| suite)
    }
}

/// A series of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series(u32, u32);

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// All versions of which the lists know headers, the oldest first; none where there is no apt.
pub fn versions() -> Vec<Version> {
    let listed = output(&mut cmd("apt-cache", ["pkgnames", "linux-headers-"])).map(|printed| printed.out);
    versions_in(&listed.unwrap_or_default())
}

fn versions_in(names: &str) -> Vec<Version> {
    let texts = names.lines().filter_map(|name| name.strip_prefix("linux-headers-"));
    let mut found: Vec<Version> = texts.filter_map(Version::parse).collect();
    found.sort();
    found
}

/// The newest version of a series of which image and headers can be had.
pub fn newest(series: Series) -> Option<Version> {
    let all = versions().into_iter().rev().filter(|version| version.series() == series);
    all.into_iter().find(|version| {
        has_candidate(&format!("linux-headers-{}", version.text)) && image_package(&version.text).is_some()
    })
}

/// Brings the lists up to date, which takes root.
pub fn update() -> Result<()> {
    let step = Step::new("bringing the package lists up to date").usually("10 s");
    step.run(&mut cmd("apt-get", ["update", "-q"])).map(|_| ())
}

fn has_candidate(package: &str) -> bool {
    let policy = output(&mut cmd("apt-cache", ["policy", package]));
    policy.is_ok_and(|policy| policy.out.contains("Candidate:") && !policy.out.contains("Candidate: (none)"))
}

/// The image package of a version: signed if there is one.
fn image_package(version: &str) -> Option<String> {
    let names = [format!("linux-image-{version}"), format!("linux-image-{version}-unsigned")];
    names.into_iter().find(|name| has_candidate(name))
}

/// Downloads image, modules, headers and Kbuild's programs of a version and unpacks them below `dir`.
pub fn unpack(version: &str, dir: &Path, says: &dyn Fn(&str)) -> Result<()> {
    let packages = packages(version)?;
    let mut show = cmd("apt-cache", ["show", "--no-all-versions"]);
    let (download_bytes, disk_bytes) = sizes(&output(show.args(&packages))?.out);
    says(&format!(
        "{} packages, {} MB to download, {} MB on disk",
        packages.len(),
        download_bytes / 1_000_000,
        disk_bytes / 1_000_000
    ));
    let downloads = dir.join("deb");
    mkdir(&downloads)?;
    let remedy = "look at the network, and at the package lists: they may be older than the archive";
    let step = Step::new("downloading a kernel").usually("half a minute").remedy(remedy);
    step.run(cmd("apt-get", ["download", "-q"]).args(&packages).current_dir(&downloads))?;
    for entry in std::fs::read_dir(&downloads).context(|| "cannot list downloads")? {
        let deb = entry.context(|| "cannot list downloads")?.path();
        output(cmd("dpkg", ["-x"]).arg(&deb).arg(dir))?;
    }
    std::fs::remove_dir_all(&downloads).context(|| "cannot remove downloads")
}

/// Image and headers, and the packages of the same version that they stand on.
fn packages(version: &str) -> Result<Vec<String>> {
    let image = image_package(version)
        .ok_or_else(|| Error(format!("the package lists know no image of {version}")))?;
    let mut found = vec![image, format!("linux-headers-{version}")];
    let mut next = 0;
    while let Some(package) = found.get(next) {
        let depends = output(&mut cmd("apt-cache", ["depends", "--important", package]))?.out;
        for name in parts_in(&depends) {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        next += 1;
    }
    Ok(found)
}

/// The parts of a kernel among the dependencies of a package: since 7.x the image is in several.
fn parts_in(depends: &str) -> Vec<String> {
    const PARTS: [&str; 5] =
        ["linux-headers-", "linux-kbuild-", "linux-binary-", "linux-modules-", "linux-base-"];
    let names = depends.lines().filter_map(|line| line.split_once("Depends: ").map(|(_, name)| name.trim()));
    let is_part = |name: &&str| {
        let rest = PARTS.iter().find_map(|part| name.strip_prefix(part));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    names.filter(is_part).map(str::to_string).collect()
}

/// Bytes to download, and bytes on disk, of the packages that `apt-cache show` describes.
fn sizes(shown: &str) -> (u64, u64) {
    let sum = |field: &str| -> u64 {
        shown.lines().filter_map(|line| line.strip_prefix(field)?.trim().parse::<u64>().ok()).sum()
    };
    // dpkg counts what is installed in KiB.
    (sum("Size:"), sum("Installed-Size:") * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_plain_kernels_and_in_order() {
        let names = "linux-headers-6.12.117+deb12-amd64\nlinux-headers-6.12-amd64\nlinux-headers-6.1.0-9-amd64\n\
            linux-headers-6.12.117+deb12-cloud-amd64\nlinux-headers-6.12.117+deb12-common\nlinux-headers-amd64\n\
            linux-headers-6.12.9+bpo-amd64\nlinux-headers-6.1.0-57-amd64\nlinux-headers-7.4~rc1+deb14-amd64\n\
            linux-headers-6.12.117+deb13-arm64\nlinux-headers-7.3.4+deb13-amd64\nlinux-headers-7.4-rc3-amd64\n";
        let found = versions_in(names);
        let texts: Vec<&str> = found.iter().map(|version| version.text.as_str()).collect();
        let expected = ["6.1.0-9", "6.1.0-57", "6.12.9+bpo", "6.12.117+deb12", "7.3.4+deb13"]
            .map(|text| format!("{text}-amd64"));
        assert_eq!(texts, expected);
        let series: Vec<String> = found.iter().map(|version| version.series().to_string()).collect();
        assert_eq!(series, ["6.1", "6.1", "6.12", "6.12", "7.3"]);
        let suites: Vec<&str> = found.iter().map(Version::suite).collect();
        assert_eq!(suites, ["", "", "bpo", "deb12", "deb13"]);
    }

    #[test]
    fn an_image_in_parts_is_followed_and_what_is_no_part_is_not() {
        let image = "linux-image-7.3.4+deb13-amd64\n  PreDepends: linux-base\n |Depends: initramfs-tools\n  \
            Depends: <linux-initramfs-tool>\n  Depends: linux-base-7.3.4+deb13-amd64\n  \
            Depends: linux-binary-7.3.4+deb13-amd64\n  Depends: linux-modules-7.3.4+deb13-amd64\n";
        let names = ["base", "binary", "modules"].map(|part| format!("linux-{part}-7.3.4+deb13-amd64"));
        assert_eq!(parts_in(image), names);
        let headers = "linux-headers-6.1.0-56-amd64\n  Depends: linux-headers-6.1.0-56-common\n  Depends: linux-kbuild-6.1\n  \
            Depends: linux-compiler-gcc-12-x86\n |Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(parts_in(headers), ["linux-headers-6.1.0-56-common", "linux-kbuild-6.1"]);
    }

    #[test]
    fn sizes_add_up() {
        assert_eq!(
            sizes("Package: a\nSize: 100\nInstalled-Size: 7\n\nPackage: b\nSize: 11\nInstalled-Size: 2\n"),
            (111, 9 * 1024)
        );
    }
}
