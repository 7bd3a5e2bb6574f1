//! The first 64 bytes of every metadata block, and access to fields without a way to panic.

use super::{Block, BlockError, SetId, COPIES_MAX, MAGIC};
use crate::crc32c::crc32c;

/// The major version that this code writes and reads.
pub const VERSION_MAJOR: u16 = 1;
/// The highest minor version that this code writes; higher ones are read. A block has the lowest that knows its content.
pub const VERSION_MINOR: u16 = MINOR_SAMPLES;
/// The minor version that brought samples of main into the superblock.
pub(crate) const MINOR_SAMPLES: u16 = 1;
/// Largest sequence number of a commit.
pub const SEQ_MAX: u64 = (1 << 56) - 1;

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const KIND_SUPERBLOCK: u32 = 1;
pub(crate) const KIND_TABLE: u32 = 2;
pub(crate) const KIND_HEALTH: u32 = 3;

const AT_MAGIC: usize = 0;
const AT_MAJOR: usize = 8;
const AT_MINOR: usize = 10;
const AT_KIND: usize = 12;
const AT_ID: usize = 16;
const AT_INDEX: usize = 32;
const AT_SEQ: usize = 40;
const AT_CRC: usize = 48;
const AT_COPY: usize = 52;
const AT_RESERVED: usize = 56;

const _: () = assert!(AT_MAJOR == AT_MAGIC + 8 && AT_MINOR == AT_MAJOR + 2 && AT_KIND == AT_MINOR + 2);
const _: () = assert!(AT_ID == AT_KIND + 4 && AT_INDEX == AT_ID + 16 && AT_SEQ == AT_INDEX + 8);
const _: () = assert!(AT_CRC == AT_SEQ + 8 && AT_COPY == AT_CRC + 4 && AT_RESERVED == AT_COPY + 4);
const _: () = assert!(HEADER_BYTES == AT_RESERVED + 8);
const _: () = assert!(core::mem::size_of::<Block>() == 4096);

/// `N` bytes from `at` on. Past the end (never for the constants of the format) they are zero.
#[inline]
pub(crate) fn get<const N: usize>(block: &Block, at: usize) -> [u8; N] {
    match block.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(bytes) => *bytes,
        None => [0; N],
    }
}

#[inline]
pub(crate) fn get_u32(block: &Block, at: usize) -> u32 {
    u32::from_le_bytes(get(block, at))
}

#[inline]
pub(crate) fn get_u64(block: &Block, at: usize) -> u64 {
    u64::from_le_bytes(get(block, at))
}

/// Stores `bytes` at `at`. Nothing happens past the end (never for the constants of the format).
#[inline]
pub(crate) fn put<const N: usize>(block: &mut Block, at: usize, bytes: [u8; N]) {
    if let Some(place) = block.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) {
        *place = bytes;
    }
}

/// True when all bytes of `range` are zero.
pub(crate) fn is_zero(block: &Block, range: core::ops::Range<usize>) -> bool {
    block.get(range).is_some_and(|bytes| bytes.iter().all(|&b| b == 0))
}

/// What the header of a block says besides what its place demands.
pub(crate) struct Header {
    pub id: SetId,
    pub seq: u64,
    /// The minor version of the block.
    pub minor: u16,
}

impl Header {
    /// Written by a minor version that this code knows: reserved bytes have to be zero.
    pub fn strict(&self) -> bool {
        self.minor <= VERSION_MINOR
    }
}

/// Clears `block` and writes a header of minor version 0; [`seal`] completes it once the body is there.
pub(crate) fn begin(block: &mut Block, kind: u32, id: &SetId, index: u64, seq: u64, copy: u8) {
    block.fill(0);
    put(block, AT_MAGIC, MAGIC);
    put(block, AT_MAJOR, VERSION_MAJOR.to_le_bytes());
    put(block, AT_KIND, kind.to_le_bytes());
    put(block, AT_ID, id.0);
    put(block, AT_INDEX, index.to_le_bytes());
    put(block, AT_SEQ, seq.to_le_bytes());
    put(block, AT_COPY, u32::from(copy).to_le_bytes());
}

/// Makes a block that is not sealed yet one of another minor version.
pub(crate) fn set_minor(block: &mut Block, minor: u16) {
    put(block, AT_MINOR, minor.to_le_bytes());
}

/// Writes the checksum.
pub(crate) fn seal(block: &mut Block) {
    let crc = checksum(block);
    put(block, AT_CRC, crc.to_le_bytes());
}

/// Makes a sealed block one of another copy.
pub(crate) fn set_copy(block: &mut Block, copy: u8) {
    put(block, AT_COPY, u32::from(copy).to_le_bytes());
    seal(block);
}

/// True when the block begins with our magic, valid or not.
pub(crate) fn has_magic(block: &Block) -> bool {
    get::<8>(block, AT_MAGIC) == MAGIC
}

fn checksum(block: &Block) -> u32 {
    let before = block.get(..AT_CRC).unwrap_or(&[]);
    let after = block.get(AT_COPY..).unwrap_or(&[]);
    crc32c(&[before, &[0; 4], after])
}

/// Checks everything that a place demands but the set, which the caller may not know yet.
///
/// The checksum comes before the version: it stays where it is in every version, so that a damaged version field is
/// told from a newer format.
pub(crate) fn check(block: &Block, kind: u32, index: u64, copy: u8) -> Result<Header, BlockError> {
    if !has_magic(block) {
        return Err(BlockError::NotOurs);
    }
    if get_u32(block, AT_CRC) != checksum(block) {
        return Err(BlockError::Checksum);
    }
    let major = u16::from_le_bytes(get(block, AT_MAJOR));
    if major != VERSION_MAJOR {
        return Err(BlockError::Version(major));
    }
    let found_kind = get_u32(block, AT_KIND);
    if found_kind != kind {
        return Err(BlockError::Kind(found_kind));
    }
    let found_index = get_u64(block, AT_INDEX);
    if found_index != index {
        return Err(BlockError::Index(found_index));
    }
    let found_copy = get_u32(block, AT_COPY);
    if found_copy != u32::from(copy) || copy >= COPIES_MAX {
        return Err(BlockError::Copy(found_copy));
    }
    let seq = get_u64(block, AT_SEQ);
    if seq == 0 || seq > SEQ_MAX {
        return Err(BlockError::Field("seq"));
    }
    let header =
        Header { id: SetId(get(block, AT_ID)), seq, minor: u16::from_le_bytes(get(block, AT_MINOR)) };
    if header.strict() && !is_zero(block, AT_RESERVED..HEADER_BYTES) {
        return Err(BlockError::Field("reserved"));
    }
    Ok(header)
}
