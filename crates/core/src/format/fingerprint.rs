//! The fingerprint of main: a checksum over a few blocks that are spread over it.

use super::MainShape;
use crate::crc32c;
use crate::io::{Device, IoRequest, Op};
use crate::units::{Group, BLOCK_BYTES};

/// Groups that are read, fewer on a main that has fewer.
pub const SAMPLES: u64 = 16;

/// Asks for the reads of a fingerprint and adds them up.
#[derive(Clone, Debug)]
pub struct FingerprintReader {
    shape: MainShape,
    next: u64,
    crc: u32,
}

impl FingerprintReader {
    /// A reader for a main of this shape.
    pub const fn new(shape: MainShape) -> FingerprintReader {
        FingerprintReader { shape, next: 0, crc: 0 }
    }

    fn samples(&self) -> u64 {
        self.shape.groups().min(SAMPLES)
    }

    /// The next read of main, at most eight sectors; `None` when all were read.
    pub fn next(&self) -> Option<IoRequest> {
        let samples = self.samples();
        if self.next >= samples {
            return None;
        }
        let last_group = self.shape.groups().saturating_sub(1);
        let group =
            Group(self.next.checked_mul(last_group)?.checked_div(samples.saturating_sub(1)).unwrap_or(0));
        Some(IoRequest {
            device: Device::Main,
            op: Op::Read,
            sector: group.first_sector().0,
            sectors: self.shape.sectors_in_group(group),
            buffer_sector: 0,
        })
    }

    /// Takes the content of the read that [`FingerprintReader::next`] asked for; what is missing to 4096 bytes is zero.
    pub fn done(&mut self, content: &[u8]) {
        let content = content.get(..BLOCK_BYTES).unwrap_or(content);
        let padding = [0; 512];
        self.crc = crc32c::extend(self.crc, content);
        let mut missing = BLOCK_BYTES.saturating_sub(content.len());
        while let Some(zeros) = padding.get(..missing.min(padding.len())).filter(|zeros| !zeros.is_empty()) {
            self.crc = crc32c::extend(self.crc, zeros);
            missing = missing.saturating_sub(zeros.len());
        }
        self.next = self.next.saturating_add(1);
    }

    /// The fingerprint as the superblock stores it; `None` before all was read.
    pub fn finish(&self) -> Option<u64> {
        let samples = self.samples();
        (self.next == samples).then_some(samples << 32 | u64::from(self.crc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn sectors_read(sectors: u64) -> Vec<(u64, u32)> {
        let mut reader = FingerprintReader::new(MainShape { sectors, block_bytes: 512 });
        let mut seen = Vec::new();
        while let Some(request) = reader.next() {
            seen.push((request.sector, request.sectors));
            reader.done(&[7; 100]);
        }
        assert_eq!(reader.finish().map(|f| f >> 32), Some(seen.len() as u64));
        seen
    }

    #[test]
    fn samples_are_spread_from_the_first_group_to_the_last() {
        assert_eq!(sectors_read(3), [(0, 3)]);
        assert_eq!(sectors_read(17), [(0, 8), (8, 8), (16, 1)]);
        let large = sectors_read(1 << 43);
        assert_eq!(large.len(), 16);
        assert_eq!((large[0], large[15]), ((0, 8), ((1 << 43) - 8, 8)));
    }

    #[test]
    fn padding_counts_as_zeros() {
        let shape = MainShape { sectors: 3, block_bytes: 512 };
        let (mut short, mut long) = (FingerprintReader::new(shape), FingerprintReader::new(shape));
        assert_eq!(short.finish(), None);
        short.done(&[5; 1536]);
        let mut block = [0; 4096];
        block[..1536].fill(5);
        long.done(&block);
        assert_eq!(short.finish(), long.finish());
    }
}
