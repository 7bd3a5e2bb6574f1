//! Why a table is refused, or cannot be resumed: error number and words (S27).

use core::ffi::CStr;

use crate::format::ChooseError;

/// Linux's error numbers, positive.
pub mod errno {
    /// Reading or writing failed.
    pub const EIO: i32 = 5;
    /// The spare holds nothing of ours.
    pub const ENXIO: i32 = 6;
    /// In use.
    pub const EBUSY: i32 = 16;
    /// The module is not ready.
    pub const ENODEV: i32 = 19;
    /// A wrong argument.
    pub const EINVAL: i32 = 22;
    /// No room.
    pub const ENOSPC: i32 = 28;
    /// Read-only.
    pub const EROFS: i32 = 30;
    /// The structure needs cleaning.
    pub const EUCLEAN: i32 = 117;
    /// The set belongs to something else.
    pub const EMEDIUMTYPE: i32 = 124;
}

/// Why a table is refused by the constructor, or a resume fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Main's length cannot be.
    MainShape,
    /// The spare has no room for a set.
    SpareTooSmall,
    /// What stands on the spare cannot be used, for this reason.
    Spare(SpareFault),
    /// The set belongs to a main of another length or block.
    OtherMain,
    /// The spare was to be formatted, and holds something.
    NotBlank,
    /// A read-only table was to format.
    ReadOnlyFormat,
    /// The superblock asks for more memory than can be.
    Map,
    /// As many tables are loaded as there may be.
    TooManyTables,
    /// Another mapped device uses main, the spare or the set.
    InUse,
    /// The mapped device serves main with the set of another spare.
    OtherSet,
    /// There is no registry, or no such table in it.
    NotReady,
    /// Formatting failed.
    Format,
    /// The spare is not what the constructor saw.
    Changed,
    /// An earlier resume failed to load the set.
    LoadedBefore,
    /// The metadata could not be loaded.
    Load,
    /// The copies of the metadata could not be made equal.
    Takeover,
}

/// What is wrong with a spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpareFault {
    /// It holds nothing of ours.
    Empty,
    /// It could not be read.
    Unreadable,
    /// It holds something that cannot be relied on.
    Damaged,
}

impl SpareFault {
    /// What an error of choosing a superblock means.
    pub const fn of(error: &ChooseError) -> SpareFault {
        match error {
            ChooseError::NothingThere => SpareFault::Empty,
            ChooseError::Unreadable { .. } => SpareFault::Unreadable,
            ChooseError::Damaged { .. }
            | ChooseError::Newer(_)
            | ChooseError::TwoSets(..)
            | ChooseError::OtherLength { .. }
            | ChooseError::Minority { .. }
            | ChooseError::Formatting(_) => SpareFault::Damaged,
        }
    }
}

impl Refusal {
    /// The error number that a caller gets, positive.
    pub const fn errno(self) -> i32 {
        match self {
            Refusal::MainShape | Refusal::SpareTooSmall | Refusal::LoadedBefore => errno::EINVAL,
            Refusal::Spare(SpareFault::Empty) | Refusal::NotBlank => errno::ENXIO,
            Refusal::Spare(SpareFault::Unreadable) | Refusal::Format | Refusal::Takeover => errno::EIO,
            Refusal::Spare(SpareFault::Damaged) | Refusal::Map => errno::EUCLEAN,
            Refusal::Changed | Refusal::Load => errno::EUCLEAN,
            Refusal::OtherMain | Refusal::OtherSet => errno::EMEDIUMTYPE,
            Refusal::ReadOnlyFormat => errno::EROFS,
            Refusal::TooManyTables => errno::ENOSPC,
            Refusal::InUse => errno::EBUSY,
            Refusal::NotReady => errno::ENODEV,
        }
    }

    /// The refusal in words, for device-mapper and the log.
    pub const fn text(self) -> &'static CStr {
        match self {
            Refusal::MainShape => c"main is empty, too long, or not a multiple of its logical block",
            Refusal::SpareTooSmall => c"the spare is too small; it needs at least 8 MiB",
            Refusal::Spare(_) => c"the spare cannot be used; the line before says why",
            Refusal::OtherMain => c"the spare belongs to another main",
            Refusal::NotBlank => {
                c"the spare is not blank; zero its first and last MiB, or use dmremap format"
            }
            Refusal::ReadOnlyFormat => c"a read-only table does not format",
            Refusal::Map => c"the superblock asks for a map that cannot be",
            Refusal::TooManyTables => c"256 tables are loaded already",
            Refusal::InUse => c"main, the spare or its set is in use by another remap mapping",
            Refusal::OtherSet => {
                c"the mapped device serves main with the set of another spare; remove it first"
            }
            Refusal::NotReady => c"the module is not ready",
            Refusal::Format => c"the spare could not be formatted",
            Refusal::Changed => c"the spare was changed since the table was loaded",
            Refusal::LoadedBefore => c"a table that could not be loaded cannot be resumed: load it again",
            Refusal::Load => c"the set could not be loaded; the line before says why",
            Refusal::Takeover => c"the copies of the metadata could not be made equal; see the spare's log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::SetId;

    #[test]
    fn s27_a_script_tells_an_empty_spare_from_an_unreadable_and_a_damaged_one() {
        let errno = |error| Refusal::Spare(SpareFault::of(&error)).errno();
        assert_eq!(errno(ChooseError::NothingThere), errno::ENXIO);
        assert_eq!(errno(ChooseError::Unreadable { places: 2 }), errno::EIO);
        for error in [
            ChooseError::TwoSets(SetId([1; 16]), SetId([2; 16])),
            ChooseError::OtherLength { formatted_blocks: 2, region_blocks: 1 },
            ChooseError::Minority { readable: 2, of: 5 },
            ChooseError::Formatting(SetId([1; 16])),
        ] {
            assert_eq!(errno(error), errno::EUCLEAN);
        }
    }

    #[test]
    fn s20_the_kind_of_a_conflict_shows_in_the_error_number() {
        let refusals = [Refusal::InUse, Refusal::OtherSet, Refusal::OtherMain, Refusal::TooManyTables];
        assert_eq!(
            refusals.map(Refusal::errno),
            [errno::EBUSY, errno::EMEDIUMTYPE, errno::EMEDIUMTYPE, errno::ENOSPC]
        );
    }
}
