//! The gate (docs/lookup.md): where bios are while they look up and while their I/O is under way, so that one can wait until they have left.
//!
//! A gate has *lanes*. All reads go by one. A write goes by the lane of its region of main, or by one of its own if it lies in several
//! regions; what waits for the writes to a group waits in two lanes, and not for a disk that takes seconds over a write elsewhere.
//! The host counts who is in each lane; which lane it is, is said here.

use crate::units::{Group, Sector};

/// Lanes of a gate.
pub const LANES: usize = FIRST_REGION as usize + (1 << REGION_BITS);

const READS: u8 = 0;
/// Writes to several regions.
const WIDE: u8 = 1;
const FIRST_REGION: u8 = 2;
/// Regions share so many lanes, as a power of two.
const REGION_BITS: u32 = 4;
/// Sectors of a region as a power of two: the least, 128 KiB, and the most, 16 MiB, so that few writes lie in two.
const REGION_SHIFT: (u32, u32) = (8, 15);
/// Regions that a main is divided into if they are not too small then, as a power of two.
const REGIONS_SHIFT: u32 = 6;

/// A lane of the gate, less than [`LANES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(u8);

impl Lane {
    /// Its number.
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// Some of the lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes(u32);

impl Lanes {
    /// None.
    pub const NONE: Lanes = Lanes(0);
    /// All.
    pub const ALL: Lanes = Lanes((1 << LANES) - 1);

    /// That of reads.
    pub const READS: Lanes = Lanes::of(Lane(READS));
    /// That of writes to several regions.
    pub const WIDE: Lanes = Lanes::of(Lane(WIDE));

    /// This one alone.
    pub const fn of(lane: Lane) -> Lanes {
        Lanes(1 << lane.0)
    }

    /// Both these and those.
    #[must_use]
    pub const fn with(self, other: Lanes) -> Lanes {
        Lanes(self.0 | other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Lane> {
        (0..LANES as u8).map(Lane).filter(move |lane| self.has(lane.number()))
    }

    /// Whether one is among both.
    pub const fn meets(self, other: Lanes) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether lane number `lane` is among them.
    pub const fn has(self, lane: usize) -> bool {
        lane < LANES && self.0 & (1 << lane) != 0
    }
}

/// How a main is divided into regions.
#[derive(Clone, Copy, Debug)]
pub struct Regions {
    shift: u32,
}

impl Regions {
    /// The regions of a main of so many sectors.
    pub const fn new(main_sectors: u64) -> Regions {
        let whole = 63 - (main_sectors | 1).leading_zeros();
        let shift = whole.saturating_sub(REGIONS_SHIFT);
        let (least, most) = REGION_SHIFT;
        Regions {
            shift: if shift < least {
                least
            } else if shift > most {
                most
            } else {
                shift
            },
        }
    }

    /// The lane of a bio of `sectors` sectors from `first` on; `write`: it changes content.
    #[inline]
    pub const fn lane(self, first: Sector, sectors: u32, write: bool) -> Lane {
        if !write {
            return Lane(READS);
        }
        let last = first.0.wrapping_add((sectors as u64).wrapping_sub(1));
        if first.0 >> self.shift != last >> self.shift {
            return Lane(WIDE);
        }
        self.region(first)
    }

    /// The lane of writes that lie in one region, this sector's.
    const fn region(self, sector: Sector) -> Lane {
        // The golden ratio as a fraction of 2^64 spreads regions that lie at any regular distance (Knuth, The Art of Computer Programming 3, 6.4).
        let hash = (sector.0 >> self.shift).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Lane(FIRST_REGION + (hash >> (64 - REGION_BITS)) as u8)
    }

    /// The lanes of writes to the region of a group, without those to several regions.
    pub const fn of_group(self, group: Group) -> Lanes {
        Lanes::of(self.region(group.first_sector()))
    }

    /// The lanes of all writes to groups that lie close together, `first` to `last`: in two regions at most.
    pub const fn writes_to(self, first: Group, last: Group) -> Lanes {
        Lanes::WIDE.with(self.of_group(first)).with(self.of_group(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s09_every_write_to_a_group_is_in_a_lane_that_a_drain_of_its_window_waits_for() {
        for main_sectors in [1, 67, 1600, 1 << 20, 1 << 41] {
            let regions = Regions::new(main_sectors);
            let region = 1u64 << regions.shift;
            for first in [0, 240, region - 240, region - 8, region, 3 * region + 64] {
                let (from, to) = (Sector(first).group(), Sector(first + 239).group());
                let drained = regions.writes_to(from, to);
                for (at, sectors) in [(first, 8), (first + 232, 8), (first + 120, 8), (first, 240)] {
                    let lane = regions.lane(Sector(at), sectors, true);
                    assert!(drained.has(lane.number()), "{main_sectors} {first} {at}");
                }
                let around = regions.lane(Sector(first.saturating_sub(region)), 3 << regions.shift, true);
                assert!(drained.has(around.number()));
            }
        }
    }

    #[test]
    fn s09_reads_and_writes_far_away_are_in_other_lanes() {
        let regions = Regions::new(1 << 33);
        let drained = regions.writes_to(Group(0), Group(29));
        assert!(!drained.has(regions.lane(Sector(0), 8, false).number()));
        // Beside the region, and as far away as main is asked for evidence.
        for blocks in [4096u64, 1 << 15, 1 << 18] {
            assert!(!drained.has(regions.lane(Sector(blocks * 8), 8, true).number()), "{blocks}");
        }
        assert!(Lanes::ALL.has(LANES - 1) && !Lanes::ALL.has(LANES));
        assert!((0..LANES).all(|lane| !Lanes::NONE.has(lane)));
    }

    #[test]
    fn s09_regions_use_all_lanes() {
        let regions = Regions::new(u64::MAX);
        let used = (0..256).fold(Lanes::NONE, |lanes, nth| {
            lanes.with(regions.of_group(Sector(nth << regions.shift).group()))
        });
        assert_eq!((FIRST_REGION.into()..LANES).filter(|lane| used.has(*lane)).count(), 1 << REGION_BITS);
    }
}
