//! A set as segments that every kernel with device-mapper knows: `linear` to main and to slots, `error` for what is lost.

use crate::dm::Line;
use crate::failure::{Failure, Kind, Result};
use crate::loaded::{self, Map};
use crate::pair::{Pair, Wish};
use crate::shell;
use crate::table::Mapping;
use remap_core::engine::list::SectorState;

/// Most segments of a table (DM_MAX_TARGETS of the kernel).
const SEGMENTS_MAX: usize = 1 << 20;

/// Where a segment leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To the same sectors of main.
    Main,
    /// To the spare, from this sector of its region on.
    Spare(u64),
    /// Nowhere: content that is lost.
    Lost,
    /// Past the end of main, which became shorter.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    sectors: u64,
    place: Place,
}

/// What a set is made of.
#[derive(Debug)]
pub struct Assembly {
    segments: Vec<Segment>,
    /// Slots in use.
    pub used_slots: u64,
    /// Sectors that are served from the spare.
    pub mapped_sectors: u64,
    /// Sectors that are errors.
    pub lost_sectors: u64,
    /// See [`Map::copies_differ`].
    pub copies_differ: bool,
}

impl Assembly {
    /// Reads the map of a set that is not open.
    pub fn read(pair: &Pair, wish: &Wish) -> Result<Assembly> {
        pair.check_placement(wish)?;
        let map = loaded::map(&pair.region()?, &pair.superblock)?;
        let mut assembly = Assembly::new(&map, pair.superblock.main.sectors, SEGMENTS_MAX)?;
        assembly.end_main_at(pair.sectors_of_main());
        let block_bytes = pair.main.block_bytes.max(pair.spare.block_bytes);
        if block_bytes > pair.superblock.main.block_bytes {
            assembly.check_alignment(pair, block_bytes)?;
        }
        Ok(assembly)
    }

    /// What lies on main past its end is an error.
    fn end_main_at(&mut self, end: u64) {
        let mut segments = Vec::with_capacity(self.segments.len() + 1);
        for segment in self.segments.drain(..) {
            let on_main = end.saturating_sub(segment.start).min(segment.sectors);
            if segment.place != Place::Main || on_main == segment.sectors {
                segments.push(segment);
                continue;
            }
            if on_main > 0 {
                segments.push(Segment { sectors: on_main, ..segment });
            }
            let (start, sectors) = (segment.start + on_main, segment.sectors - on_main);
            segments.push(Segment { start, sectors, place: Place::Missing });
        }
        self.segments = segments;
    }

    /// Whether every segment fits logical blocks of that size: device-mapper takes no others.
    fn check_alignment(&self, pair: &Pair, block_bytes: u32) -> Result<()> {
        let block = u64::from(block_bytes / 512).max(1);
        let aligned = |segment: &Segment| {
            let below = match segment.place {
                Place::Main => pair.offsets.main_offset.saturating_add(segment.start),
                Place::Spare(sector) => pair.offsets.spare_offset.saturating_add(sector),
                Place::Lost | Place::Missing => 0,
            };
            [segment.start, segment.sectors, below].iter().all(|sector| sector % block == 0)
        };
        let Some(crooked) = self.segments.iter().find(|segment| !aligned(segment)) else { return Ok(()) };
        let which = if pair.main.block_bytes == block_bytes { &pair.main } else { &pair.spare };
        let path = which.path().to_string_lossy();
        let wanted = pair.superblock.main.block_bytes;
        let what = format!(
            "{path} has logical blocks of {block_bytes} bytes, and the map has parts of them: {} sectors from sector {} on",
            crooked.sectors, crooked.start
        );
        let next = format!(
            "`losetup --find --show --read-only --sector-size {wanted} {}` makes a device with the logical block of the set: \
             give that in its place",
            shell::quoted(&path)
        );
        Err(Failure::new(Kind::Device, what, next))
    }

