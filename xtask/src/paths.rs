//! Where things are: the checkout, its build results, and the cache that outlives checkouts.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::lock::{self, Held};
use crate::sh::{mkdir, Context, Error, Result};

/// The root of this checkout.
pub fn checkout() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// Build results of this checkout, which `cargo clean` may remove.
pub fn build_dir() -> Result<PathBuf> {
    let dir = target_dir().join("dm-remap");
    mkdir_as_owner(&dir)?;
    Ok(dir)
}

/// The right to change build results, which every process needs that builds in this checkout.
pub fn build_lock() -> Result<Held> {
    lock::hold(&build_dir()?.join("lock"), "another process builds in this checkout; waiting for it")
}

/// Downloads and toolchain parts, shared by all checkouts of one user.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"),
    };
    let dir = base.join("dm-remap");
    mkdir(&dir)?;
    Ok(dir)
}

/// A directory in the cache that is being filled. It is gone unless it is committed: with this value, or when the process ends in
/// whatever way.
pub struct Staged {
    path: PathBuf,
    /// Waits for the end of its input, which is the end of this process, and then removes the directory.
    keeper: Option<Child>,
}

impl Deref for Staged {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl AsRef<OsStr> for Staged {
    fn as_ref(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

impl AsRef<Path> for Staged {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// What the keeper of a staged directory does. The keys that end a command reach it as well, and those that it started may write
/// for another moment.
const KEEPER: &str = "trap '' INT TERM HUP QUIT; read -r line; \
    for _ in 1 2 3 4 5; do rm -rf \"$1\" && [ ! -e \"$1\" ] && exit; sleep 1; done";

/// A fresh directory beside `name` in the cache: filled first, then renamed to `name`, so that an
/// interrupted download or build never leaves half of one behind, under its final name or another.
pub fn staging(name: &str) -> Result<Staged> {
    staging_in(&cache_dir()?, name)
}

fn staging_in(cache: &Path, name: &str) -> Result<Staged> {
    let path = cache.join(format!(".{name}.{}", std::process::id()));
    if path.exists() {
        std::fs::remove_dir_all(&path).map_err(|e| format!("cannot clear {}: {e}", path.display()))?;
    }
    mkdir(&path)?;
    let mut keeper = Command::new("sh");
    keeper
        .args(["-c", KEEPER, "keeper"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let keeper = keeper.spawn().map_err(|e| format!("cannot run sh: {e}"))?;
    Ok(Staged { path, keeper: Some(keeper) })
}

/// Gives a staged directory its final name; keeps what another process put there meanwhile.
pub fn commit(staged: &Staged, name: &str) -> Result<PathBuf> {
    let dir = cache_dir()?.join(name);
    match std::fs::rename(&staged.path, &dir) {
        Ok(()) => Ok(dir),
        Err(_) if dir.exists() => Ok(dir),
        Err(e) => Err(format!("cannot rename {} to {}: {e}", staged.display(), dir.display()).into()),
    }
}

/// Refuses a place in which Kbuild cannot work: make takes some characters for its own.
pub fn fit_for_kbuild() -> Result<()> {
    for (what, path) in [("this checkout builds", target_dir()), ("downloads are kept", cache_dir()?)] {
        if let Some(c) = unfit_character(&path) {
            return Err(Error(format!(
                "{what} in {}: the kernel's build does not work below a directory with {c:?} in its name; move it",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The first character of a path that make, or the shell that it runs, does not take as it is.
fn unfit_character(path: &Path) -> Option<char> {
    path.to_string_lossy().chars().find(|c| !c.is_alphanumeric() && !"/._+-,@=".contains(*c))
}

/// Makes a directory in the checkout that belongs to whom the checkout belongs to, under `sudo` too.
pub fn mkdir_as_owner(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        mkdir_as_owner(parent)?;
    }
    mkdir(path)?;
    give_to_owner(path)
}

/// Gives a file to the owner of the checkout, if this process may.
pub fn give_to_owner(path: &Path) -> Result<()> {
    let Ok(of) = std::fs::metadata(checkout()) else { return Ok(()) };
    let here = std::fs::metadata(path).context(|| format!("cannot look at {}", path.display()))?;
    if (here.uid(), here.gid()) != (of.uid(), of.gid()) && here.uid() == 0 {
        std::os::unix::fs::chown(path, Some(of.uid()), Some(of.gid()))
            .context(|| format!("cannot give {} to its owner", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_directory_is_gone_unless_it_is_committed() {
        let cache = std::env::temp_dir().join(format!("dm-remap-staged-{}", std::process::id()));
        let staged = staging_in(&cache, "thing").unwrap();
        let path = staged.path.clone();
        std::fs::write(path.join("half"), "x").unwrap();
        drop(staged);
        assert!(!path.exists());
        let staged = staging_in(&cache, "thing").unwrap();
        std::fs::write(staged.join("all"), "x").unwrap();
        std::fs::rename(&*staged, cache.join("thing")).unwrap();
        drop(staged);
        assert!(cache.join("thing/all").is_file());
        std::fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn a_staged_directory_is_gone_when_its_process_is_killed() {
        let path = std::env::temp_dir().join(format!("dm-remap-killed-{}", std::process::id()));
        mkdir(&path).unwrap();
        // A shell in place of a process of this program: what counts is that it ends with the keeper's input in its hand.
        let mut victim = Command::new("sh");
        let script = "sleep 1000 | sh -c \"$KEEPER\" keeper \"$0\"";
        victim.args(["-c", script]).arg(&path).env("KEEPER", KEEPER).stdout(Stdio::null());
        let mut victim = std::os::unix::process::CommandExt::process_group(&mut victim, 0).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(path.exists());
        // The whole group is told to end, as by the keyboard.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -INT -\"$1\" && kill -TERM -\"$1\"", "sh"]).arg(victim.id().to_string());
        let told = kill.status().unwrap();
        let _ = victim.kill();
        assert!(told.success());
        victim.wait().unwrap();
        let gone = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            !path.exists()
        });
        assert!(gone);
    }

    #[test]
    fn places_that_make_cannot_work_in_are_known() {
        for fit in ["/home/a_b-c/d.e+f/dm-remap", "/srv/\u{fc}ber/x"] {
            assert_eq!(unfit_character(Path::new(fit)), None, "{fit}");
        }
        for (unfit, c) in
            [("/a b", ' '), ("/a:b", ':'), ("/a$b", '$'), ("/a#b", '#'), ("/it's", '\''), ("/a%b", '%')]
        {
            assert_eq!(unfit_character(Path::new(unfit)), Some(c), "{unfit}");
        }
    }
}
