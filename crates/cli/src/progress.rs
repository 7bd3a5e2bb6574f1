//! How far a verb is, on a terminal, where it takes more than two seconds.

use crate::output::size;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How long a verb is silent.
const SILENT: Duration = Duration::from_secs(2);
/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(250);

/// Whether somebody is watching standard error.
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// A line on standard error that changes in place, and is gone in the end.
#[derive(Debug)]
pub struct Progress {
    doing: String,
    /// Sectors in all, where that is known.
    total: Option<u64>,
    begun: Instant,
    /// When it was last shown.
    shown: Option<Instant>,
    watched: bool,
}

impl Progress {
    /// Begins to count; `doing` reads like "moving".
    pub fn new(doing: impl Into<String>, total_sectors: Option<u64>) -> Progress {
        let (doing, begun) = (doing.into(), Instant::now());
        Progress { doing, total: total_sectors, begun, shown: None, watched: is_watched() }
    }

    /// So many sectors are done.
    pub fn at(&mut self, sectors: u64) {
        let elapsed = self.begun.elapsed();
        if !self.is_due(elapsed, self.shown.map(|at| at.elapsed())) {
            return;
        }
        self.shown = Some(Instant::now());
        eprint!("\r\x1b[K{}", self.line(sectors, elapsed));
        let _ = std::io::stderr().flush();
    }

    /// Whether to show the line so long after the beginning, and after it was shown last.
    fn is_due(&self, elapsed: Duration, shown: Option<Duration>) -> bool {
        self.watched && elapsed >= SILENT && shown.is_none_or(|since| since >= INTERVAL)
    }

    fn line(&self, sectors: u64, elapsed: Duration) -> String {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = sectors.saturating_mul(1000) / millis;
        let (doing, done, rate) = (&self.doing, size(sectors), size(rate));
        match self.total.filter(|&total| total > 0) {
            Some(total) => {
                let percent = u128::from(sectors.min(total)) * 100 / u128::from(total);
                format!("{doing}: {done} of {} ({percent} %), {rate}/s", size(total))
            }
            None => format!("{doing}: {done}, {rate}/s"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_on_a_terminal_after_two_seconds_and_not_too_often() {
        let mut progress = Progress::new("moving", None);
        let ms = Duration::from_millis;
        for (watched, elapsed, shown, wanted) in [
            (true, 1999, None, false),
            (true, 2000, None, true),
            (true, 3000, Some(100), false),
            (true, 3000, Some(250), true),
            (false, 9000, None, false),
        ] {
            progress.watched = watched;
            assert_eq!(progress.is_due(ms(elapsed), shown.map(ms)), wanted, "{watched} {elapsed} {shown:?}");
        }
    }

    #[test]
    fn the_line_has_percent_and_rate() {
        let of = |total| Progress::new("moving", total);
        let second = Duration::from_secs(4);
        let wanted = "moving: 4 MiB of 16 MiB (25 %), 1 MiB/s";
        assert_eq!(of(Some(32_768)).line(8192, second), wanted);
        assert_eq!(of(None).line(8192, second), "moving: 4 MiB, 1 MiB/s");
        assert_eq!(of(Some(8)).line(8, Duration::ZERO), "moving: 4 KiB of 4 KiB (100 %), 3.9 MiB/s");
    }
}
