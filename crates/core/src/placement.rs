//! Where main and the spare's region lie on their devices, and whether that can be (S20, S23).

use core::ffi::CStr;

use crate::format::SetId;
use crate::units::SECTORS_PER_BLOCK;

/// A range of a device, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of the device.
    pub device: u32,
    /// First sector.
    pub first: u64,
    /// Length.
    pub sectors: u64,
}

impl Extent {
    /// Whether the two have a sector in common.
    pub const fn overlaps(&self, other: &Extent) -> bool {
        self.device == other.device
            && self.first < other.first.saturating_add(other.sectors)
            && other.first < self.first.saturating_add(self.sectors)
    }
}

/// What one device of a table is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Number of the device.
    pub number: u32,
    /// Its length in sectors.
    pub sectors: u64,
    /// Its logical block in bytes.
    pub logical_block_bytes: u32,
    /// Whether it is zoned.
    pub zoned: bool,
    /// Where the table says that our part begins, in sectors.
    pub offset: u64,
}

/// The two extents of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Main.
    pub main: Extent,
    /// The spare's region.
    pub region: Extent,
    /// Main's logical block in bytes.
    pub block_bytes: u32,
}

/// Why a table cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementError {
    /// A device is zoned.
    Zoned,
    /// Main's logical block is neither 512 nor 4096 bytes.
    MainBlock,
    /// The spare's logical block is larger than main's.
    SpareBlock,
    /// Main goes past the end of its device.
    MainTooLong,
    /// Main's length or offset is not a multiple of its logical block.
    MainAlignment,
    /// The spare's offset is not a multiple of 8 sectors.
    SpareAlignment,
    /// The spare's offset is past the end of its device.
    SpareOffset,
    /// The region lies in main.
    Overlap,
}

impl PlacementError {
    /// The error in words, for device-mapper.
    pub const fn text(self) -> &'static CStr {
        match self {
            PlacementError::Zoned => c"zoned devices are not supported",
            PlacementError::MainBlock => {
                c"the logical block of the main device is neither 512 nor 4096 bytes"
            }
            PlacementError::SpareBlock => {
                c"the logical block of the spare is larger than that of the main device"
            }
            PlacementError::MainTooLong => c"the table is longer than the main device",
            PlacementError::MainAlignment => {
                c"length and offset of main must be multiples of its logical block"
            }
            PlacementError::SpareAlignment => c"the spare's offset must be a multiple of 8 sectors",
            PlacementError::SpareOffset => c"the spare's offset is past the end of the device",
            PlacementError::Overlap => c"main and the spare's region overlap",
        }
    }
}

/// Places a mapping of `len` sectors. The region goes to the end of its device, or to main where main follows on the same device.
pub fn place(main: &DeviceFacts, spare: &DeviceFacts, len: u64) -> Result<Placement, PlacementError> {
    if main.zoned || spare.zoned {
        return Err(PlacementError::Zoned);
    }
    let block_bytes = main.logical_block_bytes;
    if block_bytes != 512 && block_bytes != 4096 {
        return Err(PlacementError::MainBlock);
    }
    if spare.logical_block_bytes > block_bytes {
        return Err(PlacementError::SpareBlock);
    }
    if main.offset.checked_add(len).is_none_or(|end| end > main.sectors) {
        return Err(PlacementError::MainTooLong);
    }
    let block_sectors = u64::from(block_bytes / 512);
    if len % block_sectors != 0 || main.offset % block_sectors != 0 {
        return Err(PlacementError::MainAlignment);
    }
    if spare.offset % u64::from(SECTORS_PER_BLOCK) != 0 {
        return Err(PlacementError::SpareAlignment);
    }
    let follows = main.number == spare.number && main.offset > spare.offset;
    let end = if follows { main.offset } else { spare.sectors };
    // Whole blocks only: what is behind the last one is never used, and could not be stacked under larger logical blocks.
    let room = end.checked_sub(spare.offset).map(|n| n - n % u64::from(SECTORS_PER_BLOCK));
    let sectors = room.filter(|n| *n > 0).ok_or(PlacementError::SpareOffset)?;
    let placement = Placement {
        main: Extent { device: main.number, first: main.offset, sectors: len },
        region: Extent { device: spare.number, first: spare.offset, sectors },
        block_bytes,
    };
    if placement.main.overlaps(&placement.region) {
        return Err(PlacementError::Overlap);
    }
    Ok(placement)
}

/// What a live mapping uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Number of the mapped device.
    pub owner: u32,
    /// What it uses.
    pub placement: Placement,
    /// The set; `None` as long as the spare was not looked at.
    pub set: Option<SetId>,
}

impl Claim {
    /// Whether a table with this claim may not follow `serving`, the table of the same mapped device that is in service: what lives in the slots
    /// of that set would be read from main, where it is old (S21). Another main is another matter.
    pub fn forgets(&self, serving: &Claim) -> bool {
        self.owner == serving.owner
            && self.placement.main.overlaps(&serving.placement.main)
            && self.set != serving.set
    }

