//! Builds the kernel modules in `tests/vm/modules`, which scenarios load beside the one under test.

use std::path::PathBuf;

use crate::kernels::Kernel;
use crate::paths;
use crate::sh::{mkdir, write_if_changed, Context, Result};
use crate::step::Step;

/// Builds them for a kernel; the directory that they are in.
pub fn build(kernel: &Kernel) -> Result<PathBuf> {
    let source = paths::checkout().join("tests/vm/modules");
    let dir = paths::build_dir()?.join(&kernel.version).join("test-modules");
    mkdir(&dir)?;
    for entry in std::fs::read_dir(&source).context(|| format!("cannot list {}", source.display()))? {
        let path = entry.context(|| "cannot list the test modules")?.path();
        let Some(name) = path.file_name() else { continue };
        let content = std::fs::read(&path).context(|| format!("cannot read {}", path.display()))?;
        write_if_changed(&dir.join(name), &content)?;
    }
    let what = format!("building the scenarios' own modules for {}", kernel.version);
    Step::new(&what).usually("10 s").shown().run(kernel.kbuild(&dir)?.arg("modules"))?;
    Ok(dir)
}
