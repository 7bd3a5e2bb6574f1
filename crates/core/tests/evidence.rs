//! S14: what fails on main goes to a slot only on evidence that main takes writes elsewhere.

mod world;

use remap_core::engine::machine::{Event, Next};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::Notice;
use remap_core::error::ErrorKind;
use remap_core::evidence::Evidence;
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::path::Place;
use remap_core::units::{Sector, Slot};
use world::{reload, served, Disks, Set, MAIN_SECTORS};

/// A set on whose main nobody else writes.
fn idle(disks: &mut Disks) -> Set<'_> {
    let mut set = served(disks, 100, 3);
    set.busy = false;
    set
}

/// One write of somebody else succeeds.
fn succeeds(set: &mut Set<'_>, sector: u64) {
    set.evidence.written(set.now_ms, Sector(sector), || set.now_ms);
}

/// Where main was asked: reads but for those of the rest of the physical block that fails.
fn asked(set: &Set<'_>, failing: std::ops::Range<u64>) -> Vec<u64> {
    set.disks.on_main(Op::Read).into_iter().filter(|s| !failing.contains(s)).collect()
}

fn notices(set: &mut Set<'_>) -> Vec<Notice> {
    std::iter::from_fn(|| set.engine.take_notice()).collect()
}

#[test]
fn s14_a_bad_block_of_an_idle_disk_is_remapped_after_main_took_a_good_block_back() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    set.on_drain = Some(|engine, _| {
        assert_eq!(engine.table().find(Sector(72), 8), Run::Held { sectors: 8 });
    });
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    assert_eq!((set.read(80), set.engine.used(), set.drains), (Ok(0x22), 1, 1));
    assert_eq!(set.disks.on_main(Op::Read), [72]);
    assert_eq!(set.disks.on_main(Op::Write), [80, 80, 72]);
    // The group that was asked is nobody's any more, and what it was.
    assert_eq!(set.engine.table().find(Sector(72), 8), Run::Main { sectors: 8 });
    assert_eq!((set.read(72), set.read(79)), (Ok(0xee), Ok(0xee)));
    assert_eq!(set.engine.counters().unproven, 0);
}

#[test]
fn s14_a_main_that_takes_no_writes_costs_no_slot() {
    let mut disks = Disks::new();
    disks.main_away(true);
    let mut set = idle(&mut disks);
    for sector in [80, 800, MAIN_SECTORS - 8] {
        set.disks.log.clear();
        assert_eq!(set.repair(sector, 8, 0x22), Err(ErrorKind::Io));
        let mut asked = set.disks.on_main(Op::Write);
        asked.retain(|first| *first != sector);
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 6, "as docs/interface.md has it");
    }
    assert_eq!((set.engine.used(), set.engine.counters().unproven), (0, 3));
    assert!(notices(&mut set).contains(&Notice::Unproven { group: Sector(800) }));
    // Nobody waits, and nothing was harmed.
    for sector in 0..MAIN_SECTORS {
        assert_eq!(set.read(sector), Ok(0xee), "sector {sector}");
    }
}

#[test]
fn s14_a_success_elsewhere_in_the_window_is_evidence() {
    for (age_ms, asked) in [(0, false), (4990, false), (5020, true)] {
        let mut disks = Disks::new();
        disks.fail_main(80);
        let mut set = idle(&mut disks);
        succeeds(&mut set, 2000);
        set.now_ms += age_ms;
        assert_eq!(set.repair(80, 8, 0x22), Ok(()));
        assert_eq!(!set.disks.on_main(Op::Read).is_empty(), asked, "{age_ms} ms");
    }
}

#[test]
fn s14_a_success_of_the_failing_block_itself_is_no_evidence() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    succeeds(&mut set, 80);
    assert_eq!(set.repair(84, 2, 0x22), Ok(()));
    assert_eq!(asked(&set, 80..88), [72]);
}

#[test]
fn s14_what_narrowing_stored_on_other_blocks_is_evidence() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    assert_eq!(set.repair(72, 24, 0x22), Ok(()));
    assert_eq!((set.disks.on_main(Op::Read), set.engine.used()), (vec![], 1));
}

