//! One seed, one history.

use crate::load::{Found, Memory};
use crate::session::{End, Session};
use crate::world::{Failure, Options, Stats, World};

/// Runs the history of a seed.
pub fn run(seed: u64, options: Options) -> Result<Stats, Failure> {
    let mut world = World::new(seed, options);
    world.format()?;
    let World { plan, main, spare, rng, .. } = &mut world;
    plan.break_disks(main, spare, rng);
    let sessions = world.plan.sessions;
    let steps = options.steps / sessions;
    for _ in 0..sessions {
        if !session(&mut world, Some(steps))? {
            return Ok(world.stats);
        }
    }
    world.spare.writes_fail = false;
    session(&mut world, None)?;
    Ok(world.stats)
}

/// Loads the set and runs one session; without a number of steps, only to verify everything. False when the history ends here.
fn session(world: &mut World, steps: Option<u64>) -> Result<bool, Failure> {
    world.misfortune();
    let superblock = loop {
        match world.find_set()? {
            Found::Set(superblock) => break *superblock,
            Found::Blank => return Err(world.failure(None, "the set is taken for a format that was cut off")),
            Found::Refused => {}
            Found::Gone => return Ok(false),
        }
    };
    world.note(0, 0, format!("load: epoch {} in sync {:#b}", superblock.epoch, superblock.in_sync));
    let mut memory = Memory::new(&superblock.geometry);
    let Some(engine) = world.load(superblock, &mut memory)? else { return Ok(false) };
    let mut session = Session::new(world, engine);
    let end = match steps {
        Some(steps) => session.run(steps)?,
        None => session.verify_only()?,
    };
    let counters = session.engine.counters();
    let fragile = end == End::NotServed || !session.engine.mode().remaps() || session.commit_under_way();
    drop(session);
    world.fragile = fragile;
    // What rotted has been written anew once a set is served with all copies equal.
    world.rotted &= fragile;
    world.stats.commits += counters.commits;
    world.stats.commits_failed += counters.commits_failed;
    world.stats.evictions += counters.evictions;
    if end != End::Crash {
        world.oracle.reload();
    }
    if end == End::NotServed {
        // The spare takes no writes and its copies differ. The administrator sees to the spare.
        world.spare.writes_fail = false;
    }
    Ok(true)
}

impl World {
    /// What happens to the spare while nobody looks.
    fn misfortune(&mut self) {
        let Some(geometry) = self.geometry() else { return };
        if self.plan.rot && self.rng.percent(60) {
            let copy = self.rng.below(self.plan.copies.into()) as u8;
            let index = self.rng.below(geometry.table_blocks().into()) as u32;
            let place = geometry.table_block(copy, index).first_sector();
            self.note(0, 0, format!("block {index} of copy {copy} rots"));
            self.spare.rot(place, &mut self.rng);
            self.rotted = true;
        }
        if self.plan.unreadable_superblocks && self.rng.percent(70) {
            for copy in 0..self.plan.copies {
                if self.rng.percent(40) {
                    let place = geometry.superblock(copy).first_sector();
                    self.spare.fail_reads(place);
                    self.broken_copies.push(place);
                    self.note(0, 0, format!("superblock {copy} cannot be read for now"));
                }
            }
        }
    }

    fn geometry(&self) -> Option<remap_core::format::Geometry> {
        remap_core::format::Geometry::new(crate::plan::REGION_BLOCKS, Some(self.plan.slots)).ok()
    }
}
