//! Health on the spare: saved and loaded, damaged and misplaced.

mod common;
mod health_world;

use health_world::{fill, good, superblock, World, START_S};
use proptest::prelude::*;
use remap_core::engine::Mode;
use remap_core::error::ErrorKind;
use remap_core::evidence::Success;
use remap_core::format::{Block, MainShape, SetId};
use remap_core::health::clock::Step;
use remap_core::health::counters::Counter;
use remap_core::health::points::Point;
use remap_core::health::scan::{Cursor, ScanSettings};
use remap_core::health::spot::SpotCounts;
use remap_core::health::store::{may_save, SaveKind, What, Why, FAILURES_MAX};
use remap_core::health::zone::Direction;
use remap_core::units::{Group, Sector};

/// All that is saved, to be compared.
#[derive(Clone, Debug, PartialEq)]
struct Saved {
    settings: ScanSettings,
    cursor: Cursor,
    counters: Vec<u64>,
    evidence: String,
    risk: String,
    score: String,
    points: Vec<Point>,
    zones: Vec<(Option<u32>, Option<u32>)>,
    spots: Vec<(u64, u8, bool, u32, SpotCounts)>,
}

fn saved(world: &mut World) -> Saved {
    let health = world.health();
    let zones = health.zones();
    let zone = |z| (zones.get(z, Direction::Read).mean_us(), zones.get(z, Direction::Write).deviation_us());
    let mut spots: Vec<_> = health.spots().iter().collect();
    spots.sort_by_key(|s| s.group());
    let counters = [Counter::ReadErrors, Counter::WriteErrors, Counter::Bursts, Counter::RelocatedSectors];
    Saved {
        settings: *health.settings(),
        cursor: *health.cursor(),
        counters: counters.iter().map(|c| health.counters().get(*c)).collect(),
        evidence: format!("{:?}", health.evidence()),
        risk: format!("{:?} {:?}", health.risk(), health.acks()),
        score: format!("{:?}", health.score(&good())),
        points: health.points().iter().copied().collect(),
        zones: (0..zones.count()).map(zone).collect(),
        spots: spots
            .iter()
            .map(|s| (s.group().0, s.unreadable(), s.is_proven(), s.seen_s(), s.counts()))
            .collect(),
    }
}

fn filled(region_blocks: u64, spots: u64) -> World {
    let mut world = World::new(region_blocks);
    fill(&mut world, spots);
    world
}

#[test]
fn what_is_saved_comes_back() {
    for (region_blocks, blocks) in [(2048, 4), (5120, 8), (25_600, 40), (100_000, 40)] {
        let mut world = filled(region_blocks, 120);
        let before = saved(&mut world);
        assert_eq!(world.save(), 2 * blocks, "all blocks, to two copies");
        let report = world.load();
        assert!(report.found && !report.other_main && report.clock == Step::Passed);
        assert_eq!(saved(&mut world), before);
        assert_eq!(world.findings(), []);
        assert_eq!(world.save(), 0, "nothing changed, nothing written");
    }
}

#[test]
fn a_new_set_is_silent_and_writes_nothing() {
    let mut world = World::new(5120);
    assert_eq!((world.findings(), world.save()), (vec![], 0));
    for block in 0..5120 {
        world.region.0.insert(block, [0x5a; 4096]);
    }
    assert!(!world.load().found);
    assert_eq!((world.findings(), world.save()), (vec![], 0));
}

/// A spare that served another set before, whose health blocks still stand there.
#[test]
fn blocks_of_another_set_count_for_nothing() {
    let mut world = filled(5120, 60);
    world.save();
    world.superblock.id = SetId([9; 16]);
    assert!(!world.load().found);
    assert_eq!(world.findings(), []);
    assert_eq!(world.health().spots().used(), 0);
    fill(&mut world, 20);
    assert_eq!(world.save(), 2 * 8);
    let before = saved(&mut world);
    assert!(world.load().found);
    assert_eq!((world.findings(), saved(&mut world)), (vec![], before));
}

