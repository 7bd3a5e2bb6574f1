//! Where everything lies in the health area, and what is known of each block there.

use super::tag::main_tag;
use super::why::Why;
use crate::format::{Geometry, MainShape, SetId, Superblock, COPIES_MAX};
use crate::health::spots::{SPOTS_MAX, SPOTS_PER_BLOCK};
use crate::health::zone::ZONES_MAX;
use crate::units::SpareBlock;

/// Bytes of a block behind its two headers.
pub const BODY_BYTES: usize = 4000;
/// Zones in one block.
pub const ZONES_PER_BLOCK: usize = 250;
/// Blocks of a set that has room for all zones and spots.
pub const BLOCKS_MAX: usize = FIRST_ZONES + ZONE_BLOCKS_MAX + SPOT_BLOCKS_MAX;
/// A copy whose health area failed so many writes gets no more until the next activation.
pub const FAILURES_MAX: u8 = 3;
/// A place of the scan or latencies alone are saved at one in so many autosaves.
pub const LAZY_EVERY: u8 = 10;

pub(super) const HEAD: usize = 0;
pub(super) const POINTS_BLOCK: usize = 1;
pub(super) const FIRST_ZONES: usize = 2;
pub(super) const ZONE_BLOCKS_MAX: usize = ZONES_MAX.div_ceil(ZONES_PER_BLOCK);
pub(super) const SPOT_BLOCKS_MAX: usize = SPOTS_MAX.div_ceil(SPOTS_PER_BLOCK);
pub(super) const COPIES: usize = COPIES_MAX as usize;

const _: () = assert!(BLOCKS_MAX == 40 && ZONE_BLOCKS_MAX == 5 && SPOT_BLOCKS_MAX == 33);
const _: () = assert!(ZONES_PER_BLOCK * 16 == BODY_BYTES && SPOTS_PER_BLOCK * 32 == BODY_BYTES);

/// Where everything lies in the health area of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) zone_blocks: usize,
    pub(super) spot_blocks: usize,
    /// Blocks between the first places and the second ones.
    pub(super) half: u32,
}

/// The content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Head,
    Points,
    /// Zones, by the number of the block among those of zones.
    Zones(usize),
    /// Spots, likewise.
    Spots(usize),
}

impl Layout {
    /// The layout of a spare: how many zones and spots it has room for.
    pub const fn new(geometry: &Geometry) -> Layout {
        let half = geometry.health_blocks() / 2;
        let room = (half as usize).saturating_sub(FIRST_ZONES);
        let zone_blocks = match room / 7 {
            0 => 1,
            n if n > ZONE_BLOCKS_MAX => ZONE_BLOCKS_MAX,
            n => n,
        };
        let left = room.saturating_sub(zone_blocks);
        let spot_blocks = if left > SPOT_BLOCKS_MAX { SPOT_BLOCKS_MAX } else { left };
        Layout { zone_blocks, spot_blocks, half }
    }

    /// Number of zones, 250 to 1024.
    pub const fn zones(&self) -> usize {
        let zones = self.zone_blocks * ZONES_PER_BLOCK;
        if zones > ZONES_MAX {
            ZONES_MAX
        } else {
            zones
        }
    }

    /// Number of spots, 125 to 4096.
    pub const fn spots(&self) -> usize {
        let spots = self.spot_blocks * SPOTS_PER_BLOCK;
        if spots > SPOTS_MAX {
            SPOTS_MAX
        } else {
            spots
        }
    }

    /// Number of blocks, 4 to [`BLOCKS_MAX`], each of them with two places in a copy.
    pub const fn blocks(&self) -> usize {
        FIRST_ZONES + self.zone_blocks + self.spot_blocks
    }

    /// Place 0 or 1 of a block in the health area of a copy, as a number of the area's block.
    pub(super) const fn place(&self, block: usize, place: u8) -> u32 {
        let second = if place == 0 { 0 } else { self.half };
        second.saturating_add(block as u32)
    }

    pub(super) fn content(&self, block: usize) -> Content {
        match block {
            HEAD => Content::Head,
            POINTS_BLOCK => Content::Points,
            _ => {
                let zones = block.saturating_sub(FIRST_ZONES);
                match zones.checked_sub(self.zone_blocks) {
                    None => Content::Zones(zones),
                    Some(spots) => Content::Spots(spots),
                }
            }
        }
    }
}

/// The state of one block on the spare.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockState {
    /// The newest sequence that was found or written.
    pub(super) seq: u64,
    /// The newest in the copy that is being loaded.
    pub(super) seq_here: u64,
    /// The newest sequence that was found of another main.
    pub(super) other_seq: u64,
    /// The newest names its main.
    pub(super) tagged: bool,
    /// Copies that hold the newest, bit *c* for copy *c*.
    pub(super) current: u8,
    /// Copies that hold a valid instance at all.
    pub(super) held: u8,
    /// Which place the newest instance of a copy is at, bit *c* for copy *c*.
    pub(super) place: u8,
    /// CRC32C of the body as it was saved; of zones only.
    pub(super) body_crc: u32,
    /// Why an instance was dropped, and in which copy.
    pub(super) dropped: Option<(u8, Why)>,
}

