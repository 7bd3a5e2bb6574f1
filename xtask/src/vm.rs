//! Boots a kernel in QEMU with the host's files under an overlay, and runs one command there.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::debug_kernel;
use crate::host_clock;
use crate::initramfs;
use crate::kernel::Kernel;
use crate::paths;
use crate::sh::{cmd, mkdir, which, Context, Error, Result};

/// A guest to be.
#[derive(Clone, Debug)]
pub struct Vm {
    /// What it boots.
    pub kernel: Kernel,
    /// `dm_remap.ko` for that kernel, loaded before the command runs.
    pub module: Option<PathBuf>,
    /// `dmremap`, which the command finds as `$DMREMAP`.
    pub tool: Option<PathBuf>,
    /// What else the command finds in its environment.
    pub env: Vec<(&'static str, String)>,
    /// Raw images, writable, `/dev/vda` first.
    pub disks: Vec<PathBuf>,
    /// A directory of the host that the guest may write to, at `/mnt/share`.
    pub share: Option<PathBuf>,
    /// Memory of the guest.
    pub memory_mib: u32,
    /// Processors of the guest.
    pub cpus: u32,
    /// What kind of processors.
    pub cpu: String,
    /// How QEMU runs the guest's code.
    pub accel: String,
    /// More words for QEMU.
    pub qemu_args: Vec<String>,
    /// More words for the kernel's command line.
    pub append: String,
    /// After this long the guest is ended.
    pub timeout: Option<Duration>,
    /// Where its console goes; a file of its own below the build directory unless set.
    pub console: Option<PathBuf>,
}

/// How a guest's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The command ended with this status.
    Exited(i32),
    /// The time was over.
    TimedOut,
    /// The guest went away before the command ended: a panic, or it never came up.
    Crashed,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// Lines of the kernel log that no good run has.
    pub complaints: Vec<String>,
    /// The file with the guest's console.
    pub console: PathBuf,
    /// From the start of QEMU to the first output of the command, if there was any.
    pub first_output: Option<Duration>,
}

/// Exit status for a run that ended well but left complaints in the kernel log.
pub const STATUS_COMPLAINTS: i32 = 99;
/// Exit status for a run whose time was over, as `timeout` has it.
pub const STATUS_TIMED_OUT: i32 = 124;
/// Exit status for a guest that went away.
pub const STATUS_CRASHED: i32 = 125;

impl Outcome {
    /// The exit status for all of it.
    pub fn status(&self) -> i32 {
        match self.ended {
            Ended::Exited(0) if !self.complaints.is_empty() => STATUS_COMPLAINTS,
            Ended::Exited(status) => status,
            Ended::TimedOut => STATUS_TIMED_OUT,
            Ended::Crashed => STATUS_CRASHED,
        }
    }

