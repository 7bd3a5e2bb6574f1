//! Steps that take a while: they say that they run and how long that usually takes, and keep what was printed for the case of a failure.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::paths;
use crate::sh::{show, Context, Error, Printed, Result};

/// A step is quiet for so long, and is silent for no longer.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// From then on it says after so long each time that it is still at it.
const NEXT_WORD: Duration = Duration::from_secs(30);

/// Of what a failed compiler or the like said the terminal shows so many lines; the log has them all.
const SHOWN_LINES: usize = 40;

/// One line of an error is not longer, in characters.
const LINE_CHARACTERS: usize = 200;

/// A command that may take a while.
pub struct Step<'a> {
    what: &'a str,
    usually: Option<&'a str>,
    remedy: Option<&'a str>,
    shown: bool,
}

impl<'a> Step<'a> {
    /// `what` names it, as in "building bindgen".
    pub fn new(what: &'a str) -> Step<'a> {
        Step { what, usually: None, remedy: None, shown: false }
    }

    /// How long it takes, as in "3 minutes".
    pub fn usually(mut self, time: &'a str) -> Self {
        self.usually = Some(time);
        self
    }

    /// What to do when it fails, as in "connect to the network and run it again".
    pub fn remedy(mut self, remedy: &'a str) -> Self {
        self.remedy = Some(remedy);
        self
    }

    /// Its error messages are about the project's own sources: they are shown when it fails.
    pub fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Runs the command; what it printed. A failure is one sentence, with the name of the log.
    pub fn run(self, command: &mut Command) -> Result<Printed> {
        let (printed, status) = self.capture(command)?;
        if status.success() {
            return Ok(printed);
        }
        if self.shown {
            for line in printed.err.lines().chain(printed.out.lines()).take(SHOWN_LINES) {
                eprintln!("{line}");
            }
        }
        Err(self.failure(&show(command), &printed, &status.to_string()))
    }

    /// Runs the command, which may fail; what it printed and how it ended.
    pub fn capture(&self, command: &mut Command) -> Result<(Printed, ExitStatus)> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context(|| format!("cannot run {program}"))?;
        let (ended, wait) = mpsc::channel::<()>();
        let mut pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        let [out, err] = std::thread::scope(|scope| {
            let readers = pipes.each_mut().map(|pipe| {
                let ended = ended.clone();
                scope.spawn(move || {
                    let mut bytes = Vec::new();
                    // What cannot be read is missing from a message at worst.
                    let _ = pipe.as_mut().map(|pipe| pipe.read_to_end(&mut bytes));
                    drop(ended);
                    String::from_utf8_lossy(&bytes).into_owned()
                })
            });
            drop(ended);
            let started = Instant::now();
            let mut next = FIRST_WORD;
            while let Err(RecvTimeoutError::Timeout) =
                wait.recv_timeout(next.saturating_sub(started.elapsed()))
            {
                eprintln!("{}", self.word(started.elapsed()));
                next = started.elapsed() + NEXT_WORD;
            }
            readers.map(|reader| reader.join().unwrap_or_default())
        });
        let status = child.wait().context(|| format!("cannot wait for {program}"))?;
        Ok((Printed { out, err }, status))
    }

    /// What is said while it runs.
    fn word(&self, since: Duration) -> String {
        let usually = self.usually.map(|time| format!(" (usually {time})")).unwrap_or_default();
        format!("{}{usually}: {} s so far", self.what, since.as_secs())
    }

    fn failure(&self, line: &str, printed: &Printed, status: &str) -> Error {
        let reason = reason(printed).map(|reason| format!(": {reason}")).unwrap_or_default();
        let remedy = self.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        let text = format!("{line}\n{status}\n{}{}", printed.out, printed.err);
        match write_log(self.what, &text) {
            Ok(log) => {
                Error(format!("{} failed ({status}){reason}{remedy}; see {}", self.what, log.display()))
            }
            // Without a log the terminal is where it can be read.
            Err(e) => Error(format!("{} failed{reason}{remedy}; no log ({e}):\n{text}", self.what)),
        }
    }
}

