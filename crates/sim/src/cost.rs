//! What failed writes of ours cost that they did not carry (S32).

use remap_core::engine::machine::Machine;
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::units::{Sector, Slot};

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::bio::{Bio, Piece};
use crate::under_way::context::{Running, Work};
use crate::under_way::cost::Cost;
use crate::under_way::flight::{Flight, Owner};
use crate::world::Failure;

impl Session<'_, '_> {
    /// The slot that a sector lives in, if it is not on main.
    pub(crate) fn slot_of(&self, sector: u64) -> Option<Slot> {
        let found = self.table.record_of(Sector(sector).group());
        found
            .filter(|(_, record)| record.mask() & (1 << Sector(sector).in_group()) != 0)
            .map(|(slot, _)| slot)
    }

    /// The slot that a sector of the spare belongs to.
    fn slot_at(&self, sector: u64) -> Option<Slot> {
        let geometry = self.engine.geometry();
        let mut slots = (0..geometry.slot_count()).map(Slot);
        slots.find(|s| geometry.slot_block(*s).first_sector() == sector / 8 * 8)
    }

    /// Whether the content of a sector that lives there cannot be read.
    fn is_unreadable(&self, sector: u64, slot: Option<Slot>) -> bool {
        match slot {
            None => !self.world.main.unreadable(sector, 1).is_empty(),
            Some(slot) => {
                let at = self.engine.geometry().slot_block(slot).first_sector() + sector % 8;
                !self.world.spare.unreadable(at, 1).is_empty()
            }
        }
    }

    /// A request has taken place. What a user's own write costs is between the user and the disk, and what a machine could not read it could
    /// not keep.
    pub(crate) fn note_cost(&mut self, flight: &Flight, ok: bool) {
        let on_main = std::mem::take(&mut self.world.main.cost).into_iter().map(|s| (Device::Main, s));
        let on_spare = std::mem::take(&mut self.world.spare.cost).into_iter().map(|s| (Device::Spare, s));
        if ok {
            self.forget_cost_within(flight);
        }
        for (device, at) in on_main.chain(on_spare) {
            let slot = if device == Device::Main { None } else { self.slot_at(at) };
            let home = slot.and_then(|slot| Some(self.home_of(slot)? + at % 8));
            let sector = if device == Device::Main { at } else { home.unwrap_or(u64::MAX) };
            let lost = slot.is_some_and(|slot| self.engine.lost_mask(slot) & (1 << (sector % 8)) != 0);
            let context = match flight.owner {
                Owner::Repair(context) if !self.writes_first(context) => context,
                Owner::Piece(piece, ..) => {
                    self.cost_of_a_part(piece, sector, slot);
                    continue;
                }
                Owner::Repair(context) => {
                    if let Some(Work::Bio(piece)) = self.work_of(context) {
                        self.cost_of_a_part(piece, sector, slot);
                    }
                    continue;
                }
                _ => continue,
            };
            let kept = !self.unread.contains(&(context, device, at)) && !lost;
            if kept && sector < self.world.plan.main_sectors && self.slot_of(sector) == slot {
                self.world.note(sector, 1, format!("a write of context {context} costs it, in {slot:?}"));
                match slot {
                    None => self.world.stats.cost += 1,
                    Some(_) => self.world.stats.cost_in_slots += 1,
                }
                self.cost.push(Cost { sector, slot, context });
            }
        }
    }

    /// A part of a bio has cost what another part of it may have brought.
    fn cost_of_a_part(&mut self, piece: Piece, sector: u64, slot: Option<Slot>) {
        if let Some(bio) = self.bios[piece.task].as_mut() {
            if (bio.first..bio.first + u64::from(bio.sectors)).contains(&sector) {
                self.world.stats.cost_of_parts += 1;
                bio.cost.push((sector, slot));
            }
        }
    }

