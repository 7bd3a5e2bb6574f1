//! The second header of a health block: version, main, age.

use super::layout::{Layout, BODY_BYTES};
use super::why::Why;
use crate::format::header::{get, get_u32, get_u64, put};
use crate::format::Block;
use crate::health::clock::Anchor;

/// The major version of health blocks that this code writes and reads; a block of another is dropped.
pub const HEALTH_MAJOR: u16 = 1;
/// The highest minor version that this code knows; higher ones are read.
pub const HEALTH_MINOR: u16 = 0;

const AT_MAJOR: usize = 64;
const AT_MINOR: usize = 66;
const AT_MAIN_TAG: usize = 68;
const AT_AGE: usize = 72;
const AT_ANCHOR_AGE: usize = 76;
const AT_ANCHOR_WALL: usize = 80;
const AT_ZONES: usize = 88;
const AT_SPOTS: usize = 90;
const AT_RESERVED: usize = 92;
/// Where the body begins.
pub(super) const AT_BODY: usize = 96;

const _: () = assert!(AT_MAJOR == crate::format::header::HEADER_BYTES && AT_BODY == AT_RESERVED + 4);
const _: () = assert!(AT_BODY + BODY_BYTES == crate::units::BLOCK_BYTES);

/// The second header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthHeader {
    /// The tag of main.
    pub main_tag: u32,
    /// Age of the health when the block was written.
    pub age_s: u32,
    /// From when on closed time counts.
    pub anchor: Anchor,
    /// Written by a version that this code knows all of.
    pub strict: bool,
}

impl HealthHeader {
    /// Writes it into a block whose first header is there.
    pub fn put(&self, layout: &Layout, block: &mut Block) {
        put(block, AT_MAJOR, HEALTH_MAJOR.to_le_bytes());
        put(block, AT_MINOR, HEALTH_MINOR.to_le_bytes());
        put(block, AT_MAIN_TAG, self.main_tag.to_le_bytes());
        put(block, AT_AGE, self.age_s.to_le_bytes());
        put(block, AT_ANCHOR_AGE, self.anchor.age_s.to_le_bytes());
        put(block, AT_ANCHOR_WALL, self.anchor.wall_s.to_le_bytes());
        put(block, AT_ZONES, (layout.zones() as u16).to_le_bytes());
        put(block, AT_SPOTS, (layout.spots() as u16).to_le_bytes());
    }

    /// Reads it from a block whose first header was checked.
    pub fn get(layout: &Layout, block: &Block) -> Result<HealthHeader, Why> {
        let major = u16::from_le_bytes(get(block, AT_MAJOR));
        if major != HEALTH_MAJOR {
            return Err(Why::Version(major));
        }
        let strict = u16::from_le_bytes(get(block, AT_MINOR)) == HEALTH_MINOR;
        let numbers = [get::<2>(block, AT_ZONES), get::<2>(block, AT_SPOTS)].map(u16::from_le_bytes);
        if numbers.map(usize::from) != [layout.zones(), layout.spots()] {
            return Err(Why::Value("number of zones or spots"));
        }
        if strict && get_u32(block, AT_RESERVED) != 0 {
            return Err(Why::Value("reserved"));
        }
        let age_s = get_u32(block, AT_AGE);
        let anchor = Anchor { wall_s: get_u64(block, AT_ANCHOR_WALL), age_s: get_u32(block, AT_ANCHOR_AGE) };
        if anchor.age_s > age_s {
            return Err(Why::Value("anchor of the age"));
        }
        Ok(HealthHeader { main_tag: get_u32(block, AT_MAIN_TAG), age_s, anchor, strict })
    }
}
