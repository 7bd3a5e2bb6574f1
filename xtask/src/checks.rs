//! What must hold of a built module, looked up in its symbols and sections.

use std::collections::HashSet;
use std::path::Path;

use crate::finding::Finding;
use crate::kernel::Kernel;
use crate::paths;
use crate::sh::{cmd, read, Error, Result};
use crate::stack;
use crate::step::output;

/// The machine code may not outgrow this: it is meant to be read, and to stay in the instruction cache.
const TEXT_BYTES_MAX: u64 = 256 * 1024;

/// The symbol that only the panic handler refers to.
const PANIC_SYMBOL: &str = "dm_remap_must_not_panic";

/// Fails if a panic can be reached: the panic handler is then still there after unused code was dropped.
pub fn no_panic(object: &Path) -> Result<()> {
    let relocations = output(cmd("readelf", ["-rW"]).arg(object))?.out;
    let wanted: HashSet<&str> =
        relocations.lines().filter_map(|line| line.split_whitespace().nth(4)).collect();
    let undefined = output(cmd("nm", ["-u"]).arg(object))?.out;
    let mut strip = cmd("objcopy", [""; 0]);
    // The linker keeps the names of what dropped code referred to, and modpost would look for them.
    for name in undefined.lines().filter_map(|line| line.split_whitespace().nth(1)) {
        if !wanted.contains(name) {
            strip.arg(format!("--strip-symbol={name}"));
        }
    }
    output(strip.arg(object))?;
    if !wanted.contains(PANIC_SYMBOL) {
        return Ok(());
    }
    let disassembly = output(cmd("objdump", ["-dr", "-C", "--no-show-raw-insn"]).arg(object))?.out;
    Err(Error(format!(
        "code that can panic is reachable in the module; these functions call it:\n{}",
        panic_callers(&disassembly).join("\n")
    )))
}

/// The functions in a disassembly that refer to anything of `core::panicking` or its like.
fn panic_callers(disassembly: &str) -> Vec<String> {
    let mut function = "";
    let mut callers = Vec::new();
    for line in disassembly.lines() {
        if let Some(name) =
            line.strip_suffix(">:").and_then(|line| line.split_once('<')).map(|(_, name)| name)
        {
            function = name;
        } else if line.contains("R_X86_64_")
            && ["panic", "_fail", "unwrap_failed"].iter().any(|word| line.contains(word))
        {
            let target = line.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
            if !function.contains("panic") {
                callers.push(format!("  {function} -> {target}"));
            }
        }
    }
    callers.dedup();
    callers
}

/// Checks a finished module and what its build printed.
pub fn module(dir: &Path, kernel: &Kernel, printed: &str) -> Result<Vec<Finding>> {
    let ko = dir.join("dm_remap.ko");
    let mut findings =
        vec![Finding { name: "no panic is reachable", seen: format!("{PANIC_SYMBOL} is gone") }];
    findings.push(quiet(printed)?);
    findings.push(imports(&ko, &kernel.headers)?);
    findings.push(exports(&ko)?);
    if kernel.config()?.any(&["CONFIG_KASAN"]) {
        // Its checks in front of every access take several times what the code itself does.
        findings.push(instrumented(dir)?);
    } else {
        findings.push(text_size(&ko)?);
        findings.push(stack::check(&ko, &read(&paths::checkout().join("kernel/stack.calls"))?)?);
    }
    findings.push(Finding { name: "gcc and bindgen agree on layouts", seen: "layout.h compiled".into() });
    Ok(findings)
}

fn quiet(printed: &str) -> Result<Finding> {
    // BTF of modules is left out, with this one line, where the kernel's own is not at hand.
    let rest: Vec<&str> = printed
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("Skipping BTF generation"))
        .collect();
    if rest.is_empty() {
        return Ok(Finding {
            name: "the build is quiet",
            seen: "no warning from gcc, modpost, objtool".into(),
        });
    }
    Err(Error(format!("the build printed warnings:\n{}", rest.join("\n"))))
}

fn imports(ko: &Path, headers: &Path) -> Result<Finding> {
    let symvers = read(&headers.join("Module.symvers"))?;
    let exported: HashSet<&str> = symvers.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    let undefined = output(cmd("nm", ["-u"]).arg(ko))?.out;
    let wanted: Vec<&str> = undefined.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let unresolved: Vec<&str> = wanted.iter().copied().filter(|name| !exported.contains(name)).collect();
    if unresolved.is_empty() {
        return Ok(Finding { name: "imports resolve", seen: format!("{} symbols", wanted.len()) });
    }
    Err(Error(format!("no kernel exports what the module imports: {}", unresolved.join(" "))))
}

fn exports(ko: &Path) -> Result<Finding> {
    let sections = output(cmd("readelf", ["-SW"]).arg(ko))?.out;
    if sections.contains("__ksymtab") {
        return Err(Error("the module exports symbols (__ksymtab is there)".into()));
    }
    Ok(Finding { name: "nothing is exported", seen: "no __ksymtab".into() })
}

/// Whether the Rust object asks KASAN as the kernel's C does, core included.
fn instrumented(dir: &Path) -> Result<Finding> {
    let called = output(cmd("nm", ["-u"]).arg(dir.join("rust_core.o")))?.out;
    let reports = called.lines().filter(|line| line.contains("__asan_report_")).count();
    if reports == 0 {
        return Err(Error("the kernel has KASAN, and the Rust object asks it nothing".into()));
    }
    Ok(Finding {
        name: "Rust is instrumented for KASAN",
        seen: format!("{reports} kinds of report are called"),
    })
}

fn text_size(ko: &Path) -> Result<Finding> {
    let sizes = output(cmd("size", ["-A", "-d"]).arg(ko))?.out;
    let bytes: u64 = sizes
        .lines()
        .filter(|line| line.contains(".text"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    if bytes > TEXT_BYTES_MAX {
        return Err(Error(format!(".text is {bytes} bytes, more than {TEXT_BYTES_MAX}")));
    }
    Ok(Finding { name: "size budget", seen: format!(".text is {bytes} of {TEXT_BYTES_MAX} bytes") })
}
