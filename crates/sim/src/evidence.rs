//! What the oracle knows of writes that succeeded on main, to hold core to S14: what it says of them, and no more.

use remap_core::engine::breaker::SLOTS_PER_SUCCESS;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::Use;
use remap_core::units::{Sector, Slot};

use crate::plan::Planted;
use crate::session::Session;
use crate::under_way::context::{Running, Work};
use crate::world::Failure;

const REMEMBERED: usize = 64;

impl Session<'_, '_> {
    /// A write on main succeeded: told as the kernel host tells it, at most once in a tick, unless core knows from its own repair.
    pub fn main_took(&mut self, first: u64, known: bool) {
        let now_ms = self.world.oracle.step;
        if known || self.evidence.written(now_ms + 1, Sector(first), || now_ms) {
            // What is being stored now counts for core when that has ended.
            let under_way = self.contexts.iter().filter(|context| context.is_rescuing()).count();
            let successes = &mut self.successes;
            successes.writes.push_back((now_ms, first));
            successes.placed = 0;
            successes.rescued = under_way as u32;
            if successes.writes.len() > REMEMBERED {
                successes.writes.pop_front();
            }
        }
    }

    /// A request of a repair succeeded, and core is about to be told.
    pub fn main_took_repair(&mut self, running: &Running) {
        let Some(request) = running.request else { return };
        if request.device != Device::Main || !matches!(request.op, Op::Write | Op::WriteFua) {
            return;
        }
        if let Work::Bio(piece) = running.work {
            let in_bio = piece.first..piece.first + u64::from(piece.sectors);
            self.world.stats.probes_taken += u64::from(!in_bio.contains(&request.sector));
        }
        self.world.oracle.written_on_main(request.sector, request.sectors);
        self.main_took(request.sector, true);
    }

    /// Tells the engine what the kernel host tells it at this point.
    pub fn tell_evidence(&mut self) {
        let now_ms = self.world.oracle.step;
        if self.world.options.planted == Some(Planted::RemapWithoutEvidence) {
            self.evidence.written(now_ms + 1, Sector(u64::MAX), || now_ms);
        }
        self.evidence.tell(&mut self.engine, now_ms);
    }

    /// Whether main took a write within the window that began outside of the sectors from `first` up to and without `end`.
    fn is_proved(&self, first: u64, end: u64) -> bool {
        let oldest = self.world.oracle.step.saturating_sub(self.world.plan.settings.evidence_window_ms);
        let elsewhere = |at: u64| at < first || end <= at;
        self.successes.writes.iter().any(|(ms, at)| *ms >= oldest && elsewhere(*at))
    }

    /// A group that had no slot may get one only if there is evidence.
    pub fn check_placed(&mut self, running: &mut Running, request: &IoRequest) -> Result<(), Failure> {
        if matches!(running.work, Work::Order(_)) {
            return Ok(());
        }
        if request.device == Device::Main && request.op == Op::Read {
            self.world.stats.probes += 1;
        }
        if request.device != Device::Spare || request.op != Op::Write {
            return Ok(());
        }
        let slots = 0..self.engine.geometry().slot_count();
        let place = |s: &Slot| self.engine.geometry().slot_block(*s).first_sector() == request.sector / 8 * 8;
        let record = slots.map(Slot).find(place).and_then(|slot| self.table.record(slot));
        let Some(record) = record.filter(|r| r.usage() == Use::Reserved) else {
            return Ok(());
        };
        if record.is_held() {
            if running.placed != Some(record.group()) {
                running.placed = Some(record.group());
                self.successes.rescued += 1;
            }
            return Ok(());
        }
        let group = record.group();
        if self.table.record_of(group).is_some() || running.placed == Some(group) {
            return Ok(());
        }
        running.placed = Some(group);
        self.successes.placed += 1;
        let at = group.first_sector().0 + request.sector % 8;
        let plan = &self.world.plan;
        let (first, end) = (plan.unit_of(at).0, plan.unit_of(at + u64::from(request.sectors) - 1).1);
        if !self.is_proved(first, end) {
            return Err(self
                .world
                .failure(Some(at), "remapped, although main took no write elsewhere in the window"));
        }
        if self.successes.placed > SLOTS_PER_SUCCESS {
            return Err(self
                .world
                .failure(Some(at), "remapped, although the last success was evidence enough times"));
        }
        Ok(())
    }

    /// A group failed without evidence: there must have been none.
    pub fn check_unproven(&mut self, group: Sector) -> Result<(), Failure> {
        self.world.stats.unproven += 1;
        let (first, end) = (self.world.plan.unit_of(group.0).0, self.world.plan.unit_of(group.0 + 7).1);
        if self.last_is_proof(first, end) {
            return Err(self.world.failure(
                Some(group.0),
                format!(
                    "not remapped, although main took a write elsewhere {:?} placed {} window {} phys {}",
                    self.successes.writes.back(),
                    self.successes.placed,
                    self.world.plan.settings.evidence_window_ms,
                    self.world.plan.settings.physical_sectors
                ),
            ));
        }
        Ok(())
    }

    /// Whether the newest success alone would do.
    fn last_is_proof(&self, first: u64, end: u64) -> bool {
        let oldest = self.world.oracle.step.saturating_sub(self.world.plan.settings.evidence_window_ms);
        let newest = self.successes.writes.back();
        let fresh = newest.is_some_and(|(ms, at)| *ms >= oldest && (*at < first || end <= *at));
        // Places that look alike to core are too few to matter, but would be found.
        fresh
            && self.successes.placed + self.successes.rescued < SLOTS_PER_SUCCESS
            && newest.is_some_and(|(ms, at)| {
                remap_core::evidence::Success::new(Sector(*at), *ms).is_elsewhere(first, end)
            })
    }

    /// A planted bug: what is held so that main can be asked is not held.
    pub fn let_in_while_probed(&mut self) {
        if self.world.options.planted != Some(Planted::ProbeWithoutHold) {
            return;
        }
        let held = (0..self.table.slots()).map(Slot).filter_map(|s| Some((s, self.table.record(s)?)));
        let probed: Vec<_> = held.filter(|(_, record)| record.is_reserved_hold()).collect();
        for (slot, record) in probed {
            self.table.set_record(slot, record.with_held(false));
        }
    }
}
