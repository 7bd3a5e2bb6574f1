//! Loading, step 1: which of the superblocks counts.

use super::header::has_magic;
use super::{Block, BlockError, SetId, Superblock, COPIES_MAX};
use core::fmt;

const PLACES: usize = COPIES_MAX as usize;

/// Why a spare cannot be loaded as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChooseError {
    /// Every place was read and none holds anything of ours: not a spare.
    NothingThere,
    /// No superblock was found, but some places could not be read.
    Unreadable {
        /// How many.
        places: u8,
    },
    /// Something of ours is there, but no superblock that can be relied on.
    Damaged {
        /// The copy that the reason is about.
        copy: u8,
        /// What is wrong with it.
        why: BlockError,
    },
    /// A superblock that only newer software understands.
    Newer(BlockError),
    /// Superblocks of two sets.
    TwoSets(SetId, SetId),
    /// The set was formatted for a region of another length.
    OtherLength {
        /// Blocks of the region that the set was formatted for.
        formatted_blocks: u64,
        /// Blocks of the region as it is now.
        region_blocks: u64,
    },
    /// Fewer than half of the superblocks are readable. Who only reads may force it.
    Minority {
        /// Readable superblocks.
        readable: u8,
        /// Superblocks of the set.
        of: u8,
    },
    /// A format was cut off; nothing was ever mapped, and it may be formatted again.
    Formatting(SetId),
}

impl ChooseError {
    /// The length in blocks to choose by instead: a region that only became longer holds its set as before, at the places of the length
    /// that copy 0 records. What a host reads is less each time, so that it ends.
    pub const fn recorded_blocks(&self) -> Option<u64> {
        match self {
            ChooseError::OtherLength { formatted_blocks, region_blocks }
                if *formatted_blocks < *region_blocks =>
            {
                Some(*formatted_blocks)
            }
            _ => None,
        }
    }

    /// The error in a few words, for where no details fit.
    pub const fn summary(&self) -> &'static str {
        match self {
            ChooseError::NothingThere => "not a spare: no superblock of dm-remap",
            ChooseError::Unreadable { .. } => "no superblock readable",
            ChooseError::Damaged { .. } => "superblocks damaged",
            ChooseError::Newer(_) => "superblock of a newer format",
            ChooseError::TwoSets(..) => "superblocks of two sets on one spare",
            ChooseError::OtherLength { .. } => "region is shorter than at format",
            ChooseError::Minority { .. } => "fewer than half of the superblocks readable",
            ChooseError::Formatting(_) => "format was cut off; format again",
        }
    }
}

impl fmt::Display for ChooseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChooseError::NothingThere => f.write_str(
                "this is not a spare: no superblock of dm-remap was found. Check the device and the offset; \
                 `dmremap help format` tells how a new spare is made",
            ),
            ChooseError::Unreadable { places } => write!(
                f,
                "no superblock was found, and {places} of the {COPIES_MAX} places could not be read. Check the spare's \
                 cabling and its kernel log before anything else"
            ),
            ChooseError::Damaged { copy, why } => write!(
                f,
                "no superblock can be relied on (copy {copy}: {why}). Check device and offset; write nothing to the spare, \
                 and make an image of it before any attempt at repair"
            ),
            ChooseError::Newer(why) => write!(f, "{why}. Use the software that wrote the spare, or a newer one"),
            ChooseError::TwoSets(a, b) => write!(
                f,
                "superblocks of two sets stand on this spare ({a} and {b}). Check device and offset; write nothing to the \
                 spare until it is clear which of the two is wanted"
            ),
            ChooseError::OtherLength { formatted_blocks, region_blocks } => write!(
                f,
                "the set was formatted for a region of {formatted_blocks} blocks of 4096 bytes, but this one has {region_blocks}. \
                 Give the device its length back, or check the offset"
            ),
            ChooseError::Minority { readable, of } => write!(
                f,
                "only {readable} of {of} superblocks are readable, and the others may know of later mappings. Make half of them \
                 readable, or copy off what these know of: `dmremap help open` tells how (--linear --force)"
            ),
            ChooseError::Formatting(id) => write!(
                f,
                "the format of set {id} was cut off. Nothing was ever mapped: format the spare again"
            ),
        }
    }
}

/// Collects what stands at the five superblock places.
#[derive(Clone, Debug)]
pub struct Chooser {
    region_blocks: u64,
    valid: [Option<Superblock>; PLACES],
    unreadable: u8,
    /// Read, and without our magic.
    blank: u8,
    damaged: Option<(u8, BlockError)>,
    newer: Option<BlockError>,
}

impl Chooser {
    /// A chooser for a region of `region_blocks` blocks; [`super::Geometry::superblock_at`] has the places.
    pub fn new(region_blocks: u64) -> Chooser {
        Chooser {
            region_blocks,
            valid: [const { None }; PLACES],
            unreadable: 0,
            blank: 0,
            damaged: None,
            newer: None,
        }
    }