#[test]
fn s14_one_success_is_evidence_for_sixteen_slots() {
    let mut disks = Disks::new();
    (0..24).for_each(|g| disks.fail_main(g * 8));
    let mut set = idle(&mut disks);
    succeeds(&mut set, 2000);
    assert_eq!(set.repair(0, 16 * 8, 0x22), Ok(()));
    assert_eq!((set.disks.on_main(Op::Read), set.engine.used()), (vec![], 16));
    assert_eq!(set.repair(128, 64, 0x22), Ok(()));
    assert_eq!((set.disks.on_main(Op::Read).len(), set.engine.used()), (1, 24));
    for sector in 0..192 {
        assert_eq!(set.read(sector), Ok(0x22));
    }
}

#[test]
fn s14_what_cannot_be_read_is_not_asked_and_neither_is_what_is_mapped_or_fails() {
    let mut disks = Disks::new();
    // 64 and 72 are written and fail; 56 is mapped; 88 cannot be read; next in turn is 64 groups on.
    [56, 64, 72, 80].iter().for_each(|s| disks.fail_main(*s));
    let mut set = idle(&mut disks);
    succeeds(&mut set, 2000);
    set.repair(56, 8, 0x11).unwrap();
    set.now_ms += 60_000;
    set.disks.log.clear();
    set.disks.bad_reads.insert((false, 91));
    assert_eq!(set.repair(64, 24, 0x22), Ok(()));
    assert_eq!(set.disks.on_main(Op::Read), [64 + 64 * 8]);
    assert_eq!((set.read(56), set.read(64), set.read(87)), (Ok(0x11), Ok(0x22), Ok(0x22)));
}

#[test]
fn s14_a_block_that_is_pending_is_not_asked() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    set.disks.bad_reads.insert((false, 75));
    assert!(set.reread(72, 8, Place::Main).0.is_err());
    // Whether it reads well now is not to be tried.
    set.disks.bad_reads.clear();
    set.disks.log.clear();
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    assert_eq!((set.disks.on_main(Op::Read), set.engine.pending().is_pending(Sector(75))), (vec![88], true));
}

#[test]
fn s14_a_physical_block_of_which_a_part_is_mapped_or_pending_is_not_asked() {
    let mut disks = Disks::new();
    // Of 0 to 63 a part in the middle is mapped, of 128 to 191 one is pending.
    disks.bad_writes.extend((32..40).chain(64..128).map(|s| (false, s)));
    let mut set = idle(&mut disks);
    let mut settings = *set.engine.settings();
    settings.physical_sectors = 64;
    set.engine.set_settings(settings);
    succeeds(&mut set, 2000);
    set.repair(32, 8, 0x11).unwrap();
    set.now_ms += 60_000;
    set.disks.bad_reads.insert((false, 180));
    assert!(set.reread(176, 8, Place::Main).0.is_err());
    set.disks.log.clear();
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    // Nothing is 64, 4096 or 262,144 blocks away; 16 are.
    assert_eq!(asked(&set, 64..128), [64 + 16 * 64]);
}

#[test]
fn s14_what_a_release_wrote_on_main_is_evidence() {
    let mut disks = Disks::new();
    [80, 800].iter().for_each(|s| disks.fail_main(*s));
    let mut set = idle(&mut disks);
    set.repair(80, 8, 0x22).unwrap();
    set.disks.bad_writes.retain(|(_, s)| *s >= 800);
    set.now_ms += 60_000;
    assert_eq!(set.release(80, 8).released, 8);
    set.disks.log.clear();
    assert_eq!(set.repair(800, 8, 0x33), Ok(()));
    assert_eq!((set.disks.on_main(Op::Read), set.read(800), set.read(80)), (vec![], Ok(0x33), Ok(0x22)));
}

#[test]
fn s14_the_other_halves_of_a_physical_block_are_not_asked() {
    let mut disks = Disks::new();
    disks.bad_writes.extend((64..128).map(|s| (false, s)));
    let mut set = idle(&mut disks);
    let mut settings = *set.engine.settings();
    settings.physical_sectors = 64;
    set.engine.set_settings(settings);
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    assert_eq!(asked(&set, 64..128), [0]);
}

