//! Whether a device is the main that a set was made for.

use crate::device::Device;
use crate::samples::{self, Difference, View};
use remap_core::format::{FingerprintReader, Samples, Superblock, Text64};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The checksum over main's content that version 1.0 of the format has; `None` when a part of it cannot be read.
fn checksum(superblock: &Superblock, main: &Device, main_offset: u64) -> Option<u64> {
    let mut reader = FingerprintReader::new(superblock.main);
    while let Some(request) = reader.next() {
        let mut content = vec![0; request.sectors as usize * 512];
        main.read_at(main_offset.checked_add(request.sector)?, &mut content).ok()?;
        reader.done(&content);
    }
    reader.finish()
}

/// Writes what is known about main into the superblock, and returns samples of main that go with it, and what there is
/// to say of places that could not be read.
pub fn record(superblock: &mut Superblock, main: &Device, main_offset: u64) -> (Samples, Option<String>) {
    if let Some(identity) = Text64::new(lasting(&main.identity())).filter(|text| !text.is_empty()) {
        superblock.main_identity = identity;
    }
    main.drop_cache();
    let taken = checksum(superblock, main, main_offset);
    superblock.fingerprint = taken.unwrap_or(0);
    superblock.fingerprint_s = taken.map_or(0, |_| now_s());
    let view = View::new(main, superblock.main, main_offset);
    let samples = samples::take(&view);
    let path = main.path().display();
    let warning = match view.failed_groups() {
        0 => None,
        _ if view.is_spent() => Some(format!(
            "too much of {path} could not be read: its fingerprint is of a part of the places, and `open` compares no others"
        )),
        failed => Some(format!("{failed} places of 4096 bytes of {path} could not be read, and are not in its fingerprint")),
    };
    (samples, warning)
}

/// What a comparison showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Main has another length or logical block than the set's main.
    pub shape: Vec<String>,
    /// Main is another disk, or its content is not what the set relies on.
    pub mismatches: Vec<String>,
    /// Worth knowing, no reason to refuse.
    pub warnings: Vec<String>,
}

/// An identity without what changes from one opening to the next: the DM UUID of a crypt device ends in the name of the mapping,
/// `CRYPT-LUKS2-UUID-NAME` or, without a header, `CRYPT-PLAIN-NAME`.
fn lasting(identity: &str) -> &str {
    let Some(rest) = identity.strip_prefix("CRYPT-") else { return identity };
    let Some((kind, named)) = rest.split_once('-') else { return identity };
    let first = named.split('-').next().unwrap_or_default();
    let is_uuid = first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = "CRYPT-".len() + kind.len() + if is_uuid { 1 + first.len() } else { 0 };
    identity.get(..bytes).unwrap_or(identity)
}

/// Compares main with what the superblock and its samples say about it. `sectors` is the length that main has now.
pub fn compare(
    superblock: &Superblock,
    samples: &Samples,
    main: &Device,
    main_offset: u64,
    sectors: u64,
) -> Comparison {
    let mut found = Comparison::default();
    let shape = &superblock.main;
    if sectors != shape.sectors {
        found.shape.push(format!("it has {sectors} sectors, the set's main {}", shape.sectors));
    }
    if main.block_bytes != shape.block_bytes && main.number.is_some() {
        let (is, was) = (main.block_bytes, shape.block_bytes);
        found.shape.push(format!("its logical block has {is} bytes, that of the set's main {was}"));
    }
    // A set of an earlier version has the name in its superblock.
    let (is, was) = (main.identity(), lasting(superblock.main_identity.as_str()));
    let is = lasting(&is);
    if !is.is_empty() && !was.is_empty() && is != was {
        found.mismatches.push(format!("it is \"{is}\", the set's main is \"{was}\""));
    }
    if found.mismatches.is_empty() {
        compare_content(superblock, samples, main, main_offset, &mut found);
    }
    found
}

