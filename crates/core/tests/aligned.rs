//! Physical blocks that do not begin where main does: a partition at an odd sector, an offset in the table, a disk with an alignment offset.

mod world;

use remap_core::engine::release::Released;
use remap_core::engine::{Settings, Topology};
use remap_core::io::Op;
use world::{served, Disks, Set};

/// Physical blocks of so many sectors, the first of which begins at the second number.
const TOPOLOGIES: [(u64, u64); 9] =
    [(2, 1), (4, 3), (8, 1), (8, 4), (8, 7), (16, 1), (16, 11), (64, 3), (64, 63)];

/// A set on a main whose physical block around sector 100 fails writes, each of which leaves it unreadable.
fn spoiling(disks: &mut Disks, unit: u64, aligned_at: u64) -> (Set<'_>, std::ops::Range<u64>) {
    let begin = (100 + unit - aligned_at) / unit * unit + aligned_at - unit;
    let block = begin..begin + unit;
    disks.bad_writes.extend(block.clone().map(|s| (false, s)));
    (disks.spoils_whole, disks.aligned_at) = (unit, aligned_at);
    let mut set = served(disks, 100, 2);
    let settings = *set.engine.settings();
    let (physical_sectors, alignment_sectors) = (unit as u32, aligned_at as u32);
    set.engine.set_settings(Settings { physical_sectors, alignment_sectors, ..settings });
    (set, block)
}

fn check(set: &mut Set<'_>, written: std::ops::Range<u64>, what: &str) {
    for s in 0..256 {
        let right = if written.contains(&s) { 0x22 } else { 0xee };
        assert_eq!(set.read(s), Ok(right), "sector {s}: {what}");
    }
}

#[test]
fn s32_nothing_beside_a_failed_write_is_lost_wherever_physical_blocks_begin() {
    for (unit, aligned_at) in TOPOLOGIES {
        for (first, sectors) in (84..116).flat_map(|first| [1, 2, 5, 8, 30].map(|n| (first, n))) {
            let what = format!("{sectors} sectors from {first} on, blocks of {unit} from {aligned_at} on");
            let written = first..first + u64::from(sectors);
            let mut disks = Disks::new();
            let (mut set, block) = spoiling(&mut disks, unit, aligned_at);
            // As the user's write does that fails.
            let meets = block.clone().any(|s| written.contains(&s));
            assert_eq!(set.repair(first, sectors, 0x22), Ok(()), "{what}");
            check(&mut set, written.clone(), &what);
            assert_eq!(set.engine.used() != 0, meets, "{what}");
            // Main refuses it still.
            set.release(first, sectors.into());
            check(&mut set, written.clone(), &what);
            set.disks.bad_writes.clear();
            set.disks.bad_reads.clear();
            set.release(0, 256);
            assert_eq!(set.engine.used(), 0, "{what}");
            check(&mut set, written.clone(), &what);
        }
    }
}

#[test]
fn s24_a_release_of_which_one_physical_block_fails_loses_no_other() {
    for (unit, aligned_at) in TOPOLOGIES {
        for fails in [90, 100, 111, 140] {
            let mut disks = Disks::new();
            let (mut set, _) = spoiling(&mut disks, unit, aligned_at);
            set.disks.bad_writes.clear();
            assert_eq!(set.relocate(64, 128).failed, 0);
            let moved = set.engine.used();
            set.disks.bad_writes.insert((false, fails));
            let told = set.release(70, 90);
            assert!((1..=2 * unit.max(8)).contains(&told.failed), "{told:?} {unit} {aligned_at} {fails}");
            assert_eq!(told.released + told.failed + told.main, 90, "{told:?}");
            check(&mut set, 0..0, &format!("{unit} {aligned_at} {fails}"));
            set.disks.bad_writes.clear();
            set.disks.bad_reads.clear();
            let all = set.release(0, 256);
            assert_eq!((all.failed, set.engine.used()), (0, 0), "{moved}");
            check(&mut set, 0..0, "at the end");
        }
    }
}

#[test]
fn a_remapping_is_widened_to_the_physical_blocks_that_there_are() {
    let mut disks = Disks::new();
    let (mut set, _) = spoiling(&mut disks, 8, 1);
    set.disks.bad_writes.clear();
    assert_eq!(set.relocate(100, 1).remapped, 8);
    assert_eq!(set.engine.table().record_of(remap_core::units::Group(12)).unwrap().1.mask(), 0b1111_1110);
    assert_eq!(set.engine.table().record_of(remap_core::units::Group(13)).unwrap().1.mask(), 0b0000_0001);
    assert_eq!(set.release(97, 8), Released { released: 8, ..Released::default() });
    assert_eq!(set.engine.used(), 0);
}

#[test]
fn s14_main_is_asked_by_whole_physical_blocks_that_lie_in_it() {
    for (unit, aligned_at) in TOPOLOGIES {
        let mut disks = Disks::new();
        let (mut set, block) = spoiling(&mut disks, unit, aligned_at);
        set.busy = false;
        let (ours, first) = (block.clone(), block.start);
        assert_eq!(set.repair(first, unit as u32, 0x22), Ok(()));
        let others = |r: &&remap_core::io::IoRequest| !ours.contains(&r.sector);
        let asked: Vec<_> = set.disks.log.iter().filter(|r| r.op == Op::Write).filter(others).collect();
        let asked: Vec<_> = asked.into_iter().filter(|r| r.device == remap_core::io::Device::Main).collect();
        assert!(!asked.is_empty());
        for r in asked {
            let end = r.sector + u64::from(r.sectors);
            let border = |s: u64| s >= aligned_at && (s - aligned_at) % unit == 0;
            assert!(border(r.sector) && border(end), "{r:?} {unit} {aligned_at}");
        }
        check(&mut set, block, "after it was asked");
    }
}

#[test]
fn the_first_physical_block_follows_from_the_offsets() {
    let at = |physical_bytes, alignment_bytes, offset_sectors| {
        let topology = Topology { physical_bytes, alignment_bytes, offset_sectors };
        let settings = Settings::default().on(topology);
        (settings.physical_sectors, settings.alignment_sectors)
    };
    assert_eq!(at(512, Some(0), 77), (1, 0));
    assert_eq!(at(4096, Some(0), 0), (8, 0));
    assert_eq!(at(4096, None, 8), (8, 0));
    // A partition at sector 63, and the same as an offset in the table.
    assert_eq!(at(4096, Some(512), 0), (8, 1));
    assert_eq!(at(4096, Some(0), 63), (8, 1));
    // A disk of which sector 7 is the first that is aligned.
    assert_eq!(at(4096, Some(3584), 0), (8, 7));
    assert_eq!(at(4096, Some(3584), 7), (8, 0));
    assert_eq!(at(16384, Some(512), 3), (32, 30));
    assert_eq!(at(0, Some(512), u64::MAX), (1, 0));
}
