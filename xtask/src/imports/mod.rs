//! The import graph of a crate: which modules name what others define. A module is a file.
//!
//! A name that a module only passes on by `pub use` counts where it is defined. So a parent that re-exports what its children define is in
//! a circle with a child only if the child names something of the parent's own. Tests are left out. Methods are not followed: a call
//! names no module.

mod check;
mod graph;
mod names;
mod tree;

#[cfg(test)]
mod tests;

pub use check::{check, print};
