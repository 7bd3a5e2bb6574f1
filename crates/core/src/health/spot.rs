//! A spot: a group of main with evidence against it.

use super::decay::{HalfLife, UNIT};
use crate::units::Group;

/// Time in which a spot's evidence loses half of its strength, for the choice of the weakest.
pub const SPOT_HALF: HalfLife = HalfLife::weeks(12);

const GROUP_BITS: u32 = 40;
const USED: u64 = 1 << 48;
const PROVEN: u64 = 1 << 49;
const WAITS_READ: u64 = 1 << 56;
const WAITS_WRITE: u64 = 1 << 57;
const WAITS_MEDIUM: u64 = 1 << 58;
const UNVERIFIED: u64 = 1 << 59;
/// Flags that are of this activation only.
const VOLATILE: u64 = WAITS_READ | WAITS_WRITE | WAITS_MEDIUM | UNVERIFIED;
const WAITS: u64 = WAITS_READ | WAITS_WRITE;

/// The counts of a spot. Each count stays at 65,535.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotCounts {
    /// Reads that failed and that the device called the medium's.
    pub read_medium: u16,
    /// Reads that failed otherwise.
    pub read_other: u16,
    /// Writes that failed.
    pub writes: u16,
    /// Reads that succeeded only when repeated.
    pub retried: u16,
    /// Transfers that were slow for their zone.
    pub slow: u16,
    /// How often content was moved to a slot.
    pub relocations: u16,
}

/// A group of main with evidence against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spot {
    /// The group in bits 0 to 39, its unreadable sectors in bits 40 to 47, flags from bit 48 on.
    word: u64,
    /// Age in seconds when evidence was last seen.
    seen_s: u32,
    /// When a failure was seen that waits for a proof: the low half of monotonic milliseconds.
    waits_ms: u32,
    pub(super) counts: SpotCounts,
    /// The next spot of the chain of a hash, or of the free ones.
    pub(super) next: u16,
}

const _: () = assert!(core::mem::size_of::<Spot>() == 32);

/// How a failure that waits for a proof is to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// A read failed.
    pub read: bool,
    /// A write failed.
    pub write: bool,
    /// The device called it the medium's.
    pub medium: bool,
}

impl Spot {
    pub(super) const fn new(group: Group, age_s: u32, next: u16) -> Spot {
        let word = group.0 & Group::MAX.0 | USED;
        let none =
            SpotCounts { read_medium: 0, read_other: 0, writes: 0, retried: 0, slow: 0, relocations: 0 };
        Spot { word, seen_s: age_s, waits_ms: 0, counts: none, next }
    }

    /// A place without a spot, in the chain of the free ones.
    pub(super) fn unused(next: u16) -> Spot {
        Spot { next, ..Spot::default() }
    }

    /// Whether it is one; the others are places for spots.
    pub const fn is_used(&self) -> bool {
        self.word & USED != 0
    }

    /// The group of main.
    pub const fn group(&self) -> Group {
        Group(self.word & Group::MAX.0)
    }

    /// Sectors of the group that could not be read when last tried.
    pub const fn unreadable(&self) -> u8 {
        (self.word >> GROUP_BITS) as u8
    }

    pub(super) fn set_unreadable(&mut self, mask: u8) {
        self.word = self.word & !(0xff << GROUP_BITS) | u64::from(mask) << GROUP_BITS;
    }

    /// A failure here was proved to be of the place: main succeeded elsewhere soon after.
    pub const fn is_proven(&self) -> bool {
        self.word & PROVEN != 0
    }

    /// The unreadable sectors were saved by an earlier activation and have not been tried since.
    pub const fn is_unverified(&self) -> bool {
        self.word & UNVERIFIED != 0
    }

    pub(super) fn set_unverified(&mut self, unverified: bool) {
        self.word = if unverified { self.word | UNVERIFIED } else { self.word & !UNVERIFIED };
    }

    /// Age of the health in seconds when evidence was last seen here.
    pub const fn seen_s(&self) -> u32 {
        self.seen_s
    }

