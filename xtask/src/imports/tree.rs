//! The modules of a crate, read from its sources: what each defines, what it imports, and what its code names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use syn::ext::IdentExt;
use syn::Item;

use super::names::{self, attributes, is_test, Named};
use crate::sh::{read, Context, Error, Result};

/// A module: a file, or a part of one.
pub struct Module {
    /// The file, as an index into [`Tree::files`].
    pub file: usize,
    pub parent: Option<usize>,
    pub children: HashMap<String, usize>,
    /// Names that `use` brings, and what each stands for.
    pub uses: HashMap<String, Vec<String>>,
    /// Modules of which `use` brings every name.
    pub globs: Vec<Vec<String>>,
    /// Names that are defined here, and not by `use`.
    pub items: HashSet<String>,
    /// Paths that the code names, those of `use` among them.
    pub named: Vec<Vec<String>>,
}

/// A file of the crate. Tests are left out.
pub struct File {
    /// The path of its module from the root of the crate: `engine::commit`, or `crate` for the root itself.
    pub name: String,
    pub lines: usize,
    /// Lines of each function in it.
    pub functions: Vec<(String, usize)>,
}

/// All modules of a crate.
#[derive(Default)]
pub struct Tree {
    /// The root is the first.
    pub modules: Vec<Module>,
    pub files: Vec<File>,
    /// The file that defines each macro.
    pub macros: HashMap<String, usize>,
}

impl Tree {
    /// Reads a crate from its root, `lib.rs` or `main.rs`.
    pub fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        let dir = root.parent().unwrap_or(Path::new("")).to_path_buf();
        tree.file(root, &dir, "crate", None)?;
        Ok(tree)
    }

    /// Reads the file of a module whose children are in `dir`; the module's index.
    fn file(&mut self, path: &Path, dir: &Path, name: &str, parent: Option<usize>) -> Result<usize> {
        let text = read(path)?;
        let parsed = syn::parse_file(&text).context(|| format!("cannot parse {}", path.display()))?;
        let file = self.files.len();
        self.files.push(File { name: name.to_string(), lines: text.lines().count(), functions: Vec::new() });
        self.module(file, &parsed.items, dir, name, parent)
    }

    fn module(
        &mut self,
        file: usize,
        items: &[Item],
        dir: &Path,
        name: &str,
        parent: Option<usize>,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            children: HashMap::new(),
            uses: HashMap::new(),
            globs: Vec::new(),
            items: HashSet::new(),
            named: Vec::new(),
        });
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            if let Item::Mod(inner) = item {
                let ident = inner.ident.unraw().to_string();
                let name = if name == "crate" { ident.clone() } else { format!("{name}::{ident}") };
                let dir = dir.join(&ident);
                let child = match &inner.content {
                    Some((_, items)) => self.module(file, items, &dir, &name, Some(index))?,
                    None => self.file(&file_of(&dir)?, &dir, &name, Some(index))?,
                };
                self.modules[index].children.insert(ident, child);
                continue;
            }
            self.item(index, item);
        }
        Ok(index)
    }

    fn item(&mut self, index: usize, item: &Item) {
        let Named { paths, uses, functions } = names::of(item);
        let module = &mut self.modules[index];
        module.named.extend(paths);
        for (alias, path) in uses {
            match alias {
                Some(alias) => {
                    module.named.push(path.clone());
                    module.uses.insert(alias, path);
                }
                None => module.globs.push(path),
            }
        }
        if let Some(name) = defined(item) {
            if matches!(item, Item::Macro(_)) {
                self.macros.insert(name.clone(), module.file);
            }
            module.items.insert(name);
        }
        self.files[module.file].functions.extend(functions);
    }
}

/// The file of a module whose children are in `dir`.
fn file_of(dir: &Path) -> Result<PathBuf> {
    let candidates = [dir.with_extension("rs"), dir.join("mod.rs")];
    let found = candidates.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| Error(format!("no file for the module {}", dir.display())))
}

/// The name that an item defines in its module.
fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.unraw().to_string())
}
