//! Where things are: the checkout, its build results, and the cache that outlives checkouts.

use std::path::PathBuf;

use crate::sh::{mkdir, Result};

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
    mkdir(&dir)?;
    Ok(dir)
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

/// A fresh directory beside `name` in the cache: filled first, then renamed to `name`, so that an
/// interrupted download or build never leaves half of one behind under its final name.
pub fn staging(name: &str) -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!(".{name}.{}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("cannot clear {}: {e}", dir.display()))?;
    }
    mkdir(&dir)?;
    Ok(dir)
}

/// Gives a staged directory its final name; keeps what another process put there meanwhile.
pub fn commit(staged: &std::path::Path, name: &str) -> Result<PathBuf> {
    let dir = cache_dir()?.join(name);
    match std::fs::rename(staged, &dir) {
        Ok(()) => Ok(dir),
        Err(_) if dir.exists() => {
            let _ = std::fs::remove_dir_all(staged);
            Ok(dir)
        }
        Err(e) => Err(format!("cannot rename {} to {}: {e}", staged.display(), dir.display()).into()),
    }
}
