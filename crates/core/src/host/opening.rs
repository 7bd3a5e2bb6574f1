//! What is done with a spare: used, formatted, refused (S19, S20, S21).

use super::refusal::{Refusal, SpareFault};
use crate::format::{ChooseError, Geometry, MainShape, SetId, Superblock, COPIES_MAX};

/// Copies of a set that a kernel formats.
pub const COPIES_DEFAULT: u8 = COPIES_MAX;

/// What is done with a spare that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A set is there.
    Use,
    /// Nothing is there: it is formatted if it is blank.
    FormatIfBlank,
    /// A format was cut off, before which it was blank: it is formatted.
    Format,
    /// It is refused.
    Refuse(Refusal),
}

/// What is done with a spare on which this was found, where the table says whether it may be formatted. Asked by the constructor, and again
/// by the first resume, before which time may have passed.
pub const fn step(found: Result<&Superblock, &ChooseError>, may_format: bool) -> Step {
    match found {
        Ok(_) => Step::Use,
        Err(ChooseError::NothingThere) if may_format => Step::FormatIfBlank,
        Err(ChooseError::Formatting(_)) if may_format => Step::Format,
        Err(error) => Step::Refuse(Refusal::Spare(SpareFault::of(error))),
    }
}

/// A set belongs to a main of one length and block size (S21).
///
/// # Errors
/// [`Refusal::OtherMain`].
pub fn belongs(superblock: &Superblock, main: &MainShape) -> Result<(), Refusal> {
    match superblock.main == *main {
        true => Ok(()),
        false => Err(Refusal::OtherMain),
    }
}

/// What the constructor saw, which the first resume must find again.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The set.
    pub id: SetId,
    /// Its layout.
    pub geometry: Geometry,
    /// Main's length in sectors.
    pub main_sectors: u64,
    /// Main's logical block in bytes.
    pub block_bytes: u32,
}

impl Seen {
    /// Compares with what is there now (S19).
    ///
    /// # Errors
    /// [`Refusal::Changed`].
    pub fn is_still(&self, now: &Superblock) -> Result<(), Refusal> {
        let same = now.id == self.id
            && now.geometry == self.geometry
            && now.main.sectors == self.main_sectors
            && now.main.block_bytes == self.block_bytes;
        match same {
            true => Ok(()),
            false => Err(Refusal::Changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> Superblock {
        let (main, geometry) = (MainShape::new(80_000, 512).unwrap(), Geometry::new(2048, None).unwrap());
        Superblock::new(SetId([1; 16]), main, geometry, COPIES_DEFAULT)
    }

    #[test]
    fn s20_a_spare_is_formatted_only_where_the_table_says_so_and_nothing_is_there() {
        let refused = |fault| Step::Refuse(Refusal::Spare(fault));
        let cut_off = ChooseError::Formatting(SetId([1; 16]));
        assert_eq!(step(Err(&ChooseError::NothingThere), true), Step::FormatIfBlank);
        assert_eq!(step(Err(&ChooseError::NothingThere), false), refused(SpareFault::Empty));
        assert_eq!(step(Err(&cut_off), true), Step::Format);
        assert_eq!(step(Err(&cut_off), false), refused(SpareFault::Damaged));
        let two = ChooseError::TwoSets(SetId([1; 16]), SetId([2; 16]));
        assert_eq!(step(Err(&two), true), refused(SpareFault::Damaged));
        let unreadable = ChooseError::Unreadable { places: 1 };
        assert_eq!(step(Err(&unreadable), true), refused(SpareFault::Unreadable));
    }

    #[test]
    fn s20_a_spare_that_holds_a_set_is_opened_whether_format_is_said_or_not() {
        for may_format in [false, true] {
            assert_eq!(step(Ok(&superblock()), may_format), Step::Use);
        }
    }

    #[test]
    fn s21_a_set_of_another_main_is_refused() {
        let set = superblock();
        assert_eq!(belongs(&set, &set.main), Ok(()));
        for main in [MainShape::new(80_008, 512), MainShape::new(80_000, 4096)] {
            assert_eq!(belongs(&set, &main.unwrap()), Err(Refusal::OtherMain));
        }
    }

    #[test]
    fn s19_a_spare_that_changed_before_the_first_resume_is_refused() {
        let was = superblock();
        let (main_sectors, block_bytes) = (was.main.sectors, was.main.block_bytes);
        let seen = Seen { id: was.id, geometry: was.geometry, main_sectors, block_bytes };
        assert_eq!(seen.is_still(&was), Ok(()));
        let geometry = Geometry::new(4096, None).unwrap();
        for now in [
            Superblock { id: SetId([2; 16]), ..was.clone() },
            Superblock { geometry, ..was.clone() },
            Superblock { main: MainShape::new(80_008, 512).unwrap(), ..was.clone() },
            Superblock { main: MainShape::new(80_000, 4096).unwrap(), ..was.clone() },
        ] {
            assert_eq!(seen.is_still(&now), Err(Refusal::Changed));
        }
    }
}
