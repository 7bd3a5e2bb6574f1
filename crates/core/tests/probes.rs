//! S14 where asking main meets other trouble: a mode that lets nothing be stored, a full spare, a slow main, a bad slot.

mod world;

use remap_core::engine::machine::{Event, Next};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Engine, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::lookup::Run;
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set};

/// A set on whose main nobody else writes.
fn idle(disks: &mut Disks) -> Set<'_> {
    let mut set = served(disks, 100, 3);
    set.busy = false;
    set
}

/// A write of one group that failed.
fn repair(engine: &mut Engine<'_>, first: u64) -> Repair {
    let job =
        Job { first: Sector(first), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Target };
    Repair::new(1, job, engine, 0)
}

/// Drives a repair at time 0, main failing all writes, until it wants something drained, or ends.
fn to_drain(engine: &mut Engine<'_>, repair: &mut Repair) -> Next {
    let mut event = Event::Go;
    loop {
        event = match repair.next(engine, event, 0) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if r.op == Op::Read => Event::Io(Ok(())),
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            next => return next,
        };
    }
}

#[test]
fn s14_main_is_not_asked_when_nothing_could_be_stored() {
    let breaks: [fn(&mut Engine<'_>); 2] = [|e| e.flush_failed(), |e| e.broken("a test")];
    for breaks in breaks {
        let mut disks = Disks::new();
        let mut set = idle(&mut disks);
        let engine = &mut set.engine;
        let mut repair = repair(engine, 80);
        assert!(matches!(repair.next(engine, Event::Go, 0), Next::Load { .. }));
        breaks(engine);
        let mut event = Event::Loaded;
        let end = loop {
            event = match repair.next(engine, event, 0) {
                Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
                next => break next,
            };
        };
        assert_eq!((end, engine.used()), (Next::Done(Err(ErrorKind::Target)), 0));
    }
}

#[test]
fn s14_what_was_read_is_not_written_when_it_could_no_longer_be_saved() {
    let mut disks = Disks::new();
    let mut set = idle(&mut disks);
    let engine = &mut set.engine;
    let mut repair = repair(engine, 80);
    assert!(matches!(to_drain(engine, &mut repair), Next::Drain(d) if d.within_ms.is_some()));
    assert!(matches!(repair.next(engine, Event::Drained, 0), Next::Io(r) if r.op == Op::Read));
    engine.flush_failed();
    assert_eq!(repair.next(engine, Event::Io(Ok(())), 0), Next::Done(Err(ErrorKind::Target)));
    // It says nothing of main, and nobody waits for the group.
    assert_eq!((engine.counters().unproven, engine.used()), (0, 0));
    assert_eq!(engine.table().find(Sector(72), 8), Run::Main { sectors: 8 });
}

#[test]
fn s22_a_full_spare_is_not_taken_for_a_main_that_takes_no_writes() {
    let mut disks = Disks::new();
    (0..20).for_each(|g| disks.fail_main(g * 80));
    let mut set = served(&mut disks, 100, 3);
    let mut settings = *set.engine.settings();
    settings.slots_max = 1;
    set.engine.set_settings(settings);
    assert_eq!(set.repair(0, 8, 0x22), Ok(()));
    set.busy = false;
    set.now_ms += 60_000;
    set.notices();
    for group in 1..20 {
        assert_eq!(set.repair(group * 80, 8, 0x22), Err(ErrorKind::Io));
    }
    let told = set.notices();
    assert!(!told.iter().any(|n| matches!(n, Notice::Unproven { .. } | Notice::NoRemap(_))), "{told:?}");
    assert_eq!((set.engine.counters().unproven, set.engine.breaker_is_open()), (0, false));
}

#[test]
fn s14_after_ten_seconds_a_group_is_not_tried_again() {
    let mut disks = Disks::new();
    let mut set = idle(&mut disks);
    let engine = &mut set.engine;
    let mut repair = repair(engine, 80);
    assert!(matches!(to_drain(engine, &mut repair), Next::Drain(d) if d.within_ms.is_some()));
    let (mut event, mut now_ms, mut writes) = (Event::Drained, 0, 0);
    let end = loop {
        event = match repair.next(engine, event, now_ms) {
            Next::Io(r) if r.op == Op::Read => Event::Io(Ok(())),
            Next::Io(_) => {
                (now_ms, writes) = (now_ms + 7000, writes + 1);
                Event::Io(Err(ErrorKind::Io))
            }
            next => break next,
        };
    };
    assert_eq!((end, writes), (Next::Done(Err(ErrorKind::Target)), 2));
}

#[test]
fn s14_content_that_asking_has_spoilt_goes_to_another_slot_when_one_fails() {
    let mut disks = Disks::new();
    disks.main_away(true);
    disks.spoils.insert((false, 75));
    let mut set = idle(&mut disks);
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.fail_block(slot, true);
    assert_eq!(set.repair(80, 8, 0x22), Err(ErrorKind::Io));
    assert!(!set.notices().iter().any(|n| matches!(n, Notice::Spoilt { .. })));
    let in_slot =
        IoRequest { device: Device::Spare, op: Op::Write, sector: slot, sectors: 8, buffer_sector: 0 };
    let tried = set.disks.log.iter().filter(|r| IoRequest { buffer_sector: 0, ..**r } == in_slot).count();
    assert_eq!((tried, set.engine.used(), set.engine.retired()), (1, 1, 1));
    for sector in 72..80 {
        assert_eq!(set.read(sector), Ok(0xee), "sector {sector}");
    }
    let mut set = reload(&mut disks);
    assert_eq!((set.read(72), set.read(75), set.engine.retired()), (Ok(0xee), Ok(0xee), 1));
}