    /// Whether the two cannot live side by side (S20). Two tables of one mapped device can: one replaces the other.
    pub fn conflicts(&self, other: &Claim) -> bool {
        let (a, b) = (&self.placement, &other.placement);
        self.owner != other.owner
            && (a.main.overlaps(&b.main)
                || a.main.overlaps(&b.region)
                || a.region.overlaps(&b.main)
                || a.region.overlaps(&b.region)
                || (self.set.is_some() && self.set == other.set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(number: u32, sectors: u64, offset: u64) -> DeviceFacts {
        DeviceFacts { number, sectors, logical_block_bytes: 512, zoned: false, offset }
    }

    #[test]
    fn s20_main_and_spare_may_share_a_disk_but_not_a_sector() {
        let on_one = place(&facts(1, 100_000, 40_000), &facts(1, 100_000, 0), 60_000).unwrap();
        assert_eq!(on_one.region.sectors, 40_000);
        let behind = place(&facts(1, 100_000, 0), &facts(1, 100_000, 60_000), 60_000).unwrap();
        assert_eq!(behind.region.sectors, 40_000);
        assert_eq!(
            place(&facts(1, 100_000, 0), &facts(1, 100_000, 59_992), 60_000),
            Err(PlacementError::Overlap)
        );
    }

    #[test]
    fn s20_one_sector_in_common_is_enough() {
        let of = |first, sectors| Extent { device: 1, first, sectors };
        let middle = of(100, 50);
        for other in [of(0, 101), of(149, 10), of(120, 1), of(0, 1000), of(u64::MAX - 1, 10)] {
            let overlap = other.first < 150;
            assert_eq!((middle.overlaps(&other), other.overlaps(&middle)), (overlap, overlap), "{other:?}");
        }
        for other in [of(0, 100), of(150, 10), Extent { device: 2, ..middle }] {
            assert!(!middle.overlaps(&other) && !other.overlaps(&middle), "{other:?}");
        }
    }

    #[test]
    fn s23_what_cannot_be_mapped_is_refused() {
        let (main, spare) = (facts(1, 100_000, 0), facts(2, 50_000, 0));
        assert_eq!(place(&main, &spare, 100_001), Err(PlacementError::MainTooLong));
        assert_eq!(place(&main, &DeviceFacts { offset: 4, ..spare }, 8), Err(PlacementError::SpareAlignment));
        assert_eq!(
            place(&main, &DeviceFacts { offset: 50_000, ..spare }, 8),
            Err(PlacementError::SpareOffset)
        );
        assert_eq!(place(&main, &DeviceFacts { zoned: true, ..spare }, 8), Err(PlacementError::Zoned));
        let spare_4k = DeviceFacts { logical_block_bytes: 4096, ..spare };
        assert_eq!(place(&main, &spare_4k, 8), Err(PlacementError::SpareBlock));
        let main_4k = DeviceFacts { logical_block_bytes: 4096, ..main };
        assert_eq!(place(&main_4k, &spare_4k, 12), Err(PlacementError::MainAlignment));
        let shifted = DeviceFacts { offset: 4, ..main_4k };
        assert_eq!(place(&shifted, &spare_4k, 16), Err(PlacementError::MainAlignment));
        assert_eq!(
            place(&DeviceFacts { offset: u64::MAX, ..main }, &spare, 8),
            Err(PlacementError::MainTooLong)
        );
    }

    #[test]
    fn s21_a_table_with_another_set_does_not_follow_one_in_service() {
        let placement = place(&facts(1, 100_000, 0), &facts(2, 50_000, 0), 100_000).unwrap();
        let serving = Claim { owner: 7, placement, set: Some(SetId([1; 16])) };
        assert!(!serving.forgets(&serving), "a reload");
        let other = Claim { set: Some(SetId([2; 16])), ..serving };
        assert!(other.forgets(&serving));
        assert!(!Claim { owner: 8, ..other }.forgets(&serving));
        // Part of the same main, and a copy of it on a new disk.
        let part = place(&facts(1, 100_000, 0), &facts(5, 50_000, 0), 99_992).unwrap();
        assert!(Claim { placement: part, ..other }.forgets(&serving));
        let copy = place(&facts(4, 100_000, 0), &facts(5, 50_000, 0), 100_000).unwrap();
        assert!(!Claim { placement: copy, ..other }.forgets(&serving));
    }

    #[test]
    fn s20_what_another_live_mapping_uses_is_refused() {
        let placement = place(&facts(1, 100_000, 0), &facts(2, 50_000, 0), 100_000).unwrap();
        let mine = Claim { owner: 7, placement, set: Some(SetId([1; 16])) };
        assert!(!mine.conflicts(&Claim { ..mine }), "a reload of the same device");
        assert!(mine.conflicts(&Claim { owner: 8, ..mine }));
        let elsewhere = place(&facts(3, 100_000, 0), &facts(4, 50_000, 0), 100_000).unwrap();
        assert!(
            mine.conflicts(&Claim { owner: 8, placement: elsewhere, ..mine }),
            "the same set by another way"
        );
        assert!(!mine.conflicts(&Claim { owner: 8, placement: elsewhere, set: Some(SetId([2; 16])) }));
        // Each of what two mappings may have in common, with nothing else.
        let of = |main, spare| Claim {
            owner: 8,
            placement: place(&facts(main, 100_000, 0), &facts(spare, 50_000, 0), 50_000).unwrap(),
            set: None,
        };
        assert!(!mine.conflicts(&of(3, 4)));
        for other in [of(1, 4), of(3, 2), of(2, 4), of(3, 1)] {
            assert!(mine.conflicts(&other) && other.conflicts(&mine), "{other:?}");
        }
        let crossed = place(&facts(2, 50_000, 0), &facts(5, 50_000, 0), 50_000).unwrap();
        assert!(mine.conflicts(&Claim { owner: 8, placement: crossed, set: None }), "a spare used as main");
    }
}
