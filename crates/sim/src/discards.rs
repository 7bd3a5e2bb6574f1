//! Discards of users (S18), directed as the kernel host directs them: main is told of what lives there and the rest is left as it is.

use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::path::{self, Discard};
use remap_core::units::Sector;

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::bio::Piece;
use crate::under_way::flight::{Flight, Owner};
use crate::world::Failure;

impl Session<'_, '_> {
    /// Sends a part of a discard on its way.
    pub fn discard(&mut self, piece: Piece) -> Result<(), Failure> {
        let first = Sector(piece.first);
        let ticket = self.gate.enter(self.lane(first, piece.sectors, true));
        if self.world.options.planted == Some(Planted::DiscardWithoutGate) {
            self.gate.leave(ticket);
        }
        let way = path::discard(&self.table, &self.access, first, piece.sectors);
        self.world.note(piece.first, piece.sectors.into(), format!("task {}: discard: {way:?}", piece.task));
        match way {
            Discard::Main { sectors } => {
                let piece = self.split(piece, sectors);
                self.check_flush_told(piece.first)?;
                self.check_may_be_on_main(piece)?;
                self.check_sides(piece, true)?;
                let began = self.world.oracle.discard_begins(piece.first, piece.sectors);
                self.forget(piece, Device::Main, piece.first, ticket, began);
            }
            Discard::Leave { sectors } => {
                let piece = self.split(piece, sectors);
                self.check_sides(piece, false)?;
                if self.planted_discard(piece, ticket) {
                    return Ok(());
                }
                self.gate.leave(ticket);
                self.world.stats.discards_left += 1;
                self.piece_done(piece, true);
            }
            Discard::Refuse(error) => {
                self.gate.leave(ticket);
                if !self.flush_failed && self.engine.fail_reason().is_none() {
                    let what = format!("a discard is refused for no reason: {error:?}");
                    return Err(self.world.failure(Some(piece.first), what));
                }
                self.piece_done(piece, false);
            }
        }
        Ok(())
    }

    /// A disk is told to forget the content, and what it gives from then on are zeros.
    fn forget(&mut self, piece: Piece, device: Device, sector: u64, ticket: u64, began: u64) {
        let zeros = vec![0; piece.sectors as usize * 512];
        self.submit(Owner::Discard(piece, ticket, began), device, Op::Write, sector, zeros, 0);
    }

    /// A part goes to main only as far as it certainly lives there, and is left only as far as it does not. Asked of the records, since the
    /// path asks the lookup.
    fn check_sides(&self, piece: Piece, on_main: bool) -> Result<(), Failure> {
        for sector in (piece.first..piece.first + u64::from(piece.sectors)).map(Sector) {
            let record = self.table.record_of(sector.group()).map(|(_, record)| record);
            let elsewhere = record
                .is_some_and(|r| r.is_held() || r.in_doubt() || r.mask() & (1 << sector.in_group()) != 0);
            if elsewhere == on_main {
                let what = match on_main {
                    true => "main is to discard what does not certainly live there",
                    false => "a discard leaves out what lives on main",
                };
                return Err(self.world.failure(Some(sector.0), what));
            }
        }
        Ok(())
    }

    /// A planted bug discards the content of slots too.
    fn planted_discard(&mut self, piece: Piece, ticket: u64) -> bool {
        if self.world.options.planted != Some(Planted::DiscardMapped) {
            return false;
        }
        let Run::Slot { slot, sectors } = self.table.find(Sector(piece.first), piece.sectors) else {
            return false;
        };
        if sectors < piece.sectors {
            return false;
        }
        let in_group = u64::from(Sector(piece.first).in_group());
        let sector = self.engine.geometry().slot_block(slot).first_sector() + in_group;
        self.forget(piece, Device::Spare, sector, ticket, 0);
        true
    }

    /// A disk has ended a part of a discard. An error is passed up: it was a hint, and nothing is repaired for it. What main took is
    /// no evidence that it takes writes (S14), as in the kernel host.
    pub fn discard_ended(
        &mut self,
        piece: Piece,
        ticket: u64,
        began: u64,
        flight: &Flight,
        result: Result<(), ErrorKind>,
    ) {
        if flight.device == Device::Main {
            self.world.oracle.discard_ends(began, piece.first, piece.sectors);
            if result.is_ok() {
                self.engine.pending().clear(Sector(piece.first), piece.sectors.into());
                self.world.oracle.written_on_main(piece.first, piece.sectors);
                self.world.stats.discards += 1;
            }
        }
        self.gate.leave(ticket);
        self.piece_done(piece, result.is_ok());
    }
}
