//! Where everything lies on the spare. All of it follows from the length of the region and the number of slots.

use super::{COPIES_MAX, ENTRIES_PER_BLOCK};
use crate::units::{Slot, SpareBlock, SECTORS_PER_BLOCK, SLOTS_MAX};
use core::fmt;

/// The five areas, one for each possible copy.
const AREAS: u64 = COPIES_MAX as u64;
const ENTRIES: u32 = ENTRIES_PER_BLOCK as u32;
/// Blocks of an area before its slot table: the reserved one and the superblock.
const AREA_HEAD_BLOCKS: u32 = 2;
/// Place of the superblock in its area.
const SUPERBLOCK_IN_AREA: u64 = 1;

/// Smallest region, in blocks: 8 MiB.
pub const REGION_BLOCKS_MIN: u64 = 2048;
/// Largest region, in blocks: 64 TiB. What a device has beyond that is not used.
pub const REGION_BLOCKS_MAX: u64 = 1 << 34;
/// Most slots of a set that was formatted without a wish: 4 GiB of room.
pub const SLOTS_DEFAULT_MAX: u32 = 1 << 20;
/// A place past the end of every region. Addresses that do not exist lead here, so that I/O to them fails.
pub const NOWHERE: SpareBlock = SpareBlock(1 << 60);

const _: () = assert!(REGION_BLOCKS_MAX / AREAS < u32::MAX as u64);
const _: () = assert!(NOWHERE.0 > REGION_BLOCKS_MAX && NOWHERE.0 < u64::MAX / 8 - REGION_BLOCKS_MAX * 8);

/// Why there is no such geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// The region has fewer blocks than [`REGION_BLOCKS_MIN`].
    TooSmall {
        /// Blocks of the region.
        region_blocks: u64,
    },
    /// The region has more blocks than [`REGION_BLOCKS_MAX`]; see [`usable_blocks`].
    TooLarge {
        /// Blocks of the region.
        region_blocks: u64,
    },
    /// No slot was asked for, or more than fit.
    Slots {
        /// What was asked for.
        asked: u32,
        /// What fits.
        max: u32,
    },
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GeometryError::TooSmall { region_blocks } => {
                write!(f, "{region_blocks} blocks of 4096 bytes are too few for a spare; ")?;
                write!(f, "the smallest has {REGION_BLOCKS_MIN} (8 MiB)")
            }
            GeometryError::TooLarge { region_blocks } => {
                write!(f, "{region_blocks} blocks of 4096 bytes are more than a spare can use; ")?;
                write!(f, "the largest has {REGION_BLOCKS_MAX} (64 TiB)")
            }
            GeometryError::Slots { asked, max } => {
                write!(f, "{asked} slots were asked for; this spare can have 1 to {max}")
            }
        }
    }
}

/// Blocks that a set uses of a region of `sectors` sectors: whole blocks, at most [`REGION_BLOCKS_MAX`].
pub const fn usable_blocks(sectors: u64) -> u64 {
    let blocks = sectors / SECTORS_PER_BLOCK as u64;
    if blocks > REGION_BLOCKS_MAX {
        REGION_BLOCKS_MAX
    } else {
        blocks
    }
}

/// The layout of a set on its spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    region_blocks: u64,
    area_blocks: u64,
    slot_count: u32,
    table_blocks: u32,
    health_blocks: u32,
    data_offset: u32,
    slots_per_area: u32,
}

/// Blocks of an area, for a region of a length in range.
const fn area_blocks(region_blocks: u64) -> u64 {
    (region_blocks / AREAS) & !7
}

const fn health_blocks(area_blocks: u64) -> u32 {
    match area_blocks / 64 {
        0..=7 => 8,
        n @ 8..=4095 => n as u32,
        _ => 4096,
    }
}

const fn check_region(region_blocks: u64) -> Result<(), GeometryError> {
    if region_blocks < REGION_BLOCKS_MIN {
        return Err(GeometryError::TooSmall { region_blocks });
    }
    if region_blocks > REGION_BLOCKS_MAX {
        return Err(GeometryError::TooLarge { region_blocks });
    }
    Ok(())
}

impl Geometry {
    /// The layout of a region of `region_blocks` blocks with `slots` slots, or without a wish as many as fit, at most
    /// [`SLOTS_DEFAULT_MAX`].
    pub fn new(region_blocks: u64, slots: Option<u32>) -> Result<Geometry, GeometryError> {
        let max = Geometry::max_slots(region_blocks)?;
        let slot_count = slots.unwrap_or(max.min(SLOTS_DEFAULT_MAX));
        if slot_count == 0 || slot_count > max {
            return Err(GeometryError::Slots { asked: slot_count, max });
        }
        let geometry = Geometry::lay_out(region_blocks, slot_count);
        geometry.ok_or(GeometryError::Slots { asked: slot_count, max })
    }