#[test]
fn only_what_changed_is_written() {
    let mut world = filled(25_600, 120);
    world.save();
    let now = world.now;
    world.health().write_failed(Group(77_777), ErrorKind::Medium, now);
    assert_eq!(world.save(), 4, "the head and one block of spots, to two copies");
    let same_group = Success::new(Sector(77_777 * 8), now.mono_ms);
    world.health().succeeded(same_group, now);
    assert_eq!(world.save(), 0, "that proves nothing");
    world.health().succeeded(Success::new(Sector(1), now.mono_ms), now);
    assert_eq!(world.save(), 4);
    world.health().zones().sample(Sector(1), Direction::Write, 500);
    assert_eq!(world.save(), 2);
    assert_eq!(world.save(), 0);
}

#[test]
fn places_alternate_and_a_torn_save_costs_nothing() {
    let mut world = filled(5120, 60);
    world.save();
    for round in 0..6u64 {
        let before = saved(&mut world);
        world.health().relocated(Group(round), 1);
        let (mut torn, mut n) = (world.region.clone(), 0);
        let stop = round as usize;
        world.save_with(SaveKind::Now, 0b111, |block| {
            n += 1;
            if n == stop + 1 {
                torn.0.insert(block, [0xee; 4096]);
            }
            (n <= stop, true)
        });
        let lands = world.region.clone();
        for (block, bytes) in torn.0.iter().filter(|(_, bytes)| bytes[0] == 0xee) {
            world.region.0.insert(*block, *bytes);
        }
        world.load();
        let after = saved(&mut world);
        let lost: Vec<_> = world.findings().into_iter().filter(|f| f.lost).collect();
        assert_eq!(lost, [], "round {round}");
        assert!(after.spots.len() >= before.spots.len(), "round {round}");
        assert!(after.points == before.points && after.settings == before.settings);
        world.region = lands;
        world.load();
        world.save();
    }
    let mut world = filled(5120, 60);
    world.save();
    world.writes.clear();
    world.health().relocated(Group(3), 1);
    world.save();
    let places: Vec<u64> = [0, 1].iter().flat_map(|c| [world.places(*c, 0)[1]]).collect();
    assert!(places.iter().all(|p| world.writes.contains(p)), "{:?} {places:?}", world.writes);
}

/// Each place in turn cannot be read, or holds noise: the other copy has all of it.
#[test]
fn one_bad_block_costs_nothing() {
    let mut world = filled(5120, 60);
    world.save();
    let before = saved(&mut world);
    let image = world.region.clone();
    for copy in 0..2 {
        for index in 0..8 {
            let bad = world.places(copy, index)[0];
            world.load_with(0b111, |block| block != bad);
            assert_eq!(saved(&mut world), before);
            let found = world.findings();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].why, found[0].copy, found[0].lost), (Why::Unreadable, copy, false));
            world.region.0.get_mut(&bad).unwrap()[4000] ^= 1;
            world.load();
            assert_eq!((saved(&mut world), world.findings().len()), (before.clone(), 1));
            world.region = image.clone();
        }
    }
}

/// Every instance of one block is gone: that is said, and the rest counts.
#[test]
fn what_is_lost_is_said_in_one_line_and_the_rest_counts() {
    let wants = [
        (0, "health lost: settings and place of the scan, counters, evidence, acknowledgements, risk (copy 0: "),
        (1, "health lost: the weekly points (copy 0: "),
        (2, "health lost: latencies of zones 0 to 249 (copy 0: "),
        (3, "health lost: part 1 of 5 of the places with evidence (copy 0: "),
        (7, "health lost: part 5 of 5 of the places with evidence (copy 0: "),
    ];
    for (index, text) in wants {
        for (noise, why) in [(true, "it cannot be read)"), (false, "not a block of dm-remap)")] {
            let mut world = filled(5120, 600);
            world.save();
            let before = saved(&mut world);
            let bad: Vec<u64> = (0..3).flat_map(|c| world.places(c, index)).collect();
            bad.iter().for_each(|b| {
                world.region.0.remove(b);
            });
            world.load_with(0b111, |block| !noise || !bad.contains(&block));
            let found = world.findings();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].to_string(), format!("{text}{why}"));
            let after = saved(&mut world);
            assert_eq!(after.settings == before.settings, index != 0);
            assert_eq!(after.points == before.points, index != 1);
            assert_eq!(after.zones == before.zones, index != 2);
            assert_eq!(after.spots == before.spots, index < 3);
            assert!(after.spots.iter().all(|spot| before.spots.contains(spot)));
            assert!(world.save() >= 2, "what is lacking is written anew");
            world.load();
            assert!(world.findings().iter().all(|f| !f.lost));
        }
    }
}