#[test]
fn s14_a_group_that_another_context_works_on_is_not_asked() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    let job = Job { first: Sector(72), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut other = Repair::new(1, job, &mut set.engine, 0);
    assert!(matches!(other.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    assert_eq!(set.disks.on_main(Op::Read), [88]);
}

#[test]
fn s09_a_repair_waits_while_its_group_is_asked() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = idle(&mut disks);
    let job = |first| Job {
        first: Sector(first),
        sectors: 8,
        fua: false,
        fua_flushes: false,
        error: ErrorKind::Io,
    };
    let mut asks = Repair::new(1, job(80), &mut set.engine, 0);
    let mut event = Event::Go;
    let engine = &mut set.engine;
    loop {
        event = match asks.next(engine, event, 0) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            Next::Drain(_) => break,
            other => panic!("{other:?}"),
        };
    }
    let mut waits = Repair::new(2, job(72), engine, 0);
    assert_eq!(waits.next(engine, Event::Go, 0), Next::Wait);
    assert!(
        matches!(asks.next(engine, Event::Drained, 0), Next::Io(r) if (r.op, r.sector) == (Op::Read, 72))
    );
    assert!(
        matches!(asks.next(engine, Event::Io(Ok(())), 0), Next::Io(r) if (r.op, r.sector) == (Op::Write, 72))
    );
    assert_eq!(waits.next(engine, Event::Go, 0), Next::Wait);
    assert!(matches!(asks.next(engine, Event::Io(Ok(())), 0), Next::Io(r) if r.device == Device::Spare));
    assert!(matches!(waits.next(engine, Event::Go, 0), Next::Load { .. }));
}

#[test]
fn s14_a_group_that_is_not_taken_back_is_tried_as_often_as_any_and_stays_what_it_was() {
    let mut disks = Disks::new();
    [72, 80, 88].iter().for_each(|s| disks.fail_main(*s));
    let mut set = idle(&mut disks);
    assert_eq!(set.repair(80, 8, 0x22), Ok(()));
    // Each is read, tried three times, and read again; then the next one answers.
    assert_eq!(set.disks.on_main(Op::Read), [72, 72, 88, 88, 80 + 64 * 8]);
    assert_eq!(set.disks.on_main(Op::Write), [80, 80, 72, 72, 72, 88, 88, 88, 80 + 64 * 8]);
    assert_eq!((set.read(72), set.read(88), set.engine.used()), (Ok(0xee), Ok(0xee), 1));
}

#[test]
fn s14_a_group_that_asking_has_spoilt_goes_to_a_slot_with_its_content() {
    let mut disks = Disks::new();
    disks.main_away(true);
    disks.spoils.insert((false, 75));
    let mut set = idle(&mut disks);
    assert_eq!(set.repair(80, 8, 0x22), Err(ErrorKind::Io));
    assert_eq!((set.engine.used(), set.engine.counters().unproven), (1, 1));
    let (_, record) = set.engine.table().record_of(Sector(75).group()).unwrap();
    assert_eq!((record.mask(), record.is_held()), (0xff, false));
    assert_eq!((set.read(75), set.read(72)), (Ok(0xee), Ok(0xee)));
    assert!(!notices(&mut set).iter().any(|n| matches!(n, Notice::Spoilt { .. })));
    let mut set = reload(&mut disks);
    assert_eq!((set.read(75), set.read(80)), (Ok(0xee), Ok(0xee)));
}

#[test]
fn s14_content_that_asking_has_spoilt_and_no_slot_takes_is_told() {
    for commit in [false, true] {
        let mut disks = Disks::new();
        disks.main_away(true);
        disks.spoils.insert((false, 75));
        let mut set = idle(&mut disks);
        for slot in 0..4 {
            let slot = set.engine.geometry().slot_block(Slot(slot)).first_sector();
            set.disks.fail_block(slot, !commit);
        }
        set.disks.bad_flush = commit;
        assert_eq!(set.repair(80, 8, 0x22), Err(ErrorKind::Io));
        assert!(notices(&mut set).contains(&Notice::Spoilt { group: Sector(72) }));
        assert_eq!((set.engine.used(), set.read(72), set.read(75)), (0, Ok(0xee), Err(ErrorKind::Medium)));
    }
}

#[test]
fn s14_no_group_behind_the_end_of_main_is_asked() {
    let mut disks = Disks::new();
    disks.fail_main(80);
    let mut set = served(&mut disks, 20, 2);
    set.busy = false;
    set.disks.fail_main(MAIN_SECTORS - 16);
    set.disks.bad_reads.insert((false, MAIN_SECTORS - 24));
    assert_eq!(set.repair(MAIN_SECTORS - 16, 8, 0x22), Ok(()));
    assert_eq!(set.disks.on_main(Op::Read), [MAIN_SECTORS - 24, MAIN_SECTORS - 8]);
    assert_eq!(set.read(MAIN_SECTORS - 1), Ok(0xee));
}

