//! How large a table is.

/// How many words each array of the table needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSizes {
    /// `u64` records.
    pub records: usize,
    /// `u32` buckets.
    pub buckets: usize,
    /// `u64` words of the summary.
    pub summary: usize,
}

const SUMMARY_BITS_MIN: u64 = 65_536;

impl TableSizes {
    /// For a set of `slots` slots (at most [`SLOTS_MAX`](crate::units::SLOTS_MAX)).
    pub const fn for_slots(slots: u32) -> TableSizes {
        let n = slots as u64;
        let bits = if n * 3 > SUMMARY_BITS_MIN { n * 3 } else { SUMMARY_BITS_MIN };
        TableSizes {
            records: slots as usize,
            buckets: (n * 15 / 8 + 16) as usize,
            summary: bits.div_ceil(64) as usize,
        }
    }

    /// Bytes of all arrays.
    pub const fn bytes(&self) -> u64 {
        self.records as u64 * 8 + self.buckets as u64 * 4 + self.summary as u64 * 8
    }
}

// The promise of docs/lookup.md: at most 24 bytes per slot, for any number of slots that outgrows the constant part.
const _: () = {
    let n: u64 = 1 << 20;
    // In the engine's own arrays: generation and lost mask, and the state of the table block.
    let engine_bytes = n * (8 * 252 + 8) / 252;
    let total = TableSizes::for_slots(n as u32).bytes() + engine_bytes;
    assert!(total <= 24 * n);
};