    /// Takes what was read at the place of superblock `copy`, or `None` when it could not be read. Every copy from 0 to 4
    /// is offered once. Returns what is wrong with the block, for a host that wants to tell.
    pub fn offer(&mut self, copy: u8, read: Option<&Block>) -> Result<(), BlockError> {
        let Some(block) = read else {
            self.unreadable = self.unreadable.saturating_add(1);
            return Ok(());
        };
        match Superblock::decode(block, copy) {
            Ok(superblock) => {
                if let Some(place) = self.valid.get_mut(usize::from(copy)) {
                    *place = Some(superblock);
                }
                Ok(())
            }
            Err(why) => {
                match why {
                    BlockError::NotOurs => self.blank = self.blank.saturating_add(1),
                    BlockError::Version(_) | BlockError::Feature(_) => self.newer = Some(why),
                    _ => self.damaged = Some((copy, why)),
                }
                debug_assert!(matches!(why, BlockError::NotOurs) != has_magic(block));
                Err(why)
            }
        }
    }

    /// The superblock that counts. Its `activations`, `epoch` and `seq` are raised to the highest that any valid
    /// superblock holds, so that what is written next is newer than all of them.
    ///
    /// `force` lets a minority of superblocks count, and changes nothing else. It is for readers: an activation never forces,
    /// since what it writes would outrank for good what the others know.
    pub fn finish(&self, force: bool) -> Result<Superblock, ChooseError> {
        if let Some(why) = self.newer {
            return Err(ChooseError::Newer(why));
        }
        let Some(newest) = self.newest(None) else {
            return Err(match (self.damaged, self.unreadable) {
                (Some((copy, why)), _) => ChooseError::Damaged { copy, why },
                (None, 0) => ChooseError::NothingThere,
                (None, places) => ChooseError::Unreadable { places },
            });
        };
        let of = newest.copy_count;
        let readable = self.count(|_| true);
        let minority = readable.saturating_mul(2) < of;
        if self.count(|s| s.formatting) == readable {
            // Every place was written before the first mapping. A minority proves that nothing was mapped only when the
            // other places were never written.
            if !minority || readable.saturating_add(self.blank) == COPIES_MAX {
                return Err(ChooseError::Formatting(newest.id));
            }
            return Err(ChooseError::Minority { readable, of });
        }
        if let Some(other) = self.valid.iter().flatten().find(|s| s.id != newest.id) {
            let cut_off = self.valid.iter().flatten().find(|s| s.formatting);
            if let Some(again) = cut_off.filter(|_| !minority && self.count(|s| s.activations != 0) == 0) {
                // A cut-off format was begun again and cut off once more. An activation reaches more than half of the places
                // before the first mapping, so neither set was ever taken into service.
                return Err(ChooseError::Formatting(again.id));
            }
            return Err(ChooseError::TwoSets(newest.id, other.id));
        }
        let formatted_blocks = newest.geometry.region_blocks();
        if formatted_blocks != self.region_blocks {
            return Err(ChooseError::OtherLength { formatted_blocks, region_blocks: self.region_blocks });
        }
        if minority && !force {
            return Err(ChooseError::Minority { readable, of });
        }
        let mut chosen = self.committed(newest).clone();
        if chosen.formatting {
            // The format was cut off while the flag was being taken away, before a majority had lost it.
            return Err(ChooseError::Formatting(chosen.id));
        }
        for other in self.valid.iter().flatten() {
            chosen.activations = chosen.activations.max(other.activations);
            chosen.epoch = chosen.epoch.max(other.epoch);
            chosen.seq = chosen.seq.max(other.seq);
        }
        chosen.valid_places =
            self.valid.iter().enumerate().fold(0, |mask, (i, s)| mask | u8::from(s.is_some()) << i);
        Ok(chosen)
    }

    /// The lowest copy whose superblock [`Chooser::finish`] goes by, if there is a valid one.
    pub fn place(&self) -> Option<u8> {
        let counts = age(self.committed(self.newest(None)?));
        let copy = self.valid.iter().position(|s| s.as_ref().is_some_and(|s| age(s) == counts))?;
        u8::try_from(copy).ok()
    }

    fn count(&self, which: impl Fn(&Superblock) -> bool) -> u8 {
        let number = self.valid.iter().flatten().filter(|s| which(s)).count();
        u8::try_from(number).unwrap_or(COPIES_MAX)
    }

    /// The newest valid superblock, or the newest of those older than `before`.
    fn newest(&self, before: Option<&Superblock>) -> Option<&Superblock> {
        let limit = before.map(age);
        let older = |s: &&Superblock| limit.is_none_or(|l| age(s) < l);
        self.valid.iter().flatten().filter(older).max_by_key(|s| age(s))
    }

    /// Goes from `newest` back over superblocks that certainly never reached more than half of the places. Nothing was
    /// built on those, and they may stem from a session that knew less than a later one.
    fn committed<'a>(&'a self, newest: &'a Superblock) -> &'a Superblock {
        let mut candidate = newest;
        loop {
            let at_least_as_new = self.count(|s| age(s) >= age(candidate));
            let unknown = newest.copy_count.saturating_sub(self.count(|_| true));
            if at_least_as_new.saturating_add(unknown).saturating_mul(2) > newest.copy_count {
                return candidate;
            }
            match self.newest(Some(candidate)) {
                Some(older) => candidate = older,
                None => return newest,
            }
        }
    }
}

/// What orders superblocks. The activation comes first: whatever a session wrote is newer than what an earlier session
/// left on a copy that could not be read in between.
fn age(s: &Superblock) -> (u64, u64, u64) {
    (s.activations, s.epoch, s.seq)
}
