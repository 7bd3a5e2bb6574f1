//! S30: what a storm multiplies displaces neither a change of state nor the loss of content.

mod world;

use remap_core::engine::machine::Machine;
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Class, FailReason, Notice};
use remap_core::error::ErrorKind;
use remap_core::path::Place;
use remap_core::units::Sector;
use world::{served, Disks, Set};

/// Blocks of main that are found to be unreadable one after the other.
fn unreadable(set: &mut Set<'_>, blocks: u64) {
    for nth in 0..blocks {
        set.disks.bad_reads.insert((false, 800 + nth * 8));
        assert!(set.reread(800 + nth * 8, 8, Place::Main).0.is_err());
    }
}

/// Makes notices.
type Cause = fn(&mut Set<'_>);

#[test]
fn s30_a_change_of_state_is_told_however_much_came_before() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 200, 3);
    unreadable(&mut set, 100);
    set.relocate(0, 640);
    set.engine.flush_failed();
    set.engine.broken("a test");
    let told = set.notices();
    assert!(told.contains(&Notice::Failed(FailReason::Flush)), "{told:?}");
    assert!(told.contains(&Notice::Failed(FailReason::Invariant("a test"))), "{told:?}");
}

#[test]
fn s30_the_loss_of_content_is_told_however_much_else_failed_before() {
    let mut disks = Disks::new();
    disks.fail_main(40);
    let mut set = served(&mut disks, 200, 3);
    set.repair(40, 8, 0x22).unwrap();
    let (slot, _) = set.engine.table().record_of(Sector(40).group()).unwrap();
    let at = set.engine.geometry().slot_block(slot).first_sector();
    set.disks.bad_reads.extend([(true, at + 2), (true, at + 3)]);
    assert!(set.reread(40, 8, Place::Spare(slot)).0.is_err());
    set.notices();
    unreadable(&mut set, 100);
    set.relocate(1600, 640);
    // A suspect sector that is written takes a new slot, which the other cannot follow to.
    let job = Job { first: Sector(42), sectors: 1, fua: false, fua_flushes: false, error: ErrorKind::Medium };
    let machine = Machine::Write(Repair::new(0, job, &mut set.engine, set.now_ms));
    set.drive(machine, 0x33).unwrap();
    assert_eq!(set.engine.lost_sectors(), 1);
    let told = set.notices();
    assert!(told.contains(&Notice::Lost { group: Sector(40), mask: 0b1000 }), "{told:?}");
}

#[test]
fn s30_what_was_dropped_is_counted_and_told_once() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 200, 3);
    let count = |told: &[Notice], class| told.iter().filter(|n| n.class() == class).count() as u32;
    let dropped = |told: &[Notice], class| {
        told.iter().find_map(|n| match n {
            Notice::Dropped { class: of, count } if *of == class => Some(*count),
            _ => None,
        })
    };
    let causes: [(Class, Cause); 2] = [
        (Class::Failure, |set| unreadable(set, 80)),
        (Class::Move, |set| assert!(set.relocate(1600, 640).remapped > 0)),
    ];
    for (class, cause) in causes {
        cause(&mut set);
        let told = set.notices();
        let heard = count(&told, class);
        assert!(0 < heard && heard < 80);
        for other in [Class::State, Class::Loss, Class::Failure, Class::Move] {
            let wanted = (other == class).then_some(80 - heard);
            assert_eq!(dropped(&told, other), wanted, "{told:?}");
        }
    }
    assert!(set.engine.counters().notices_dropped > 0);
    // Counting anew takes back nothing that is still to be told.
    assert!(set.release(1600, 640).released > 0);
    set.engine.reset_counters();
    assert_eq!(set.engine.counters().notices_dropped, 0);
    assert!(dropped(&set.notices(), Class::Move).is_some());
    // Nothing is told twice, and there is room again.
    assert_eq!(set.notices(), []);
    set.relocate(2400, 8);
    assert_eq!((count(&set.notices(), Class::Move), set.notices()), (1, vec![]));
}
