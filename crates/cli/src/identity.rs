//! Whether a device is the main that a set was made for.

use crate::device::Device;
use remap_core::format::{FingerprintReader, Superblock, Text64};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The fingerprint of main's content; `None` when a sample cannot be read.
fn fingerprint(superblock: &Superblock, main: &Device, main_offset: u64) -> Option<u64> {
    main.drop_cache();
    let mut reader = FingerprintReader::new(superblock.main);
    while let Some(request) = reader.next() {
        let mut content = vec![0; request.sectors as usize * 512];
        main.read_at(main_offset.checked_add(request.sector)?, &mut content).ok()?;
        reader.done(&content);
    }
    reader.finish()
}

/// Writes what is known about main into the superblock.
pub fn record(superblock: &mut Superblock, main: &Device, main_offset: u64) {
    superblock.main_identity = Text64::new(&main.identity()).unwrap_or_default();
    let taken = fingerprint(superblock, main, main_offset);
    superblock.fingerprint = taken.unwrap_or(0);
    superblock.fingerprint_s = taken.map_or(0, |_| now_s());
}

/// What a comparison showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Main is another disk, or its content is not what the set relies on.
    pub mismatches: Vec<String>,
    /// Worth knowing, no reason to refuse.
    pub warnings: Vec<String>,
}

/// Compares main with what the superblock says about it. `sectors` is the length of main on its device.
pub fn compare(superblock: &Superblock, main: &Device, main_offset: u64, sectors: u64) -> Comparison {
    let mut found = Comparison::default();
    let shape = &superblock.main;
    if sectors < shape.sectors {
        found.mismatches.push(format!("it has {sectors} sectors, the set's main {}", shape.sectors));
    }
    if main.block_bytes != shape.block_bytes && main.number.is_some() {
        let (is, was) = (main.block_bytes, shape.block_bytes);
        found.mismatches.push(format!("its logical block has {is} bytes, that of the set's main {was}"));
    }
    let (is, was) = (main.identity(), superblock.main_identity.as_str());
    if !is.is_empty() && !was.is_empty() && is != was {
        found.mismatches.push(format!("it is \"{is}\", the set's main is \"{was}\""));
    }
    if superblock.fingerprint_s == 0 || !found.mismatches.is_empty() {
        return found;
    }
    match fingerprint(superblock, main, main_offset) {
        None => found.warnings.push("main could not be read in places, its content was not compared".into()),
        Some(now) if now == superblock.fingerprint => {}
        // Nothing was ever mapped, so that whatever stands on main is right.
        Some(_) if superblock.activations == 0 => {
            found.warnings.push(
                "the content of main changed since the spare was formatted; nothing was mapped yet".into(),
            );
        }
        Some(_) => found.mismatches.push("its content changed since the set was closed".into()),
    }
    found
}
