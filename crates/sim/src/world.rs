//! What outlives a crash: the disks, what the oracle knows, and the seed's chances.

use std::fmt;

use remap_core::format::{Geometry, MainShape, Superblock};

use crate::content;
use crate::disk::Disk;
use crate::oracle::Oracle;
use crate::plan::{Plan, Planted, REGION_BLOCKS};
use crate::rng::Rng;

/// How to run histories.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most steps of one history.
    pub steps: u64,
    /// Bug to put in.
    pub planted: Option<Planted>,
    /// Print every event.
    pub verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { steps: 4000, planted: None, verbose: false }
    }
}

/// The metadata of one copy as it once was.
pub struct Saved {
    pub(crate) copy: u8,
    pub(crate) bytes: Vec<u8>,
}

/// A history that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that gives the history again.
    pub seed: u64,
    /// The step at which it was found.
    pub step: u64,
    /// What is wrong.
    pub what: String,
    /// What happened before, where it matters.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} step {}: {}\n{}", self.seed, self.step, self.what, self.trace)
    }
}

/// What happened in histories that kept every promise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Steps.
    pub steps: u64,
    /// Bios that completed.
    pub bios: u64,
    /// Failed writes that repair stored.
    pub repaired: u64,
    /// Failed writes that repair did not store.
    pub unrepaired: u64,
    /// Commits that became durable.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Copies evicted.
    pub evictions: u64,
    /// Evicted copies that came back.
    pub readmissions: u64,
    /// Crashes.
    pub crashes: u64,
    /// Reads that ended in an error.
    pub read_errors: u64,
    /// Failed reads that were delivered after all.
    pub rereads: u64,
    /// Sectors that became pending.
    pub pending: u64,
    /// Loads that were rightly refused.
    pub refused: u64,
    /// Copies whose metadata was replaced by an old image or another set's.
    pub swapped_copies: u64,
    /// Copies out of sync that were made to look newer than those in sync.
    pub renewed_copies: u64,
    /// Slots retired.
    pub retired: u64,
    /// Times that lost sectors were found in the map.
    pub lost: u64,
    /// Sectors that went to slots as ordered.
    pub relocated: u64,
    /// Sectors that went back to main as ordered.
    pub released: u64,
    /// Times that main was asked by a probe.
    pub probes: u64,
    /// Of these, times that main took the write.
    pub probes_taken: u64,
    /// Groups that failed without evidence.
    pub unproven: u64,
    /// Times that the breaker opened.
    pub breaker: u64,
    /// Bios that were told to come again.
    pub again: u64,
    /// Parts of discards that main took.
    pub discards: u64,
    /// Parts of discards that were left out.
    pub discards_left: u64,
    /// Times that all slots were accounted for.
    pub accounts: u64,
    /// Sectors of main that failed writes of ours made unreadable without carrying them.
    pub cost: u64,
    /// The same of content in slots.
    pub cost_in_slots: u64,
    /// Sectors of a user's write that another part of it made unreadable.
    pub cost_of_parts: u64,
    /// Groups that were told as spoilt.
    pub spoilt: u64,
    /// Requests of reads for blocks that were known to be unreadable.
    pub known_tries: u64,
}

impl Stats {
    /// Adds another history.
    pub fn add(&mut self, o: &Stats) {
        let pairs = [
            (&mut self.steps, o.steps),
            (&mut self.bios, o.bios),
            (&mut self.repaired, o.repaired),
            (&mut self.unrepaired, o.unrepaired),
            (&mut self.commits, o.commits),
            (&mut self.commits_failed, o.commits_failed),
            (&mut self.evictions, o.evictions),
            (&mut self.readmissions, o.readmissions),
            (&mut self.crashes, o.crashes),
            (&mut self.read_errors, o.read_errors),
            (&mut self.rereads, o.rereads),
            (&mut self.pending, o.pending),
            (&mut self.refused, o.refused),
            (&mut self.swapped_copies, o.swapped_copies),
            (&mut self.renewed_copies, o.renewed_copies),
            (&mut self.retired, o.retired),
            (&mut self.lost, o.lost),
            (&mut self.relocated, o.relocated),
            (&mut self.released, o.released),
            (&mut self.probes, o.probes),
            (&mut self.probes_taken, o.probes_taken),
            (&mut self.unproven, o.unproven),
            (&mut self.breaker, o.breaker),
            (&mut self.again, o.again),
            (&mut self.discards, o.discards),
            (&mut self.discards_left, o.discards_left),
            (&mut self.accounts, o.accounts),
            (&mut self.cost, o.cost),
            (&mut self.cost_in_slots, o.cost_in_slots),
            (&mut self.cost_of_parts, o.cost_of_parts),
            (&mut self.spoilt, o.spoilt),
            (&mut self.known_tries, o.known_tries),
        ];
        pairs.into_iter().for_each(|(sum, n)| *sum += n);
    }
}

