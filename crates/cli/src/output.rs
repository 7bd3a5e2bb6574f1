//! What a verb has to say, as text or as JSON.

use crate::failure::Failure;
use serde_json::{json, Value};
use std::io::Write;

/// Name and version of the JSON output. The number changes when a field changes its meaning or goes away.
const JSON_FORMAT: &str = "dmremap/1";

/// What a verb found or did.
#[derive(Clone, Debug)]
pub struct Report {
    /// For people.
    pub text: String,
    /// For programs: an object.
    pub json: Value,
    /// What stayed undone of it.
    pub undone: Option<Failure>,
    /// The exit status, where it is a verdict and not whether the verb did its work.
    pub exit_status: Option<u8>,
}

impl Report {
    /// A report of a verb that did all it was to do.
    pub fn new(text: String, json: Value) -> Report {
        Report { text, json, undone: None, exit_status: None }
    }
}

/// The JSON object of a verb: the envelope and the fields of the report, and `error` if something stayed undone.
pub fn envelope(command: &str, report: &Report) -> Value {
    let mut object = json!({ "format": JSON_FORMAT, "command": command });
    if let (Some(all), Some(fields)) = (object.as_object_mut(), report.json.as_object()) {
        all.extend(fields.clone());
        all.extend(report.undone.as_ref().map(|failure| ("error".to_string(), error(failure))));
    }
    object
}

fn error(failure: &Failure) -> Value {
    json!({ "exit_status": failure.kind as i32, "message": failure.what, "next": failure.next })
}

/// The JSON object of a verb that failed.
pub fn failure_envelope(command: &str, failure: &Failure) -> Value {
    json!({
        "format": JSON_FORMAT,
        "command": command,
        "error": error(failure),
    })
}

/// Prints; a reader that went away is no failure.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// A length for people: sectors as bytes with a binary unit.
pub fn size(sectors: u64) -> String {
    let bytes = u128::from(sectors) * 512;
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut divisor = 1u128;
    while unit + 1 < units.len() && bytes >= divisor * 1024 {
        divisor *= 1024;
        unit += 1;
    }
    if bytes % divisor == 0 {
        return format!("{} {}", bytes / divisor, units[unit]);
    }
    let tenths = bytes * 10 / divisor;
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// `1 sector`, `2 sectors`.
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Lines of columns; all but the last are padded to the widest cell, numbers to the right.
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain(header.get(i).map(|h| h.len())).max().unwrap_or(0)
    };
    let numeric = |i: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(i));
        cells.all(|cell| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || "/-".contains(c)))
    };
    let mut text = String::new();
    let titles: Vec<String> = header.iter().map(|h| h.to_string()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().enumerate().map(|(i, cell)| match (numeric(i), i + 1 == row.len()) {
            (true, _) => format!("{cell:>0$}", width(i)),
            (false, true) => cell.clone(),
            (false, false) => format!("{cell:<0$}", width(i)),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size(1), "512 B");
        assert_eq!(size(2048), "1 MiB");
        assert_eq!(size(3000), "1.4 MiB");
        assert_eq!(size(1 << 43), "4 PiB");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["5".into(), "ab".into(), "x".into()], vec!["10".into(), "a".into(), "y".into()]];
        assert_eq!(columns(&["N", "NAME", "C"], &rows), " N  NAME  C\n 5  ab    x\n10  a     y\n");
    }
}
