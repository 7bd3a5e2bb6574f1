//! The fingerprint of main on the spare: stored when a set was closed, taken away before main is written without the module.

use crate::device::{Access, Device};
use crate::failure::{Failure, Kind, Result};
use crate::identity;
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::Superblock;

/// Stores the fingerprint of main after a clean close, so that the next `open` notices if main was written in between.
/// Without it nothing is lost but that check. `is_ours` tells whether it is the set that was closed.
pub fn store(mapping: &Mapping, is_ours: impl Fn(&Superblock) -> bool) -> Result<()> {
    let main = Device::open(&mapping.node_of(&mapping.main), Access::Read)?;
    let spare_device = Device::open(&mapping.node_of(&mapping.spare), Access::WriteExclusive)?;
    let (spare, mut superblock) = superblock_of(&spare_device, mapping)?;
    let skip = !superblock.clean || superblock.ro_compat_unknown || !is_ours(&superblock);
    if skip {
        return Err(Failure::new(Kind::Device, "the set was not closed cleanly", ""));
    }
    identity::record(&mut superblock, &main, mapping.main_offset);
    write(&spare, superblock)
}

/// Takes the fingerprint away, durably, as an activation does. Nothing is written if there is none.
pub fn forget(mapping: &Mapping, is_ours: impl Fn(&Superblock) -> bool) -> Result<()> {
    let spare_device = Device::open(&mapping.node_of(&mapping.spare), Access::WriteExclusive)?;
    let (spare, mut superblock) = superblock_of(&spare_device, mapping)?;
    if !is_ours(&superblock) {
        let what = format!("{} holds another set now", spare_device.path().display());
        return Err(Failure::new(Kind::Device, what, "check the devices"));
    }
    if (superblock.fingerprint, superblock.fingerprint_s) == (0, 0) {
        return Ok(());
    }
    (superblock.fingerprint, superblock.fingerprint_s) = (0, 0);
    write(&spare, superblock)
}

fn superblock_of<'a>(device: &'a Device, mapping: &Mapping) -> Result<(Spare<'a>, Superblock)> {
    let main_start = (mapping.main == mapping.spare).then_some(mapping.main_offset);
    let spare = Spare::new(device, mapping.spare_offset, main_start)?;
    let superblock = spare.superblock(false)?;
    Ok((spare, superblock))
}

fn write(spare: &Spare<'_>, mut superblock: Superblock) -> Result<()> {
    superblock.seq += 1;
    spare.write_superblocks(&superblock).map_err(|e| Failure::path("write", spare.path(), &e))
}