#[test]
fn an_evicted_copy_is_not_looked_at_and_the_next_one_is_filled() {
    let mut world = filled(5120, 60);
    world.save_with(SaveKind::Now, 0b011, |_| (true, true));
    let old = world.region.clone();
    world.health().relocated(Group(3), 1);
    assert_eq!(world.save_with(SaveKind::Now, 0b101, |_| (true, true)), 2 * 8, "copy 2 lacks all");
    let before = saved(&mut world);
    world.load_with(0b100, |_| true);
    assert_eq!(saved(&mut world), before);
    for index in 0..8 {
        for place in world.places(1, index) {
            if let Some(block) = old.0.get(&place) {
                assert_eq!(world.region.get(place), *block, "copy 1 was left alone");
            }
        }
    }
    world.load_with(0b010, |_| true);
    assert_ne!(saved(&mut world), before, "alone, the evicted copy is older");
}

#[test]
fn a_copy_that_fails_three_times_gets_no_more() {
    let mut world = filled(5120, 60);
    let first_copy: Vec<u64> = (0..8).flat_map(|i| world.places(0, i)).collect();
    let fate = |block: u64| (!first_copy.contains(&block), !first_copy.contains(&block));
    world.save_with(SaveKind::Now, 0b111, fate);
    assert_eq!(world.writes.iter().filter(|b| first_copy.contains(b)).count(), usize::from(FAILURES_MAX));
    assert_eq!((world.health().store().given_up(), world.health().store().saves_failed()), (1, 1));
    world.writes.clear();
    world.save_with(SaveKind::Now, 0b111, fate);
    assert!(world.writes.iter().all(|b| !first_copy.contains(b)));
    assert!(!world.writes.is_empty(), "the next copy is filled");
    let before = saved(&mut world);
    world.load();
    assert_eq!(saved(&mut world), before);
    assert_eq!(world.health().store().given_up(), 0, "a new activation tries again");
}

/// One write fails, of a block whose older instance both copies have.
#[test]
fn a_copy_that_missed_a_save_gets_the_block_with_the_next() {
    let mut world = filled(5120, 60);
    world.save();
    world.health().relocated(Group(3), 1);
    let missed = world.places(1, 0);
    world.save_with(SaveKind::Now, 0b111, |block| (!missed.contains(&block), !missed.contains(&block)));
    let before = saved(&mut world);
    assert_eq!(world.save(), 2, "the head again, to both");
    assert_eq!(world.save(), 0);
    world.load_with(0b010, |_| true);
    assert_eq!(saved(&mut world), before, "the second copy has all of it");
}

#[test]
fn all_of_the_health_area_failing_ends_and_keeps_what_is_in_memory() {
    let mut world = filled(5120, 60);
    let before = saved(&mut world);
    assert_eq!(world.save_with(SaveKind::Now, 0b111, |_| (false, false)), 2 * usize::from(FAILURES_MAX));
    assert_eq!(world.save_with(SaveKind::Now, 0b111, |_| (false, false)), usize::from(FAILURES_MAX));
    assert_eq!(world.save_with(SaveKind::Now, 0b111, |_| (false, false)), 0);
    assert_eq!(world.save_with(SaveKind::Now, 0, |_| (true, true)), 0);
    assert_eq!(saved(&mut world), before);
    assert_eq!(world.health().store().given_up(), 0b111);
}

