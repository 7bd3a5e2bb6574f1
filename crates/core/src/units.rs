//! Units of space. A sector is 512 bytes, a block is 4096 bytes of the spare, a group is 4096 aligned bytes of main.
//!
//! The newtypes do not mix; conversions that can leave the range of the target are checked.

/// Bytes in a sector, the unit of the block layer.
pub const SECTOR_BYTES: u32 = 512;
/// Bytes in a metadata block, a slot and a group.
pub const BLOCK_BYTES: usize = 4096;
/// Sectors in a block, a slot and a group.
pub const SECTORS_PER_BLOCK: u32 = 8;

/// Most slots of a set: a bucket of the lookup table has 24 bits for the slot, of which two values are taken.
pub const SLOTS_MAX: u32 = (1 << 24) - 2;

/// A sector of the mapped device, equally of main counted from `main_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sector(pub u64);

/// A group of main: sectors `8 * n` to `8 * n + 7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Group(pub u64);

/// A slot of the set, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub u32);

/// A 4096-byte block of the spare's region, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SpareBlock(pub u64);

impl Sector {
    /// The group that holds this sector.
    pub const fn group(self) -> Group {
        Group(self.0 >> 3)
    }

    /// Place of this sector in its group, 0 to 7.
    pub const fn in_group(self) -> u32 {
        (self.0 & 7) as u32
    }

    /// The sector `n` further on, or `None` past the range of 64 bits.
    pub const fn checked_add(self, n: u64) -> Option<Sector> {
        match self.0.checked_add(n) {
            Some(s) => Some(Sector(s)),
            None => None,
        }
    }
}

impl Group {
    /// Largest group number that the format holds (40 bits).
    pub const MAX: Group = Group((1 << 40) - 1);

    /// First sector of this group. Groups have at most 61 bits, so that this cannot overflow for numbers up to `MAX`.
    pub const fn first_sector(self) -> Sector {
        Sector(self.0 << 3)
    }
}

impl SpareBlock {
    /// First sector of this block, counted from the start of the region; saturates (never for a block of a checked geometry).
    pub const fn first_sector(self) -> u64 {
        self.0.saturating_mul(SECTORS_PER_BLOCK as u64)
    }
}

/// Mask of sectors `from..from + count` of one group; what lies past the group is left out.
pub const fn sector_mask(from: u32, count: u32) -> u8 {
    if from >= 8 || count == 0 {
        return 0;
    }
    let count = if count > 8 - from { 8 - from } else { count };
    ((((1u16 << count) - 1) << from) & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_covers_exactly_the_named_sectors() {
        assert_eq!(sector_mask(0, 8), 0xff);
        assert_eq!(sector_mask(0, 1), 0x01);
        assert_eq!(sector_mask(3, 2), 0x18);
        assert_eq!(sector_mask(7, 9), 0x80);
        assert_eq!(sector_mask(0, 0), 0);
        assert_eq!(sector_mask(8, 1), 0);
    }
}
