//! The frequency of the host's time stamp counter, which a guest of QEMU without KVM reads as its own. A guest would measure it against
//! a timer that QEMU serves late on a busy machine, and then believes that more time passes than does.

use std::sync::OnceLock;

use crate::paths;
use crate::sh::{cmd, write_if_changed, Context, Result};
use crate::step::output;

/// What no counter of a processor runs at, in kHz: a result outside is a mistake.
const PLAUSIBLE_KHZ: std::ops::Range<u32> = 100_000..20_000_000;

/// The word for the guest kernel's command line; nothing where the frequency is not known.
pub fn guest_word() -> Option<&'static str> {
    static WORD: OnceLock<Option<String>> = OnceLock::new();
    let word = WORD.get_or_init(|| match measured_khz() {
        Ok(khz) => khz.map(|khz| format!("tsc_early_khz={khz}")),
        Err(e) => {
            eprintln!("the guest measures its clock itself: {e}");
            None
        }
    });
    word.as_deref()
}

/// The frequency in kHz, measured; nothing if the counter does not run at one frequency.
fn measured_khz() -> Result<Option<u32>> {
    let info = std::fs::read_to_string("/proc/cpuinfo").context(|| "cannot read /proc/cpuinfo")?;
    if !is_constant(&info) {
        return Ok(None);
    }
    let dir = paths::build_dir()?;
    let (source, program) = (dir.join("host_clock.c"), dir.join("host_clock"));
    let changed = write_if_changed(&source, include_bytes!("host_clock.c"))?;
    if changed || !program.is_file() {
        // Another guest may be starting at this moment: the program is there as a whole or not at all.
        let fresh = dir.join(format!("host_clock.{}", std::process::id()));
        output(cmd("gcc", ["-O2", "-o"]).arg(&fresh).arg(&source))?;
        std::fs::rename(&fresh, &program).context(|| format!("cannot make {}", program.display()))?;
    }
    Ok(khz(&output(&mut cmd(&program, [""; 0]))?.out))
}

/// Whether the processors' counters go at one frequency whatever the processors do.
fn is_constant(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    let has = |wanted| flags.is_some_and(|(_, flags)| flags.split_whitespace().any(|flag| flag == wanted));
    has("constant_tsc") && has("nonstop_tsc")
}

fn khz(printed: &str) -> Option<u32> {
    printed.trim().parse().ok().filter(|khz| PLAUSIBLE_KHZ.contains(khz))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_is_told_only_where_there_is_one() {
        assert!(is_constant("processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n"));
        assert!(!is_constant("flags\t\t: fpu tsc constant_tsc\n"));
        assert!(!is_constant("flags\t\t: fpu tsc nonstop_tsc\n"));
        assert!(!is_constant("Features\t: fp asimd\n"));
        assert_eq!(khz("2595124\n"), Some(2_595_124));
        assert_eq!((khz("0\n"), khz("-nan\n"), khz("")), (None, None, None));
    }

    #[test]
    fn two_measurements_agree() {
        let Some(first) = measured_khz().unwrap() else { return };
        let second = measured_khz().unwrap().unwrap();
        assert!(first.abs_diff(second) * 1000 < first, "{first} and {second} kHz");
    }
}