/// Compares main's content with its samples or, where there are none, with the checksum of version 1.0.
fn compare_content(
    superblock: &Superblock,
    samples: &Samples,
    main: &Device,
    main_offset: u64,
    found: &mut Comparison,
) {
    main.drop_cache();
    let difference = if !samples.is_empty() {
        samples::compare(&View::new(main, superblock.main, main_offset), samples)
    } else if superblock.fingerprint_s != 0 {
        let now = checksum(superblock, main, main_offset);
        let is_other = now.is_some_and(|now| now != superblock.fingerprint);
        let changed = is_other.then(|| "in one of 16 places that are spread over it".to_string());
        Difference { changed: changed.into_iter().collect(), unreadable: now.is_none() }
    } else {
        return;
    };
    if difference.unreadable {
        found.warnings.push("main could not be read in places, its content was not compared there".into());
    }
    if difference.changed.is_empty() {
        return;
    }
    let places = difference.changed.join(", ");
    if superblock.activations == 0 {
        // Nothing was ever mapped, so that whatever stands on main is right.
        found.warnings.push(format!(
            "the content of main changed since the spare was formatted, {places}; nothing was mapped yet"
        ));
    } else {
        found.mismatches.push(format!("its content changed since the set was closed, {places}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Access;
    use remap_core::format::{Geometry, MainShape, SetId};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn image(dir: &Path, fill: u8) -> PathBuf {
        let path = dir.join("main");
        fs::write(&path, vec![fill; 1 << 20]).unwrap();
        path
    }

    fn superblock(sectors: u64) -> Superblock {
        let geometry = Geometry::new(2048, None).unwrap();
        Superblock::new(SetId([1; 16]), MainShape::new(sectors, 512).unwrap(), geometry, 5)
    }

    fn found(superblock: &Superblock, samples: &Samples, path: &Path) -> Comparison {
        let main = Device::open(path, Access::Read).unwrap();
        compare(superblock, samples, &main, 0, main.sectors_of_main(0, None))
    }

    #[test]
    fn s21_main_that_was_written_since_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), 1);
        let mut set = superblock(2048);
        let (samples, _) = record(&mut set, &Device::open(&path, Access::Read).unwrap(), 0);
        assert!(set.fingerprint_s != 0 && !samples.is_empty());
        // As it is now, and as version 1.0 left it.
        for samples in [&samples, &Samples::NONE] {
            image(dir.path(), 1);
            set.activations = 1;
            assert_eq!(found(&set, samples, &path), Comparison::default());
            image(dir.path(), 2);
            let changed = found(&set, samples, &path).mismatches;
            assert!(changed.len() == 1 && changed[0].contains("content changed"), "{changed:?}");
            // Before the first activation nothing was mapped.
            set.activations = 0;
            assert!(found(&set, samples, &path).mismatches.is_empty());
            assert_eq!(found(&set, samples, &path).warnings.len(), 1);
        }
        // An activation takes the fingerprint away; without one there is nothing to compare.
        (set.activations, set.fingerprint_s) = (2, 0);
        assert_eq!(found(&set, &Samples::NONE, &path), Comparison::default());
        // Samples count by themselves: the checksum of version 1.0 is missing where one of its groups cannot be read.
        assert_eq!(found(&set, &samples, &path).mismatches.len(), 1);
    }

    #[test]
    fn s21_the_name_of_a_crypt_mapping_is_no_part_of_its_identity() {
        let digits = "0123456789abcdef0123456789abcdef";
        let luks = format!("CRYPT-LUKS2-{digits}");
        for (text, wanted) in [
            (format!("{luks}-old-name"), luks.as_str()),
            (luks.clone(), &luks),
            ("CRYPT-PLAIN-secret".into(), "CRYPT-PLAIN"),
            ("naa.5000-1".into(), "naa.5000-1"),
            ("LVM-0123-x".into(), "LVM-0123-x"),
        ] {
            assert_eq!(lasting(&text), wanted);
        }
    }

    #[test]
    fn s21_main_of_another_size_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), 1);
        assert_eq!(found(&superblock(2049), &Samples::NONE, &path).shape.len(), 1);
        assert_eq!(found(&superblock(2047), &Samples::NONE, &path).shape.len(), 1);
        assert_eq!(found(&superblock(2048), &Samples::NONE, &path), Comparison::default());
    }
}
