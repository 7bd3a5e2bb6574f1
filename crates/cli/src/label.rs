//! The superblock of a set that is open, for its label and what else does not change.

use crate::device::{Access, Device};
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::{ChooseError, Superblock};
use std::path::Path;

/// The superblock on the spare. It may be in the middle of a change, so that a failure to choose one says little.
pub fn read_superblock(mapping: &Mapping) -> std::result::Result<Superblock, Option<ChooseError>> {
    let device = Device::open(Path::new(&mapping.node_of(&mapping.spare)), Access::Read).map_err(|_| None)?;
    let main_start = (mapping.main == mapping.spare).then_some(mapping.main_offset);
    let spare = Spare::new(&device, mapping.spare_offset, main_start).map_err(|_| None)?;
    spare.choose(true).map_err(Some)
}
