//! What a subcommand is.

use crate::args::Args;
use crate::sh::Result;

/// A subcommand.
pub struct Command {
    /// The word that selects it.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What `--help` prints.
    pub help: &'static str,
    /// Does it; the exit status of the process.
    pub run: fn(Args) -> Result<i32>,
}