#[test]
fn s08_nothing_is_saved_where_nothing_may_be_written() {
    assert!(may_save(Mode::Rw, false, false) && may_save(Mode::NoRemap, false, false));
    assert!(!may_save(Mode::Fail, false, false));
    assert!(!may_save(Mode::Rw, true, false) && !may_save(Mode::Rw, false, true));
}

/// A block changes between the writes to its two copies: both copies hold the same, and the change is saved by the next.
#[test]
fn copies_of_one_sequence_are_the_same() {
    let mut world = filled(5120, 60);
    let mut buffer: Block = [0; 4096];
    let mut save = world.health().begin_save(SaveKind::Now, 0b011, 0, &mut buffer).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    while save.next(world.health(), &mut buffer).is_some() {
        blocks.push(buffer);
        world.health().relocated(Group(9), 1);
        save.done(world.health(), true);
    }
    save.finish(world.health(), START_S);
    for pair in blocks.chunks(2) {
        let bare = |b: &Block| [&b[..48], &b[56..]].concat();
        assert_eq!(bare(&pair[0]), bare(&pair[1]));
        assert_eq!((pair[0][52], pair[1][52]), (0, 1));
    }
    assert!(world.save() > 0);
}

#[test]
fn another_main_begins_anew_and_it_is_said() {
    let mut world = filled(5120, 60);
    world.save();
    world.superblock = superblock(5120, "wwn-0xother");
    let report = world.load();
    assert!(report.other_main && !report.found);
    assert_eq!((world.findings(), world.health().spots().used()), (vec![], 0));
    let now = world.now;
    world.health().write_failed(Group(5), ErrorKind::Medium, now);
    world.save();
    assert!(!world.load().other_main);
    assert_eq!(world.health().spots().used(), 1);
}

/// What stands on the spare of the main before is older than what is saved now, however often that was saved, and in whichever copies.
#[test]
fn what_is_saved_of_another_main_stays() {
    for in_sync in [0b011, 0b110] {
        let mut world = filled(5120, 60);
        for _ in 0..10 {
            let now = world.now;
            world.health().read_retried(Group(9), now);
            world.save_with(SaveKind::Now, in_sync, |_| (true, true));
        }
        world.superblock = superblock(5120, "wwn-0xother");
        assert!(world.load().other_main);
        for _ in 0..3 {
            let now = world.now;
            world.health().write_failed(Group(5), ErrorKind::Medium, now);
            world.save();
            assert!(!world.load().other_main, "{in_sync:b}");
            assert_eq!(world.health().spots().used(), 1, "{in_sync:b}");
        }
    }
}

/// The kernel formats without an identity, and a tool fills it in later.
#[test]
fn an_identity_that_becomes_known_is_no_other_main() {
    for (first, second) in [("", "wwn-0x1"), ("wwn-0x1", "")] {
        let mut world = World::new(5120);
        world.superblock = superblock(5120, first);
        world.load();
        fill(&mut world, 60);
        world.save();
        let before = saved(&mut world);
        world.superblock = superblock(5120, second);
        assert!(!world.load().other_main);
        assert_eq!(saved(&mut world), before);
        let now = world.now;
        world.health().read_retried(Group(9), now);
        world.save();
        world.superblock = superblock(5120, "wwn-0x1");
        assert!(!world.load().other_main && world.findings().is_empty());
        world.superblock = superblock(5120, "wwn-0x2");
        let report = world.load();
        assert!(report.other_main && !report.found, "{first:?} {second:?}");
        assert_eq!(world.health().spots().used() + world.health().points().len(), 0);
        assert_eq!(*world.health().settings(), ScanSettings::default());
        assert_eq!(world.health().counters().get(Counter::ReadErrors), 0);
        assert!(world.health().zones().overall(Direction::Read).is_none());
    }
}

#[test]
fn time_in_which_the_set_was_closed_ages() {
    let mut world = filled(5120, 60);
    world.save();
    let age_s = world.health().age_s();
    world.now.wall_s += 1000;
    world.now.mono_ms = 77;
    assert_eq!(world.load().clock, Step::Passed);
    assert_eq!(world.health().age_s(), age_s + 1000);
    world.now.wall_s -= 5000;
    assert_eq!(world.load().clock, Step::Back);
    assert_eq!(world.health().age_s(), age_s);
}

