//! Rust compilers of Debian's package lists beside the one that is installed, unpacked into the cache.

use std::collections::BTreeSet;
use std::path::Path;

use crate::paths;
use crate::sh::{cmd, mkdir, Context, Error, Result};
use crate::step::output;
use crate::toolchain::{Rustc, MINOR_MIN};

/// Packages with a compiler, each with the package that has the sources of its libraries.
const PAIRS: [(&str, &str); 2] = [("rustc-web", "rust-web-src"), ("rustc", "rust-src")];

/// A compiler package as the lists know it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    /// Minor number and patch level of the compiler: 85 and 1 for 1.85.1.
    release: (u32, u32),
    /// Index into `PAIRS`.
    pair: usize,
    /// The package's version.
    version: String,
}

/// The oldest compiler that builds the module and the newest that the lists know; one if they are the same.
pub fn oldest_and_newest() -> Result<Vec<Rustc>> {
    let offers = offers()?;
    let oldest = offers.iter().filter(|offer| offer.release.0 == MINOR_MIN).max_by_key(|offer| offer.release);
    let newest = offers.iter().max_by_key(|offer| offer.release);
    let oldest = oldest.ok_or_else(|| format!("apt knows no Rust 1.{MINOR_MIN}: run apt-get update"))?;
    let newest = newest.filter(|newest| newest.release != oldest.release);
    [Some(oldest), newest].into_iter().flatten().map(get).collect()
}

fn offers() -> Result<Vec<Offer>> {
    let mut found = Vec::new();
    for (pair, (compiler, _)) in PAIRS.iter().enumerate() {
        let listed = output(&mut cmd("apt-cache", ["madison", compiler]))?.out;
        found.extend(listed.lines().filter_map(|line| offer(line, pair)));
    }
    Ok(found)
}

/// From a line such as `rustc-web | 1.85.0+dfsg3-1 | http://… bookworm/main amd64 Packages`.
fn offer(line: &str, pair: usize) -> Option<Offer> {
    let mut cells = line.split('|').map(str::trim);
    let version = cells.nth(1)?;
    if !cells.next()?.ends_with(" Packages") {
        return None;
    }
    let number = version.split(['+', '~', '-']).next()?;
    let mut parts = number.split('.');
    let (major, minor, patch) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (major == "1" && minor >= MINOR_MIN).then(|| Offer {
        release: (minor, patch),
        pair,
        version: version.to_string(),
    })
}

/// The installed compiler if it is of that release, else the package from the cache, downloaded if it is not there.
fn get(offer: &Offer) -> Result<Rustc> {
    if let Ok(installed) = Rustc::find() {
        if installed.release == offer.release {
            return Ok(installed);
        }
    }
    let (compiler, sources) = PAIRS[offer.pair];
    let name = format!("{compiler}-{}", offer.version.replace([':', '~'], "_"));
    let dir = paths::cache_dir()?.join(&name);
    if !dir.exists() {
        let mut packages = needed(compiler, &offer.version)?;
        packages.insert(format!("{sources}={}", offer.version));
        eprintln!(
            "downloading {compiler} {} (once, some 150 MB, usually a minute, into {})",
            offer.version,
            dir.display()
        );
        let staged = paths::staging(&name)?;
        unpack(&packages, &staged)?;
        paths::commit(&staged, &name)?;
    }
    let libraries = dir.join("usr/lib/x86_64-linux-gnu");
    Rustc::unpacked(&dir.join("usr/bin/rustc"), &libraries)
}

/// A compiler's package and those that it loads libraries from and that are not installed, each as `NAME=VERSION` or `NAME`.
fn needed(compiler: &str, version: &str) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::new();
    let mut open = vec![format!("{compiler}={version}")];
    while let Some(package) = open.pop() {
        if packages.contains(&package) || is_installed(&package) {
            continue;
        }
        let shown = output(&mut cmd("apt-cache", ["show", "--no-all-versions", &package]))?.out;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        open.extend(depends.split(',').filter_map(library));
        packages.insert(package);
    }
    // What a program is linked with at build time is not needed to run the compiler.
    packages.retain(|package| !package.split('=').next().unwrap_or_default().ends_with("-dev"));
    Ok(packages)
}

/// A dependency on a library, such as ` libstd-rust-1.85 (= 1.85.0-1)`: `NAME=VERSION` if it says so, `NAME` else.
fn library(dependency: &str) -> Option<String> {
    let first = dependency.split('|').next()?.trim();
    let (name, condition) = first.split_once(' ').unwrap_or((first, ""));
    if !name.starts_with("lib") || name.starts_with("libc-") || name == "libc6-dev" {
        return None;
    }
    match condition.trim_start_matches('(').trim_end_matches(')').strip_prefix("= ") {
        Some(version) => Some(format!("{name}={version}")),
        None => Some(name.to_string()),
    }
}

fn is_installed(package: &str) -> bool {
    let (name, version) = package.split_once('=').unwrap_or((package, ""));
    let asked = output(&mut cmd("dpkg-query", ["-W", "-f", "${db:Status-Status} ${Version}", name]));
    asked.is_ok_and(|asked| match asked.out.trim().split_once(' ') {
        Some(("installed", found)) => version.is_empty() || version == found,
        _ => false,
    })
}

fn unpack(packages: &BTreeSet<String>, dir: &Path) -> Result<()> {
    let downloads = dir.join("deb");
    mkdir(&downloads)?;
    let mut download = cmd("apt-get", ["download", "-q"]);
    output(download.args(packages).current_dir(&downloads))
        .context(|| "the package lists may name what is gone: run apt-get update")?;
    for entry in std::fs::read_dir(&downloads).context(|| "cannot list downloads")? {
        let deb = entry.context(|| "cannot list downloads")?.path();
        output(cmd("dpkg", ["-x"]).arg(&deb).arg(dir))?;
    }
    std::fs::remove_dir_all(&downloads).context(|| "cannot remove downloads")?;
    if dir.join("usr/bin/rustc").is_file() {
        return Ok(());
    }
    Err(Error(format!("there is no rustc in {}", packages.iter().cloned().collect::<Vec<_>>().join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_read_from_the_lists() {
        let line =
            " rustc-web | 1.96.0+dfsg1-1~deb12u2 | http://a/debian-security b-security/main amd64 Packages";
        let wanted = Offer { release: (96, 0), pair: 0, version: "1.96.0+dfsg1-1~deb12u2".into() };
        assert_eq!(offer(line, 0), Some(wanted));
        assert_eq!(offer("rustc | 1.63.0+dfsg1-2 | http://a/debian bookworm/main amd64 Packages", 1), None);
        assert_eq!(offer("rustc | 1.90.0-2 | http://a/debian bookworm/main Sources", 1), None);
        assert_eq!(offer("", 1), None);
    }

    #[test]
    fn libraries_are_followed_and_nothing_else() {
        assert_eq!(
            library(" libstd-rust-web-1.85 (= 1.85.0-1)").as_deref(),
            Some("libstd-rust-web-1.85=1.85.0-1")
        );
        assert_eq!(library("libllvm19 (>= 1:19)").as_deref(), Some("libllvm19"));
        assert_eq!(library(" gcc"), None);
        assert_eq!(library("libc-dev"), None);
    }
}
