//! Whether the module can be built here, and if not, the first thing that is missing.

use crate::kbuild;
use crate::kconfig::Config;
use crate::kernel::Kernel;
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

/// What a kernel may be built with that this build does not follow, by the names that its options have had, and why that cannot work.
const REFUSED: [(&[&str], &str); 4] = [
    (
        &["CONFIG_CFI_CLANG", "CONFIG_CFI", "CONFIG_FINEIBT"],
        "the kernel checks the types of functions that it calls (kCFI, FineIBT), which Rust's are not marked with here",
    ),
    (&["CONFIG_LTO_CLANG"], "the kernel is built with clang's LTO, which this build does not follow"),
    (
        &["CONFIG_RANDSTRUCT", "CONFIG_RANDSTRUCT_FULL", "CONFIG_RANDSTRUCT_PERFORMANCE", "CONFIG_GCC_PLUGIN_RANDSTRUCT"],
        "the kernel has the fields of its structures in a random order (RANDSTRUCT), which bindgen cannot see",
    ),
    (&["CONFIG_TINY_SRCU"], "the kernel is for one processor and has no SRCU for more (TINY_SRCU), which the target stands on"),
];

/// Why there can be no module for a kernel with that configuration, in one line; nothing if there can.
pub fn refused(config: &Config) -> Option<String> {
    if !config.any(&["CONFIG_X86_64"]) {
        return Some("only x86-64 kernels are supported".into());
    }
    if !config.any(&["CONFIG_MODULES"]) || config.value("CONFIG_BLK_DEV_DM").is_none() {
        return Some("the kernel has no modules, or no device-mapper".into());
    }
    REFUSED.iter().find(|(names, _)| config.any(names)).map(|(_, why)| why.to_string())
}

/// What is missing, in one line; nothing if the module can be built.
pub fn missing(kernel: &Kernel) -> Option<String> {
    if !kernel.headers.join("Module.symvers").is_file() {
        return Some(format!("no kernel headers in {}", kernel.headers.display()));
    }
    let config = match kernel.config() {
        Ok(config) => config,
        Err(e) => return Some(e.0),
    };
    if let Some(refusal) = refused(&config) {
        return Some(refusal);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_the_build_does_not_follow_are_refused_in_one_line() {
        let plain = "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_BLK_DEV_DM=m\nCONFIG_RANDSTRUCT_NONE=y\nCONFIG_MTD_CFI=m\n\
            CONFIG_TREE_SRCU=y\nCONFIG_ARCH_SUPPORTS_CFI_CLANG=y\nCONFIG_FUNCTION_PADDING_CFI=11\n";
        let with = |more: &str| refused(&Config::new(format!("{plain}{more}")));
        assert_eq!(with(""), None);
        for (option, word) in [
            ("CFI_CLANG", "kCFI"),
            ("CFI", "kCFI"),
            ("FINEIBT", "FineIBT"),
            ("LTO_CLANG", "LTO"),
            ("RANDSTRUCT", "RANDSTRUCT"),
            ("RANDSTRUCT_FULL", "RANDSTRUCT"),
            ("GCC_PLUGIN_RANDSTRUCT", "RANDSTRUCT"),
            ("TINY_SRCU", "TINY_SRCU"),
        ] {
            let said = with(&format!("CONFIG_{option}=y\n")).unwrap_or_default();
            assert!(said.contains(word) && said.lines().count() == 1, "{option}: {said}");
        }
        assert!(refused(&Config::new("CONFIG_MODULES=y\n".into())).is_some());
    }
}
