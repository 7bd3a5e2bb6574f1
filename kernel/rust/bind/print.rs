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

/// Prints one line that I/O may cause any number of times: the kernel's rate limit applies.
pub fn print_limited(level: Level, args: fmt::Arguments<'_>) {
    // SAFETY: takes no arguments and may be called in any context.
    if unsafe { sys::dmr_print_allowed() } {
        print(level, args);
    }
}
