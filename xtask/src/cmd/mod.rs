//! The subcommands, one file each.

pub mod bench;
pub mod build;
pub mod demo;
pub mod install;
pub mod lint;
pub mod sim;
pub mod test;
pub mod vm;

use crate::command::Command;

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
