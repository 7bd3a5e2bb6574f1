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
    world.main.writes_fail = false;
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
    // A superblock that was put back may be all that more than half of the places agree on, until so many are written again.
    if superblock.clean && world.in_service && !world.put_back {
        return Err(world.failure(None, "the set is called clean, and was in service when it was left"));
    }
    let Some(engine) = world.load(superblock, &mut memory)? else { return Ok(false) };
    let mut session = Session::new(world, engine);
    let end = match steps {
        Some(steps) => session.run(steps)?,
        None => session.verify_only()?,
    };
    let counters = session.engine.counters();
    // Until a set is served, copies may differ: between two requests of the takeover as well.
    let fragile = !session.serving || !session.engine.mode().remaps() || session.commit_under_way();
    let all_in_sync = session.engine.copies_in_sync() == u32::from(session.world.plan.copies);
    if end == End::NotServed && !session.metadata_failed {
        let what = "the set is not taken into service, although the spare did what was asked";
        return Err(session.world.failure(None, what));
    }
    let counted = session.superblocks.count_ones() * 2 > u32::from(session.world.plan.copies);
    drop(session);
    world.in_service = end != End::Closed && (counted || world.in_service);
    world.put_back &= !counted;
    world.fragile = fragile;
    world.all_in_sync = all_in_sync && !fragile;
    // What rotted has been written anew once a set is served with all copies equal.
    world.rotted &= fragile;
    world.stats.commits += counters.commits;
    world.stats.commits_failed += counters.commits_failed;
    world.stats.evictions += counters.evictions;
    world.stats.readmissions += counters.readmissions;
    if end != End::Crash {
        world.oracle.reload();
    }
    if end == End::NotServed {
        // The spare takes no writes and its copies differ. The administrator sees to the spare.
        world.spare.writes_fail = false;
    }
    Ok(true)
}
