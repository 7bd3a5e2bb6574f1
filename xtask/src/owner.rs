//! Running programs as the owner of the checkout.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::paths::checkout;
use crate::sh::{cmd, Context, Result};
use crate::step::output;

/// A command that runs a program as the owner of the checkout, in that user's home; nothing where this process is the owner, is not
/// root, or the owner has no account.
pub fn as_owner(program: &Path) -> Result<Option<Command>> {
    let me = std::fs::metadata("/proc/self").context(|| "cannot look at /proc/self")?.uid();
    let of = std::fs::metadata(checkout()).context(|| "cannot look at the checkout")?;
    let account = output(cmd("getent", ["passwd"]).arg(of.uid().to_string()));
    let (true, Ok(account)) = (me == 0 && of.uid() != 0, account) else { return Ok(None) };
    let fields: Vec<&str> = account.out.trim().split(':').collect();
    let (Some(name), Some(home)) = (fields.first(), fields.get(5)) else { return Ok(None) };
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = cmd("setpriv", ["--clear-groups", "--reuid"]);
    command.arg(of.uid().to_string()).arg("--regid").arg(of.gid().to_string()).arg("--").arg(program);
    command.env_remove("XDG_CACHE_HOME").env("HOME", home).env("USER", name).env("LOGNAME", name);
    command.env("PATH", format!("{path}:{home}/.cargo/bin"));
    Ok(Some(command))
}
