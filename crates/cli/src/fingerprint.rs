//! The fingerprint of main on the spare: stored when a set was closed, taken away before main is written without the module.

use crate::device::{Access, Device};
use crate::failure::{Failure, Kind, Result};
use crate::identity;
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::{Samples, Superblock};

/// Stores the fingerprint of main after a clean close, so that the next `open` notices if main was written in between.
/// Without it nothing is lost but that check. `is_ours` tells whether it is the set that was closed. Returns what
/// there is to say of places that could not be read.
pub fn store(mapping: &Mapping, is_ours: impl Fn(&Superblock) -> bool) -> Result<Option<String>> {
    let main = Device::open(&mapping.node_of(&mapping.main), Access::Read)?;
    let spare_device = Device::open(&mapping.node_of(&mapping.spare), Access::WriteExclusive)?;
    let (spare, mut superblock, _) = superblock_of(&spare_device, mapping)?;
    let skip = !superblock.clean || superblock.ro_compat_unknown || !is_ours(&superblock);
    if skip {
        return Err(Failure::new(Kind::Device, "the set was not closed cleanly", ""));
    }
    let (samples, warning) = identity::record(&mut superblock, &main, mapping.main_offset);
    if superblock.fingerprint_s == 0 && samples.is_empty() {
        let what = format!("nothing of {} could be read", main.path().display());
        return Err(Failure::new(Kind::Device, what, "the kernel log (dmesg) may say more"));
    }
    write(&spare, superblock, &samples).map(|()| warning)
}

/// Takes the fingerprint away, durably, as an activation does. Nothing is written if there is none.
pub fn forget(mapping: &Mapping, is_ours: impl Fn(&Superblock) -> bool) -> Result<()> {
    let spare_device = Device::open(&mapping.node_of(&mapping.spare), Access::WriteExclusive)?;
    let (spare, mut superblock, samples) = superblock_of(&spare_device, mapping)?;
    if !is_ours(&superblock) {
        let what = format!("{} holds another set now", spare_device.path().display());
        return Err(Failure::new(Kind::Device, what, "check the devices"));
    }
    if (superblock.fingerprint, superblock.fingerprint_s) == (0, 0) && samples.is_empty() {
        return Ok(());
    }
    (superblock.fingerprint, superblock.fingerprint_s) = (0, 0);
    write(&spare, superblock, &Samples::NONE)
}

fn superblock_of<'a>(device: &'a Device, mapping: &Mapping) -> Result<(Spare<'a>, Superblock, Samples)> {
    let main_start = (mapping.main == mapping.spare).then_some(mapping.main_offset);
    let spare = Spare::new(device, mapping.spare_offset, main_start)?;
    let (superblock, samples) = spare.superblock_and_samples(false)?;
    Ok((spare, superblock, samples))
}

fn write(spare: &Spare<'_>, mut superblock: Superblock, samples: &Samples) -> Result<()> {
    superblock.seq += 1;
    spare.write_superblocks(&superblock, samples).map_err(|e| Failure::path("write", spare.path(), &e))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use remap_core::format::{Geometry, MainShape, SetId};
    use std::fs;
    use std::path::Path;

    pub const ID: SetId = SetId([7; 16]);

    /// A set on two files, as `close` leaves it or not.
    pub fn set(dir: &Path, clean: bool) -> Mapping {
        let (main, spare) = (dir.join("main"), dir.join("spare"));
        fs::write(&main, vec![3; 1 << 20]).unwrap();
        fs::write(&spare, vec![0; 8 << 20]).unwrap();
        let device = Device::open(&spare, Access::WriteExclusive).unwrap();
        let region = Spare::new(&device, 0, None).unwrap();
        let geometry = Geometry::new(region.region_blocks, None).unwrap();
        let mut superblock = Superblock::new(ID, MainShape::new(2048, 512).unwrap(), geometry, 5);
        let (samples, _) = identity::record(&mut superblock, &Device::open(&main, Access::Read).unwrap(), 0);
        superblock.clean = clean;
        region.format(superblock, &samples).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_string();
        Mapping {
            main: text(&main),
            main_offset: 0,
            spare: text(&spare),
            spare_offset: 0,
            features: Vec::new(),
        }
    }

    fn superblock(mapping: &Mapping) -> Superblock {
        let device = Device::open(Path::new(&mapping.spare), Access::Read).unwrap();
        superblock_of(&device, mapping).unwrap().1
    }

    fn samples(mapping: &Mapping) -> Samples {
        let device = Device::open(Path::new(&mapping.spare), Access::Read).unwrap();
        superblock_of(&device, mapping).unwrap().2
    }

    fn is_ours(superblock: &Superblock) -> bool {
        superblock.id == ID
    }

    #[test]
    fn s21_main_may_change_once_its_fingerprint_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let mapping = set(dir.path(), true);
        let before = superblock(&mapping);
        let sampled = samples(&mapping);
        assert!(before.fingerprint_s != 0 && !sampled.is_empty());
        forget(&mapping, is_ours).unwrap();
        let after = superblock(&mapping);
        let expected = Superblock { fingerprint: 0, fingerprint_s: 0, seq: before.seq + 1, ..before.clone() };
        assert_eq!(after, expected, "nothing else changes");
        assert_eq!((after.valid_places, samples(&mapping)), (0b11111, Samples::NONE));
        let bytes = fs::read(&mapping.spare).unwrap();
        forget(&mapping, is_ours).unwrap();
        assert!(fs::read(&mapping.spare).unwrap() == bytes, "there is none, and nothing is written");
        fs::write(&mapping.main, vec![4; 1 << 20]).unwrap();
        store(&mapping, is_ours).unwrap();
        let stored = superblock(&mapping);
        assert!(stored.fingerprint != 0 && stored.fingerprint != before.fingerprint);
        assert!(!samples(&mapping).is_empty() && samples(&mapping) != sampled);
        // Samples alone are taken away as well.
        let device = Device::open(Path::new(&mapping.spare), Access::WriteExclusive).unwrap();
        let (spare, mut superblock, sampled) = superblock_of(&device, &mapping).unwrap();
        (superblock.fingerprint, superblock.fingerprint_s) = (0, 0);
        write(&spare, superblock, &sampled).unwrap();
        forget(&mapping, is_ours).unwrap();
        assert!(samples(&mapping).is_empty());
    }

    #[test]
    fn another_set_and_one_that_was_not_closed_are_left_alone() {
        for (clean, ours) in [(true, false), (false, true)] {
            let dir = tempfile::tempdir().unwrap();
            let mapping = set(dir.path(), clean);
            let bytes = fs::read(&mapping.spare).unwrap();
            assert!(store(&mapping, |_| ours).is_err());
            assert_eq!(forget(&mapping, |_| ours).is_ok(), ours);
            assert_eq!(fs::read(&mapping.spare).unwrap() == bytes, !ours);
        }
    }
}