    fn new(map: &Map, sectors: u64, segments_max: usize) -> Result<Assembly> {
        let segments = at_least_two(segments(map, sectors));
        if segments.len() > segments_max {
            let what = format!(
                "the set needs {} segments, more than the {segments_max} that the kernel takes",
                segments.len()
            );
            return Err(Failure::new(
                Kind::Device,
                what,
                "open it with the module dm_remap, without --linear",
            ));
        }
        let sum = |which: fn(&Place) -> bool| {
            segments.iter().filter(|segment| which(&segment.place)).map(|segment| segment.sectors).sum()
        };
        Ok(Assembly {
            used_slots: map.used_slots,
            mapped_sectors: sum(|place| matches!(place, Place::Spare(_))),
            lost_sectors: sum(|place| *place == Place::Lost),
            copies_differ: map.copies_differ,
            segments,
        })
    }

    /// The table, with main and spare where the mapping says.
    pub fn lines(&self, mapping: &Mapping) -> Vec<Line> {
        let line = |segment: &Segment| {
            let Segment { start, sectors, place } = *segment;
            let linear = |device: &str, sector: u64| ("linear".to_string(), format!("{device} {sector}"));
            let (target, text) = match place {
                Place::Main => linear(&mapping.main, mapping.main_offset + start),
                Place::Spare(sector) => linear(&mapping.spare, mapping.spare_offset + sector),
                Place::Lost | Place::Missing => ("error".to_string(), String::new()),
            };
            Line { start, sectors, target, text }
        };
        self.segments.iter().map(line).collect()
    }
}

/// The segments of a set of `sectors` sectors, in order and without a gap. Neighbours that lie one behind the other are one.
fn segments(map: &Map, sectors: u64) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut add = |start: u64, sectors: u64, place: Place| {
        let follows = |last: &Segment| match (last.place, place) {
            (Place::Spare(a), Place::Spare(b)) => a + last.sectors == b,
            (a, b) => a == b,
        };
        match segments.last_mut().filter(|last| follows(last)) {
            Some(last) => last.sectors += sectors,
            None if sectors > 0 => segments.push(Segment { start, sectors, place }),
            None => {}
        }
    };
    let mut at = 0;
    for run in &map.runs {
        let place = match (run.state, run.place) {
            (SectorState::Lost, _) => Place::Lost,
            (SectorState::Main | SectorState::Pending, _) | (_, None) => Place::Main,
            (SectorState::Mapped | SectorState::Suspect, Some((_, sector))) => Place::Spare(sector),
        };
        add(at, run.sector.0 - at, Place::Main);
        add(run.sector.0, u64::from(run.sectors), place);
        at = run.sector.0 + u64::from(run.sectors);
    }
    add(at, sectors - at, Place::Main);
    segments
}

/// One segment alone as two: dm core sends ioctls on to what lies below a table of one `linear` segment, also writes through a
/// read-only device (S31). Both begin on 1 MiB where there is so much, which every physical block divides.
fn at_least_two(segments: Vec<Segment>) -> Vec<Segment> {
    let &[only] = &segments[..] else { return segments };
    let half = only.sectors / 2;
    let first = if half >= 2048 { half - half % 2048 } else { (half - half % 8).max(8) };
    if first >= only.sectors {
        return segments;
    }
    let place = match only.place {
        Place::Spare(sector) => Place::Spare(sector + first),
        same => same,
    };
    let second = Segment { start: only.start + first, sectors: only.sectors - first, place };
    vec![Segment { sectors: first, ..only }, second]
}

