//! How Rust must be compiled so that its code is like the rest of a kernel: the memory model of
//! modules, and each mitigation that the kernel's C code was compiled with.

use std::path::Path;

use crate::kconfig::Config;
use crate::kernel::Kernel;
use crate::sh::{cmd, Error, Result};
use crate::step::output;
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

/// No jump tables: a stable option, and what it was called before.
const NO_JUMP_TABLES: [&str; 2] = ["-Cjump-tables=n", "-Zno-jump-tables"];

/// Indirect calls and jumps through the kernel's own thunks: an option, and the target features that were there before it. Features
/// stand last: a compiler takes any name for one and only warns.
const RETPOLINE: [&str; 2] = [
    "-Zretpoline-external-thunk",
    "-Ctarget-feature=+retpoline-indirect-branches,+retpoline-indirect-calls,+retpoline-external-thunk",
];

/// Room in those calls: the kernel puts `lfence` and the call itself there on processors that want it so. Where it does not fit, the
/// kernel keeps the thunk.
const CS_PREFIX: &str = "-Zindirect-branch-cs-prefix";

/// As the kernel has its C instrumented: inline, stack included. Globals would need constructors, which the module's linker script drops.
const KASAN: [&str; 7] = [
    "-Zsanitizer=kernel-address",
    "-Zsanitizer-recover=kernel-address",
    // Where x86-64 has the shadow.
    "-Cllvm-args=-asan-mapping-offset=0xdffffc0000000000",
    "-Cllvm-args=-asan-instrumentation-with-call-threshold=10000",
    "-Cllvm-args=-asan-stack=1",
    "-Cllvm-args=-asan-globals=0",
    "-Cllvm-args=-asan-kernel-mem-intrinsic-prefix=1",
];

/// What the compiler printed, without the warnings that come of those target features: it passes them on, as is wanted.
pub fn without_expected(printed: &str) -> String {
    let expected = |paragraph: &str| {
        let first = paragraph.lines().next().unwrap_or_default();
        let feature =
            first.strip_prefix("warning: unknown and unstable feature specified for `-Ctarget-feature`: `");
        feature.is_some_and(|name| name.starts_with("retpoline-"))
            || first.starts_with("warning: ") && first.ends_with(" emitted")
    };
    let paragraphs = printed.split("\n\n").map(str::trim_end);
    let mut rest = String::new();
    for paragraph in paragraphs.filter(|paragraph| !paragraph.is_empty() && !expected(paragraph)) {
        rest.push_str(paragraph);
        rest.push_str("\n\n");
    }
    rest
}

/// All code generation flags for a kernel. Which names the compiler has for them it is asked itself.
pub fn for_kernel(config: &Config, rustc: &Rustc) -> Result<Vec<String>> {
    let mut flags: Vec<String> = ALWAYS.iter().map(|flag| flag.to_string()).collect();
    let mut add = |flag: &str| flags.push(flag.to_string());
    if config.any(&["CONFIG_X86_KERNEL_IBT"]) {
        add("-Zcf-protection=branch");
    }
    if config.any(&["CONFIG_X86_KERNEL_IBT", "CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"]) {
        // A jump table is an indirect jump, which neither objtool under IBT nor a retpoline likes.
        add(rustc.first_known(&NO_JUMP_TABLES)?);
    }
    if config.any(&["CONFIG_RETHUNK", "CONFIG_MITIGATION_RETHUNK"]) {
        add("-Zfunction-return=thunk-extern");
    }
    if config.any(&["CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"]) {
        add(rustc.first_known(&RETPOLINE)?);
        if rustc.knows(CS_PREFIX) {
            add(CS_PREFIX);
        }
    }
    if let Some(padding) = config.value("CONFIG_FUNCTION_PADDING_BYTES").filter(|bytes| *bytes != "0") {
        if config.any(&["CONFIG_CALL_PADDING"]) {
            add(&format!("-Zpatchable-function-entry={padding},{padding}"));
        }
    }
    if config.any(&["CONFIG_KASAN_GENERIC"]) {
        KASAN.iter().for_each(|flag| add(flag));
    }
    if config.any(&["CONFIG_FRAME_POINTER"]) {
        add("-Cforce-frame-pointers=y");
    }
    Ok(flags)
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

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_warnings_of_target_features_are_left_out() {
        let feature = |name| {
            format!(
                "warning: unknown and unstable feature specified for `-Ctarget-feature`: `{name}`\n  |\n  = note: it\n\n"
            )
        };
        let other = "warning: constant `A` is never used\n --> a.rs:1:1\n\n";
        let count = "warning: 3 warnings emitted\n\n";
        let printed = format!("{}{other}{}{count}", feature("retpoline-external-thunk"), feature("avx"));
        assert_eq!(super::without_expected(&printed), format!("{other}{}", feature("avx")));
        assert_eq!(super::without_expected(""), "");
    }
}