/// The world of one history.
pub struct World {
    /// The seed.
    pub seed: u64,
    /// Its chances.
    pub rng: Rng,
    /// Its plan.
    pub plan: Plan,
    /// How it is run.
    pub options: Options,
    /// Main.
    pub main: Disk,
    /// The spare; its region begins at sector 0.
    pub spare: Disk,
    /// What may be read.
    pub oracle: Oracle,
    /// Number of the last write.
    pub tokens: u64,
    /// What happened.
    pub stats: Stats,
    /// Copies whose superblock or table faults are to be lifted, by sector.
    pub broken_copies: Vec<u64>,
    /// A block rotted since the last load.
    pub rotted: bool,
    /// The last session ended while a block may have had only one whole instance: in the middle of a commit, or after a failed one.
    pub fragile: bool,
    /// The last session ended with all copies in sync, and nothing under way.
    pub all_in_sync: bool,
    /// A superblock was written to more than half of the places, and the set has not been closed since.
    pub in_service: bool,
    /// A copy's metadata, its superblock too, was put back to what it was, and no superblock was written to more than
    /// half of the places since.
    pub put_back: bool,
    /// A copy's metadata as it once was.
    pub saved: Option<Saved>,
    /// A copy that another set's metadata stands in place of.
    pub foreign: Option<u8>,
}

impl World {
    /// The world of a seed, before the set is formatted.
    pub fn new(seed: u64, options: Options) -> World {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng);
        let physical = u64::from(plan.settings.physical_sectors);
        let mut main = Disk::new(plan.main_sectors, plan.block_sectors().into(), physical);
        content::fill(0, 0, main.durable_mut());
        let spare = Disk::new(REGION_BLOCKS * 8, 1, rng.pick(&[1, 8]));
        let mut oracle = Oracle::new(plan.main_sectors);
        oracle.verbose = options.verbose;
        World {
            seed,
            rng,
            plan,
            options,
            main,
            spare,
            oracle,
            tokens: 0,
            stats: Stats::default(),
            broken_copies: Vec::new(),
            rotted: false,
            fragile: false,
            all_in_sync: false,
            in_service: false,
            put_back: false,
            saved: None,
            foreign: None,
        }
    }

    /// The superblock of the set that is to be formatted.
    pub fn new_superblock(&mut self) -> Superblock {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.rng.bits().to_le_bytes());
        id[8..].copy_from_slice(&self.rng.bits().to_le_bytes());
        let main = MainShape { sectors: self.plan.main_sectors, block_bytes: self.plan.block_bytes };
        let geometry = Geometry::new(REGION_BLOCKS, Some(self.plan.slots)).expect("the plan fits the region");
        Superblock::new(remap_core::format::SetId(id), main, geometry, self.plan.copies)
    }

    /// A failure that concerns `sector`, or none in particular.
    pub fn failure(&self, sector: Option<u64>, what: impl Into<String>) -> Failure {
        let what = match sector {
            Some(sector) => format!("sector {sector}: {}", what.into()),
            None => what.into(),
        };
        // A sector that no write names collects what concerns all.
        let trace = self.oracle.trace(sector.unwrap_or(u64::MAX), 30);
        Failure { seed: self.seed, step: self.oracle.step, what, trace }
    }

    /// Notes an event.
    pub fn note(&mut self, first: u64, sectors: u64, what: String) {
        self.oracle.note(first, sectors, what);
    }
}