/// Sectors of a live table that lead to the spare, and sectors that are errors.
pub fn count(lines: &[Line], mapping: &Mapping) -> (u64, u64) {
    let on_main = |line: &Line| line.text == format!("{} {}", mapping.main, mapping.main_offset + line.start);
    let sum = |which: &dyn Fn(&Line) -> bool| lines.iter().filter(|l| which(l)).map(|l| l.sectors).sum();
    (sum(&|line| line.target == "linear" && !on_main(line)), sum(&|line| line.target == "error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remap_core::engine::list::Listed;
    use remap_core::units::{Sector, Slot};

    fn map(runs: &[(u64, u32, SectorState, u64)]) -> Map {
        let listed = |&(sector, sectors, state, place): &(u64, u32, SectorState, u64)| Listed {
            sector: Sector(sector),
            sectors,
            state,
            place: Some((Slot(0), place)),
        };
        Map { runs: runs.iter().map(listed).collect(), used_slots: 1, copies_differ: false }
    }

    fn table(runs: &[(u64, u32, SectorState, u64)], sectors: u64) -> Vec<String> {
        let mapping = Mapping {
            main: "8:0".into(),
            main_offset: 5,
            spare: "8:16".into(),
            spare_offset: 80,
            features: vec![],
        };
        let assembly = Assembly::new(&map(runs), sectors, SEGMENTS_MAX).unwrap();
        let lines = assembly.lines(&mapping);
        assert_eq!(count(&lines, &mapping), (assembly.mapped_sectors, assembly.lost_sectors));
        lines.iter().map(Line::to_string).collect()
    }

    use SectorState::{Lost, Mapped, Suspect};

    #[test]
    fn what_is_not_mapped_is_main_and_lost_sectors_are_errors() {
        assert_eq!(
            table(&[(16, 2, Mapped, 40), (18, 1, Lost, 42), (19, 5, Suspect, 43)], 100),
            [
                "0 16 linear 8:0 5",
                "16 2 linear 8:16 120",
                "18 1 error",
                "19 5 linear 8:16 123",
                "24 76 linear 8:0 29"
            ]
        );
    }

    #[test]
    fn s31_a_table_has_two_segments_at_least() {
        assert_eq!(table(&[], 100), ["0 48 linear 8:0 5", "48 52 linear 8:0 53"]);
        assert_eq!(table(&[], 16), ["0 8 linear 8:0 5", "8 8 linear 8:0 13"]);
        assert_eq!(table(&[], 10_000), ["0 4096 linear 8:0 5", "4096 5904 linear 8:0 4101"]);
        assert_eq!(table(&[(0, 9, Mapped, 40)], 9), ["0 8 linear 8:16 120", "8 1 linear 8:16 128"]);
        // A single group stays whole.
        assert_eq!(table(&[], 8), ["0 8 linear 8:0 5"]);
    }

    #[test]
    fn segments_touch_both_ends() {
        assert_eq!(table(&[(0, 8, Mapped, 0), (8, 4, Lost, 8)], 12), ["0 8 linear 8:16 80", "8 4 error"]);
    }

    #[test]
    fn slots_one_behind_the_other_are_one_segment_and_others_are_not() {
        let runs = [
            (8, 8, Mapped, 64),
            (16, 8, Mapped, 72),
            (24, 8, Mapped, 88),
            (32, 8, Lost, 96),
            (40, 8, Lost, 0),
        ];
        assert_eq!(
            table(&runs, 48),
            ["0 8 linear 8:0 5", "8 16 linear 8:16 144", "24 8 linear 8:16 168", "32 16 error"]
        );
        // Slots that follow one another serve groups that do not.
        assert_eq!(table(&[(0, 8, Mapped, 64), (16, 8, Mapped, 72)], 24).len(), 3);
        // Sectors of main on both sides of a lost one are two segments.
        assert_eq!(table(&[(8, 1, Lost, 0)], 24).len(), 3);
    }

    #[test]
    fn more_segments_than_the_kernel_takes_are_refused() {
        let map = map(&[(8, 8, Mapped, 64)]);
        assert!(Assembly::new(&map, 100, 3).is_ok());
        let failure = Assembly::new(&map, 100, 2).unwrap_err();
        assert!(failure.what.contains("3 segments, more than the 2"), "{failure}");
    }
}
