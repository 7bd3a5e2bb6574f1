//! Builds `dmremap`, the tool.

use std::path::PathBuf;

use crate::paths;
use crate::sh::{cmd, Result};
use crate::step::Step;

/// Where a build leaves it.
pub fn path() -> PathBuf {
    paths::target_dir().join("release/dmremap")
}

/// Builds it; where it is.
pub fn build() -> Result<PathBuf> {
    let mut cargo = cmd("cargo", ["build", "--release", "--quiet", "--package", "dmremap"]);
    let step = Step::new("building dmremap").usually("1 minute the first time").shown();
    step.run(cargo.current_dir(paths::checkout()))?;
    Ok(path())
}