    /// The most slots that a region of `region_blocks` blocks can have.
    pub fn max_slots(region_blocks: u64) -> Result<u32, GeometryError> {
        check_region(region_blocks)?;
        // More slots need more table blocks, which leave less room: what fits, fits for every smaller number too.
        let (mut fits, mut too_many) = (0u32, SLOTS_MAX + 1);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            match Geometry::lay_out(region_blocks, middle) {
                Some(_) => fits = middle,
                None => too_many = middle,
            }
        }
        Ok(fits)
    }

    /// The formulas of the format; `None` when the slots do not fit.
    fn lay_out(region_blocks: u64, slot_count: u32) -> Option<Geometry> {
        let area_blocks = area_blocks(region_blocks);
        let table_blocks = slot_count.div_ceil(ENTRIES);
        let health_blocks = health_blocks(area_blocks);
        let data_offset = AREA_HEAD_BLOCKS.checked_add(table_blocks)?.checked_add(health_blocks)?;
        let slots_per_area = u32::try_from(area_blocks.checked_sub(u64::from(data_offset))?).ok()?;
        if u64::from(slot_count) > u64::from(slots_per_area).checked_mul(AREAS)? {
            return None;
        }
        Some(Geometry {
            region_blocks,
            area_blocks,
            slot_count,
            table_blocks,
            health_blocks,
            data_offset,
            slots_per_area,
        })
    }

    /// Where superblock `copy` of a region of `region_blocks` blocks lies, without knowing anything else. `None` when the
    /// region is too small or too large for a spare, or there is no such copy.
    pub fn superblock_at(region_blocks: u64, copy: u8) -> Option<SpareBlock> {
        if check_region(region_blocks).is_err() || copy >= COPIES_MAX {
            return None;
        }
        let start = area_blocks(region_blocks).checked_mul(u64::from(copy))?;
        Some(SpareBlock(start.checked_add(SUPERBLOCK_IN_AREA)?))
    }

    /// Block `offset` of area `area`, or [`NOWHERE`].
    fn in_area(&self, area: u64, offset: u64) -> SpareBlock {
        if area >= AREAS || offset >= self.area_blocks {
            return NOWHERE;
        }
        match self.area_blocks.checked_mul(area).and_then(|start| start.checked_add(offset)) {
            Some(block) => SpareBlock(block),
            None => NOWHERE,
        }
    }

    /// Where superblock `copy` lies; [`NOWHERE`] when there is no such copy.
    pub fn superblock(&self, copy: u8) -> SpareBlock {
        self.in_area(u64::from(copy), SUPERBLOCK_IN_AREA)
    }

    /// Where block `index` of slot table `copy` lies; [`NOWHERE`] when there is no such block.
    pub fn table_block(&self, copy: u8, index: u32) -> SpareBlock {
        if index >= self.table_blocks {
            return NOWHERE;
        }
        self.in_area(u64::from(copy), u64::from(AREA_HEAD_BLOCKS) + u64::from(index))
    }

    /// Where block `index` of health area `copy` lies; [`NOWHERE`] when there is no such block.
    pub fn health_block(&self, copy: u8, index: u32) -> SpareBlock {
        if index >= self.health_blocks {
            return NOWHERE;
        }
        let start = u64::from(AREA_HEAD_BLOCKS) + u64::from(self.table_blocks);
        self.in_area(u64::from(copy), start + u64::from(index))
    }

    /// Where the content of `slot` lies; [`NOWHERE`] when there is no such slot.
    #[inline]
    pub fn slot_block(&self, slot: Slot) -> SpareBlock {
        if slot.0 >= self.slot_count {
            return NOWHERE;
        }
        match (slot.0.checked_div(self.slots_per_area), slot.0.checked_rem(self.slots_per_area)) {
            (Some(area), Some(place)) => {
                self.in_area(u64::from(area), u64::from(self.data_offset) + u64::from(place))
            }
            _ => NOWHERE,
        }
    }

    /// Blocks of the region.
    pub const fn region_blocks(&self) -> u64 {
        self.region_blocks
    }

    /// Blocks of each of the five areas.
    pub const fn area_blocks(&self) -> u64 {
        self.area_blocks
    }

    /// Slots of the set.
    pub const fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// Blocks of each copy of the slot table.
    pub const fn table_blocks(&self) -> u32 {
        self.table_blocks
    }

    /// Blocks of each copy of the health area.
    pub const fn health_blocks(&self) -> u32 {
        self.health_blocks
    }

    /// First slot of an area, in blocks from the start of the area.
    pub const fn data_offset(&self) -> u32 {
        self.data_offset
    }

    /// Slots in each area; the last areas may hold fewer.
    pub const fn slots_per_area(&self) -> u32 {
        self.slots_per_area
    }
}
