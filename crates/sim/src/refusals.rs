//! What is refused at once, and whether that is right (S1, S17).

use remap_core::error::ErrorKind;
use remap_core::path::{Direction, Place};
use remap_core::units::{Sector, Slot};

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::bio::{Bio, Kind, Piece};
use crate::world::Failure;

impl Session<'_, '_> {
    /// Whether core is told that a bio must not wait; a planted bug keeps it to itself.
    pub fn tells_nowait(&self, bio: &Bio) -> bool {
        bio.nowait && self.world.options.planted != Some(Planted::NowaitWaits)
    }

    /// What must not wait goes to a device or fails at once: it is not kept for a hold to end, nor given to somebody who sleeps.
    pub fn check_goes_on(&self, bio: &Bio, piece: Piece, direction: Direction) -> Result<(), Failure> {
        let waits = matches!(
            direction,
            Direction::Defer { .. } | Direction::AskEngine { .. } | Direction::Repair { .. }
        );
        match bio.nowait && waits {
            true => Err(self.world.failure(Some(piece.first), "a bio that must not wait is made to")),
            false => Ok(()),
        }
    }

    /// A part of a bio is refused.
    pub fn refused(&mut self, piece: Piece, bio: &Bio, error: ErrorKind) -> Result<(), Failure> {
        if error == ErrorKind::Again {
            self.check_again(piece, bio)?;
        }
        if let Kind::Write { token, .. } = bio.kind {
            self.world.oracle.write_refused(token, piece.first, piece.sectors);
        }
        if bio.kind != Kind::Read || error == ErrorKind::Again {
            self.piece_done(piece, false);
            return Ok(());
        }
        let piece = self.split(piece, piece.sectors.min(self.world.plan.block_sectors()));
        if self.world.options.planted == Some(Planted::ReadMainForLost) && error == ErrorKind::Medium {
            let ticket = self.gate.enter(self.lane(Sector(piece.first), piece.sectors, false));
            self.send(piece, bio, Place::Main, piece.first, ticket);
            return Ok(());
        }
        for s in piece.first..piece.first + u64::from(piece.sectors) {
            let checked = self.world.oracle.refused(s, self.world.oracle.now());
            checked.map_err(|what| self.world.failure(Some(s), format!("a read gives {what}")))?;
        }
        self.world.stats.read_errors += 1;
        self.piece_done(piece, false);
        Ok(())
    }

    /// Whether two parts of it, with others in between, lie in one physical block of main or in one slot.
    fn is_cut(&self, piece: Piece) -> bool {
        let end = piece.first + u64::from(piece.sectors);
        let homes = (piece.first..end).map(|s| (s, self.slot_of(s)));
        let block = |s: u64, slot: Option<Slot>| match slot {
            None => (None, self.world.plan.unit_of(s).0),
            Some(slot) => (Some(slot), 0),
        };
        let blocks: Vec<_> = homes.map(|(s, slot)| block(s, slot)).collect();
        let mut seen = Vec::new();
        for (i, block) in blocks.iter().enumerate() {
            if i > 0 && blocks[i - 1] != *block && seen.contains(block) {
                return true;
            }
            seen.push(*block);
        }
        false
    }

    /// Only who must not wait is told to come again, and only where others would wait: a group that is held, sectors that are
    /// suspect or lost, a write that is in a physical block or slot twice. Where the content simply lives on main or in a good slot it is served.
    fn check_again(&mut self, piece: Piece, bio: &Bio) -> Result<(), Failure> {
        let waits_at = |s: u64| {
            let found = self.table.record_of(Sector(s).group());
            found
                .is_some_and(|(_, r)| r.is_held() || r.in_doubt() || r.bad() & r.mask() & (1 << (s % 8)) != 0)
        };
        let write = bio.kind != Kind::Read;
        // The rest of a write may keep what comes before it in the same block.
        let block_end = self.world.plan.unit_of(piece.first).1.max(piece.first / 8 * 8 + 8);
        let end = if write { block_end.min(piece.first + u64::from(piece.sectors)) } else { piece.first + 1 };
        let others_wait = (piece.first..end).any(waits_at) || write && self.is_cut(piece);
        let what = match (bio.nowait, others_wait) {
            (true, true) => {
                self.world.stats.again += 1;
                return Ok(());
            }
            (false, _) => "a bio that may wait is told to come again",
            (true, false) => "a bio is told to come again where nothing keeps it",
        };
        Err(self.world.failure(Some(piece.first), what))
    }
}
