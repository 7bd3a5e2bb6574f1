//! What is remembered of a slot's entry besides its record.

use crate::format::Entry;

/// The generation of an entry and the mask of its lost sectors, in one word: [`crate::engine::Storage::generations`] has one for each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Stamp {
    pub(in crate::engine) generation: u64,
    pub(in crate::engine) lost: u8,
}

const LOST_SHIFT: u32 = Entry::GENERATION_MAX.count_ones();

impl Stamp {
    pub(in crate::engine) const fn from_word(word: u64) -> Stamp {
        Stamp { generation: word & Entry::GENERATION_MAX, lost: (word >> LOST_SHIFT) as u8 }
    }

    pub(in crate::engine) const fn to_word(self) -> u64 {
        self.generation & Entry::GENERATION_MAX | (self.lost as u64) << LOST_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_and_lost_sectors_do_not_touch() {
        for stamp in [
            Stamp { generation: Entry::GENERATION_MAX, lost: 0 },
            Stamp { generation: 0, lost: 0xff },
            Stamp { generation: 7, lost: 0x81 },
        ] {
            assert_eq!(Stamp::from_word(stamp.to_word()), stamp);
        }
        assert_eq!(Stamp::from_word(0), Stamp::default());
    }
}
