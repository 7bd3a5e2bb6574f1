//! Locks between processes, each a file that exactly one of them holds.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::sh::{cmd, Context, Error, Result};

/// A lock that is held. It is let go of when this is dropped, or when the process ends, however it ends.
#[derive(Debug)]
pub struct Held {
    holder: Child,
}

/// What the program that holds the lock does: it says so, and ends when its input does.
const HOLDER: &str = "echo held; read -r _";

/// Takes the lock `path`; says `busy` first if another process has it.
pub fn hold(path: &Path, busy: &str) -> Result<Held> {
    if let Some(held) = attempt(path, true)? {
        return Ok(held);
    }
    eprintln!("{busy}");
    attempt(path, false)?.ok_or_else(|| Error(format!("cannot lock {}", path.display())))
}

/// Takes the lock, or `None` if another process has it and none is to wait.
fn attempt(path: &Path, at_once: bool) -> Result<Option<Held>> {
    let mut flock = cmd("flock", [""; 0]);
    if at_once {
        flock.arg("--nonblock");
    }
    flock.arg(path).args(["sh", "-c", HOLDER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = flock.spawn().context(|| "cannot run flock (of util-linux)")?;
    let mut said = String::new();
    let told = holder.stdout.take().map(|out| BufReader::new(out).read_line(&mut said));
    if matches!(told, Some(Ok(_))) && said.trim() == "held" {
        return Ok(Some(Held { holder }));
    }
    let ended = holder.wait().context(|| "cannot wait for flock")?;
    // Its exit status for a lock that another has.
    if at_once && ended.code() == Some(1) {
        return Ok(None);
    }
    Err(Error(format!("cannot lock {}: flock ended with {ended}", path.display())))
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let path = std::env::temp_dir().join(format!("dm-remap-lock-{}", std::process::id()));
        let first = hold(&path, "is free").expect("is free");
        assert!(attempt(&path, true).expect("flock runs").is_none());
        drop(first);
        drop(attempt(&path, true).expect("flock runs").expect("is free again"));
        std::fs::remove_file(&path).expect("is there");
        assert!(hold(Path::new("/nowhere/lock"), "").is_err());
    }
}
