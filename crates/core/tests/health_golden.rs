//! Golden images of health: what a released version wrote is read for ever, byte for byte.
//!
//! `cargo test --test health_golden -- --ignored` wrote them; it leaves alone those that are there.

mod common;
mod health_world;

use common::{Region, ID};
use health_world::{fill, good, World, START_S};
use remap_core::health::counters::Counter;
use remap_core::health::risk::Risk;
use remap_core::health::store::SaveKind;
use remap_core::health::zone::Direction;
use remap_core::units::Group;
use std::path::PathBuf;

/// Health of version 1.0 on the smallest spare, with three copies: two saves.
const HEALTH: &str = "health-v1.0/region.txt";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn world() -> World {
    let mut world = World::new(2048);
    fill(&mut world, 20);
    world.save();
    world.pass_s(3600);
    world.health().relocated(Group(400), 3);
    world.save_with(SaveKind::Now, 0b101, |_| (true, true));
    world
}

fn read() -> Region {
    Region::from_text(&std::fs::read_to_string(path(HEALTH)).unwrap())
}

#[test]
#[ignore = "writes the images of a new format version"]
fn write_images() {
    if !path(HEALTH).exists() {
        std::fs::create_dir_all(path(HEALTH).parent().unwrap()).unwrap();
        std::fs::write(path(HEALTH), world().region.to_text()).unwrap();
    }
}

#[test]
fn the_writer_still_writes_the_golden_bytes() {
    assert_eq!(read(), world().region);
}

#[test]
fn golden_health_is_read() {
    let mut world = World::new(2048);
    world.region = read();
    world.now.wall_s += 3 * 7 * 86_400 + 3600;
    assert!(world.load_with(0b101, |_| true).found);
    assert_eq!(world.findings(), []);
    let health = world.health();
    assert_eq!((health.settings().period_days, health.settings().quiet_ms), (Some(14), Some(250)));
    assert_eq!((health.cursor().pass, health.cursor().region), (3, 9));
    assert_eq!((health.evidence().smart, health.evidence().smart_model), (Some(870), Some(3)));
    assert_eq!((health.risk().risk, health.points().len(), health.spots().used()), (Risk::Caution, 3, 20));
    assert_eq!(health.counters().get(Counter::RelocatedSectors), 5 * 8 + 3);
    assert_eq!(health.counters().get(Counter::Bursts), 1);
    let spot = health.spots().get(Group(400)).unwrap();
    assert_eq!((spot.unreadable(), spot.is_proven(), spot.counts().relocations), (0x11, true, 1));
    assert!(health.zones().get(0, Direction::Read).mean_us().is_some());
    assert_eq!(health.score(&good()).value, Some(650));
}

/// The layout that other software relies on, by hand.
#[test]
fn offsets_are_those_of_the_document() {
    let world = World::new(2048);
    let geometry = world.superblock.geometry;
    let region = read();
    let block = |copy, index: u32, place: usize| region.get(world.places(copy, index)[place]);
    assert_eq!(world.places(0, 3), [geometry.health_block(0, 3).0, geometry.health_block(0, 7).0]);
    let head = block(0, 0, 1);
    assert_eq!(&head[..8], b"dm-remap");
    assert_eq!(head[8..16], [1, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(head[16..32], ID.0);
    assert_eq!((head[32], head[40], head[52]), (0, 2, 0));
    assert_eq!(head[64..68], [1, 0, 0, 0]);
    assert_eq!(head[88..92], [250, 0, 125, 0]);
    let u32_at = |block: &[u8; 4096], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    let age_s = 3 * 7 * 86_400 + 3600;
    assert_eq!((u32_at(&head, 72), u32_at(&head, 76)), (age_s, age_s));
    assert_eq!(u64::from(u32_at(&head, 80)), START_S + u64::from(age_s));
    assert_eq!((u32_at(&head, 96), u32_at(&head, 100), u32_at(&head, 108)), (0b101, 14, 250));
    assert_eq!(
        (u32_at(&head, 112), u32_at(&head, 116), u32_at(&head, 120), u32_at(&head, 124)),
        (3, 2, 9, 3)
    );
    assert_eq!((u32_at(&head, 144), u32_at(&head, 148), u32_at(&head, 156)), (0b1011, 870, 60));
    assert_eq!(head[164], Risk::Caution as u8);
    assert_eq!((u32_at(&head, 224), u32_at(&head, 224 + 8 * 6)), (5, 1));
    assert_eq!(&head[304..326], b"wwn-0x5000c500a1b2c3d4");
    let points = block(0, 1, 0);
    assert_eq!((points[32], u32_at(&points, 96)), (1, 3));
    let zones = block(2, 2, 0);
    assert_eq!((zones[32], zones[52]), (2, 2));
    assert_ne!(zones[96..112], [0; 16]);
    let spots = block(0, 3, 1);
    assert_eq!(spots[96..104], [0, 0, 0, 0, 0, 0, 3, 0], "group 0, proved");
    assert_eq!(spots[128..136], [0x90, 1, 0, 0, 0, 0x11, 3, 0], "group 400");
}
