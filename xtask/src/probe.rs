//! Whether the module can be built here, and if not, the first thing that is missing.

use crate::kbuild;
use crate::kernels::Kernel;
use crate::sh::which;
use crate::toolchain::{self, Rustc};

/// Programs that a build runs, and the Debian packages they come from.
const PROGRAMS: [(&str, &str); 5] = [
    ("make", "make"),
    ("ld", "binutils"),
    ("objcopy", "binutils"),
    ("readelf", "binutils"),
    ("cargo", "cargo 1.85 or newer"),
];

/// What is missing, in one line; nothing if the module can be built.
pub fn missing(kernel: &Kernel) -> Option<String> {
    if !kernel.headers.join("Module.symvers").is_file() {
        return Some(format!("no kernel headers in {}", kernel.headers.display()));
    }
    let config = match kernel.config() {
        Ok(config) => config,
        Err(e) => return Some(e.0),
    };
    if !config.any(&["CONFIG_X86_64"]) {
        return Some("only x86-64 kernels are supported".into());
    }
    if !config.any(&["CONFIG_MODULES"]) || config.value("CONFIG_BLK_DEV_DM").is_none() {
        return Some("the kernel has no modules, or no device-mapper".into());
    }
    if config.any(&["CONFIG_CFI_CLANG", "CONFIG_CFI", "CONFIG_LTO_CLANG"]) {
        return Some("the kernel is built with clang's CFI or LTO, which this build does not follow".into());
    }
    for (program, package) in PROGRAMS {
        if which(program).is_none() {
            return Some(format!("{program} is missing: install {package}"));
        }
    }
    if let Err(e) = kernel.compiler().and_then(|_| kbuild::programs_run(&kernel.headers)) {
        return Some(e.0);
    }
    if config.any(&["CONFIG_DEBUG_INFO_BTF_MODULES"])
        && kernel.headers.join("vmlinux").is_file()
        && which("pahole").is_none()
    {
        return Some("pahole, which makes type information for modules, is missing: install pahole".into());
    }
    toolchain::libclang().err().or(Rustc::find().err()).map(|e| e.0)
}