/// The state of the health area.
pub struct Store<'a> {
    pub(super) blocks: &'a mut [BlockState; BLOCKS_MAX],
    pub(super) layout: Layout,
    pub(super) geometry: Geometry,
    pub(super) id: SetId,
    pub(in crate::health) shape: MainShape,
    pub(super) main_tag: u32,
    pub(super) copy_count: u8,
    /// The highest sequence of all blocks.
    pub(super) seq: u64,
    /// Blocks that have changed since they were encoded.
    pub(super) changed: u64,
    /// Blocks in which only places of the scan or latencies have changed.
    pub(super) lazy: u64,
    /// Autosaves since these were saved.
    pub(super) waited: u8,
    /// Failed writes of each copy since activation.
    pub(super) failures: [u8; COPIES],
    pub(super) saves: u64,
    pub(super) saves_failed: u64,
    pub(super) saved_s: u64,
    pub(super) last_ms: Option<u64>,
}

pub(super) const fn bit(block: usize) -> u64 {
    if block < 64 {
        1 << block
    } else {
        0
    }
}

impl<'a> Store<'a> {
    pub(in crate::health) fn new(
        blocks: &'a mut [BlockState; BLOCKS_MAX],
        superblock: &Superblock,
        layout: Layout,
    ) -> Store<'a> {
        blocks.fill(BlockState::default());
        Store {
            blocks,
            layout,
            geometry: superblock.geometry,
            id: superblock.id,
            shape: superblock.main,
            main_tag: main_tag(&superblock.main_identity),
            copy_count: superblock.copy_count,
            seq: 0,
            changed: 0,
            lazy: 0,
            waited: 0,
            failures: [0; COPIES],
            saves: 0,
            saves_failed: 0,
            saved_s: 0,
            last_ms: None,
        }
    }

    /// Where everything lies.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Saves since activation that wrote something, and that every block of it reached a copy.
    pub const fn saves(&self) -> u64 {
        self.saves
    }

    /// Saves since activation of which a write failed.
    pub const fn saves_failed(&self) -> u64 {
        self.saves_failed
    }

    /// When the latest save ended, in seconds since 1970; 0: never since activation, or not known.
    pub const fn saved_s(&self) -> u64 {
        self.saved_s
    }

    /// Copies that get no more health until the next activation, as bits.
    pub fn given_up(&self) -> u8 {
        let over = self.failures.iter().enumerate().filter(|(_, n)| **n >= FAILURES_MAX);
        over.fold(0, |mask, (copy, _)| mask | 1u8.checked_shl(copy as u32).unwrap_or(0))
    }

    pub(in crate::health) fn mark_head(&mut self) {
        self.changed |= bit(HEAD);
    }

    pub(in crate::health) fn mark_cursor(&mut self) {
        self.lazy |= bit(HEAD);
    }

    pub(in crate::health) fn mark_points(&mut self) {
        self.changed |= bit(POINTS_BLOCK) | bit(HEAD);
    }

    pub(super) fn state(&self, block: usize) -> BlockState {
        self.blocks.get(block).copied().unwrap_or_default()
    }

    pub(super) fn change(&mut self, block: usize, f: impl FnOnce(&mut BlockState)) {
        if let Some(state) = self.blocks.get_mut(block) {
            f(state);
        }
    }

    pub(super) fn address(&self, copy: u8, block: usize, place: u8) -> SpareBlock {
        self.geometry.health_block(copy, self.layout.place(block, place))
    }

    /// Whether no block of this main was found or saved.
    pub(super) fn is_blank(&self) -> bool {
        self.blocks.iter().all(|state| state.seq == 0)
    }

    pub(super) fn all(&self) -> u64 {
        bit(self.layout.blocks()).wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_spares_have_fewer_zones_and_spots() {
        let layout = |region_blocks| Layout::new(&Geometry::new(region_blocks, Some(1)).unwrap());
        for (region_blocks, zones, spots, blocks) in [
            (2048, 250, 125, 4),
            (5120, 250, 625, 8),
            (12_800, 500, 2000, 20),
            (25_600, 1024, 4096, 40),
            (1 << 34, 1024, 4096, 40),
        ] {
            let l = layout(region_blocks);
            assert_eq!((l.zones(), l.spots(), l.blocks()), (zones, spots, blocks), "{region_blocks}");
        }
    }

    #[test]
    fn places_do_not_overlap_and_fit_the_area() {
        for region_blocks in (2048..40_000).step_by(401) {
            let geometry = Geometry::new(region_blocks, Some(1)).unwrap();
            let layout = Layout::new(&geometry);
            let places = |place| (0..layout.blocks()).map(move |b| layout.place(b, place));
            let mut all: std::vec::Vec<u32> = places(0).chain(places(1)).collect();
            all.dedup();
            all.sort_unstable();
            assert!(all.windows(2).all(|w| w[0] < w[1]), "{region_blocks}");
            assert!(all.iter().all(|p| *p < geometry.health_blocks()), "{region_blocks}");
        }
    }
}