    pub(super) fn see(&mut self, age_s: u32) {
        self.seen_s = self.seen_s.max(age_s);
    }

    /// The counts.
    pub const fn counts(&self) -> SpotCounts {
        self.counts
    }

    pub(super) fn wait(&mut self, waiting: Waiting, mono_ms: u64) {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        self.word |= bit(waiting.read, WAITS_READ)
            | bit(waiting.write, WAITS_WRITE)
            | bit(waiting.medium, WAITS_MEDIUM);
        self.waits_ms = mono_ms as u32;
    }

    /// The failure that waits for a proof here, and for how many milliseconds it has.
    pub(super) fn waiting(&self, mono_ms: u64) -> Option<(Waiting, u32)> {
        let set = |bit| self.word & bit != 0;
        let waiting = Waiting { read: set(WAITS_READ), write: set(WAITS_WRITE), medium: set(WAITS_MEDIUM) };
        // An order of calls that is not that of time is no reason to wait for seven weeks.
        let age = (mono_ms as u32).wrapping_sub(self.waits_ms);
        let age = if age > u32::MAX / 2 { 0 } else { age };
        set(WAITS).then_some((waiting, age))
    }

    pub(super) fn end_wait(&mut self, proven: bool) {
        self.word &= !(WAITS | WAITS_MEDIUM);
        if proven {
            self.word |= PROVEN;
        }
    }

    /// How much speaks against it at an age, for the choice of the weakest. A spot with unreadable sectors is stronger than all others.
    pub fn strength(&self, age_s: u32) -> u32 {
        let c = &self.counts;
        let failures = u32::from(c.read_medium) + u32::from(c.read_other) + u32::from(c.writes);
        let sum = 4 * failures + 2 * u32::from(c.retried) + u32::from(c.slow) + 2 * u32::from(c.relocations);
        let steps = SPOT_HALF.step(age_s.saturating_sub(self.seen_s));
        let left = HalfLife::left(sum.saturating_mul(UNIT).min(u32::MAX / 2), steps);
        if self.unreadable() == 0 {
            left
        } else {
            left + u32::MAX / 2
        }
    }

    /// As it is saved: 24 bytes that say something, and eight of zero.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        if !self.is_used() {
            return bytes;
        }
        let c = self.counts;
        let counts = [c.read_medium, c.read_other, c.writes, c.retried, c.slow, c.relocations];
        let fields = (self.word & !VOLATILE).to_le_bytes().into_iter().chain(self.seen_s.to_le_bytes());
        let fields = fields.chain(counts.into_iter().flat_map(u16::to_le_bytes));
        bytes.iter_mut().zip(fields).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// Reads the bytes of [`Spot::to_bytes`], without a check but of bits that are never set. `None`: one is set.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Spot> {
        let &[g0, g1, g2, g3, g4, mask, flags, z, s0, s1, s2, s3, a0, a1, b0, b1, c0, c1, d0, d1, e0, e1, f0, f1, rest @ ..] =
            bytes;
        let word = u64::from_le_bytes([g0, g1, g2, g3, g4, mask, flags, z]);
        let known = Group::MAX.0 | 0xff << GROUP_BITS | USED | PROVEN;
        let counts = SpotCounts {
            read_medium: u16::from_le_bytes([a0, a1]),
            read_other: u16::from_le_bytes([b0, b1]),
            writes: u16::from_le_bytes([c0, c1]),
            retried: u16::from_le_bytes([d0, d1]),
            slow: u16::from_le_bytes([e0, e1]),
            relocations: u16::from_le_bytes([f0, f1]),
        };
        let seen_s = u32::from_le_bytes([s0, s1, s2, s3]);
        let spot = Spot { word, seen_s, waits_ms: 0, counts, next: 0 };
        (word & !known == 0 && rest == [0; 8]).then_some(spot)
    }
}

impl SpotCounts {
    pub(super) const fn is_empty(&self) -> bool {
        self.read_medium == 0
            && self.read_other == 0
            && self.writes == 0
            && self.retried == 0
            && self.slow == 0
            && self.relocations == 0
    }
}
