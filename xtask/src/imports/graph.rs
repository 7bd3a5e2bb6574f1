//! The graph: its edges, its circles, and how it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use petgraph::algo::tarjan_scc;
use petgraph::Graph as Petgraph;

use super::tree::Tree;
use crate::sh::Result;

/// Imports of imports that are followed; more are a circle of names that the compiler would refuse.
const DEPTH_MAX: usize = 16;

/// The graph of one crate.
pub struct Graph {
    pub name: &'static str,
    tree: Tree,
    /// For each importing file and imported file the names.
    edges: BTreeMap<(usize, usize), BTreeSet<String>>,
}

/// What a path leads to.
enum Target {
    Module(usize),
    /// Something that this file defines.
    Item(usize),
    /// Nothing of this crate.
    Outside,
}

impl Graph {
    /// Reads the crate whose root is `root`.
    pub fn read(name: &'static str, root: &Path) -> Result<Graph> {
        let tree = Tree::read(root)?;
        let mut edges: BTreeMap<(usize, usize), BTreeSet<String>> = BTreeMap::new();
        for (index, module) in tree.modules.iter().enumerate() {
            let named = module.named.iter().filter_map(|path| match tree.resolve(index, path, 0) {
                Target::Item(file) => Some((file, path.last().cloned().unwrap_or_default())),
                // The name of a module imports nothing by itself: what is named through it does.
                Target::Module(_) | Target::Outside => None,
            });
            let all = module.globs.iter().filter_map(|path| match tree.resolve(index, path, 0) {
                Target::Module(found) => Some((tree.modules[found].file, "*".to_string())),
                Target::Item(file) => Some((file, "*".to_string())),
                Target::Outside => None,
            });
            for (file, name) in named.chain(all).filter(|(file, _)| *file != module.file) {
                edges.entry((module.file, file)).or_default().insert(name);
            }
        }
        Ok(Graph { name, tree, edges })
    }

    /// The groups of modules that import one another, each in order.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let mut graph = Petgraph::<usize, ()>::new();
        let nodes: Vec<_> = (0..self.tree.files.len()).map(|file| graph.add_node(file)).collect();
        for (from, to) in self.edges.keys() {
            graph.add_edge(nodes[*from], nodes[*to], ());
        }
        let mut circles: Vec<Vec<&str>> = tarjan_scc(&graph)
            .into_iter()
            .filter(|group| group.len() > 1)
            .map(|group| {
                let mut names: Vec<&str> =
                    group.into_iter().map(|node| self.tree.files[graph[node]].name.as_str()).collect();
                names.sort_unstable();
                names
            })
            .collect();
        circles.sort();
        circles
    }

    /// The imports among the modules of a circle, one a line.
    pub fn within(&self, circle: &[&str]) -> String {
        let files = &self.tree.files;
        let inside = |file: &usize| circle.contains(&files[*file].name.as_str());
        let edges = self.edges.iter().filter(|((from, to), _)| inside(from) && inside(to));
        let lines = edges.map(|((from, to), names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("  {} -> {} ({})\n", files[*from].name, files[*to].name, names.join(", "))
        });
        lines.collect()
    }
}

impl Tree {
    /// What a path in a module leads to.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Target {
        let Some((first, rest)) = path.split_first().filter(|_| depth < DEPTH_MAX) else {
            return Target::Outside;
        };
        match first.as_str() {
            "crate" | "$crate" => self.walk(0, rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => {
                let (mut at, mut rest) = (self.modules[from].parent.unwrap_or(0), rest);
                while rest.first().is_some_and(|word| word == "super") {
                    (at, rest) = (self.modules[at].parent.unwrap_or(0), &rest[1..]);
                }
                self.walk(at, rest, depth)
            }
            name if self.knows(from, name) => self.walk(from, path, depth),
            name => match self.macros.get(name) {
                Some(file) if rest.is_empty() => Target::Item(*file),
                _ => Target::Outside,
            },
        }
    }

    /// Whether a module has something of that name.
    fn knows(&self, module: usize, name: &str) -> bool {
        let module = &self.modules[module];
        module.children.contains_key(name) || module.uses.contains_key(name) || module.items.contains(name)
    }

    /// What a path leads to whose first word is a name in the module.
    fn walk(&self, index: usize, path: &[String], depth: usize) -> Target {
        let module = &self.modules[index];
        let Some((name, rest)) = path.split_first() else { return Target::Module(index) };
        if let Some(child) = module.children.get(name) {
            if !rest.is_empty() || !module.items.contains(name) {
                return self.walk(*child, rest, depth);
            }
        }
        if module.items.contains(name) {
            return Target::Item(module.file);
        }
        if let Some(target) = module.uses.get(name) {
            let longer: Vec<String> = target.iter().chain(rest).cloned().collect();
            return self.resolve(index, &longer, depth + 1);
        }
        for glob in module.globs.iter().filter(|_| depth < DEPTH_MAX) {
            if let Target::Module(found) = self.resolve(index, glob, depth + 1) {
                if found != index && self.knows(found, name) {
                    return self.walk(found, path, depth + 1);
                }
            }
        }
        Target::Item(self.macros.get(name).copied().unwrap_or(module.file))
    }
}

/// The middle and the largest of some numbers of lines.
fn spread<'a>(lines: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut all: Vec<(usize, &str)> = lines.map(|(name, lines)| (lines, name)).collect();
    all.sort_unstable();
    match (all.get(all.len() / 2), all.last()) {
        (Some((middle, _)), Some((most, name))) => {
            format!("{}, median {middle} lines, largest {most} ({name})", all.len())
        }
        _ => "none".to_string(),
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, circles) = (&self.tree.files, self.circles());
        let counts = (files.len(), self.edges.len(), circles.len());
        writeln!(f, "{}: {} modules, {} imports, {} circles", self.name, counts.0, counts.1, counts.2)?;
        writeln!(f, "  files: {}", spread(files.iter().map(|file| (file.name.as_str(), file.lines))))?;
        let functions = files.iter().flat_map(|file| &file.functions);
        writeln!(f, "  functions: {}", spread(functions.map(|(name, lines)| (name.as_str(), *lines))))?;
        for (index, file) in files.iter().enumerate() {
            let of = self.edges.keys().filter(|(from, _)| *from == index);
            let mut imported: Vec<&str> = of.map(|(_, to)| files[*to].name.as_str()).collect();
            imported.sort_unstable();
            writeln!(f, "  {} -> {}", file.name, imported.join(", "))?;
        }
        for circle in circles {
            write!(f, "circle of {}: {}\n{}", circle.len(), circle.join(", "), self.within(&circle))?;
        }
        Ok(())
    }
}
