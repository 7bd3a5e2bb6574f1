//! Queue limits of the mapped device (S23).

/// The limits that matter here, as the block layer has them; 0 where a kernel has no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Smallest unit of an address, in bytes.
    pub logical_block_bytes: u32,
    /// Largest unit that is written at once, in bytes.
    pub physical_block_bytes: u32,
    /// Where the first physical block begins, in bytes from the start.
    pub alignment_offset_bytes: u32,
    /// Preferred smallest transfer, in bytes.
    pub io_min_bytes: u32,
    /// Preferred transfer, in bytes.
    pub io_opt_bytes: u32,
    /// Largest transfer.
    pub max_sectors: u32,
    /// The same, of the controller.
    pub max_hw_sectors: u32,
    /// The same, of the disk.
    pub max_dev_sectors: u32,
    /// The same, of the administrator.
    pub max_user_sectors: u32,
    /// No transfer crosses a multiple of it.
    pub chunk_sectors: u32,
    /// Largest discard.
    pub max_discard_sectors: u32,
    /// The same, of the device.
    pub max_hw_discard_sectors: u32,
    /// Unit of discards, in bytes.
    pub discard_granularity_bytes: u32,
    /// Where the first unit of discards begins, in bytes.
    pub discard_alignment_bytes: u32,
    /// Largest write of zeroes.
    pub max_write_zeroes_sectors: u32,
    /// The same, where zeroes unmap; the block layer takes only 0 or the same number.
    pub max_hw_wzeroes_unmap_sectors: u32,
    /// Whether the stacked devices do not fit on one another's physical blocks.
    pub misaligned: bool,
    /// The same of discards.
    pub discard_misaligned: bool,
}

/// The limits of the mapped device. `stacked` are those of main and spare together, `main` those of its part of main alone.
///
/// Sizes, alignment and discards are main's: they say how main is best used, the spare gets only what main fails, and the block layer splits
/// what is too large for the spare. What must hold for both devices stays stacked: the logical block above all. Writes of zeroes are no
/// longer than `write_zeroes_max_sectors`.
pub fn mapped(stacked: &Limits, main: &Limits, write_zeroes_max_sectors: u32) -> Limits {
    let zeroes = stacked.max_write_zeroes_sectors.min(write_zeroes_max_sectors);
    Limits {
        logical_block_bytes: stacked.logical_block_bytes,
        max_write_zeroes_sectors: zeroes,
        max_hw_wzeroes_unmap_sectors: match stacked.max_hw_wzeroes_unmap_sectors {
            0 => 0,
            _ => zeroes,
        },
        ..*main
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main() -> Limits {
        Limits {
            logical_block_bytes: 512,
            physical_block_bytes: 4096,
            alignment_offset_bytes: 3584,
            io_min_bytes: 4096,
            io_opt_bytes: 65_536,
            max_sectors: 2560,
            max_hw_sectors: 8192,
            max_dev_sectors: 16_384,
            max_user_sectors: 2560,
            chunk_sectors: 128,
            max_discard_sectors: 1 << 20,
            max_hw_discard_sectors: 1 << 21,
            discard_granularity_bytes: 4096,
            discard_alignment_bytes: 512,
            max_write_zeroes_sectors: 1 << 16,
            max_hw_wzeroes_unmap_sectors: 1 << 16,
            misaligned: false,
            discard_misaligned: false,
        }
    }

    fn stacked() -> Limits {
        Limits {
            logical_block_bytes: 4096,
            physical_block_bytes: 16_384,
            max_sectors: 128,
            max_discard_sectors: 0,
            misaligned: true,
            discard_misaligned: true,
            max_write_zeroes_sectors: 4096,
            max_hw_wzeroes_unmap_sectors: 4096,
            ..Limits::default()
        }
    }

    #[test]
    fn s23_mains_sizes_alignment_and_discards_survive_the_spare() {
        let mapped = mapped(&stacked(), &main(), 2048);
        let expected = Limits {
            logical_block_bytes: 4096,
            max_write_zeroes_sectors: 2048,
            max_hw_wzeroes_unmap_sectors: 2048,
            ..main()
        };
        assert_eq!(mapped, expected);
    }

    #[test]
    fn s23_zeroes_are_limited_by_both_devices_and_are_not_said_to_unmap_where_they_do_not() {
        let less = Limits { max_write_zeroes_sectors: 100, max_hw_wzeroes_unmap_sectors: 0, ..stacked() };
        let mapped = mapped(&less, &main(), 2048);
        assert_eq!((mapped.max_write_zeroes_sectors, mapped.max_hw_wzeroes_unmap_sectors), (100, 0));
    }
}
