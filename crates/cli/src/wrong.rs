//! Arguments that are wrong, in words and as JSON.

use crate::args::Cli;
use crate::failure::{Failure, Kind};
use crate::output::{failure_envelope, print};
use crate::shell::printable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::CommandFactory;
use std::ffi::OsString;
use std::process::ExitCode;

/// Says what is wrong with the arguments, or prints the help that was asked for.
pub fn arguments(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let failure = explain(error);
    if words.iter().take_while(|word| *word != "--").any(|word| word == "--json") {
        print(&format!("{:#}\n", failure_envelope(verb_of(&words), &failure)));
    } else if error.kind() == ErrorKind::InvalidSubcommand {
        eprintln!("dmremap: {failure}");
    } else {
        let _ = error.print();
    }
    ExitCode::from(Kind::Parameters as u8)
}

/// The verb that was called, as far as there is one.
fn verb_of(words: &[OsString]) -> &str {
    let first = words.iter().find_map(|word| word.to_str().filter(|word| !word.starts_with('-')));
    first.filter(|word| verbs().iter().any(|verb| verb == word)).unwrap_or("")
}

fn verbs() -> Vec<String> {
    let command = Cli::command();
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown.map(|verb| verb.get_name().to_string()).collect()
}

fn explain(error: &clap::Error) -> Failure {
    let wrong = |what: String, next: String| Failure::new(Kind::Parameters, what, next);
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(typed))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        return wrong(format!("there is no verb \"{}\"", printable(typed)), suggestion(typed));
    }
    let text = error.render().to_string();
    let mut paragraphs = text.trim_start_matches("error: ").split("\n\n").map(str::trim);
    let what = paragraphs.next().unwrap_or_default().to_string();
    let next: Vec<&str> = paragraphs.filter(|text| !text.is_empty()).collect();
    wrong(what, next.join("; ").replace("\n", " "))
}

/// A verb that is nearly what was typed, else all of them. A guess that is far off could name one that overwrites a device.
fn suggestion(typed: &str) -> String {
    let verbs = verbs();
    let edits = |verb: &String| strsim::damerau_levenshtein(verb, typed);
    // Two slips of the fingers make another word of a short one.
    let slips_max = if typed.chars().count() < 8 { 1 } else { 2 };
    let nearest = verbs.iter().min_by_key(|verb| edits(verb)).filter(|verb| edits(verb) <= slips_max);
    match nearest {
        Some(verb) => format!("`dmremap help {verb}`, if that is what was meant"),
        None => format!("the verbs are {}; `dmremap --help` says what they do", verbs.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_only_suggested_if_it_is_nearly_what_was_typed() {
        for (typed, wanted) in
            [("frobnicate", None), ("forget", None), ("fromat", Some("format")), ("stauts", Some("status"))]
        {
            let said = suggestion(typed);
            assert_eq!(said.starts_with("`dmremap help"), wanted.is_some(), "{typed}: {said}");
            assert!(wanted.is_none_or(|verb| said.contains(&format!("`dmremap help {verb}`"))), "{said}");
        }
    }
}
