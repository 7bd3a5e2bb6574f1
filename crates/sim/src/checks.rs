//! What a session looks at after its steps: content that is held, what superblocks say, and the count of slots.

use remap_core::format::{Block, Superblock, COPIES_MAX};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::units::Sector;

use crate::session::Session;
use crate::under_way::context::{Context, Running, Work};
use crate::under_way::flight::{Flight, Owner};
use crate::world::Failure;

impl Session<'_, '_> {
    /// What is held is read and written by who holds it alone: whatever users had to change there has ended (S9, S14). Only a
    /// relocation reads what it does not hold, to see what can be read at all.
    pub fn check_alone(&self, running: &Running, request: &IoRequest) -> Result<(), Failure> {
        // An order reads first while users go on, in groups that others may hold.
        let surveys = matches!(running.work, Work::Order(_)) && request.op == Op::Read;
        if request.device != Device::Main || surveys {
            return Ok(());
        }
        let held = |s: &u64| self.table.record_of(Sector(*s).group()).is_some_and(|(_, r)| r.is_held());
        for sector in (request.sector..request.sector + u64::from(request.sectors)).filter(held) {
            let changes = |f: &Flight| {
                let of_user = matches!(f.owner, Owner::Piece(..) | Owner::Discard(..));
                let range = f.sector..f.sector + f.data.len() as u64 / 512;
                of_user && f.device == Device::Main && f.op != Op::Read && range.contains(&sector)
            };
            if self.flights.iter().any(changes) {
                return Err(self.world.failure(Some(sector), "it is held, and a user changes it meanwhile"));
            }
        }
        Ok(())
    }

    /// A superblock was written, `ok` or not: while the set is in service it does not say that the set was closed (S19).
    pub fn check_clean(&mut self, flight: &Flight, ok: bool) -> Result<(), Failure> {
        let sb = self.engine.superblock();
        let copy = (0..COPIES_MAX).find(|c| sb.geometry.superblock(*c).first_sector() == flight.sector);
        let (Some(copy), Op::WriteFua) = (copy, flight.op) else { return Ok(()) };
        self.superblocks |= u8::from(ok) << copy;
        let written = <&Block>::try_from(&flight.data[..]).ok().map(|b| Superblock::decode(b, copy));
        match written {
            Some(Ok(written)) if !written.clean || self.closing => Ok(()),
            _ => Err(self.world.failure(None, format!("superblock {copy} is called clean in service"))),
        }
    }

    /// While no machine is at work and the committer has nothing to do, used, free, retired and reserved slots are all slots, and what the
    /// status line counts is right.
    pub fn check_slots(&mut self) -> Result<(), Failure> {
        let works = self.commit_ready || self.contexts.iter().any(Context::is_running);
        if works || self.commit_under_way() {
            return Ok(());
        }
        self.world.stats.accounts += 1;
        let (engine, counts) = (&self.engine, self.engine.count_slots());
        let status = (engine.used(), engine.retired());
        if engine.awaits_commit() {
            return Err(self.world.failure(None, "changes wait for a commit that does not begin"));
        }
        if counts.are_all() && status == (counts.used + counts.reserved, counts.retired) {
            return Ok(());
        }
        let what = format!("slots are lost sight of: {counts:?}, and the status says {status:?}");
        Err(self.world.failure(None, what))
    }
}
