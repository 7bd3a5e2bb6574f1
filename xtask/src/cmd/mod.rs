//! The subcommands, one file each.

pub mod bench;
pub mod build;
pub mod demo;
pub mod install;
pub mod lint;
pub mod sim;
pub mod test;
pub mod vm;

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

/// All of them, in the order in which help lists them.
pub const ALL: &[Command] = &[
    demo::COMMAND,
    vm::COMMAND,
    test::COMMAND,
    sim::COMMAND,
    lint::COMMAND,
    build::COMMAND,
    bench::COMMAND,
    install::INSTALL,
    install::UNINSTALL,
];
