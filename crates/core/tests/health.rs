//! Health: what counts against main, what does not, and how it fades.

mod common;
mod health_world;

use health_world::{good, World, WEEK_S};
use remap_core::engine::{Mode, NoRemapReason};
use remap_core::error::ErrorKind;
use remap_core::evidence::Success;
use remap_core::format::{Geometry, MainShape};
use remap_core::health::clock::{Now, Step};
use remap_core::health::counters::Counter;
use remap_core::health::decay::UNIT;
use remap_core::health::evidence::Update;
use remap_core::health::points::{Point, POINTS};
use remap_core::health::risk::Risk;
use remap_core::health::scan::{Cursor, ScanSettings};
use remap_core::health::score::{PartKind, Reason, Score};
use remap_core::health::spot::Spot;
use remap_core::health::spots::HEADS;
use remap_core::health::store::{BlockState, Layout, SaveKind, BLOCKS_MAX, LAZY_EVERY};
use remap_core::health::zone::Direction;
use remap_core::health::{Health, SetFacts, MAP_BYTES};
use remap_core::pending::{Pending, PENDING_WORDS};
use remap_core::units::{Group, Sector};
use std::sync::atomic::AtomicU64;

const GIB_GROUPS: u64 = 1 << 18;

impl World {
    /// A read fails, and after `ms` milliseconds another one elsewhere succeeds.
    fn read_fails(&mut self, group: u64, kind: ErrorKind, success_after_ms: Option<u64>) {
        let now = self.now;
        self.health().read_failed(Group(group), 0xff, kind, now);
        if let Some(ms) = success_after_ms {
            self.pass_ms(ms);
            self.succeeds(group + 1000);
        }
    }

    fn succeeds(&mut self, group: u64) {
        let now = self.now;
        self.health().succeeded(Success::new(Sector(group * 8), now.mono_ms), now);
    }

    fn first_pass_ended(&mut self) {
        let cursor = Cursor { pass: 1, pass_ended: true, ..Cursor::default() };
        assert!(self.health().set_cursor(cursor));
    }

    fn score(&mut self) -> Score {
        self.health().score(&good())
    }

    fn part(&mut self, kind: PartKind) -> (Option<u16>, Reason) {
        let part = self.score().parts[kind as usize];
        (part.score, part.reason)
    }

    fn judge(&mut self) -> Option<Risk> {
        let score = self.score();
        self.health().judge(&score).risk
    }

    fn bursts(&mut self) -> u64 {
        self.health().counters().get(Counter::Bursts)
    }
}

fn world() -> World {
    let mut world = World::new(25_600);
    world.first_pass_ended();
    world
}

/// The limit itself is asserted when core is compiled; this is that the sum has all of it.
#[test]
fn the_memory_of_a_map_is_all_counted() {
    let layout = Layout::new(&Geometry::new(1 << 34, None).unwrap());
    let tables = layout.zones() * 2 * size_of::<AtomicU64>() + layout.spots() * size_of::<Spot>() + HEADS * 2;
    let rest = size_of::<[Point; POINTS]>() + BLOCKS_MAX * size_of::<BlockState>() + size_of::<Health>();
    assert_eq!(tables + rest, MAP_BYTES);
}

#[test]
fn a_failed_read_counts_only_after_a_success_elsewhere() {
    let mut world = world();
    world.read_fails(500, ErrorKind::Io, None);
    assert_eq!(world.part(PartKind::Media), (Some(1000), Reason::None));
    assert!(world.health().waits());
    world.succeeds(500);
    assert_eq!(world.bursts(), 0, "the same group proves nothing");
    world.pass_ms(5000);
    world.succeeds(9000);
    assert_eq!(world.bursts(), 1);
    assert_eq!(world.part(PartKind::Media), (Some(740), Reason::Bursts));
    assert!(!world.health().waits());
}

/// The host may tell of one success again and again, and may be late to look at the clocks.
#[test]
fn a_success_before_a_failure_or_long_after_it_proves_nothing() {
    let mut world = world();
    let old = Success::new(Sector(80_000), world.now.mono_ms);
    world.pass_ms(100);
    world.read_fails(500, ErrorKind::Io, None);
    let now = world.now;
    world.health().succeeded(old, now);
    assert_eq!((world.bursts(), world.health().waits()), (0, true));
    world.now.mono_ms += 5001;
    world.succeeds(9000);
    assert_eq!((world.bursts(), world.health().waits()), (0, false));
    assert_eq!(world.health().counters().get(Counter::Unproven), 1);
}