#[test]
fn s14_without_a_group_to_ask_there_is_no_answer() {
    let mut disks = Disks::new();
    (0..MAIN_SECTORS / 8).for_each(|g| disks.fail_main(g * 8));
    disks.bad_reads.extend((0..MAIN_SECTORS).map(|s| (false, s)));
    let mut set = idle(&mut disks);
    assert_eq!(set.repair(80, 8, 0x22), Err(ErrorKind::Io));
    assert_eq!((set.disks.on_main(Op::Write), set.engine.used()), (vec![80, 80], 0));
}

#[test]
fn s14_asking_ends_after_ten_seconds() {
    let mut disks = Disks::new();
    disks.main_away(true);
    let mut set = idle(&mut disks);
    let job = Job { first: Sector(800), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut repair = Repair::new(0, job, &mut set.engine, 0);
    let (mut event, mut now_ms, mut drains) = (Event::Go, 0, 0);
    let verdict = loop {
        event = match repair.next(&mut set.engine, event, now_ms) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(_) => {
                now_ms += 7000;
                Event::Io(Err(ErrorKind::Io))
            }
            Next::Drain(_) => {
                drains += 1;
                Event::Drained
            }
            Next::Done(verdict) => break verdict,
            other => panic!("{other:?}"),
        };
    };
    assert_eq!((verdict, drains), (Err(ErrorKind::Io), 2));
}

#[test]
fn s14_a_success_while_main_is_asked_is_evidence() {
    let mut disks = Disks::new();
    disks.fail_main(800);
    let mut set = idle(&mut disks);
    let job = Job { first: Sector(800), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut repair = Repair::new(0, job, &mut set.engine, 0);
    let (mut event, evidence) = (Event::Go, Evidence::new());
    loop {
        evidence.tell(&mut set.engine, 100);
        event = match repair.next(&mut set.engine, event, 100) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if r.device == Device::Spare => break,
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            Next::Drain(_) => {
                evidence.written(1, Sector(4000), || 100);
                Event::Drained
            }
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(set.engine.used(), 1);
}

/// Every kind but those that can mean the medium.
const OTHERS: [ErrorKind; 11] = [
    ErrorKind::Transport,
    ErrorKind::Reservation,
    ErrorKind::NoSpace,
    ErrorKind::Protection,
    ErrorKind::NotSupported,
    ErrorKind::Invalid,
    ErrorKind::Again,
    ErrorKind::Resource,
    ErrorKind::Timeout,
    ErrorKind::Offline,
    ErrorKind::Other,
];

#[test]
fn s15_no_other_error_begins_a_repair() {
    for error in OTHERS {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 20, 2);
        let job = Job { first: Sector(8), sectors: 8, fua: false, fua_flushes: false, error };
        let mut repair = Repair::new(0, job, &mut set.engine, 0);
        assert_eq!(repair.next(&mut set.engine, Event::Go, 0), Next::Done(Err(error)));
    }
}

#[test]
fn s15_any_other_error_in_the_middle_passes_up_and_nothing_is_mapped() {
    // The requests of this repair: two attempts on main, then the slot, then the commit.
    for nth in [0, 1, 2] {
        for error in OTHERS {
            let mut disks = Disks::new();
            disks.fail_main(80);
            let mut set = served(&mut disks, 20, 2);
            set.disks.fail_nth = Some((nth, error));
            assert_eq!(set.repair(80, 8, 0x22), Err(error), "request {nth}");
            assert_eq!((set.engine.used(), set.engine.retired()), (0, 0));
            assert_eq!(set.engine.table().find(Sector(80), 8), Run::Main { sectors: 8 });
        }
    }
}

#[test]
fn s15_any_error_while_main_is_asked_is_no_answer() {
    // Two attempts on main; reading the group beside it, or writing it back.
    for (nth, asked) in [(2, 88), (3, 72)] {
        for error in OTHERS {
            let mut disks = Disks::new();
            disks.fail_main(80);
            let mut set = idle(&mut disks);
            set.disks.fail_nth = Some((nth, error));
            assert_eq!(set.repair(80, 8, 0x22), Ok(()));
            assert_eq!(set.disks.on_main(Op::Write).last(), Some(&asked), "{error:?}");
            assert_eq!((set.read(72), set.read(88)), (Ok(0xee), Ok(0xee)));
        }
    }
}