/// The line that says why a command failed: its first error, or the last thing it said.
fn reason(printed: &Printed) -> Option<String> {
    let lines =
        || printed.err.lines().chain(printed.out.lines()).map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.to_lowercase().contains("error") || line.starts_with("E: ");
    let line = lines()
        .find(is_error)
        .or_else(|| printed.err.lines().rev().map(str::trim).find(|line| !line.is_empty()))?;
    let mut short: String = line.chars().take(LINE_CHARACTERS).collect();
    if short.len() < line.len() {
        short.push_str(" ...");
    }
    Some(short)
}

/// Keeps a text below the build directory, named after the step; its place.
fn write_log(what: &str, text: &str) -> Result<PathBuf> {
    let dir = paths::build_dir()?.join("log");
    paths::mkdir_as_owner(&dir)?;
    let name = what.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let path = dir.join(format!("{name}.log"));
    std::fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
    paths::give_to_owner(&path)?;
    Ok(path)
}

/// Runs a command quietly. When it fails, the error is one sentence and the log that it names has the output.
pub fn output(command: &mut Command) -> Result<Printed> {
    let program = command.get_program().to_os_string();
    let name = Path::new(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
    // The first argument tells one run of a program from another, if it is a word.
    let first = command.get_args().next().map(|word| word.to_string_lossy().into_owned());
    let first =
        first.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
    let what = first.map_or(name.clone(), |word| format!("{name} {word}"));
    Step::new(&what).run(command)
}

/// Runs a command whose output is the message: when it fails, the error is all that it printed.
pub fn findings(what: &str, usually: &str, command: &mut Command) -> Result<()> {
    let (printed, status) = Step::new(what).usually(usually).capture(command)?;
    match status.success() {
        true => Ok(()),
        false => Err(Error(format!("{}{}{what}: {status}", printed.out, printed.err))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh::cmd;

    #[test]
    fn a_failure_is_one_line_that_names_the_log() {
        let script = "echo compiling; echo 'x.c:1: error: no such thing' >&2; echo 'and more' >&2; exit 3";
        let step = Step::new("building a test").remedy("mend x.c");
        let mut command = cmd("sh", ["-c", script, "a-flag-that-nobody-wants-to-see"]);
        let said = step.run(&mut command).map(drop).unwrap_err().0;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("x.c:1: error: no such thing; mend x.c; see "), "{said}");
        assert!(!said.contains("a-flag"), "{said}");
        let log = said.rsplit_once("see ").map(|(_, path)| PathBuf::from(path)).unwrap();
        let kept = std::fs::read_to_string(&log).unwrap();
        assert!(kept.contains("a-flag") && kept.contains("and more") && kept.contains("compiling"));
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn the_reason_is_the_first_error_or_the_last_word() {
        let printed = |out: &str, err: &str| Printed { out: out.into(), err: err.into() };
        let of = |out, err| reason(&printed(out, err));
        assert_eq!(of("error: in out\n", "warning: a\nerror: in err\n").as_deref(), Some("error: in err"));
        assert_eq!(of("fine\n", "E: no package\nmore\n").as_deref(), Some("E: no package"));
        assert_eq!(of("fine\n", "one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(of("", ""), None);
        assert_eq!(of("", &"x".repeat(1000)).map(|line| line.len()), Some(204));
    }

    #[test]
    fn output_of_both_kinds_and_the_status_are_kept() {
        let (printed, status) =
            Step::new("x").capture(&mut cmd("sh", ["-c", "echo a; echo b >&2; exit 4"])).unwrap();
        assert_eq!((printed.out.as_str(), printed.err.as_str(), status.code()), ("a\n", "b\n", Some(4)));
    }

    #[test]
    fn what_is_said_names_the_step_and_its_usual_time() {
        let step = Step::new("building bindgen").usually("3 minutes");
        assert_eq!(step.word(Duration::from_secs(65)), "building bindgen (usually 3 minutes): 65 s so far");
        assert_eq!(Step::new("depmod").word(FIRST_WORD), "depmod: 5 s so far");
        assert!(FIRST_WORD < Duration::from_secs(10));
    }
}
