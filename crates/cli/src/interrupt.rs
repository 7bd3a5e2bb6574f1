//! Ctrl-C and its kin while content is moved: the first ends the work after the part that is under way, so that what was done can
//! be told; the second ends the tool at once.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Whether the work is to end.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes the signals from now on. Where that fails they end the tool, as always.
    pub fn taken() -> Interrupt {
        let interrupt = Interrupt::default();
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return interrupt };
        let asked = interrupt.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if asked.0.swap(true, Ordering::Relaxed) {
                    // The order in the kernel ends with its caller.
                    let _ = emulate_default_handler(signal);
                }
                eprintln!(
                    "\ndmremap: stopping after the part that is under way; again: at once, without a summary"
                );
            }
        });
        interrupt
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// As if it had been asked for.
    #[cfg(test)]
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_first_signal_is_a_wish_and_ends_nothing() {
        let interrupt = Interrupt::taken();
        assert!(!interrupt.is_asked());
        signal_hook::low_level::raise(SIGHUP).unwrap();
        let begun = Instant::now();
        while !interrupt.is_asked() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(interrupt.is_asked());
    }
}