#[test]
fn unreadable_places_are_whole_blocks_within_main() {
    let mut world = world();
    world.superblock.main = MainShape::new((1 << 24) - 8, 4096).unwrap();
    world.load();
    let mask = |world: &mut World, group| world.health().spots().get(Group(group)).map(|s| s.unreadable());
    let now = world.now;
    world.health().read_failed(Group(7), 0x10, ErrorKind::Medium, now);
    world.health().read_failed(Group(8), 0, ErrorKind::Medium, now);
    assert_eq!((mask(&mut world, 7), mask(&mut world, 8)), (Some(0xff), None));
    world.superblock.main = MainShape::new(8 * 9 + 3, 512).unwrap();
    world.load();
    world.health().read_failed(Group(9), 0xff, ErrorKind::Medium, now);
    assert_eq!(mask(&mut world, 9), Some(0b111));
    world.save();
    assert!(world.load().found);
    assert_eq!((world.findings(), mask(&mut world, 9)), (vec![], Some(0b111)));
    world.health().verified(Group(9), 0xf2);
    assert_eq!(mask(&mut world, 9), Some(0b10));
}

/// A disk that goes offline fails everything as plain I/O errors, right after it succeeded.
#[test]
fn s14_a_pulled_disk_lowers_no_media() {
    let mut world = world();
    world.succeeds(77);
    world.pass_ms(1);
    for group in 0..3000 {
        world.read_fails(group * 50, ErrorKind::Io, None);
        let now = world.now;
        world.health().write_failed(Group(group * 50 + 9), ErrorKind::Io, now);
    }
    world.pass_ms(5001);
    world.succeeds(99);
    assert_eq!(world.part(PartKind::Media), (Some(1000), Reason::None));
    assert_eq!(world.bursts(), 0);
    let unproven = world.health().counters().get(Counter::Unproven);
    let dropped = world.health().counters().get(Counter::SpotsDropped);
    assert_eq!(unproven + dropped, 6000, "each is counted somewhere");
}

#[test]
fn s15_errors_of_the_link_are_counted_and_nothing_else() {
    let mut world = world();
    for kind in [ErrorKind::Transport, ErrorKind::Timeout, ErrorKind::Offline, ErrorKind::Reservation] {
        world.read_fails(5, kind, Some(10));
    }
    assert_eq!(world.health().counters().get(Counter::OtherErrors), 4);
    assert_eq!((world.health().spots().used(), world.bursts()), (0, 0));
    assert_eq!(world.part(PartKind::Media).0, Some(1000));
}

#[test]
fn what_is_known_to_be_unreadable_is_no_news() {
    let mut world = world();
    for _ in 0..500 {
        world.read_fails(500, ErrorKind::Medium, Some(20));
        world.pass_s(60);
    }
    assert_eq!((world.bursts(), world.part(PartKind::Media)), (1, (Some(740), Reason::Bursts)));
    let now = world.now;
    for _ in 0..500 {
        world.health().write_failed(Group(900), ErrorKind::Medium, now);
        world.succeeds(1);
    }
    assert_eq!(world.bursts(), 2);
    assert_eq!(world.health().counters().get(Counter::WriteErrors), 500);
}

/// One bad block: caution at once, told once, and safe again after its weight has halved and a week more. It may stay unreadable.
#[test]
fn once_ends_in_caution_and_comes_back() {
    let mut world = world();
    assert_eq!(world.judge(), Some(Risk::Safe));
    world.read_fails(500, ErrorKind::Medium, Some(10));
    let mut news = Vec::new();
    for day in 0..200 {
        news.extend(world.judge().map(|risk| (day, risk)));
        world.pass_s(86_400);
    }
    let days: Vec<i32> = news.iter().map(|(day, _)| *day).collect();
    assert_eq!(news.iter().map(|(_, risk)| *risk).collect::<Vec<_>>(), [Risk::Caution, Risk::Safe]);
    assert_eq!(days[0], 0);
    assert!((86..=95).contains(&days[1]), "{days:?}");
    let unreadable = world.score().parts[PartKind::Media as usize];
    assert_eq!((unreadable.score, unreadable.reason, unreadable.amount), (Some(870), Reason::Unreadable, 1));
}

#[test]
fn worse_is_never_better() {
    let mut world = world();
    let mut before = 1000;
    for n in 0..600u64 {
        let group = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (1 << 21);
        world.read_fails(group, ErrorKind::Medium, Some(7));
        let score = world.score().value.unwrap();
        assert!(score <= before, "{n}: {score} after {before}");
        before = score;
        if n % 40 == 39 {
            world.pass_s(60);
        }
    }
    assert!(before < 100, "{before}");
}

