//! Commands that can be pasted.

use crate::args::Offsets;
use std::path::Path;

/// Without control characters, which could do things to a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// As a shell takes it.
pub fn quoted(text: &str) -> String {
    let text = printable(text);
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The command that opens a set; `options` end in a space each.
pub fn open(options: &str, offsets: Offsets, main: &Path, spare: &Path, name: &str) -> String {
    format!("dmremap open {options}{} {}", devices(offsets, main, spare), quoted(name))
}

/// The command that prints the table of a set; `options` end in a space each.
pub fn table(options: &str, offsets: Offsets, main: &Path, spare: &Path) -> String {
    format!("dmremap table {options}{}", devices(offsets, main, spare))
}

fn devices(offsets: Offsets, main: &Path, spare: &Path) -> String {
    let offset = |option: &str, sectors: u64| match sectors {
        0 => String::new(),
        n => format!("--{option}-offset {n} "),
    };
    let offsets = offset("main", offsets.main_offset) + &offset("spare", offsets.spare_offset);
    let [main, spare] = [main, spare].map(|path| quoted(&path.to_string_lossy()));
    format!("{offsets}{main} {spare}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("/dev/sdb1"), "/dev/sdb1");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
        assert_eq!(quoted(""), "''");
        let offsets = Offsets { main_offset: 8, spare_offset: 0 };
        let command = open("--linear ", offsets, Path::new("/a b"), Path::new("/dev/c"), "x");
        assert_eq!(command, "dmremap open --linear --main-offset 8 '/a b' /dev/c x");
    }
}
