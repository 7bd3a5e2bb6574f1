//! `install` and `uninstall`: the module, the tool and its man page, for the kernel that runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Command;
use crate::args::Args;
use crate::kernels::Kernel;
use crate::sh::{cmd, mkdir, output, Context, Error, Result};
use crate::{module, paths, probe, tool};

pub const INSTALL: Command = Command {
    name: "install",
    about: "build and install module and tool for the running kernel",
    help: "\
usage: sudo ./x install [--prefix DIR] [--destdir DIR] [--headers DIR] [--no-build]

Builds dm_remap.ko for the kernel that runs now, and the tool dmremap, and
installs them:

  /lib/modules/VERSION/updates/dm_remap.ko
  PREFIX/sbin/dmremap
  PREFIX/share/man/man8/dmremap.8

A new kernel needs a new module: run it again after an upgrade.

  --prefix DIR   where tool and man page go (default /usr/local)
  --destdir DIR  put everything below DIR, for packages
  --headers DIR  for the kernel whose headers are in DIR
  --no-build     install what `./x build --running` and `cargo build --release`
                 have built, so that nothing is built as root
",
    run: install,
};

pub const UNINSTALL: Command = Command {
    name: "uninstall",
    about: "remove what install installed",
    help: "\
usage: sudo ./x uninstall [--prefix DIR] [--destdir DIR] [--headers DIR]

Removes the module, the tool and its man page, for the same words that install was given. The
module must not be in use.
",
    run: uninstall,
};

/// Where things go.
struct Places {
    /// The directory of the kernel's headers, if it was given.
    headers: Option<PathBuf>,
    /// What `uname -r` says under the kernel.
    version: String,
    build: bool,
    module: PathBuf,
    tool: PathBuf,
    page: PathBuf,
    destdir: Option<PathBuf>,
}

impl Places {
    fn parse(mut args: Args) -> Result<Places> {
        let (mut prefix, mut destdir, mut headers, mut build) =
            (PathBuf::from("/usr/local"), None, None, true);
        while let Some(word) = args.next() {
            match word.as_str() {
                "--prefix" => prefix = args.value(&word)?.into(),
                "--destdir" => destdir = Some(PathBuf::from(args.value(&word)?)),
                "--headers" => headers = Some(PathBuf::from(args.value(&word)?)),
                "--no-build" => build = false,
                _ => return Err(Args::unknown(&word)),
            }
        }
        // The running kernel's headers may be gone when the module is to go.
        let version = match &headers {
            Some(dir) => Kernel::from_headers(dir)?.version,
            None => output(&mut cmd("uname", ["-r"]))?.out.trim().to_string(),
        };
        let below = |path: PathBuf| match &destdir {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(&path)),
            None => path,
        };
        let modules = PathBuf::from("/lib/modules").join(&version);
        Ok(Places {
            module: below(modules.join("updates/dm_remap.ko")),
            tool: below(prefix.join("sbin/dmremap")),
            page: below(prefix.join("share/man/man8/dmremap.8")),
            headers,
            version,
            build,
            destdir,
        })
    }

    /// Builds module and tool; where they are.
    fn build(&self) -> Result<(PathBuf, PathBuf)> {
        let kernel = match &self.headers {
            Some(dir) => Kernel::from_headers(dir)?,
            None => Kernel::running()?,
        };
        if let Some(missing) = probe::missing(&kernel) {
            return Err(Error(format!("no module for {}: {missing}", kernel.version)));
        }
        Ok((module::build(&kernel)?.ko, tool::build()?))
    }

    /// Where an earlier build has left them.
    fn built(&self) -> Result<(PathBuf, PathBuf)> {
        let module = paths::build_dir()?.join(&self.version).join("dm_remap.ko");
        for (path, how) in [(&module, "./x build --running"), (&tool::path(), "cargo build --release")] {
            if !path.is_file() {
                return Err(Error(format!("{} is not there: run {how} first", path.display())));
            }
        }
        Ok((module, tool::path()))
    }

    /// Has modprobe find the module, or forget it. A package does that itself.
    fn depmod(&self) -> Result<()> {
        if self.destdir.is_none() {
            output(cmd("/sbin/depmod", ["-a"]).arg(&self.version))?;
        }
        Ok(())
    }
}

fn put(from: &Path, to: &Path, mode: &str) -> Result<()> {
    output(cmd("install", ["-D", "-m", mode]).arg(from).arg(to))?;
    println!("installed {}", to.display());
    Ok(())
}

/// Installs the man page, which the tool itself prints. Nothing is left in the build directory, which need not be root's.
fn put_page(tool: &Path, to: &Path) -> Result<()> {
    let text = output(&mut cmd(tool, ["man"]))?.out;
    let here = || format!("cannot write {}", to.display());
    mkdir(to.parent().unwrap_or(to))?;
    std::fs::write(to, text).context(here)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o644)).context(here)?;
    println!("installed {}", to.display());
    Ok(())
}

fn install(args: Args) -> Result<i32> {
    let places = Places::parse(args)?;
    let (module, tool) = if places.build { places.build()? } else { places.built()? };
    put(&module, &places.module, "0644")?;
    put(&tool, &places.tool, "0755")?;
    put_page(&tool, &places.page)?;
    places.depmod()?;
    if places.destdir.is_none() {
        println!("next: modprobe dm_remap; dmremap help");
        println!("A kernel that asks for signed modules (secure boot) refuses it until it is signed with a key that");
        println!("the machine's owner has enrolled.");
    }
    Ok(0)
}

/// Whether the module is loaded, and by how many it is used.
fn loaded() -> Option<u32> {
    let modules = std::fs::read_to_string("/proc/modules").ok()?;
    let line = modules.lines().find(|line| line.starts_with("dm_remap "))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

fn uninstall(args: Args) -> Result<i32> {
    let places = Places::parse(args)?;
    if places.destdir.is_none() {
        match loaded() {
            Some(0) => drop(output(&mut cmd("/sbin/rmmod", ["dm_remap"]))?),
            Some(_) => {
                return Err(Error("the module is in use: close every device first (dmremap status)".into()));
            }
            None => {}
        }
    }
    let mut found = false;
    for path in [&places.module, &places.tool, &places.page] {
        if path.exists() {
            std::fs::remove_file(path).context(|| format!("cannot remove {}", path.display()))?;
            println!("removed {}", path.display());
            found = true;
        }
    }
    if !found {
        return Err(Error("nothing is installed there".into()));
    }
    places.depmod()?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(Places::parse(Args::new(vec!["--sideways".into()])).is_err());
    }
}
