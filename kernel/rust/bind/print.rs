//! Lines in the kernel log.

use core::fmt;

use remap_core::host::log::{Limit, Urgency};

use crate::sys;

/// As `printk` numbers it.
fn level_of(urgency: Urgency) -> core::ffi::c_int {
    match urgency {
        Urgency::Error => 3,
        Urgency::Warning => 4,
        Urgency::Info => 6,
    }
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
pub fn print(urgency: Urgency, args: fmt::Arguments<'_>) {
    let mut line = Line { text: [0; 256], used: 0 };
    // `Line` never fails; a `Display` that does still leaves what came before it.
    let _ = fmt::Write::write_fmt(&mut line, args);
    // SAFETY: the first `used` bytes of `text` are initialized, and the helper reads no more than that.
    unsafe { sys::dmr_print(level_of(urgency), line.text.as_ptr().cast(), line.used) }
}

/// Prints one line, if the limit lets it through: 20 in five seconds of each kind, for all devices together.
pub fn print_limited(limit: Limit, urgency: Urgency, args: fmt::Arguments<'_>) {
    let allowed = match limit {
        Limit::None => true,
        // SAFETY: takes a flag by value and may be called in any context.
        Limit::Losses | Limit::Others => unsafe { sys::dmr_print_allowed(matches!(limit, Limit::Losses)) },
    };
    if allowed {
        print(urgency, args);
    }
}
