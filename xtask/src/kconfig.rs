//! A kernel's build configuration.

/// A kernel's `auto.conf`.
pub struct Config {
    text: String,
}

impl Config {
    /// From the text of an `auto.conf`.
    pub fn new(text: String) -> Config {
        Config { text }
    }

    /// Whether any of the names is `y`; an option that was renamed is asked for by all its names.
    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.value(name) == Some("y"))
    }

    /// The value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::trim))
    }
}
