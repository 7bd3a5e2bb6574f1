//! What a kernel's headers offer, found out by compiling small programs. A version number would not tell, since distributions carry
//! changes of the interface back into old kernels.

use std::path::{Path, PathBuf};

use crate::kernel::Kernel;
use crate::sh::{mkdir, read, write_if_changed, Context, Error, Result};
use crate::step::Step;

/// How a line of a probe begins that says which error of the compiler means "no". Any other is a failure of the probe.
const OTHERWISE: &str = "/* Otherwise: ";

/// Compiles all probes in a directory; the definitions for those features that are there.
pub fn probe_all(kernel: &Kernel, probes: &Path, build_dir: &Path) -> Result<Vec<String>> {
    let here = || format!("cannot list {}", probes.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(probes).context(here)? {
        paths.push(entry.context(here)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    paths.sort();
    let dir = build_dir.join("probes");
    mkdir(&dir)?;
    let mut defines = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if probe(kernel, &dir, &path, &stem)? {
            defines.push(format!("-DDM_REMAP_{}", stem.to_uppercase()));
        }
    }
    Ok(defines)
}

/// Whether the kernel has one feature; the answer is kept as long as neither the probe nor the headers change.
fn probe(kernel: &Kernel, dir: &Path, path: &Path, stem: &str) -> Result<bool> {
    let content = read(path)?;
    let answer = dir.join(format!("{stem}.answer"));
    let key = format!("{}\n{content}", kernel.headers.display());
    if let Some((kept, yes)) =
        std::fs::read_to_string(&answer).ok().as_deref().and_then(|text| text.rsplit_once('\n'))
    {
        if kept == key {
            return Ok(yes == "y");
        }
    }
    write_if_changed(&dir.join(format!("{stem}.c")), content.as_bytes())?;
    write_if_changed(&dir.join("Kbuild"), b"ccflags-y += -Werror\n")?;
    let mut make = kernel.kbuild(dir)?;
    let what = format!("probing {stem}");
    let step = Step::new(&what);
    let (printed, status) = step.capture(make.arg(format!("{stem}.o")))?;
    let yes = answer_of(&content, status.success(), &printed.err).map_err(|e| {
        let log: PathBuf = dir.join(format!("{stem}.log"));
        // The log only adds to a message that says what is wrong.
        let _ = std::fs::write(&log, &printed.err);
        Error(format!("kernel/probes/{stem}.c: {e}; see {}", log.display()))
    })?;
    std::fs::write(&answer, format!("{key}\n{}", if yes { 'y' } else { 'n' }))
        .context(|| format!("cannot write {}", answer.display()))?;
    Ok(yes)
}

/// What the run of a compiler says of a feature. Only the error that the probe names means that it is not there.
fn answer_of(probe: &str, compiles: bool, said: &str) -> Result<bool> {
    let line = probe.lines().find_map(|line| line.strip_prefix(OTHERWISE)?.strip_suffix(" */"));
    let expected = line.ok_or("no line says which error means that the feature is not there")?;
    if compiles {
        return Ok(true);
    }
    let mut errors = said.lines().filter(|line| line.contains(" error: ")).peekable();
    if errors.peek().is_none() {
        return Err("it does not compile, and the compiler names no error".into());
    }
    match errors.find(|line| !line.contains(expected)) {
        Some(other) => {
            Err(Error(format!("the answer is not known, since it fails for another reason: {other}")))
        }
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    const PROBE: &str = "/* Otherwise: has no member named 'fresh' */\nint x;\n";

    #[test]
    fn only_the_expected_error_means_no() {
        assert!(answer_of(PROBE, true, "").unwrap());
        let expected = "x.c:3:4: error: 'struct a' has no member named 'fresh'";
        assert!(!answer_of(PROBE, false, expected).unwrap());
        let warning = "x.c:2:1: error: no previous prototype for 'f' [-Werror=missing-prototypes]";
        let said = answer_of(PROBE, false, warning).unwrap_err().0;
        assert!(said.contains("no previous prototype"), "{said}");
        assert!(answer_of(PROBE, false, &format!("{expected}\n{warning}")).is_err());
        assert!(answer_of(PROBE, false, "make: gcc-99: No such file or directory").is_err());
        assert!(answer_of("int x;\n", true, "").is_err());
    }

    #[test]
    fn every_probe_names_its_error() {
        let entries = std::fs::read_dir(paths::checkout().join("kernel/probes")).unwrap();
        let probes = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "c"));
        let texts: Vec<String> = probes.map(|path| read(&path).unwrap()).collect();
        assert!(!texts.is_empty());
        for text in texts {
            assert!(answer_of(&text, true, "").unwrap(), "{text}");
        }
    }
}
