//! What is known to be unreadable is cheap to ask for (S34).

mod world;

use remap_core::engine::list::SectorState;
use remap_core::engine::Settings;
use remap_core::io::{Device, Op};
use remap_core::path::Place;
use remap_core::units::Sector;
use world::{served, Disks, Set, MAIN_SECTORS};

const OLD: u8 = 0xee;

fn settings(set: &mut Set<'_>, change: impl Fn(Settings) -> Settings) {
    let settings = *set.engine.settings();
    set.engine.set_settings(change(settings));
}

fn spoil(disks: &mut Disks, sectors: impl IntoIterator<Item = u64>) {
    disks.bad_reads.extend(sectors.into_iter().map(|s| (false, s)));
}

/// Narrows a read; how many requests main got for it, with that of the bio itself.
fn cost(set: &mut Set<'_>, first: u64, sectors: u32) -> (bool, Vec<Option<u8>>, usize) {
    set.disks.log.clear();
    let (verdict, given) = set.reread(first, sectors, Place::Main);
    let reads = set.disks.log.iter().filter(|r| (r.device, r.op) == (Device::Main, Op::Read)).count();
    (verdict.is_ok(), given, 1 + reads)
}

fn pending(set: &Set<'_>) -> Vec<u64> {
    (0..MAIN_SECTORS).filter(|s| set.engine.query(Sector(*s)).state == SectorState::Pending).collect()
}

/// A link that comes back: what it made known reads well, and the readers of it get all.
#[test]
fn s34_what_reads_well_again_uses_up_no_attempt() {
    let mut disks = Disks::new();
    spoil(&mut disks, (1000..1100).filter(|s| s % 20 == 3));
    let mut set = served(&mut disks, 20, 2);
    settings(&mut set, |s| Settings { physical_sectors: 1, ..s });
    assert!(!cost(&mut set, 1000, 100).0);
    set.disks.bad_reads.clear();
    let (ok, given, _) = cost(&mut set, 1000, 100);
    assert!(ok && given.iter().all(|byte| *byte == Some(OLD)), "{given:?}");
    assert_eq!(pending(&set), []);
}

#[test]
fn s34_what_is_known_to_be_unreadable_costs_a_reader_four_reads_at_most() {
    for physical in [1, 8, 16, 64] {
        let mut disks = Disks::new();
        spoil(&mut disks, 1000..1008);
        let mut set = served(&mut disks, 20, 2);
        settings(&mut set, |s| Settings { physical_sectors: physical, ..s });
        let (ok, _, first) = cost(&mut set, 1000, 8);
        assert!(!ok && first > 20, "{first}");
        assert_eq!(pending(&set), (1000..1008).collect::<Vec<_>>());
        for (first, sectors) in [(1000, 8), (1003, 1), (1002, 5), (960, 48), (999, 3), (968, 100), (963, 131)]
        {
            for _ in 0..3 {
                let (ok, given, reads) = cost(&mut set, first, sectors);
                assert!(
                    !ok && reads <= 4,
                    "{reads} reads for {sectors} sectors from {first} on ({physical})"
                );
                for (s, byte) in (first..).zip(given) {
                    assert_eq!(byte, if (1000..1008).contains(&s) { None } else { Some(OLD) }, "sector {s}");
                }
            }
        }
        assert_eq!(pending(&set), (1000..1008).collect::<Vec<_>>());
    }
}

#[test]
fn s34_of_many_known_blocks_a_reader_tries_few() {
    let mut disks = Disks::new();
    let bad = |s: &u64| s % 10 == 3;
    spoil(&mut disks, (1000..1100).filter(bad));
    let mut set = served(&mut disks, 20, 2);
    settings(&mut set, |s| Settings { physical_sectors: 1, ..s });
    let (ok, ..) = cost(&mut set, 1000, 100);
    assert!(!ok);
    let (ok, given, _) = cost(&mut set, 1000, 100);
    assert!(!ok);
    for (s, byte) in (1000..).zip(given) {
        assert_eq!(byte, if bad(&s) { None } else { Some(OLD) });
    }
    let touches =
        |r: &&remap_core::io::IoRequest| (r.sector..r.sector + u64::from(r.sectors)).any(|s| bad(&s));
    assert_eq!(set.disks.log.iter().filter(touches).count(), 3);
}

#[test]
fn s34_what_reads_well_again_is_given_and_pending_no_more() {
    let mut disks = Disks::new();
    spoil(&mut disks, [1000, 1001]);
    let mut set = served(&mut disks, 20, 2);
    assert!(!cost(&mut set, 992, 32).0);
    set.disks.bad_reads.clear();
    let (ok, given, reads) = cost(&mut set, 992, 32);
    assert!(ok && reads == 4, "{reads}");
    assert_eq!(given, vec![Some(OLD); 32]);
    assert_eq!(pending(&set), []);
}

#[test]
fn s34_it_is_tried_in_full_again_after_the_stated_time() {
    let mut disks = Disks::new();
    spoil(&mut disks, [1000]);
    let mut set = served(&mut disks, 20, 2);
    let full = cost(&mut set, 1000, 1).2;
    assert_eq!(full, 6);
    let found_ms = set.now_ms;
    // However often it is asked for, the time is not prolonged.
    for at_ms in [1000, 100_000, 299_000] {
        set.now_ms = found_ms + at_ms;
        assert_eq!(cost(&mut set, 1000, 1).2, 1);
    }
    set.now_ms = found_ms + 300_000;
    assert_eq!(cost(&mut set, 1000, 1).2, full);
    assert_eq!(cost(&mut set, 1000, 1).2, 1);
    // A sector that comes and goes is found by the many attempts.
    set.now_ms += 300_000;
    set.disks.bad_reads.clear();
    set.disks.flaky_reads.insert((false, 1000), 3);
    let (ok, given, _) = cost(&mut set, 1000, 1);
    assert!(ok && given == [Some(OLD)]);
}

#[test]
fn s34_a_write_heals_it_and_what_fails_anew_is_tried_in_full() {
    let mut disks = Disks::new();
    spoil(&mut disks, 1000..1008);
    let mut set = served(&mut disks, 20, 2);
    assert!(!cost(&mut set, 1000, 8).0);
    // A write of a user, of which the host tells as it does of every write.
    set.engine.pending().clear(Sector(1000), 4);
    let (_, _, reads) = cost(&mut set, 1000, 4);
    assert!(reads > 10, "{reads}");
    assert_eq!(cost(&mut set, 1004, 4).2, 1);
}