#[test]
fn a_cluster_is_one_burst_and_eight_places_are_eight() {
    let mut cluster = world();
    for group in 0..100 {
        cluster.read_fails(1000 + group, ErrorKind::Medium, None);
    }
    cluster.pass_ms(100);
    cluster.succeeds(500_000);
    assert_eq!(cluster.bursts(), 1);
    assert_eq!(cluster.part(PartKind::Media), (Some(490), Reason::Unreadable));
    assert_eq!(cluster.judge(), Some(Risk::Caution));
    let mut dying = world();
    for minute in 0..10u64 {
        for place in 0..3 {
            dying.read_fails(minute * 77 + place * 2 * GIB_GROUPS, ErrorKind::Medium, None);
        }
        dying.pass_ms(100);
        dying.succeeds(GIB_GROUPS);
        dying.pass_s(60);
    }
    assert_eq!((dying.bursts(), dying.judge()), (30, Some(Risk::Danger)));
    assert_eq!(dying.score().value, Some(200));
}

/// The link comes loose for two seconds: hundreds of plain I/O errors, and successes soon after.
#[test]
fn a_loose_cable_stays_out_of_danger() {
    for spread in [1, GIB_GROUPS / 100, 2 * GIB_GROUPS / 3] {
        let mut world = world();
        for n in 0..300 {
            world.read_fails(n * spread % (1 << 21), ErrorKind::Io, None);
            world.pass_ms(5);
        }
        world.pass_ms(2000);
        world.succeeds((1 << 21) - 1);
        assert_eq!((world.score().value, world.judge()), (Some(420), Some(Risk::Caution)), "{spread}");
    }
}

/// The same failures and successes in any order within a burst give the same score.
#[test]
fn order_within_a_burst_does_not_matter() {
    let groups: Vec<u64> = (0..50).map(|n| 4000 + n * n * 37).collect();
    let mut found = Vec::new();
    for step in [1, 3, 7, 11, 13, 49] {
        let mut world = world();
        for n in 0..groups.len() {
            let group = groups[n * step % groups.len()];
            let now = world.now;
            match group % 3 {
                0 => world.health().write_failed(Group(group), ErrorKind::Io, now),
                _ => world.health().read_failed(Group(group), 1, ErrorKind::Medium, now),
            }
            world.pass_ms(13);
            if n % 5 == step % 5 {
                world.succeeds(1_000_000);
            }
        }
        world.succeeds(1_000_000);
        world.pass_s(60);
        found.push((world.score(), world.bursts()));
    }
    assert!(found.windows(2).all(|w| w[0] == w[1]), "{found:?}");
}

#[test]
fn unreadable_places_go_when_they_are_written() {
    let mut world = world();
    for group in 0..40 {
        world.read_fails(group * 9, ErrorKind::Medium, Some(1));
    }
    let words: Vec<AtomicU64> = (0..PENDING_WORDS).map(|_| AtomicU64::new(0)).collect();
    let pending = Pending::new(&words).unwrap();
    let unreadable =
        |world: &mut World| world.health().spots().iter().filter(|s| s.unreadable() != 0).count();
    assert_eq!(unreadable(&mut world), 40);
    world.health().settle(&pending);
    assert_eq!(unreadable(&mut world), 0);
}

#[test]
fn what_was_saved_as_unreadable_is_tried_before_it_is_believed_or_forgotten() {
    let mut world = world();
    world.read_fails(500, ErrorKind::Medium, Some(1));
    world.read_fails(600, ErrorKind::Medium, Some(1));
    world.save();
    world.load();
    let words: Vec<AtomicU64> = (0..PENDING_WORDS).map(|_| AtomicU64::new(0)).collect();
    world.health().settle(&Pending::new(&words).unwrap());
    assert_eq!(world.health().next_unverified(Group(0)), Some((Group(500), 0xff)));
    assert_eq!(world.health().next_unverified(Group(501)), Some((Group(600), 0xff)));
    world.health().verified(Group(500), 0x0f);
    world.health().verified(Group(600), 0);
    assert_eq!(world.health().next_unverified(Group(0)), None);
    let masks = [500, 600].map(|g| world.health().spots().get(Group(g)).unwrap().unreadable());
    assert_eq!(masks, [0x0f, 0]);
}