fn seal(block: &mut Block) {
    block[48..52].fill(0);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(block);
    block[48..52].copy_from_slice(&crc.to_le_bytes());
}

/// Every byte of every block flipped, with the checksum as it was and with a right one.
#[test]
fn s27_every_byte_flipped_is_dropped_or_read_but_never_panics() {
    let mut world = filled(2048, 60);
    world.save();
    let before = saved(&mut world);
    let image = world.region.clone();
    for index in 0..4 {
        let place = world.places(0, index)[0];
        // One instance alone, so that what is dropped is missed.
        let mut alone = image.clone();
        alone.0.remove(&world.places(1, index)[0]);
        for at in 0..4096 {
            for flip in [0x01u8, 0x80, 0xff] {
                let mut region = alone.clone();
                let block = region.0.get_mut(&place).unwrap();
                block[at] ^= flip;
                world.region = region.clone();
                if flip == 0x01 {
                    world.load();
                    let why = if at < 8 { Why::NotOurs } else { Why::Checksum };
                    let what = world.findings();
                    assert_eq!((what.len(), what[0].why, what[0].lost), (1, why, true), "{index} {at}");
                }
                if (48..52).contains(&at) {
                    continue;
                }
                seal(region.0.get_mut(&place).unwrap());
                world.region = region;
                world.load();
                let dropped = world.findings();
                assert!(dropped.len() <= 1);
                if let Some(found) = dropped.first() {
                    assert!(found.lost && expected(at, found.why), "{index} {at}: {found:?}");
                } else if at < 64 {
                    let harmless = (40..48).contains(&at) || (10..12).contains(&at);
                    assert!(harmless, "{index} {at} {flip}");
                }
                // The rest counts, whatever became of this block.
                let after = saved(&mut world);
                assert!(index == 0 || after.settings == before.settings, "{index} {at}");
                assert!(index == 1 || after.points == before.points);
                assert!(index == 2 || after.zones == before.zones);
                assert!(index == 3 || after.spots == before.spots, "{index} {at}");
            }
        }
    }
}

/// The reason that a flipped byte of a header must give; any value that cannot be, in the body.
fn expected(at: usize, why: Why) -> bool {
    match at {
        0..=7 => why == Why::NotOurs,
        8..=9 => matches!(why, Why::Version(_)),
        12..=15 | 32..=39 | 52..=55 => why == Why::Misplaced,
        16..=31 => why == Why::OtherSet,
        64..=65 => matches!(why, Why::Version(_)),
        _ => matches!(why, Why::Value(_) | Why::OtherMain),
    }
}

#[test]
fn values_that_cannot_be_are_named() {
    let mut world = filled(2048, 60);
    world.save();
    let image = world.region.clone();
    let cases: &[(u32, usize, &[u8], &str)] = &[
        (0, 68, &[0; 4], "identity of main"),
        (0, 76, &[0xff; 4], "anchor of the age"),
        (0, 88, &[1, 0], "number of zones or spots"),
        (0, 92, &[1], "reserved"),
        (0, 96, &[8], "settings"),
        (0, 100, &[0x6e, 1], "settings"),
        (0, 112, &[0; 4], "place of the scan"),
        (0, 148, &[0xe9, 3], "evidence"),
        (0, 160, &[0xff; 4], "evidence"),
        (0, 164, &[4], "risk"),
        (0, 168, &[0xfe, 0xff, 0xff, 0xff], "risk"),
        (0, 176, &[0xff; 4], "time of the next point"),
        (0, 180, &[0xe9, 3], "acknowledgements"),
        (0, 196, &[0xff; 4], "sums"),
        (0, 304, b"\x01", "identity of main"),
        (0, 400, &[1], "reserved"),
        (1, 96, &[121], "number of points"),
        (1, 106, &[0xe9, 3], "point"),
        (1, 96, &[2], "reserved"),
        (2, 96, &[1, 0, 0, 0, 0, 0, 0, 0], "latency without a sample"),
        (3, 96 + 4, &[0xff], "place with evidence"),
        (3, 96 + 7, &[0xff], "place with evidence"),
        (3, 96 + 8, &[0xff; 4], "place with evidence"),
        (3, 96 + 31, &[1], "place with evidence"),
        (3, 96 + 12, &[0; 12], "place with evidence"),
    ];
    for (index, at, bytes, name) in cases {
        world.region = image.clone();
        for copy in 0..2 {
            let place = world.places(copy, *index)[0];
            let block = world.region.0.get_mut(&place).unwrap();
            block[*at..*at + bytes.len()].copy_from_slice(bytes);
            seal(block);
        }
        world.load();
        let found = world.findings();
        assert_eq!(found.len(), 1, "{index} {at} {name}: {found:?}");
        assert_eq!((found[0].why, found[0].lost), (Why::Value(name), true), "{index} {at}");
    }
}

