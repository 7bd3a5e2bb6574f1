//! Parts of a write that one failed request could cost one another (S5).

use crate::extent::{Range, Units};
use crate::lookup::{Run, Table};
use crate::units::Sector;

/// How often a part that is kept together is made longer, for what would be cut at its end.
const TURNS_MAX: u32 = 8;

/// Which part of a write is to be kept together.
pub(super) enum Together {
    /// None: it may be cut where it lives in several places.
    Apart,
    /// Its end, from so many sectors on.
    From(u32),
    /// Its first so many sectors.
    Now(u32),
}

/// A write would be cut behind `run`. If more of it lives in the same physical block of main, or in the same slot, behind what lives elsewhere, then one
/// part that fails could cost another, which has ended well: the bio would succeed, and not all of it be stored (S5). Such parts go
/// to a repair context together, which has the content of each.
#[cold]
#[inline(never)]
pub(super) fn together(table: &Table<'_>, units: Units, write: Range, run: Run) -> Together {
    let (first, end) = (write.first.0, write.end());
    let cut = first.saturating_add(run.sectors().into());
    let Some(block) = shared(table, units, run, cut, end) else { return Together::Apart };
    if let Some(before @ 1..) = block.first.0.checked_sub(first) {
        return Together::From(before as u32);
    }
    let mut stop = block.end().min(end);
    // Blocks and slots may overlap in turns; what is left out then is cut after all.
    for _ in 0..TURNS_MAX {
        let last = table.find(Sector(stop.saturating_sub(1)), 1);
        let Some(block) = shared(table, units, last, stop, end) else { break };
        stop = block.end().min(end);
    }
    Together::Now((stop - first) as u32)
}

/// The physical block, or slot, in which a run ends before `cut`, if more of a write that ends before `end` lives there.
fn shared(table: &Table<'_>, units: Units, run: Run, cut: u64, end: u64) -> Option<Range> {
    let in_slot = match run {
        Run::Main { .. } | Run::Held { .. } => false,
        Run::Slot { .. } | Run::Bad { .. } => true,
        Run::Doubt { .. } => return None,
    };
    let block = if in_slot { Units::SLOTS } else { units }.of(cut.saturating_sub(1));
    let (mut at, stop) = (cut, block.end().min(end));
    while at < stop {
        let next = table.find(Sector(at), (stop - at) as u32);
        match next {
            Run::Main { .. } | Run::Held { .. } if !in_slot => return Some(block),
            Run::Slot { .. } | Run::Bad { .. } if in_slot => return Some(block),
            _ => at += u64::from(next.sectors().max(1)),
        }
    }
    None
}
