//! What of a range is mapped.

use super::send::Range;
use crate::dm::Dm;
use crate::failure::Result;
use crate::list::runs;

/// The sectors of the range that are mapped.
pub fn mapped_within(dm: &dyn Dm, name: &str, range: &Range) -> Result<u64> {
    let all = mapped_ranges(dm, name)?;
    let common = |r: &Range| r.end.min(range.end).saturating_sub(r.start.max(range.start));
    Ok(all.iter().map(common).sum())
}

/// Everything that is mapped, as few ranges as can be.
pub fn mapped_ranges(dm: &dyn Dm, name: &str) -> Result<Vec<Range>> {
    let mut ranges: Vec<Range> = Vec::new();
    for run in runs(dm, name)? {
        // Of what main cannot read nothing is mapped, should the target list it.
        let Some(start) = run.sector.filter(|_| run.state != "pending") else { continue };
        match ranges.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = start.saturating_add(run.sectors),
            None => ranges.push(start..start.saturating_add(run.sectors)),
        }
    }
    Ok(ranges)
}
