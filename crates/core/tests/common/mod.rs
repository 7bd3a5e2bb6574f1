//! What the format tests share: a region in memory, and golden images as text.
#![allow(dead_code)]

use remap_core::format::{
    Block, ChooseError, Chooser, Formatter, Geometry, MainShape, SampleRange, Samples, SetId, Superblock,
    Text64,
};
use remap_core::io::Op;
use std::collections::BTreeMap;

/// A region that stores only the blocks that were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region(pub BTreeMap<u64, Block>);

impl Region {
    /// Carries out a format, in all or up to `writes_max` blocks.
    pub fn format(&mut self, superblock: &Superblock, buffer_blocks: usize, writes_max: usize) -> bool {
        let mut formatter = Formatter::new(superblock.clone());
        let mut buffer = vec![0u8; buffer_blocks * 4096];
        let mut written = 0;
        while let Some(request) = formatter.next(&mut buffer) {
            if request.op != Op::Flush {
                for (i, chunk) in buffer.chunks_exact(4096).take(request.sectors as usize / 8).enumerate() {
                    if written == writes_max {
                        return false;
                    }
                    self.0.insert(request.sector / 8 + i as u64, chunk.try_into().unwrap());
                    written += 1;
                }
            }
            formatter.done(true).unwrap();
        }
        assert!(formatter.is_complete());
        true
    }

    pub fn get(&self, block: u64) -> Block {
        self.0.get(&block).copied().unwrap_or([0; 4096])
    }

    /// Loads with the copies in `unreadable` (a mask) failing.
    pub fn choose(&self, region_blocks: u64, unreadable: u8, force: bool) -> Result<Superblock, ChooseError> {
        let mut chooser = Chooser::new(region_blocks);
        for copy in 0..5 {
            let block = self.get(Geometry::superblock_at(region_blocks, copy).unwrap().0);
            let _ = chooser.offer(copy, (unreadable & 1 << copy == 0).then_some(&block));
        }
        chooser.finish(force)
    }

    /// One line per block: its number and its bytes in hexadecimal, without the zeros at the end.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (number, block) in &self.0 {
            let end = block.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
            let hex: String = block[..end].iter().map(|b| format!("{b:02x}")).collect();
            text.push_str(&format!("{number} {hex}\n"));
        }
        text
    }

    pub fn from_text(text: &str) -> Region {
        let mut region = Region::default();
        for line in text.lines() {
            let (number, hex) = line.split_once(' ').unwrap();
            let mut block = [0u8; 4096];
            for (i, digits) in hex.as_bytes().chunks(2).enumerate() {
                block[i] = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
            }
            region.0.insert(number.parse().unwrap(), block);
        }
        region
    }
}

pub const ID: SetId = SetId([0xd0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15]);

/// A set of 300 slots in the smallest region, with every field of the superblock in use.
pub fn sample(copies: u8) -> Superblock {
    let geometry = Geometry::new(2048, Some(300)).unwrap();
    let mut s = Superblock::new(ID, MainShape::new(100_003, 512).unwrap(), geometry, copies);
    s.created_s = 1_790_000_000;
    s.activations = 7;
    s.fingerprint_s = 1_790_000_100;
    s.fingerprint = 0x0000_0010_89ab_cdef;
    s.main_identity = Text64::new("wwn-0x5000c500a1b2c3d4").unwrap();
    s.label = Text64::new("Büro-Archiv").unwrap();
    s
}

/// Samples of the main of [`sample`], which has 12,501 groups.
pub fn sample_samples() -> Samples {
    let mut samples = Samples::of_spread(16, [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5]);
    for (group, count) in [(0, 17), (12_468, 28), (12_496, 5)] {
        assert!(samples.push(SampleRange { group, count, hash: [count, 2, 3, 4, 5, 6] }));
    }
    samples
}
