//! The map of a set that is not open, by the rules that the kernel loads it with: core's own loader.

use crate::failure::{Failure, Kind, Result};
use crate::progress::Progress;
use crate::spare::Spare;
use remap_core::engine::list::Listed;
use remap_core::engine::load::{LoadError, Loader};
use remap_core::engine::{Change, Context, Engine, Settings, Storage, StorageSizes};
use remap_core::format::Superblock;
use remap_core::units::Slot;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of the metadata read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// What a set maps.
#[derive(Debug, PartialEq, Eq)]
pub struct Map {
    /// Runs of sectors within their groups, in ascending order. Places count from the start of the region.
    pub runs: Vec<Listed>,
    /// Slots that serve a group.
    pub used_slots: u64,
    /// Some copy in sync lacks the instance that counts of some block, or two slots claim a group: the next activation
    /// rewrites metadata before the first I/O.
    pub copies_differ: bool,
}

/// Reads the table blocks of every copy in sync, and settles what counts.
pub fn map(spare: &Spare<'_>, superblock: &Superblock) -> Result<Map> {
    let sizes = StorageSizes::for_geometry(&superblock.geometry);
    let words = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let (records, summary) = (words(sizes.table.records), words(sizes.table.summary));
    let pending = words(sizes.pending);
    let buckets: Vec<AtomicU32> = (0..sizes.table.buckets).map(|_| AtomicU32::new(0)).collect();
    let (mut generations, mut blocks) = (vec![0; sizes.generations], vec![0; sizes.blocks]);
    let mut changes = vec![Change::default(); sizes.changes];
    let (mut contexts, mut notices) = (vec![Context::default(); sizes.contexts], vec![None; sizes.notices]);
    let storage = Storage {
        records: &records,
        buckets: &buckets,
        summary: &summary,
        generations: &mut generations,
        blocks: &mut blocks,
        changes: &mut changes,
        pending: &pending,
        contexts: &mut contexts,
        notices: &mut notices,
    };
    let failed = |e: LoadError| explain(spare, &e);
    let mut loader = Loader::new(superblock.clone(), Settings::default(), storage).map_err(failed)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut progress = Progress::new(format!("reading the map on {}", spare.path().display()), None);
    let mut done = 0;
    while let Some(request) = loader.next(buffer.len()).map_err(failed)? {
        let read = spare.carry_out(&request, &mut buffer);
        loader.done(read.is_ok(), &buffer);
        done += u64::from(request.sectors);
        progress.at(done);
    }
    Ok(walk(&loader.finish().map_err(failed)?, superblock.geometry.slot_count()))
}

pub fn explain(spare: &Spare<'_>, error: &LoadError) -> Failure {
    let why = match error {
        LoadError::BlockLost(index) => format!("no copy in sync has a valid table block {index}"),
        LoadError::Twins(group) => {
            format!("two entries of one generation claim sector {} of main", group.first_sector().0)
        }
        LoadError::Storage | LoadError::Buffer => error.to_string(),
    };
    let next = "write nothing to the spare, and make an image of it before any attempt at repair";
    Failure::new(Kind::Device, format!("{}: {why}", spare.path().display()), next)
}

fn walk(engine: &Engine<'_>, slots: u32) -> Map {
    let mut runs = Vec::new();
    let mut used_slots = 0;
    for slot in (0..slots).map(Slot) {
        let mut from = 0;
        while let Some(run) = engine.list_run(slot, from) {
            used_slots += u64::from(from == 0);
            from = run.sector.in_group() + run.sectors;
            runs.push(run);
        }
    }
    runs.sort_by_key(|run| run.sector);
    Map { runs, used_slots, copies_differ: engine.copies_differ() }
}