#[test]
fn without_a_pass_over_main_nothing_good_is_known() {
    let mut world = World::new(25_600);
    assert_eq!((world.score().value, world.judge()), (None, None));
    assert_eq!((world.part(PartKind::Media).0, world.part(PartKind::Latency).0), (None, None));
    world.read_fails(5, ErrorKind::Medium, Some(1));
    assert_eq!((world.score().value, world.judge()), (Some(740), Some(Risk::Caution)));
    let mut full = World::new(25_600);
    let facts = SetFacts { slots_used: 270, ..good() };
    let score = full.health().score(&facts);
    assert_eq!((score.value, score.lowest().unwrap().kind), (Some(390), PartKind::Space));
    assert_eq!(score.parts[PartKind::Media as usize].score, None);
}

#[test]
fn the_lowest_part_is_the_score() {
    let mut world = world();
    let facts = |change: fn(&mut SetFacts)| {
        let mut facts = good();
        change(&mut facts);
        facts
    };
    for (set, value, kind, reason) in [
        (facts(|_| ()), 1000, None, None),
        (facts(|f| f.slots_used = 150), 860, Some(PartKind::Space), Some(Reason::SlotsUsed)),
        (
            facts(|f| (f.slots_used, f.emergency_percent) = (60, 20)),
            390,
            Some(PartKind::Space),
            Some(Reason::SlotsUsed),
        ),
        (facts(|f| f.slots_retired = 1), 900, Some(PartKind::Spare), Some(Reason::SlotsRetired)),
        (facts(|f| f.slots_suspect = 4), 600, Some(PartKind::Spare), Some(Reason::SlotsSuspect)),
        (facts(|f| f.copies_in_sync = 2), 790, Some(PartKind::Spare), Some(Reason::CopiesOut)),
        (facts(|f| f.copies_in_sync = 1), 200, Some(PartKind::Spare), Some(Reason::CopiesOut)),
        (facts(|f| f.mode = Mode::Degraded), 790, Some(PartKind::Mode), Some(Reason::Mode)),
        (
            facts(|f| (f.mode, f.no_remap) = (Mode::NoRemap, Some(NoRemapReason::Commit))),
            390,
            Some(PartKind::Mode),
            Some(Reason::Mode),
        ),
        (
            facts(|f| (f.mode, f.slots_retired) = (Mode::Fail, 300)),
            0,
            Some(PartKind::Mode),
            Some(Reason::Mode),
        ),
    ] {
        let score = world.health().score(&set);
        assert_eq!(score.value, Some(value), "{set:?}");
        assert_eq!((score.lowest().map(|p| p.kind), score.lowest().map(|p| p.reason)), (kind, reason));
    }
    assert_eq!(world.part(PartKind::Smart), (None, Reason::None), "no monitor, no smart");
}

#[test]
fn old_evidence_keeps_its_value_and_says_that_it_is_old() {
    let mut world = world();
    world.health().take_evidence(&Update::parse(["smart=300"]).unwrap());
    assert_eq!(world.judge(), Some(Risk::Danger));
    for _ in 0..100 {
        world.pass_s(86_400);
        assert_eq!(world.judge(), None);
    }
    let part = world.score().parts[PartKind::Smart as usize];
    assert_eq!((part.score, part.stale), (Some(300), true));
    world.health().take_evidence(&Update::parse(["smart=1000", "smart_failed=1"]).unwrap());
    assert_eq!(world.part(PartKind::Smart), (Some(100), Reason::SmartFailed));
    world.health().take_evidence(&Update::parse(["smart_failed=0"]).unwrap());
    assert_eq!(world.part(PartKind::Smart), (Some(1000), Reason::None));
}

#[test]
fn what_is_acknowledged_is_told_again_when_it_gets_worse() {
    let mut world = world();
    world.read_fails(500, ErrorKind::Medium, Some(1));
    let score = world.score();
    world.health().judge(&score);
    world.health().acknowledge(&score);
    for _ in 0..5 {
        let score = world.score();
        assert_eq!(world.health().judge(&score).worse, 0);
        world.pass_s(86_400);
    }
    world.read_fails(1 << 20, ErrorKind::Medium, Some(1));
    let score = world.score();
    assert_eq!(world.health().judge(&score).worse, 1 << PartKind::Media as u8);
    assert_eq!(world.health().judge(&score).worse, 0, "told once");
}

