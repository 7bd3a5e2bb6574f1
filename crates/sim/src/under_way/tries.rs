//! What is known of blocks of main that reads found unreadable, and what a read has asked of them.

use std::collections::BTreeMap;

use super::bio::Piece;

/// Sectors that are pending: when they became that, and when a read may have found them unreadable last.
pub type Found = BTreeMap<u64, (u64, u64)>;

/// What a read under way has to do with known blocks.
#[derive(Clone, Debug, Default)]
pub struct Tries {
    /// Sectors of it that were known at some time.
    pub(crate) known: Vec<bool>,
    /// Requests so far that failed, with the one under way.
    pub(crate) made: u32,
    /// The one under way is for known sectors.
    pub(crate) asks: bool,
}

impl Tries {
    /// Of a read that begins, after so many requests.
    pub fn new(piece: Piece, made: u32) -> Tries {
        Tries { known: vec![false; piece.sectors as usize], made, asks: false }
    }
}
