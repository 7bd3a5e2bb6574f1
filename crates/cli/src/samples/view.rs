//! Reading main, or a part of it such as a partition, by byte.

use crate::device::Device;
use remap_core::format::MainShape;

/// Main, or a part of it.
#[derive(Clone, Debug)]
pub struct View<'a> {
    device: &'a Device,
    shape: MainShape,
    /// Where main begins on the device, in sectors.
    main_offset: u64,
    /// Where the part begins on main, in bytes.
    start: u64,
    /// Length of the part in bytes.
    bytes: u64,
}

impl<'a> View<'a> {
    /// A main of this shape, from sector `main_offset` of the device on.
    pub fn new(device: &'a Device, shape: MainShape, main_offset: u64) -> View<'a> {
        View { device, shape, main_offset, start: 0, bytes: shape.sectors.saturating_mul(512) }
    }

    /// The part of this one from byte `start` on, as far as it lies in it; `None` when that is nothing.
    pub fn part(&self, start: u64, bytes: u64) -> Option<View<'a>> {
        let bytes = bytes.min(self.bytes.checked_sub(start)?);
        (bytes > 0).then(|| View { start: self.start + start, bytes, ..self.clone() })
    }

    /// Where it begins on main, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of main in sectors.
    pub fn sectors(&self) -> u64 {
        self.shape.sectors
    }

    /// Length and logical block of main.
    pub fn shape(&self) -> &MainShape {
        &self.shape
    }

    /// Number of groups of main.
    pub fn groups(&self) -> u64 {
        self.shape.groups()
    }

    /// The 4096 bytes of a group of main, zeros past its end; `None` when it cannot be read.
    pub fn group(&self, group: u64) -> Option<Vec<u8>> {
        let first = group.checked_mul(8)?;
        let sectors = self.shape.sectors.checked_sub(first)?.min(8);
        let mut content = vec![0; 4096];
        let read = content.get_mut(..usize::try_from(sectors).ok()? * 512)?;
        self.device.read_at(self.main_offset.checked_add(first)?, read).ok()?;
        Some(content)
    }

    /// `N` bytes from byte `at` of the part on; `None` when they do not lie in it or cannot be read.
    pub fn read<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut found = [0; N];
        let end = at.checked_add(N as u64)?;
        if end > self.bytes {
            return None;
        }
        let (at, end) = (self.start.checked_add(at)?, self.start.checked_add(end)?);
        let first = at / 512;
        let mut sectors = vec![0; usize::try_from(end.div_ceil(512) - first).ok()? * 512];
        self.device.read_at(self.main_offset.checked_add(first)?, &mut sectors).ok()?;
        let skip = usize::try_from(at % 512).ok()?;
        found.copy_from_slice(sectors.get(skip..skip + N)?);
        Some(found)
    }

    /// Whether these bytes stand at byte `at`.
    pub fn holds<const N: usize>(&self, at: u64, bytes: &[u8; N]) -> bool {
        self.read::<N>(at).is_some_and(|found| found == *bytes)
    }

    /// A little-endian number at byte `at`.
    pub fn le16(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u16::from_le_bytes(bytes).into())
    }

    /// A little-endian number at byte `at`.
    pub fn le32(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u32::from_le_bytes(bytes).into())
    }

    /// A little-endian number at byte `at`.
    pub fn le64(&self, at: u64) -> Option<u64> {
        self.read(at).map(u64::from_le_bytes)
    }

    /// A big-endian number at byte `at`.
    pub fn be32(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u32::from_be_bytes(bytes).into())
    }

    /// A big-endian number at byte `at`.
    pub fn be64(&self, at: u64) -> Option<u64> {
        self.read(at).map(u64::from_be_bytes)
    }
}
