//! The crates whose import graphs are drawn, and what must hold of them.

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

/// Fails if modules import one another in a circle.
pub fn check() -> Result<()> {
    let found = circles(&graphs()?);
    match found.is_empty() {
        true => Ok(()),
        false => Err(Error(found)),
    }
}

/// The circles of some crates, and what is imported in each.
pub fn circles(graphs: &[Graph]) -> String {
    let lines = graphs.iter().flat_map(|graph| {
        let circles = graph.circles().into_iter();
        circles.map(move |circle| {
            let imports = graph.within(&circle);
            format!("{}: modules import one another: {}\n{imports}", graph.name, circle.join(", "))
        })
    });
    lines.collect()
}
