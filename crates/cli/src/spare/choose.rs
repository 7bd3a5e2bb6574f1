//! Which superblock of a spare counts, and what is said where none does.

use super::Spare;
use crate::failure::{Failure, Kind, Result};
use crate::output::size;
use remap_core::format::{ChooseError, Chooser, Geometry, Samples, Superblock, COPIES_MAX};

impl Spare<'_> {
    /// Reads the superblocks and chooses the one that counts.
    pub fn choose(&self, force: bool) -> std::result::Result<Superblock, ChooseError> {
        self.choose_with_samples(force).map(|(superblock, _)| superblock)
    }

    /// As [`Spare::choose`], with the samples of main that the superblock holds.
    pub fn choose_with_samples(
        &self,
        force: bool,
    ) -> std::result::Result<(Superblock, Samples), ChooseError> {
        self.device.drop_cache();
        let mut region_blocks = self.region_blocks;
        loop {
            match self.choose_by(region_blocks, force) {
                // The device grew since it was formatted.
                Err(why) => region_blocks = why.recorded_blocks().ok_or(why)?,
                chosen => return chosen,
            }
        }
    }

    fn choose_by(
        &self,
        region_blocks: u64,
        force: bool,
    ) -> std::result::Result<(Superblock, Samples), ChooseError> {
        let mut chooser = Chooser::new(region_blocks);
        let mut blocks = Vec::new();
        for copy in 0..COPIES_MAX {
            let place = Geometry::superblock_at(region_blocks, copy);
            let block = place.and_then(|at| self.read_block(at).ok());
            let _ = chooser.offer(copy, block.as_deref());
            blocks.push(block);
        }
        let superblock = chooser.finish(force)?;
        let counts = chooser.place().and_then(|copy| blocks.swap_remove(usize::from(copy)));
        // That the block is valid was found before.
        let samples = counts.and_then(|block| Samples::decode(&block, &superblock.main).ok());
        Ok((superblock, samples.unwrap_or(Samples::NONE)))
    }

    /// As [`Spare::choose`], as a failure of the tool.
    pub fn superblock(&self, force: bool) -> Result<Superblock> {
        self.superblock_and_samples(force).map(|(superblock, _)| superblock)
    }

    /// As [`Spare::superblock`], with the samples of main that it holds.
    pub fn superblock_and_samples(&self, force: bool) -> Result<(Superblock, Samples)> {
        self.check_size("check the device and --spare-offset")?;
        self.choose_with_samples(force).map_err(|e| self.explain(&e))
    }

    /// Why no superblock counts, as a failure of the tool.
    pub fn explain(&self, error: &ChooseError) -> Failure {
        if let ChooseError::OtherLength { formatted_blocks, region_blocks } = error {
            let (path, was, is) =
                (self.path().display(), size(formatted_blocks * 8), size(region_blocks * 8));
            let what = format!("{path} has {is} for the spare, and its set was formatted for {was}");
            return Failure::new(
                Kind::Device,
                what,
                "give the device its length back, or check --spare-offset",
            );
        }
        // What is wrong is the first sentence, what to do the rest.
        let text = error.to_string();
        let (what, next) = text.split_once(". ").unwrap_or((&text, ""));
        Failure::new(Kind::Device, format!("{}: {what}", self.device.path().display()), next)
    }

    /// What there is to say if the region became longer since it was formatted.
    pub fn growth(&self, superblock: &Superblock) -> Option<String> {
        let (was, is) = (superblock.geometry.region_blocks(), self.region_blocks);
        let could = Geometry::new(is, None).ok().filter(|_| was < is)?.slot_count();
        let has = superblock.geometry.slot_count();
        let gain = match could.checked_sub(has).filter(|&more| more > 0) {
            Some(more) => format!(
                "{more} further slots are to be gained by a new `format` once nothing is mapped any more"
            ),
            None => "no further slots are to be gained".into(),
        };
        let (path, was, is) = (self.path().display(), size(was * 8), size(is * 8));
        Some(format!("{path} grew from {was} to {is} since it was formatted: it is used as before, with {has} slots; {gain}"))
    }
}
