//! The crates whose import graphs are drawn, and what is still to be untied in them.

use super::graph::Graph;
use crate::paths;
use crate::sh::{Error, Result};

/// The crates, each with its root.
const CRATES: [(&str, &str); 5] = [
    ("core", "crates/core/src/lib.rs"),
    ("kernel host", "kernel/rust/lib.rs"),
    ("simulator", "crates/sim/src/lib.rs"),
    ("tool", "crates/cli/src/main.rs"),
    ("developer commands", "xtask/src/main.rs"),
];

/// Circles that are allowed, by crate: the list only gets shorter. Modules are in order.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kernel host", &["answer", "orders"]),
    ("kernel host", &["bind::bio", "bind::held"]),
    ("kernel host", &["bind::dm", "bind::dm_calls"]),
    ("kernel host", &["bios", "commits", "repairs", "set"]),
    ("kernel host", &["crate", "target"]),
];

fn graphs() -> Result<Vec<Graph>> {
    CRATES.iter().map(|(name, root)| Graph::read(name, &paths::checkout().join(root))).collect()
}

/// Prints the graph of each crate.
pub fn print() -> Result<i32> {
    for graph in graphs()? {
        println!("{graph}");
    }
    Ok(0)
}

/// Fails on a circle that is not allowed, and on an allowed one that is not there any more.
pub fn check() -> Result<()> {
    let wrong = differences(&graphs()?, ALLOWED);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error(wrong.join("\n"))),
    }
}

/// What the circles of some crates have more, or less, than is allowed.
pub fn differences(graphs: &[Graph], allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut left = allowed.to_vec();
    for graph in graphs {
        for circle in graph.circles() {
            match left.iter().position(|known| *known == (graph.name, circle.as_slice())) {
                Some(at) => drop(left.swap_remove(at)),
                None => wrong.push(format!(
                    "{}: modules import one another: {}\n{}",
                    graph.name,
                    circle.join(", "),
                    graph.within(&circle)
                )),
            }
        }
    }
    wrong.extend(left.iter().map(|(name, circle)| {
        format!("{name}: strike the circle of {} from the allowed ones: it is gone", circle.join(", "))
    }));
    wrong
}
