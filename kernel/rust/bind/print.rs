//! Lines in the kernel log.

use core::fmt;

use crate::sys;

/// How urgent a line is, as in `printk`.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Something failed.
    Error = 3,
    /// Something may fail soon.
    Warning = 4,
    /// Information.
    Info = 6,
}

/// A line being put together; what does not fit is cut off.
struct Line {
    text: [u8; 256],
    used: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for byte in part.bytes() {
            match self.text.get_mut(self.used) {
                Some(place) => *place = byte,
                None => return Ok(()),
            }
            self.used = self.used.saturating_add(1);
        }
        Ok(())
    }
}

/// Prints one line to the kernel log.
pub fn print(level: Level, args: fmt::Arguments<'_>) {
    let mut line = Line { text: [0; 256], used: 0 };
    // `Line` never fails; a `Display` that does still leaves what came before it.
    let _ = fmt::Write::write_fmt(&mut line, args);
    // SAFETY: the first `used` bytes of `text` are initialized, and the helper reads no more than that.
    unsafe { sys::dmr_print(level as i32, line.text.as_ptr().cast(), line.used) }
}

/// How often a line may come.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// It is rare of itself.
    None,
    /// A storm of failures brings many, and they tell of a loss: a limit that other lines do not use up.
    Losses,
    /// I/O causes any number.
    Others,
}

/// Prints one line, if the limit lets it through: 20 in five seconds of each kind, for all devices together.
pub fn print_limited(limit: Limit, level: Level, args: fmt::Arguments<'_>) {
    let allowed = match limit {
        Limit::None => true,
        // SAFETY: takes a flag by value and may be called in any context.
        Limit::Losses | Limit::Others => unsafe { sys::dmr_print_allowed(matches!(limit, Limit::Losses)) },
    };
    if allowed {
        print(level, args);
    }
}