    /// A write has succeeded there: what was lost before is there again, as far as the disk gives it.
    fn forget_cost_within(&mut self, flight: &Flight) {
        let written = flight.sector..flight.sector + flight.data.len() as u64 / 512;
        if !matches!(flight.op, Op::Write | Op::WriteFua) {
            return;
        }
        let geometry = *self.engine.geometry();
        let stays = |sector: u64, slot: Option<Slot>| {
            let (device, at) = match slot {
                None => (Device::Main, sector),
                Some(slot) => (Device::Spare, geometry.slot_block(slot).first_sector() + sector % 8),
            };
            device != flight.device || !written.contains(&at)
        };
        self.cost.retain(|cost| stays(cost.sector, cost.slot));
        self.bios
            .iter_mut()
            .flatten()
            .for_each(|bio| bio.cost.retain(|(sector, slot)| stays(*sector, *slot)));
    }

    /// A write of a user succeeds: all of it is stored (S5).
    pub(crate) fn check_stored(&mut self, bio: &Bio) {
        let gone = |(sector, slot): &&(u64, Option<Slot>)| {
            self.slot_of(*sector) == *slot && self.is_unreadable(*sector, *slot)
        };
        if let Some((sector, _)) = bio.cost.iter().find(gone) {
            let what = "a write succeeds, and one part of it has made another unreadable";
            self.unstored = Some(self.world.failure(Some(*sector), what));
        }
    }

    /// The bio of a machine fails: what was written of it before is not relied on.
    pub(crate) fn forget_cost(&mut self, work: Work, verdict: Result<(), ErrorKind>) {
        if let (Work::Bio(piece), Err(_)) = (work, verdict) {
            let range = piece.first..piece.first + u64::from(piece.sectors);
            self.cost.retain(|cost| !range.contains(&cost.sector));
        }
    }

    /// Content is told as spoilt: something of the group could be read no more by the machine that told it, and lives nowhere else.
    pub(crate) fn check_spoilt(&mut self, group: Sector) -> Result<(), Failure> {
        self.world.stats.spoilt += 1;
        let lives_there = |(_, device, at): &(usize, Device, u64)| match device {
            Device::Main => at / 8 * 8 == group.0 && self.slot_of(*at).is_none(),
            Device::Spare => self.slot_at(*at).is_some_and(|slot| {
                self.home_of(slot) == Some(group.0) && self.slot_of(group.0 + at % 8) == Some(slot)
            }),
        };
        if !self.unread.iter().any(lives_there) {
            return Err(self.world.failure(Some(group.0), "told as spoilt, and nothing of it is"));
        }
        let told: Vec<Cost> = std::mem::take(&mut self.cost);
        let stays = |c: &Cost| c.sector / 8 * 8 != group.0 || !self.is_unreadable(c.sector, c.slot);
        self.cost = told.into_iter().filter(stays).collect();
        Ok(())
    }

    /// A machine that has ended leaves nothing that a write of its own made unreadable, and has declared nothing of that lost.
    pub(crate) fn check_cost(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.unstored.take() {
            return Err(failure);
        }
        for cost in std::mem::take(&mut self.cost) {
            let Cost { sector, slot, context } = cost;
            let held = matches!(self.table.find(Sector(sector), 1), Run::Held { .. });
            let now = self.slot_of(sector);
            let lost = now.is_some_and(|now| self.engine.lost_mask(now) & (1 << (sector % 8)) != 0);
            if now != slot && !lost {
                // It lives elsewhere, durably.
            } else if self.is_running(context) || held {
                self.cost.push(cost);
            } else if lost || self.is_unreadable(sector, slot) {
                let what = "a failed write that did not carry it made it unreadable, and it was not kept";
                return Err(self.world.failure(Some(sector), what));
            }
        }
        Ok(())
    }

    /// A planted bug: what a repair reads again after its write has failed is said to be there.
    pub(crate) fn planted_spoilt(&self, running: &Running, flight: &Flight) -> bool {
        self.world.options.planted == Some(Planted::BelieveSpoilt)
            && matches!(running.machine, Machine::Write(_))
            && (flight.device, flight.op) == (Device::Main, Op::Read)
    }
}
