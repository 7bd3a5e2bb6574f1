//! The shape of main: how long it is and in what units it reads and writes.

use crate::units::{sector_mask, Group, SECTORS_PER_BLOCK};
use core::fmt;

/// Length and logical block of main. Checked by [`MainShape::new`]; everything read from disk goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MainShape {
    /// Length in sectors, at least one.
    pub sectors: u64,
    /// Logical block in bytes, 512 or 4096.
    pub block_bytes: u32,
}

/// Why a device cannot be main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// The logical block is neither 512 nor 4096 bytes.
    BlockBytes(u32),
    /// No sector, or not a multiple of the logical block.
    Length(u64),
    /// More than 2^40 groups.
    TooLong(u64),
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShapeError::BlockBytes(n) => {
                write!(f, "logical blocks of {n} bytes (512 and 4096 are supported)")
            }
            ShapeError::Length(n) => {
                write!(f, "a length of {n} sectors, which is nothing or no multiple of the logical block")
            }
            ShapeError::TooLong(n) => write!(f, "a length of {n} sectors (the largest main has 4 PiB)"),
        }
    }
}

impl MainShape {
    /// Largest number of sectors: 2^40 groups of eight.
    pub const SECTORS_MAX: u64 = (Group::MAX.0 + 1) * SECTORS_PER_BLOCK as u64;

    /// Checks length in sectors and logical block in bytes.
    pub const fn new(sectors: u64, block_bytes: u32) -> Result<MainShape, ShapeError> {
        let per_block = match block_bytes {
            512 => 1,
            4096 => SECTORS_PER_BLOCK as u64,
            other => return Err(ShapeError::BlockBytes(other)),
        };
        if sectors == 0 || sectors & (per_block - 1) != 0 {
            return Err(ShapeError::Length(sectors));
        }
        if sectors > MainShape::SECTORS_MAX {
            return Err(ShapeError::TooLong(sectors));
        }
        Ok(MainShape { sectors, block_bytes })
    }

    /// Number of groups; the last one may be shorter than eight sectors.
    pub const fn groups(&self) -> u64 {
        self.sectors.div_ceil(SECTORS_PER_BLOCK as u64)
    }

    /// Sectors of main in `group`: 8, fewer in the last group, 0 past the end.
    pub const fn sectors_in_group(&self, group: Group) -> u32 {
        let left = self.sectors.saturating_sub(group.0.saturating_mul(SECTORS_PER_BLOCK as u64));
        if left < SECTORS_PER_BLOCK as u64 {
            left as u32
        } else {
            SECTORS_PER_BLOCK
        }
    }

    /// True when `mask` names whole logical blocks of `group` that lie on main.
    pub const fn mask_fits(&self, group: Group, mask: u8) -> bool {
        let whole_blocks = self.block_bytes == 512 || mask == 0 || mask == 0xff;
        whole_blocks && mask & !sector_mask(0, self.sectors_in_group(group)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        assert!(MainShape::new(1, 512).is_ok());
        assert!(MainShape::new(8, 4096).is_ok());
        assert_eq!(MainShape::new(9, 4096), Err(ShapeError::Length(9)));
        assert_eq!(MainShape::new(0, 512), Err(ShapeError::Length(0)));
        assert_eq!(MainShape::new(8, 1024), Err(ShapeError::BlockBytes(1024)));
        assert!(MainShape::new(1 << 43, 4096).is_ok());
        assert!(matches!(MainShape::new((1 << 43) + 1, 512), Err(ShapeError::TooLong(_))));
    }

    #[test]
    fn the_last_group_may_be_short() {
        let shape = MainShape { sectors: 19, block_bytes: 512 };
        assert_eq!(shape.groups(), 3);
        assert_eq!(shape.sectors_in_group(Group(1)), 8);
        assert_eq!(shape.sectors_in_group(Group(2)), 3);
        assert_eq!(shape.sectors_in_group(Group(3)), 0);
        assert_eq!(shape.sectors_in_group(Group(u64::MAX)), 0);
        assert!(shape.mask_fits(Group(2), 0b111));
        assert!(!shape.mask_fits(Group(2), 0b1000));
    }
}
