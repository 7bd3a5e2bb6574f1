//! The small archive that a guest boots from: busybox, the modules that lead to the host's root, and the command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::kernel::Kernel;
use crate::sh::{cmd, read, which, Context, Error, Result};

/// Modules that the guest needs before it can see the host's files, and those the target stands on.
const MODULES: [&str; 8] =
    ["virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p", "overlay", "dm_mod", "configfs"];

/// Programs that scenarios start again and again. The guest copies them to its memory when it boots, with what they load:
/// otherwise each start asks the host for a dozen files.
const PROGRAMS: [&str; 32] = [
    "awk",
    "blkdiscard",
    "blockdev",
    "cat",
    "cmp",
    "cp",
    "cut",
    "dd",
    "dmesg",
    "dmsetup",
    "fallocate",
    "grep",
    "head",
    "losetup",
    "lsblk",
    "md5sum",
    "mkdir",
    "mktemp",
    "modprobe",
    "od",
    "rm",
    "sed",
    "seq",
    "sh",
    "sleep",
    "sort",
    "stat",
    "tail",
    "timeout",
    "tr",
    "truncate",
    "xargs",
];

/// A smaller guest is about memory that is short: what is copied would be swapped out with the rest.
const PROGRAMS_MEMORY_MIB: u32 = 1024;

/// What the C library reads for each of them besides libraries.
const READ_BY_ALL: [&str; 3] =
    ["/etc/ld.so.cache", "/usr/lib/locale/C.utf8", "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache"];

/// An archive in the format that the kernel unpacks (cpio, "newc").
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        while self.bytes.len() % 4 != 0 {
            self.bytes.push(0);
        }
    }

    fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | mode, (0, 0), content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

/// What the guest is to do once it is up.
pub struct Job<'a> {
    /// The kernel it runs on.
    pub kernel: &'a Kernel,
    /// The module to load, if any.
    pub module: Option<&'a Path>,
    /// A shell script; its exit status is the guest's.
    pub script: &'a str,
    /// Whether a directory is shared for results.
    pub share: bool,
    /// Memory of the guest.
    pub memory_mib: u32,
}

/// Builds the archive.
pub fn build(job: &Job<'_>) -> Result<Vec<u8>> {
    let boot = job.kernel.boot.as_ref().ok_or("this kernel can't be booted")?;
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys", "lower", "upper", "newroot", "modules"] {
        archive.directory(name);
    }
    archive.entry("dev/console", 0o020_600, (5, 1), &[]);
    let busybox = which("busybox").ok_or("busybox is missing: install busybox-static")?;
    archive.file("bin/busybox", 0o755, &std::fs::read(busybox).context(|| "cannot read busybox")?);
    let mut order = String::new();
    for path in closure(&boot.modules, &MODULES)? {
        let name = stem(&path).to_string();
        archive.file(&format!("modules/{name}.ko"), 0o644, &module_bytes(&boot.modules.join(&path))?);
        order.push_str(&format!("{name}.ko\n"));
    }
    if let Some(module) = job.module {
        archive.file(
            "modules/dm_remap.ko",
            0o644,
            &std::fs::read(module).context(|| "cannot read the module")?,
        );
        order.push_str("dm_remap.ko\n");
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    archive.file("script", 0o755, job.script.as_bytes());
    let settings = format!(
        "version='{}'\nmodules='{}'\nshare={}\n",
        job.kernel.version,
        boot.modules.display(),
        u8::from(job.share)
    );
    let programs = if job.memory_mib >= PROGRAMS_MEMORY_MIB { programs() } else { String::new() };
    archive.file("programs", 0o644, programs.as_bytes());
    archive.file("settings", 0o644, settings.as_bytes());
    archive.file("init", 0o755, include_bytes!("guest-init.sh"));
    Ok(archive.finish())
}

/// The files of those programs that are there, below the root, one a line.
fn programs() -> String {
    let found = PROGRAMS.iter().filter_map(|name| which(name));
    let mut files: Vec<PathBuf> = READ_BY_ALL.iter().map(PathBuf::from).collect();
    for program in found {
        // Of what is linked statically it says nothing.
        let told = cmd("ldd", [&program]).output().map(|told| told.stdout).unwrap_or_default();
        let told = String::from_utf8_lossy(&told).into_owned();
        files.extend(told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        files.push(program);
    }
    let files = files.iter().filter_map(|path| path.canonicalize().ok());
    let lines: BTreeSet<String> =
        files.map(|path| format!("{}\n", path.to_string_lossy().trim_start_matches('/'))).collect();
    lines.into_iter().collect()
}

/// A module's name as the kernel says it, from the path of its file.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// The modules and all they depend on, in loading order; those built into the kernel are left out.
fn closure(dir: &Path, names: &[&str]) -> Result<Vec<String>> {
    let dep = read(&dir.join("modules.dep"))?;
    let builtin = read(&dir.join("modules.builtin"))?;
    let mut order: Vec<String> = Vec::new();
    for name in names {
        let Some((path, needs)) =
            dep.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| stem(path) == *name)
        else {
            if builtin.lines().any(|path| stem(path) == *name) {
                continue;
            }
            return Err(Error(format!("kernel has no module {name}")));
        };
        // modules.dep lists what is needed with the deepest last.
        for path in needs.split_whitespace().rev().chain([path]) {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_string());
            }
        }
    }
    Ok(order)
}

fn module_bytes(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let unpacked = cmd("xz", ["-dc"]).arg(path).output().context(|| "cannot run xz")?;
        return Ok(unpacked.stdout);
    }
    std::fs::read(path).context(|| format!("cannot read {}", path.display()))
}