#[test]
fn a_part_of_a_logical_block_cannot_be_unreadable() {
    let mut world = World::new(2048);
    world.superblock.main = MainShape::new(1 << 24, 4096).unwrap();
    world.load();
    fill(&mut world, 20);
    world.save();
    for copy in 0..2 {
        let place = world.places(copy, 3)[0];
        let block = world.region.0.get_mut(&place).unwrap();
        let spots = block[96..].chunks_exact_mut(32);
        let spot = spots.into_iter().find(|spot| spot[5] == 0xff).expect("one is unreadable");
        spot[5] = 0x0f;
        seal(block);
    }
    world.load();
    assert_eq!(world.findings()[0].why, Why::Value("place with evidence"));
}

#[test]
fn a_newer_version_is_dropped_and_a_newer_minor_is_read() {
    let mut world = filled(2048, 60);
    world.save();
    let before = saved(&mut world);
    let image = world.region.clone();
    for (at, value, found) in [(64, 2, false), (66, 1, true)] {
        world.region = image.clone();
        for block in world.region.0.values_mut() {
            block[at] = value;
            block[92] = u8::from(found);
            seal(block);
        }
        assert_eq!(world.load().found, found);
        assert_eq!(saved(&mut world) == before, found);
        let all_of_version_2 = |f: &remap_core::health::store::Finding| f.why == Why::Version(2) && f.lost;
        assert_eq!(
            world.findings().iter().filter(|f| all_of_version_2(f)).count(),
            if found { 0 } else { 4 }
        );
    }
}

#[test]
fn a_first_save_that_is_cut_off_is_one_line() {
    for cut in 1..16 {
        let mut world = filled(5120, 60);
        let mut n = 0;
        world.save_with(SaveKind::Now, 0b011, |_| {
            n += 1;
            (n <= cut, true)
        });
        world.load();
        let lost: Vec<What> = world.findings().into_iter().filter(|f| f.lost).map(|f| f.what).collect();
        assert_eq!(lost, if cut < 15 { vec![What::Head] } else { vec![] }, "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn s27_noise_never_panics_and_never_ends_the_rest(
        noise in proptest::collection::vec((0u32..4, 64usize..4096, any::<[u8; 8]>()), 1..40),
        sealed in any::<bool>(),
    ) {
        let mut world = filled(2048, 60);
        world.save();
        for (index, at, bytes) in noise {
            for copy in 0..2 {
                let place = world.places(copy, index)[0];
                let block = world.region.0.get_mut(&place).unwrap();
                let end = (at + 8).min(4096);
                block[at..end].copy_from_slice(&bytes[..end - at]);
                if sealed {
                    seal(block);
                }
            }
        }
        world.load();
        let score = world.health().score(&good());
        prop_assert!(score.value.is_none_or(|s| s <= 1000));
        world.health().judge(&score);
        world.pass_s(1_000_000);
        world.save();
        let before = saved(&mut world);
        world.load();
        prop_assert_eq!(saved(&mut world), before);
    }
}
