//! Builds the kernel modules in `tests/vm/modules`, which scenarios load beside the one under test, and the programs in
//! `tests/vm/programs`, which they run.

use std::path::{Path, PathBuf};

use crate::kernel::Kernel;
use crate::paths;
use crate::sh::{cmd, mkdir, write_if_changed, Context, Result};
use crate::step::{output, Step};

/// Builds them for a kernel; the directory that all of them are in.
pub fn build(kernel: &Kernel) -> Result<PathBuf> {
    let _held = paths::build_lock()?;
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
    programs(&dir)?;
    Ok(dir)
}

/// Builds the programs. Each is one C file, linked statically: the guest need not find its libraries.
fn programs(dir: &Path) -> Result<()> {
    let source = paths::checkout().join("tests/vm/programs");
    for entry in std::fs::read_dir(&source).context(|| format!("cannot list {}", source.display()))? {
        let path = entry.context(|| "cannot list the test programs")?.path();
        let Some(stem) = path.file_stem().filter(|_| path.extension().is_some_and(|c| c == "c")) else {
            continue;
        };
        let mut gcc = cmd("gcc", ["-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-static", "-o"]);
        output(gcc.arg(dir.join(stem)).arg(&path))?;
    }
    Ok(())
}
