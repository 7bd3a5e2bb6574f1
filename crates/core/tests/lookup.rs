//! The lookup table against a plain map from sectors to what is known of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use proptest::prelude::*;
use remap_core::lookup::{Record, Run, Table, TableSizes};
use remap_core::units::{Group, Sector, Slot};

const SLOTS: u32 = 96;
const PER_AREA: u32 = 20;

struct Arrays {
    records: Vec<AtomicU64>,
    buckets: Vec<AtomicU32>,
    summary: Vec<AtomicU64>,
}

impl Arrays {
    fn new(slots: u32) -> Arrays {
        let sizes = TableSizes::for_slots(slots);
        Arrays {
            records: (0..sizes.records).map(|_| AtomicU64::new(Record::free(None).word())).collect(),
            buckets: (0..sizes.buckets).map(|_| AtomicU32::new(0)).collect(),
            summary: (0..sizes.summary).map(|_| AtomicU64::new(u64::MAX)).collect(),
        }
    }

    fn table(&self, groups: u64) -> Table<'_> {
        Table::new(&self.records, &self.buckets, &self.summary, groups, PER_AREA).expect("sizes fit")
    }
}

/// What the model knows of a mapped group.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    slot: u32,
    mask: u8,
    bad: u8,
    held: bool,
    doubt: bool,
}

impl Mapping {
    fn record(&self, group: u64) -> Record {
        Record::mapped(Group(group), self.mask, self.bad).with_held(self.held).with_doubt(self.doubt)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Map { group: u64, mask: u8, bad: u8, held: bool, doubt: bool },
    Move { pick: usize, mask: u8 },
    Remove { pick: usize },
}

/// What a run says of its first sector, in the model's words.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Main,
    Slot(u32),
    Bad(u32),
    Held,
    Doubt(Option<u32>, bool),
}

fn kind_of(model: &BTreeMap<u64, Mapping>, sector: u64) -> Kind {
    let Some(m) = model.get(&(sector >> 3)) else { return Kind::Main };
    let bit = 1u8 << (sector & 7);
    match m {
        _ if m.held => Kind::Held,
        _ if m.doubt => Kind::Doubt((m.mask & bit != 0).then_some(m.slot), m.mask & m.bad & bit != 0),
        _ if m.mask & bit == 0 => Kind::Main,
        _ if m.bad & bit != 0 => Kind::Bad(m.slot),
        _ => Kind::Slot(m.slot),
    }
}

/// Every sector of a run is what the model says, and the run is a non-empty prefix.
fn check(
    table: &Table<'_>,
    model: &BTreeMap<u64, Mapping>,
    first: u64,
    sectors: u32,
) -> Result<(), TestCaseError> {
    let run = table.find(Sector(first), sectors);
    prop_assert!(run.sectors() >= 1 && run.sectors() <= sectors, "{run:?} of {sectors}");
    for i in 0..u64::from(run.sectors()) {
        let sector = first + i;
        let expected = kind_of(model, sector);
        let groups_on = ((sector >> 3) - (first >> 3)) as u32;
        let found = match run {
            Run::Main { .. } => Kind::Main,
            Run::Slot { slot, .. } => {
                prop_assert!(slot.0 % PER_AREA + groups_on < PER_AREA, "a run left its area");
                Kind::Slot(slot.0 + groups_on)
            }
            Run::Bad { slot, .. } => Kind::Bad(slot.0),
            Run::Held { .. } => Kind::Held,
            Run::Doubt { slot, bad, .. } => Kind::Doubt(slot.map(|s| s.0), bad),
        };
        prop_assert_eq!(found, expected, "sector {} of the run at {}", sector, first);
    }
    Ok(())
}

