//! The word that tells all about a slot. The layout is in `docs/lookup.md`.

use crate::units::{Group, Slot};

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing; on the free list.
    Free,
    /// Holds content of its group and can be found by lookups.
    Mapped,
    /// Never to be used again: it failed.
    Retired,
    /// Taken for a group; no lookup leads to its content yet.
    Reserved,
}

/// The state of one slot in one word, so that readers see all of it or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record(u64);

const GROUP_BITS: u32 = 40;
const GROUP_MASK: u64 = (1 << GROUP_BITS) - 1;
const MASK_SHIFT: u32 = 40;
const BAD_SHIFT: u32 = 48;
const STATE_SHIFT: u32 = 56;
const HELD: u64 = 1 << 60;
const DOUBT: u64 = 1 << 61;
/// End of the free list.
const NO_NEXT: u64 = GROUP_MASK;

impl Record {
    /// The word as stored.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// From a stored word.
    pub const fn from_word(word: u64) -> Record {
        Record(word)
    }

    /// A free slot that is followed by `next` on the free list.
    pub const fn free(next: Option<Slot>) -> Record {
        Record(match next {
            Some(slot) => slot.0 as u64,
            None => NO_NEXT,
        })
    }

    /// A slot that holds the sectors `mask` of `group`, of which `bad` are suspect or lost.
    pub const fn mapped(group: Group, mask: u8, bad: u8) -> Record {
        Record(
            group.0 & GROUP_MASK | (mask as u64) << MASK_SHIFT | (bad as u64) << BAD_SHIFT | 1 << STATE_SHIFT,
        )
    }

    /// A slot that failed.
    pub const fn retired() -> Record {
        Record(2 << STATE_SHIFT)
    }

    /// A slot taken for `group`, whose content is not to be found yet.
    pub const fn reserved(group: Group) -> Record {
        Record(group.0 & GROUP_MASK | 3 << STATE_SHIFT)
    }

    /// What the slot is used for.
    pub const fn usage(self) -> Use {
        match (self.0 >> STATE_SHIFT) & 3 {
            0 => Use::Free,
            1 => Use::Mapped,
            2 => Use::Retired,
            _ => Use::Reserved,
        }
    }

    /// The group served; meaningless for free and retired slots.
    pub const fn group(self) -> Group {
        Group(self.0 & GROUP_MASK)
    }

    /// The next free slot, for a free one.
    pub const fn next_free(self) -> Option<Slot> {
        match self.0 & GROUP_MASK {
            NO_NEXT => None,
            n => Some(Slot(n as u32)),
        }
    }

    /// Sectors that live in the slot.
    pub const fn mask(self) -> u8 {
        (self.0 >> MASK_SHIFT) as u8
    }

    /// Sectors of the mask that are suspect or lost.
    pub const fn bad(self) -> u8 {
        (self.0 >> BAD_SHIFT) as u8
    }

    /// Whether bios for the group wait (S9).
    pub const fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    /// Whether the slot was taken only so that its group can be held.
    pub const fn is_reserved_hold(self) -> bool {
        matches!(self.usage(), Use::Reserved) && self.is_held() && !self.in_doubt()
    }

    /// Whether writes to the group fail because a commit may have landed (S13).
    pub const fn in_doubt(self) -> bool {
        self.0 & DOUBT != 0
    }

    /// The same with *held* set or not.
    pub const fn with_held(self, held: bool) -> Record {
        Record(if held { self.0 | HELD } else { self.0 & !HELD })
    }

    /// The same with *doubt* set or not.
    pub const fn with_doubt(self, doubt: bool) -> Record {
        Record(if doubt { self.0 | DOUBT } else { self.0 & !DOUBT })
    }

    /// Whether lookups of `group` must stop at this record. A reserved slot is found only through a bucket that was
    /// made for it, which is the case while its group is in doubt.
    pub const fn serves(self, group: Group) -> bool {
        self.0 & GROUP_MASK == group.0 && (self.0 >> STATE_SHIFT) & 1 == 1
    }
}

/// The bits of *bad* for `mask`, to be set in a stored word.
pub(super) const fn bad_bits(mask: u8) -> u64 {
    (mask as u64) << BAD_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let r = Record::mapped(Group::MAX, 0x81, 0x80).with_held(true);
        assert_eq!((r.group(), r.mask(), r.bad(), r.usage()), (Group::MAX, 0x81, 0x80, Use::Mapped));
        assert!(r.is_held() && !r.in_doubt() && r.serves(Group::MAX) && !r.serves(Group(0)));
        assert!(!r.with_held(false).is_held() && r.with_doubt(true).in_doubt());
        assert_eq!(Record::free(Some(Slot(7))).next_free(), Some(Slot(7)));
        assert_eq!(Record::free(None).next_free(), None);
        assert_eq!(Record::retired().usage(), Use::Retired);
        assert!(!Record::retired().serves(Group(0)) && !Record::free(None).serves(Group::MAX));
        assert!(Record::reserved(Group(3)).serves(Group(3)));
    }
}
