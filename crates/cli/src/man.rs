//! The man page dmremap.8, from the definitions of the command line.

use crate::args::Cli;
use clap::{Command, CommandFactory};
use clap_mangen::roff::{bold, roman, Roff};
use clap_mangen::Man;
use std::io;

/// Sections of the page that are not about one verb.
const AFTER: &[(&str, &str)] = &[
    (
        "EXIT STATUS",
        "0 good; 1 wrong parameters, or a question answered with no; 2 no permission; 3 out of memory; 4 a device that is \
         missing, does not fit, holds something else or fails, or something stayed undone; 5 a device or name that exists \
         already or is busy. Of `status --check`: 0 good, 10 look at it, 11 act now, 12 unknown.",
    ),
    (
        "ENVIRONMENT",
        "DM_DISABLE_UDEV: if it is set, nodes in /dev/mapper are made and removed by dmremap, as by dmsetup.",
    ),
    ("FILES", "/dev/mapper/NAME: an open set."),
    ("SEE ALSO", "dmsetup(8), blkid(8), losetup(8)"),
];

/// The page.
pub fn page() -> io::Result<String> {
    let mut out = Vec::new();
    let command = Cli::command();
    let man =
        Man::new(command.clone().disable_help_subcommand(true)).section("8").manual("System Administration");
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    render_examples(&command, &mut out)?;
    man.render_options_section(&mut out)?;
    Roff::new().control("SH", ["VERBS"]).to_writer(&mut out)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        render_verb(verb.clone().disable_help_flag(true), &mut out)?;
    }
    for (title, text) in AFTER {
        Roff::new().control("SH", [*title]).text([roman(*text)]).to_writer(&mut out)?;
    }
    Ok(with_one_preamble(&String::from_utf8_lossy(&out)))
}

/// Every part that was rendered begins with the definition of the apostrophe; one is enough.
fn with_one_preamble(parts: &str) -> String {
    let is_preamble = |line: &str| line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq");
    let preamble = parts.lines().take_while(|line| is_preamble(line));
    let rest = parts.lines().filter(|line| !is_preamble(line));
    preamble.chain(rest).flat_map(|line| [line, "\n"]).collect()
}

/// A verb: how it is called, what it does, its arguments, examples.
fn render_verb(mut verb: Command, out: &mut Vec<u8>) -> io::Result<()> {
    let name = verb.get_name().to_string();
    verb = verb.bin_name(format!("dmremap {name}"));
    let usage = verb.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_string();
    let mut roff = Roff::new();
    roff.control("SS", [name.as_str()]).text([bold(usage)]).control("PP", []);
    let about =
        verb.get_long_about().or_else(|| verb.get_about()).map(ToString::to_string).unwrap_or_default();
    for paragraph in about.split("\n\n") {
        // Lines that begin with a space are a table, and keep their breaks.
        let is_table = |line: &&str| line.starts_with(' ');
        for lines in paragraph.split('\n').collect::<Vec<_>>().chunk_by(|a, b| is_table(a) == is_table(b)) {
            let text = roman(lines.join("\n"));
            if lines.iter().all(is_table) {
                roff.control("nf", []).text([text]).control("fi", []);
            } else {
                roff.text([text]);
            }
        }
        roff.control("PP", []);
    }
    roff.to_writer(out)?;
    let mut arguments = Vec::new();
    Man::new(verb.clone()).render_options_section(&mut arguments)?;
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    let lines = arguments.lines().filter(|line| !line.starts_with(".SH"));
    out.extend(lines.flat_map(|line| [line, "\n"]).collect::<String>().as_bytes());
    render_examples(&verb, out)
}

/// What help prints at the end, as it stands.
fn render_examples(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(text) = command.get_after_long_help().map(ToString::to_string) else { return Ok(()) };
    Roff::new().control("PP", []).control("nf", []).text([roman(text)]).control("fi", []).to_writer(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page without its commands and escapes.
    fn plain() -> String {
        let page = page().unwrap();
        page.replace("\\-", "-")
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "")
            .replace("\\&", "")
    }

    #[test]
    fn every_verb_and_option_is_on_the_page() {
        let page = plain();
        let command = Cli::command();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let section = page.split(&format!(".SS {}\n", verb.get_name())).nth(1);
            let section = section.unwrap_or_else(|| panic!("no section for {}", verb.get_name()));
            let section = section.split("\n.SS").next().unwrap();
            for option in verb.get_arguments().filter_map(|a| a.get_long()) {
                assert!(section.contains(&format!("--{option}")), "{}: --{option}", verb.get_name());
            }
        }
    }

    #[test]
    fn examples_keep_their_lines() {
        let page = plain();
        let table = page.split(".nf\n  fstab ").nth(1).unwrap();
        assert!(table.split(".fi").next().unwrap().contains("\n  mdadm "), "{table}");
        assert!(page.contains("\n  mount /dev/mapper/archive /srv             in place of"), "{page}");
        assert!(page.contains(".TH dmremap 8"), "{page}");
    }
}