#[test]
fn slow_reads_of_all_zones_at_once_are_one_event() {
    let mut world = world();
    let zones = world.health().zones();
    let sector = |zone: u64| Sector(zone * zones.zone_sectors());
    for zone in 0..100 {
        (0..20).for_each(|_| assert!(!zones.sample(sector(zone), Direction::Read, 8000)));
    }
    for zone in 0..100 {
        let now = world.now;
        assert!(zones.sample(sector(zone), Direction::Read, 900_000));
        world.health().read_slow(sector(zone), now);
        world.pass_ms(50);
    }
    assert_eq!(world.part(PartKind::Latency), (Some(900), Reason::Slow));
    assert_eq!(world.health().counters().get(Counter::SlowReads), 100);
    assert_eq!(world.score().parts[PartKind::Latency as usize].amount, 4 * UNIT);
    world.pass_s(9 * WEEK_S);
    assert_eq!(world.part(PartKind::Latency).0, Some(1000));
}

#[test]
fn retried_reads_weigh_less_than_failed_ones() {
    let mut world = world();
    let now = world.now;
    world.health().read_retried(Group(8), now);
    assert_eq!(world.part(PartKind::Media), (Some(950), Reason::Retried));
    assert_eq!(world.health().spots().get(Group(8)).unwrap().counts().retried, 1);
}

#[test]
fn a_point_a_week_and_one_for_a_closed_time() {
    let mut world = world();
    let mut points = 0;
    for _ in 0..50 {
        world.pass_s(86_400);
        let score = world.score();
        points += usize::from(world.health().note_week(&score, &SetFacts { slots_used: 7, ..good() }));
    }
    assert_eq!((points, world.health().points().len()), (7, 7));
    world.save();
    world.now.wall_s += 20 * WEEK_S;
    world.load();
    let score = world.score();
    assert!(world.health().note_week(&score, &good()));
    assert!(!world.health().note_week(&score, &good()));
    assert_eq!(world.health().points().len(), 8);
}

#[test]
fn settings_and_places_out_of_range_change_nothing() {
    let mut world = world();
    let good = ScanSettings { period_days: Some(0), rate_max_kib_per_s: Some(1), quiet_ms: Some(0) };
    assert!(world.health().set_settings(good));
    for wrong in [
        ScanSettings { period_days: Some(366), ..good },
        ScanSettings { rate_max_kib_per_s: Some(0), ..good },
        ScanSettings { quiet_ms: Some(3_600_001), ..good },
    ] {
        assert!(!world.health().set_settings(wrong));
    }
    assert_eq!(*world.health().settings(), good);
    let before = *world.health().cursor();
    assert!(!world.health().set_cursor(Cursor { segment: 1, ..before }));
    assert_eq!(*world.health().cursor(), before);
}

#[test]
fn s27_places_past_the_end_of_main_are_ignored() {
    let mut world = world();
    for group in [1 << 21, (1 << 40) - 1, 1 << 40, u64::MAX / 8, u64::MAX] {
        let now = world.now;
        world.health().read_failed(Group(group), 0xff, ErrorKind::Medium, now);
        world.health().write_failed(Group(group), ErrorKind::Medium, now);
        world.health().read_retried(Group(group), now);
        world.health().relocated(Group(group), 8);
    }
    assert_eq!(world.health().spots().used(), 0);
}

#[test]
fn a_jump_of_the_clock_is_told_and_ages_nothing() {
    let mut world = world();
    world.read_fails(500, ErrorKind::Medium, Some(1));
    let age_s = world.health().age_s();
    let (right, mono_ms) = (world.now.wall_s, world.now.mono_ms);
    let mut steps = Vec::new();
    for wall_s in [right, 5, 6, 4_102_444_800, 4_102_444_801, right + 2] {
        steps.push(world.health().look(Now { wall_s, mono_ms }));
    }
    assert_eq!(steps, [Step::Passed, Step::Back, Step::Passed, Step::Ahead, Step::Passed, Step::Back]);
    assert!(world.health().age_s() - age_s <= 2);
    assert_eq!(world.part(PartKind::Media), (Some(740), Reason::Bursts));
}

#[test]
fn what_changes_all_the_time_is_saved_at_every_tenth_autosave() {
    let mut world = world();
    world.save();
    let zones = world.health().zones();
    let mut saves = Vec::new();
    for n in 1..=30u32 {
        zones.sample(Sector(8), Direction::Read, 1000 + n);
        let cursor = Cursor { under_way: true, region: n, ..*world.health().cursor() };
        world.health().set_cursor(cursor);
        if world.save_with(SaveKind::Auto, 0b111, |_| (true, true)) > 0 {
            saves.push(n);
        }
    }
    assert_eq!(saves, [10, 20, 30]);
    assert_eq!(LAZY_EVERY, 10);
    let now = world.now;
    world.health().write_failed(Group(5), ErrorKind::Medium, now);
    assert!(world.save_with(SaveKind::Auto, 0b111, |_| (true, true)) > 0);
}
