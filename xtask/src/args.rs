//! Command-line words, read one by one.

use crate::sh::{Error, Result};

/// The words after a subcommand.
pub struct Args {
    words: std::vec::IntoIter<String>,
}

impl Args {
    /// Takes over the words.
    pub fn new(words: Vec<String>) -> Args {
        Args { words: words.into_iter() }
    }

    /// The next word.
    pub fn next(&mut self) -> Option<String> {
        self.words.next()
    }

    /// The value that must follow an option.
    pub fn value(&mut self, option: &str) -> Result<String> {
        self.words.next().ok_or_else(|| Error(format!("{option} needs a value")))
    }

    /// The number that must follow an option.
    pub fn number<T: std::str::FromStr>(&mut self, option: &str) -> Result<T> {
        let value = self.value(option)?;
        value.parse().map_err(|_| Error(format!("{option} needs a number, not {value}")))
    }

    /// All that is left.
    pub fn rest(&mut self) -> Vec<String> {
        self.words.by_ref().collect()
    }

    /// The error for a word that is not understood.
    pub fn unknown(word: &str) -> Error {
        Error(format!("unknown argument {word}; --help lists what there is"))
    }
}
