//! `install` and `uninstall`: the module, the tool and its man page, for the kernel that runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::command::Command;
use crate::kernel::Kernel;
use crate::sh::{cmd, mkdir, Context, Error, Result};
use crate::step::output;
use crate::{module, paths, probe, tool};

pub const INSTALL: Command = Command {
    name: "install",
    about: "build and install module and tool for the running kernel",
    help: "\
usage: sudo ./x install [--prefix DIR] [--destdir DIR] [--headers DIR] [--no-build]
                        [--build-only]

Builds dm_remap.ko for the kernel that runs now, and the tool dmremap, and
installs them:

  /lib/modules/VERSION/updates/dm_remap.ko
  PREFIX/sbin/dmremap
  PREFIX/share/man/man8/dmremap.8

A new kernel needs a new module: run it again after an upgrade. As root in
another user's checkout it builds as that user, who then owns what is built.

  --prefix DIR   where tool and man page go (default /usr/local)
  --destdir DIR  put everything below DIR, for packages
  --headers DIR  for the kernel whose headers are in DIR
  --no-build     install what `./x build --running` and `cargo build --release`
                 have built, so that nothing is built as root
  --build-only   build both and install nothing
",
    run: install,
};

pub const UNINSTALL: Command = Command {
    name: "uninstall",
    about: "remove what install installed",
    help: "\
usage: sudo ./x uninstall [--prefix DIR] [--destdir DIR] [--headers DIR]

Removes the tool, its man page, and the module from every kernel, or from that
of --headers alone; for the same words that install was given. The module must
not be in use.

  --prefix DIR   where tool and man page are (default /usr/local)
  --destdir DIR  everything is below DIR
  --headers DIR  the module of the kernel whose headers are in DIR
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
    build_only: bool,
    /// The words that all this was read from.
    words: Vec<String>,
    /// The directory that has one of modules for each kernel.
    all_modules: PathBuf,
    tool: PathBuf,
    page: PathBuf,
    destdir: Option<PathBuf>,
}

impl Places {
    fn parse(mut args: Args) -> Result<Places> {
        let words = args.rest();
        let mut args = Args::new(words.clone());
        let (mut prefix, mut destdir, mut headers, mut build, mut build_only) =
            (PathBuf::from("/usr/local"), None, None, true, false);
        while let Some(word) = args.next() {
            match word.as_str() {
                "--prefix" => prefix = args.value(&word)?.into(),
                "--destdir" => destdir = Some(PathBuf::from(args.value(&word)?)),
                "--headers" => headers = Some(PathBuf::from(args.value(&word)?)),
                "--no-build" => build = false,
                "--build-only" => build_only = true,
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
        Ok(Places {
            all_modules: below(PathBuf::from("/lib/modules")),
            tool: below(prefix.join("sbin/dmremap")),
            page: below(prefix.join("share/man/man8/dmremap.8")),
            headers,
            version,
            build,
            build_only,
            words,
            destdir,
        })
    }

    /// Where the module of a kernel goes.
    fn module(&self, version: &str) -> PathBuf {
        self.all_modules.join(version).join("updates/dm_remap.ko")
    }

    /// The kernels that have the module, with its places; only the one whose headers were given, if they were.
    fn installed(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut versions = match (&self.headers, std::fs::read_dir(&self.all_modules)) {
            (Some(_), _) => vec![self.version.clone()],
            (None, Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            (None, entries) => {
                let here = || format!("cannot list {}", self.all_modules.display());
                let mut names = Vec::new();
                for entry in entries.context(here)? {
                    names.push(entry.context(here)?.file_name().to_string_lossy().into_owned());
                }
                names
            }
        };
        versions.sort();
        let places = versions.into_iter().map(|version| (version.clone(), self.module(&version)));
        Ok(places.filter(|(_, path)| path.exists()).collect())
    }

    /// Builds module and tool, as the checkout's owner where root need not; where they are.
    fn build_as_owner(&self) -> Result<(PathBuf, PathBuf)> {
        let program = std::env::current_exe().context(|| "cannot find this program")?;
        let Some(mut owner) = crate::owner::as_owner(&program)? else { return self.build() };
        owner.arg("install").args(&self.words).arg("--build-only");
        let status = owner.status().context(|| "cannot run setpriv")?;
        match status.success() {
            true => self.built(),
            false => Err("what is to be installed does not build: see above".into()),
        }
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
    fn depmod(&self, version: &str) -> Result<()> {
        if self.destdir.is_none() {
            output(cmd("/sbin/depmod", ["-a"]).arg(version))?;
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
    if places.build_only {
        let (module, tool) = places.build()?;
        println!("{}\n{}", module.display(), tool.display());
        return Ok(0);
    }
    let (module, tool) = if places.build { places.build_as_owner()? } else { places.built()? };
    put(&module, &places.module(&places.version), "0644")?;
    put(&tool, &places.tool, "0755")?;
    put_page(&tool, &places.page)?;
    places.depmod(&places.version)?;
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
    let modules = places.installed()?;
    let paths = modules.iter().map(|(_, path)| path).chain([&places.tool, &places.page]);
    for path in paths {
        if path.exists() {
            std::fs::remove_file(path).context(|| format!("cannot remove {}", path.display()))?;
            println!("removed {}", path.display());
            found = true;
        }
    }
    if !found {
        return Err(Error("nothing is installed there".into()));
    }
    for (version, _) in &modules {
        places.depmod(version)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_taken_out_of_every_kernel() {
        let root = std::env::temp_dir().join(format!("dm-remap-uninstall-{}", std::process::id()));
        let words = |more: &[&str]| {
            let all = ["--destdir", root.to_str().unwrap()]
                .into_iter()
                .chain(more.iter().copied())
                .map(|word| word.to_string());
            Args::new(all.collect())
        };
        let places = Places::parse(words(&[])).unwrap();
        assert!(places.installed().unwrap().is_empty());
        let all = ["6.1.0-56-amd64", "6.12.117+deb12-amd64"];
        for version in all {
            let path = places.module(version);
            mkdir(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        mkdir(&places.all_modules.join("7.3.4/updates")).unwrap();
        let found: Vec<String> =
            places.installed().unwrap().into_iter().map(|(version, _)| version).collect();
        assert_eq!(found, all);
        let headers = root.join("headers");
        mkdir(&headers.join("include/generated")).unwrap();
        let release = format!("#define UTS_RELEASE \"{}\"\n", all[0]);
        std::fs::write(headers.join("include/generated/utsrelease.h"), release).unwrap();
        let one = Places::parse(words(&["--headers", headers.to_str().unwrap()])).unwrap();
        assert_eq!(one.installed().unwrap().len(), 1);
        assert_eq!(uninstall(words(&[])).unwrap(), 0);
        assert!(places.installed().unwrap().is_empty());
        assert!(uninstall(words(&[])).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(Places::parse(Args::new(vec!["--sideways".into()])).is_err());
    }
}