fn steps(groups: u64) -> impl Strategy<Value = Vec<Step>> {
    // Near the top of the range as well as near the bottom, and close together, so that runs meet.
    let group = prop_oneof![0..40u64, (groups - 40)..groups];
    let map = (group, 1..=255u8, any::<u8>(), 0..8u8).prop_map(|(group, mask, bad, odd)| Step::Map {
        group,
        mask: if odd < 4 { 0xff } else { mask },
        bad: if odd < 5 { 0 } else { bad & mask },
        held: odd == 6,
        doubt: odd == 7,
    });
    let moved = (any::<usize>(), 1..=255u8).prop_map(|(pick, mask)| Step::Move { pick, mask });
    let remove = any::<usize>().prop_map(|pick| Step::Remove { pick });
    proptest::collection::vec(prop_oneof![4 => map, 1 => moved, 2 => remove], 1..120)
}

fn run_steps(groups: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let arrays = Arrays::new(SLOTS);
    let table = arrays.table(groups);
    let mut model: BTreeMap<u64, Mapping> = BTreeMap::new();
    let mut free: Vec<u32> = (0..SLOTS).rev().collect();
    for step in steps {
        match *step {
            Step::Map { group, mask, bad, held, doubt } => {
                if let Some(m) = model.get_mut(&group) {
                    *m = Mapping { slot: m.slot, mask: m.mask | mask, bad, held, doubt };
                    table.set_record(Slot(m.slot), m.record(group));
                } else if let Some(slot) = free.pop() {
                    let m = Mapping { slot, mask, bad, held, doubt };
                    prop_assert!(table.insert(Slot(slot), m.record(group)));
                    model.insert(group, m);
                }
            }
            Step::Move { pick, mask } if !model.is_empty() => {
                let group = *model.keys().nth(pick % model.len()).unwrap();
                let Some(slot) = free.pop() else { continue };
                let m = Mapping { slot, mask, bad: 0, held: false, doubt: false };
                prop_assert!(table.replace(Slot(slot), m.record(group)));
                let old = model.insert(group, m).unwrap();
                table.set_record(Slot(old.slot), Record::retired());
            }
            Step::Remove { pick } if !model.is_empty() => {
                let group = *model.keys().nth(pick % model.len()).unwrap();
                let old = model.remove(&group).unwrap();
                prop_assert!(table.remove(Group(group)));
                prop_assert!(!table.remove(Group(group)));
                table.set_record(Slot(old.slot), Record::free(None));
                free.push(old.slot);
            }
            _ => {}
        }
    }
    for base in [0, (groups - 41) * 8] {
        for first in (base..base + 41 * 8).step_by(3) {
            for sectors in [1, 2, 7, 8, 9, 40, 100, 2048] {
                check(&table, &model, first, sectors)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn s10_find_equals_the_model_sector_by_sector(steps in steps(1 << 20)) {
        run_steps(1 << 20, &steps)?;
    }

    #[test]
    fn s23_find_equals_the_model_on_a_main_of_one_pebibyte(steps in steps(1 << 38)) {
        run_steps(1 << 38, &steps)?;
    }
}

#[test]
fn s10_contiguous_slots_are_one_run() {
    let arrays = Arrays::new(SLOTS);
    let table = arrays.table(1 << 20);
    for i in 0..30 {
        assert!(table.insert(Slot(i), Record::mapped(Group(100 + u64::from(i)), 0xff, 0)));
    }
    // An area has 20 slots: the run ends where the slots stop lying one behind the other.
    assert_eq!(table.find(Sector(800), 2048), Run::Slot { slot: Slot(0), sectors: 160 });
    assert_eq!(table.find(Sector(803), 10), Run::Slot { slot: Slot(0), sectors: 10 });
    assert_eq!(table.find(Sector(960), 2048), Run::Slot { slot: Slot(20), sectors: 80 });
    assert_eq!(table.find(Sector(792), 2048), Run::Main { sectors: 8 });
}

#[test]
fn a_region_that_a_removal_leaves_empty_is_answered_by_the_summary_again() {
    let arrays = Arrays::new(SLOTS);
    let table = arrays.table(1 << 20);
    let bits = || arrays.summary.iter().map(|w| w.load(Ordering::Relaxed).count_ones()).sum::<u32>();
    assert_eq!(bits(), 0);
    // Regions are of 16 groups here: 2^20 groups over 65,536 bits.
    for (slot, group) in [(0, 32), (1, 33), (2, 500)] {
        assert!(table.insert(Slot(slot), Record::mapped(Group(group), 1, 0)));
    }
    assert_eq!(bits(), 2);
    assert!(table.remove(Group(33)));
    assert_eq!(bits(), 2);
    assert!(table.remove(Group(32)));
    assert_eq!(bits(), 1);
}

#[test]
fn a_full_table_keeps_every_mapping_and_removals_leave_no_litter() {
    let arrays = Arrays::new(1000);
    let table = Table::new(&arrays.records, &arrays.buckets, &arrays.summary, 1 << 38, 1000).unwrap();
    for round in 0..20u64 {
        let group = |i: u32| Group(u64::from(i) * 7919 * (round + 1));
        for i in 0..1000 {
            assert!(table.insert(Slot(i), Record::mapped(group(i), 0xff, 0)), "round {round}");
        }
        for i in 0..1000 {
            assert_eq!(table.record_of(group(i)).map(|(s, _)| s), Some(Slot(i)));
        }
        for i in 0..1000 {
            assert!(table.remove(group(i)));
        }
    }
    let deleted = arrays.buckets.iter().filter(|b| b.load(Ordering::Relaxed) != u32::MAX).count();
    assert!(deleted < 1000, "{deleted} buckets hold the traces of 20,000 removals");
}

#[test]
fn s03_suspect_sectors_are_those_of_the_mask() {
    let arrays = Arrays::new(SLOTS);
    let table = arrays.table(1 << 20);
    assert!(table.insert(Slot(4), Record::mapped(Group(9), 0x0f, 0)));
    table.mark_suspect(Slot(4), 0x3c);
    assert_eq!(table.find(Sector(72), 8), Run::Slot { slot: Slot(4), sectors: 2 });
    assert_eq!(table.find(Sector(74), 6), Run::Bad { slot: Slot(4), sectors: 2 });
    assert_eq!(table.find(Sector(76), 4), Run::Main { sectors: 4 });
    table.mark_suspect(Slot(5), 0xff);
    assert_eq!(table.record(Slot(5)).map(|r| r.bad()), Some(0), "a free slot is not marked");
}

/// Readers look at mappings that stay while a writer maps, moves and removes all around them: they never miss one.
#[test]
fn s09_readers_never_miss_a_mapping_that_stays() {
    const STAY: u32 = 64;
    let arrays = Arrays::new(1024);
    let table = Table::new(&arrays.records, &arrays.buckets, &arrays.summary, 1 << 24, 1024).unwrap();
    for i in 0..STAY {
        assert!(table.insert(Slot(i), Record::mapped(Group(u64::from(i) * 3), 0xff, 0)));
    }
    let done = AtomicBool::new(false);
    let moves = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Two slots take turns for group 0: whichever a reader finds is whole, as nothing is reused before it looks again.
            for round in 0..4_000u32 {
                for i in STAY..STAY + 32 {
                    let group = Group(u64::from(i) * 3 + 1 + u64::from(round % 5) * 96);
                    assert!(table.insert(Slot(i), Record::mapped(group, 0xff, 0)));
                }
                let to = if round % 2 == 0 { Slot(1000) } else { Slot(0) };
                assert!(table.replace(to, Record::mapped(Group(0), 0xff, 0)));
                moves.fetch_add(1, Ordering::Relaxed);
                for i in STAY..STAY + 32 {
                    let group = Group(u64::from(i) * 3 + 1 + u64::from(round % 5) * 96);
                    assert!(table.remove(group));
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                for i in 0..STAY {
                    let run = table.find(Sector(u64::from(i) * 24), 8);
                    assert!(matches!(run, Run::Slot { sectors: 8, .. }), "group {i}: {run:?}");
                }
            }
        });
    });
    assert_eq!(moves.load(Ordering::Relaxed), 4_000);
}
