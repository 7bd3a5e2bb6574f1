//! Questions before something is overwritten.

use crate::failure::{Failure, Kind, Result};
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks for `answer` to be typed. Without a terminal the verb is refused unless `batch_mode`.
pub fn typed(question: &str, answer: &str, batch_mode: bool) -> Result<()> {
    if batch_mode {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let what = "the input is not a terminal, so that the question cannot be asked";
        return Err(Failure::new(Kind::Parameters, what, "give --batch-mode to go on without it"));
    }
    eprint!("{question}\nType \"{answer}\" to go on: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && line.trim() == answer {
        return Ok(());
    }
    Err(Failure::new(Kind::Parameters, "not confirmed; nothing was written", ""))
}
