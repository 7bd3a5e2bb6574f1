//! What happens to the spare while nobody looks.

use remap_core::format::{
    encode_table_block, Block, Entry, Geometry, MainShape, SetId, SlotState, Superblock, COPIES_MAX,
};
use remap_core::units::Group;

use crate::disk::ALWAYS;
use crate::plan::REGION_BLOCKS;
use crate::world::{Saved, World};

impl World {
    /// Before the set is loaded.
    pub fn misfortune(&mut self) {
        let Some(geometry) = self.geometry() else { return };
        // Where superblocks can be hidden for a time, an older mask may be all there is to go by.
        if !self.plan.unreadable_superblocks && self.rng.percent(40) {
            if let Ok(superblock) = self.choose() {
                self.renew_evicted(&superblock);
            }
        }
        if self.plan.rot && self.rng.percent(60) {
            let copy = self.rng.below(self.plan.copies.into()) as u8;
            let index = self.rng.below(geometry.table_blocks().into()) as u32;
            let place = geometry.table_block(copy, index).first_sector();
            if self.rng.percent(50) {
                self.note(0, 0, format!("block {index} of copy {copy} rots"));
                self.spare.rot(place, &mut self.rng);
            } else {
                self.note(0, 0, format!("block {index} of copy {copy} cannot be read"));
                self.spare.fail_reads(place + self.rng.below(8), ALWAYS);
            }
            self.rotted = true;
        }
        if self.plan.unreadable_superblocks && self.rng.percent(70) {
            for copy in 0..self.plan.copies {
                if self.rng.percent(40) {
                    let place = geometry.superblock(copy).first_sector();
                    self.spare.fail_reads(place, ALWAYS);
                    self.broken_copies.push(place);
                    self.note(0, 0, format!("superblock {copy} cannot be read for now"));
                }
            }
        }
        if self.plan.swapped_copies && self.all_in_sync {
            match self.rng.below(3) {
                0 => self.save(&geometry),
                1 => self.bring_back(&geometry),
                _ => self.put_foreign(&geometry),
            }
        }
    }

    fn geometry(&self) -> Option<Geometry> {
        Geometry::new(REGION_BLOCKS, Some(self.plan.slots)).ok()
    }

    fn area(geometry: &Geometry, copy: u8) -> std::ops::Range<usize> {
        let from = geometry.superblock(copy).0 as usize * 4096;
        from..from + (1 + geometry.table_blocks() as usize) * 4096
    }

    /// Somebody makes an image of a copy.
    fn save(&mut self, geometry: &Geometry) {
        let copy = self.rng.below(self.plan.copies.into()) as u8;
        let bytes = self.spare.durable_mut()[World::area(geometry, copy)].to_vec();
        self.saved = Some(Saved { copy, bytes });
    }

    /// The image is written back: a copy that was in sync all the time is old. The others still know better.
    fn bring_back(&mut self, geometry: &Geometry) {
        let Some(Saved { copy, bytes }) = self.saved.take() else { return };
        self.note(0, 0, format!("copy {copy} is put back to what it was"));
        self.spare.replace(geometry.superblock(copy).first_sector(), &bytes);
        (self.rotted, self.put_back) = (true, true);
        self.stats.swapped_copies += 1;
    }

    /// The metadata of another set stands where a copy was, newer than anything of this one.
    fn put_foreign(&mut self, geometry: &Geometry) {
        let copy = self.rng.below(self.plan.copies.into()) as u8;
        self.note(0, 0, format!("copy {copy} is overwritten by another set's"));
        let id = SetId([0xab; 16]);
        let main = MainShape { sectors: self.plan.main_sectors, block_bytes: self.plan.block_bytes };
        let mut superblock = Superblock::new(id, main, *geometry, COPIES_MAX);
        (superblock.seq, superblock.activations) = (1 << 40, 1 << 40);
        let mut block: Block = [0; 4096];
        superblock.encode(copy, &mut block);
        self.spare.replace(geometry.superblock(copy).first_sector(), &block);
        let mapped = Entry { state: SlotState::Mapped, group: Group(0), mask: 0xff, lost: 0, generation: 1 };
        for index in 0..geometry.table_blocks() {
            encode_table_block(&id, index, 1 << 40, copy, |_| mapped, &mut block);
            self.spare.replace(geometry.table_block(copy, index).first_sector(), &block);
        }
        (self.foreign, self.rotted) = (Some(copy), true);
        self.stats.swapped_copies += 1;
    }

    /// The administrator finds that the superblock of this copy is another set's, and clears it.
    pub fn clear_foreign(&mut self) {
        let (Some(copy), Some(geometry)) = (self.foreign.take(), self.geometry()) else { return };
        self.spare.replace(geometry.superblock(copy).first_sector(), &[0; 4096]);
    }
}
