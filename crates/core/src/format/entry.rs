//! The 16-byte entry of a slot.

use super::MainShape;
use crate::units::Group;
use core::fmt;

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SlotState {
    /// Not in use.
    #[default]
    Free,
    /// Holds the content of sectors of a group.
    Mapped,
    /// As mapped, but the content of some of the sectors is lost.
    Lost,
    /// Never used again.
    Retired,
}

/// The entry of one slot. The default is a free slot that was never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// What the slot is used for.
    pub state: SlotState,
    /// The group of main that it serves; 0 when free or retired.
    pub group: Group,
    /// Sectors of the group that live in the slot, bit *s* for sector *s*; 0 when free or retired.
    pub mask: u8,
    /// Those of `mask` whose content is lost.
    pub lost: u8,
    /// Larger at every change, at most [`Entry::GENERATION_MAX`].
    pub generation: u64,
}

/// The rule that an entry breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// A state that does not exist.
    State(u8),
    /// A spare device other than 0.
    Pool(u8),
    /// Reserved bits are set.
    Reserved,
    /// A free or retired slot that names a group or sectors.
    NotEmpty,
    /// A mapped or lost slot without sectors, or sectors in part of a logical block or past the end of main.
    Mask,
    /// Lost sectors that are not in the mask or in part of a logical block, or lost sectors and state disagree.
    LostMask,
    /// A group past the end of main.
    Group(u64),
    /// An entry past the last slot that is not zero.
    PastLastSlot,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryError::State(s) => write!(f, "state {s} does not exist"),
            EntryError::Pool(p) => write!(f, "spare device {p} does not exist"),
            EntryError::Reserved => f.write_str("reserved bits are set"),
            EntryError::NotEmpty => f.write_str("a slot without content names a group or sectors"),
            EntryError::Mask => f.write_str("the sector mask does not fit the group"),
            EntryError::LostMask => f.write_str("the mask of lost sectors does not fit"),
            EntryError::Group(g) => write!(f, "group {g} lies past the end of main"),
            EntryError::PastLastSlot => f.write_str("an entry past the last slot is not zero"),
        }
    }
}

const GROUP_BITS: u32 = 40;
const MASK_SHIFT: u32 = GROUP_BITS;
const LOST_SHIFT: u32 = 48;
const STATE_SHIFT: u32 = 56;
const POOL_SHIFT: u32 = 60;
const GENERATION_BITS: u32 = 48;

const _: () = assert!(LOST_SHIFT == MASK_SHIFT + 8);
const _: () = assert!(STATE_SHIFT == LOST_SHIFT + 8 && POOL_SHIFT == STATE_SHIFT + 4);
const _: () = assert!(Group::MAX.0 == (1 << GROUP_BITS) - 1);

/// The two words of an entry on disk.
fn words(bytes: &[u8; Entry::BYTES]) -> (u64, u64) {
    let &[a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(rest))
}

impl Entry {
    /// Bytes of an entry on disk.
    pub const BYTES: usize = 16;
    /// Largest generation (48 bits).
    pub const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

    /// The entry as it stands on disk. Group and generation have to be in range; what is beyond is cut off.
    pub fn to_bytes(&self) -> [u8; Entry::BYTES] {
        let state: u64 = match self.state {
            SlotState::Free => 0,
            SlotState::Mapped => 1,
            SlotState::Lost => 2,
            SlotState::Retired => 3,
        };
        let word0 = (self.group.0 & Group::MAX.0)
            | u64::from(self.mask) << MASK_SHIFT
            | u64::from(self.lost) << LOST_SHIFT
            | state << STATE_SHIFT;
        let word1 = self.generation & Entry::GENERATION_MAX;
        (u128::from(word0) | u128::from(word1) << 64).to_le_bytes()
    }

    /// Reads an entry and checks it against every rule of the format.
    pub fn from_bytes(bytes: &[u8; Entry::BYTES], shape: &MainShape) -> Result<Entry, EntryError> {
        let (word0, word1) = words(bytes);
        let entry = Entry::unpack(bytes);
        let state = (word0 >> STATE_SHIFT) as u8 & 0xf;
        if state > 3 {
            return Err(EntryError::State(state));
        }
        if word0 >> POOL_SHIFT != 0 {
            return Err(EntryError::Pool((word0 >> POOL_SHIFT) as u8));
        }
        if word1 >> GENERATION_BITS != 0 {
            return Err(EntryError::Reserved);
        }
        entry.check(shape)?;
        Ok(entry)
    }

    /// Checks group and masks against the state and the shape of main.
    pub fn check(&self, shape: &MainShape) -> Result<(), EntryError> {
        if matches!(self.state, SlotState::Free | SlotState::Retired) {
            let empty = self.group.0 == 0 && self.mask == 0 && self.lost == 0;
            return if empty { Ok(()) } else { Err(EntryError::NotEmpty) };
        }
        if self.group.0 >= shape.groups() {
            return Err(EntryError::Group(self.group.0));
        }
        if self.mask == 0 || !shape.mask_fits(self.group, self.mask) {
            return Err(EntryError::Mask);
        }
        let lost_fits = self.lost & !self.mask == 0 && shape.mask_fits(self.group, self.lost);
        if !lost_fits || (self.lost != 0) != (self.state == SlotState::Lost) {
            return Err(EntryError::LostMask);
        }
        Ok(())
    }

    /// Reads an entry that was checked before; a state that does not exist becomes free.
    pub(super) fn unpack(bytes: &[u8; Entry::BYTES]) -> Entry {
        let (word0, word1) = words(bytes);
        let state = match (word0 >> STATE_SHIFT) as u8 & 0xf {
            1 => SlotState::Mapped,
            2 => SlotState::Lost,
            3 => SlotState::Retired,
            _ => SlotState::Free,
        };
        Entry {
            state,
            group: Group(word0 & Group::MAX.0),
            mask: (word0 >> MASK_SHIFT) as u8,
            lost: (word0 >> LOST_SHIFT) as u8,
            generation: word1 & Entry::GENERATION_MAX,
        }
    }
}
