//! How Rust must be compiled so that its code is like the rest of a kernel: the memory model of
//! modules, and each mitigation that the kernel's C code was compiled with.

use std::path::Path;

use crate::kernels::{Config, Kernel};
use crate::sh::{cmd, output, Error, Result};
use crate::toolchain::Rustc;

/// Flags that hold for every x86-64 kernel.
const ALWAYS: [&str; 12] = [
    "-Cpanic=abort",
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    // Without this, calls to memcpy go through a table that the module loader refuses.
    "-Crelro-level=off",
    "-Cno-redzone=y",
    "-Cforce-unwind-tables=n",
    "-Ccodegen-units=1",
    "-Cembed-bitcode=n",
    "-Copt-level=2",
    "-Cdebug-assertions=n",
    "-Csymbol-mangling-version=v0",
    "-Zfunction-sections=y",
];

/// From this minor version on, the retpoline options are flags of their own instead of target features.
const RETPOLINE_FLAG_MINOR: u32 = 95;

/// All code generation flags for a kernel.
pub fn for_kernel(config: &Config, rustc: &Rustc) -> Vec<String> {
    let mut flags: Vec<String> = ALWAYS.iter().map(|flag| flag.to_string()).collect();
    let mut add = |flag: &str| flags.push(flag.to_string());
    if config.any(&["CONFIG_X86_KERNEL_IBT"]) {
        add("-Zcf-protection=branch");
    }
    if config.any(&["CONFIG_X86_KERNEL_IBT", "CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"]) {
        // A jump table is an indirect jump, which neither objtool under IBT nor a retpoline likes.
        add("-Cjump-tables=n");
    }
    if config.any(&["CONFIG_RETHUNK", "CONFIG_MITIGATION_RETHUNK"]) {
        add("-Zfunction-return=thunk-extern");
    }
    if config.any(&["CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"]) {
        if rustc.minor >= RETPOLINE_FLAG_MINOR {
            add("-Zretpoline-external-thunk");
            add("-Zindirect-branch-cs-prefix");
        } else {
            add("-Ctarget-feature=+retpoline-indirect-branches,+retpoline-indirect-calls,+retpoline-external-thunk");
        }
    }
    if let Some(padding) = config.value("CONFIG_FUNCTION_PADDING_BYTES").filter(|bytes| *bytes != "0") {
        if config.any(&["CONFIG_CALL_PADDING"]) {
            add(&format!("-Zpatchable-function-entry={padding},{padding}"));
        }
    }
    flags
}

/// Runs objtool over the Rust object where Kbuild does not: a kernel without IBT runs it when it
/// compiles, which for a prebuilt object never happens. With IBT it runs on the linked module.
pub fn objtool(kernel: &Kernel, config: &Config, object: &Path) -> Result<()> {
    if config.any(&["CONFIG_X86_KERNEL_IBT"]) {
        return Ok(());
    }
    let program = kernel.headers.join("tools/objtool/objtool");
    let mut objtool = cmd(program, ["--hacks=jump_label", "--hacks=noinstr", "--static-call", "--uaccess"]);
    let optional: [(&str, &[&str]); 4] = [
        ("--orc", &["CONFIG_UNWINDER_ORC"]),
        ("--retpoline", &["CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"]),
        ("--rethunk", &["CONFIG_RETHUNK", "CONFIG_MITIGATION_RETHUNK"]),
        ("--sls", &["CONFIG_SLS", "CONFIG_MITIGATION_SLS"]),
    ];
    for (flag, names) in optional {
        if config.any(names) {
            objtool.arg(flag);
        }
    }
    let printed = output(objtool.args(["--link", "--module"]).arg(object))?;
    let text = printed.out + &printed.err;
    if text.trim().is_empty() {
        return Ok(());
    }
    Err(Error(format!("objtool warns about the Rust object:\n{text}")))
}
