//! What is refused at once, and whether that is right (S1, S17).

use remap_core::error::ErrorKind;
use remap_core::path::{Direction, Place};
use remap_core::units::Sector;

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

    /// Only who must not wait is told to come again, and only where others would wait: a group that is held, sectors that are
    /// suspect or lost. Where the content simply lives on main or in a good slot it is served.
    fn check_again(&mut self, piece: Piece, bio: &Bio) -> Result<(), Failure> {
        let at = Sector(piece.first);
        let others_wait = self
            .table
            .record_of(at.group())
            .is_some_and(|(_, r)| r.is_held() || r.bad() & r.mask() & (1 << at.in_group()) != 0);
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