    /// The last lines of the console.
    pub fn console_tail(&self, lines: usize) -> String {
        let bytes = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Numbers the runs of this process, for names of files.
static RUNS: AtomicU32 = AtomicU32::new(0);

impl Vm {
    /// A guest with the usual size and nothing attached.
    pub fn new(kernel: Kernel) -> Vm {
        Vm {
            kernel,
            module: None,
            tool: None,
            env: Vec::new(),
            disks: Vec::new(),
            share: None,
            memory_mib: 1024,
            cpus: 2,
            // QEMU carries `rep movsb` and `rep stosb` out byte by byte; without these two the kernel takes longer words.
            cpu: "max,-erms,-fsrm".into(),
            accel: "tcg,thread=multi".into(),
            qemu_args: Vec::new(),
            // The clock of all processors is one under QEMU, which 6.1 does not believe: it would ask a device for the time. And QEMU
            // translates code by its address: programs at random ones it would translate anew at each start, and keep it all.
            append: "tsc=reliable norandmaps".into(),
            timeout: None,
            console: None,
        }
    }

    /// Boots, runs a shell script as root in the checkout, and shuts down. Output goes to `sink` as it comes.
    pub fn run(&self, script: &str, sink: &mut dyn FnMut(&[u8])) -> Result<Outcome> {
        let dir = self.working_dir()?;
        let module = self.module.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let tool = self.tool.as_deref().map(Path::to_string_lossy).unwrap_or_default();
        let more: String = self.env.iter().map(|(name, value)| format!(" {name}={}", quote(value))).collect();
        let script = format!(
            "export DM_REMAP_KO={} DMREMAP={}{more}\ncd {} || exit 127\n{script}\n",
            quote(&module),
            quote(&tool),
            quote(&paths::checkout().to_string_lossy())
        );
        let job = initramfs::Job {
            kernel: &self.kernel,
            module: self.module.as_deref(),
            script: &script,
            share: self.share.is_some(),
            memory_mib: self.memory_mib,
        };
        std::fs::write(dir.join("initramfs"), initramfs::build(&job)?)
            .context(|| "cannot write the initramfs")?;
        let console = self.console.clone().unwrap_or_else(|| dir.join("console.log"));
        let mut qemu = self.qemu(&dir, &console)?;
        // Of a disk that is made to fail QEMU tells every error: said only when the guest did not end as it should.
        let told = dir.join("qemu.log");
        qemu.stderr(File::create(&told).context(|| format!("cannot make {}", told.display()))?);
        let started = Instant::now();
        let mut child = qemu.spawn().context(|| "cannot start QEMU")?;
        let mut first_output = None;
        let in_time = follow(&mut child, self.timeout, &mut |bytes| {
            first_output.get_or_insert_with(|| started.elapsed());
            sink(bytes);
        })?;
        let status = std::fs::read_to_string(dir.join("status")).unwrap_or_default();
        let ended = match (in_time, status.trim().parse()) {
            (_, Ok(status)) => Ended::Exited(status),
            (false, Err(_)) => Ended::TimedOut,
            (true, Err(_)) => Ended::Crashed,
        };
        if !matches!(ended, Ended::Exited(_)) {
            eprint!("{}", std::fs::read_to_string(&told).unwrap_or_default());
        }
        let _ = std::fs::remove_file(&told);
        let _ = std::fs::remove_file(dir.join("initramfs"));
        let complaints = complaints(&console);
        Ok(Outcome { ended, complaints, console, first_output })
    }

    fn working_dir(&self) -> Result<PathBuf> {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let dir = paths::build_dir()?.join("vm").join(format!("{}-{run}", std::process::id()));
        mkdir(&dir)?;
        Ok(dir)
    }

    /// What the guest is told about its clock. Where QEMU counts instructions, its counter is not the host's.
    fn clock(&self) -> String {
        let counts = self.qemu_args.iter().any(|word| word == "-icount");
        let word = if counts { None } else { host_clock::guest_word() };
        word.map(|word| format!(" {word}")).unwrap_or_default()
    }

    fn qemu(&self, dir: &Path, console: &Path) -> Result<Command> {
        let boot = self.kernel.boot.as_ref().ok_or("this kernel can't be booted here")?;
        let program = which("qemu-system-x86_64").ok_or("QEMU is missing: install qemu-system-x86")?;
        // If this process is killed, its guest goes with it.
        let mut qemu = cmd("setpriv", ["--pdeathsig", "KILL", "--"]);
        qemu.arg(program).args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.args(["-machine", "q35", "-cpu", &self.cpu]).arg("-accel").arg(&self.accel);
        qemu.arg("-smp")
            .arg(self.cpus.to_string())
            .arg("-m")
            .arg(format!("{}M", debug_kernel::memory_mib(&self.kernel, self.memory_mib)));
        qemu.arg("-kernel").arg(&boot.image).arg("-initrd").arg(dir.join("initramfs"));
        qemu.arg("-append").arg(format!(
            "console=ttyS0 loglevel=7 no_timer_check panic=-1 oops=panic audit=0 apparmor=0 selinux=0{} {}",
            self.clock(),
            self.append
        ));
        qemu.arg("-chardev").arg(option("file,id=console,path=", console));
        qemu.args(["-serial", "chardev:console", "-device", "virtio-serial-pci"]);
        qemu.args(["-chardev", "file,id=out,path=/dev/fd/1"]);
        qemu.args(["-device", "virtserialport,chardev=out,name=dm-remap.out"]);
        qemu.arg("-chardev").arg(option("file,id=status,path=", &dir.join("status")));
        qemu.args(["-device", "virtserialport,chardev=status,name=dm-remap.status"]);
        qemu.args(["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]);
        qemu.args(["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"]);
        if let Some(share) = &self.share {
            let share = share.canonicalize().context(|| format!("no directory {}", share.display()))?;
            qemu.arg("-fsdev")
                .arg(option("local,id=share,security_model=none,multidevs=remap,path=", &share));
            qemu.args(["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]);
        }
        for (index, disk) in self.disks.iter().enumerate() {
            let disk = disk.canonicalize().context(|| format!("no disk image {}", disk.display()))?;
            let drive = format!("if=none,id=disk{index},format=raw,cache=writeback,discard=unmap,file=");
            qemu.arg("-drive").arg(option(&drive, &disk));
            qemu.arg("-device").arg(format!("virtio-blk-pci,drive=disk{index},serial=disk{index}"));
        }
        qemu.args(&self.qemu_args).stdout(Stdio::piped());
        Ok(qemu)
    }
}

/// A QEMU option that ends in a path, in which commas are doubled.
fn option(start: &str, path: &Path) -> OsString {
    OsString::from(format!("{start}{}", path.to_string_lossy().replace(',', ",,")))
}

/// A word as the shell reads it back.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Passes a child's output on until it ends or the time is over; false in the latter case.
fn follow(child: &mut Child, timeout: Option<Duration>, sink: &mut dyn FnMut(&[u8])) -> Result<bool> {
    let deadline = timeout.map(|time| Instant::now() + time);
    let mut pipe = child.stdout.take().ok_or("QEMU has no output")?;
    let (send, receive) = mpsc::channel::<Vec<u8>>();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0u8; 65536];
        while let Ok(count) = pipe.read(&mut buffer) {
            if count == 0 || send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut in_time = true;
    loop {
        match receive.recv_timeout(Duration::from_millis(200)) {
            Ok(bytes) => sink(&bytes),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if in_time && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            in_time = false;
            let _ = child.kill();
        }
    }
    let _ = reader.join();
    child.wait().context(|| "cannot wait for QEMU")?;
    Ok(in_time)
}

/// Words in a kernel log that no good run has.
const COMPLAINTS: [&str; 20] = [
    "WARNING:",
    "BUG:",
    "BUG ",
    "kernel BUG",
    "Oops",
    "Kernel panic",
    "general protection fault",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "alignment inconsistency",
    "self-detected stall",
    "UBSAN",
    "suspected memory leaks",
    "non-static key",
    "locking correctness validator",
    "ODEBUG: Out of memory",
];

/// The lines of a console log that hold one of those.
fn complaints(console: &Path) -> Vec<String> {
    let bytes = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines()
        .filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)))
        .map(|line| line.trim_end().to_string())
        .collect()
}

/// What to say about an outcome that is not simply an exit status.
pub fn explain(outcome: &Outcome) -> Result<()> {
    match outcome.ended {
        Ended::Exited(_) => Ok(()),
        Ended::TimedOut => Err(Error("the time for this guest is over".into())),
        Ended::Crashed => Err(Error(format!(
            "the guest went away before the command ended; the end of {}:\n{}",
            outcome.console.display(),
            outcome.console_tail(40)
        ))),
    }
}
