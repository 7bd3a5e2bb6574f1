//! S16: a main that takes no writes at all neither eats slots nor makes each write slow, and is noticed when it is back.

mod world;

use remap_core::engine::breaker::{
    BreakerCause, SLOTS_PER_SUCCESS, SLOTS_PER_WINDOW, SLOTS_WINDOW_MS, UNPROVEN_GROUPS, UNPROVEN_WINDOW_MS,
};
use remap_core::engine::commit::Work;
use remap_core::engine::{Engine, Mode, NoRemapReason, Notice};
use remap_core::error::ErrorKind;
use remap_core::io::{Device, Op};
use remap_core::path::{after_error, Access, AfterError, Failed};
use remap_core::units::Sector;
use world::{served, Disks, Set};

const PAUSE_MS: u64 = 30_000;

/// A set whose main takes no writes; nobody else's succeed.
fn away(disks: &mut Disks) -> Set<'_> {
    disks.main_away(true);
    let mut set = served(disks, 100, 3);
    set.busy = false;
    set
}

/// Writes to `groups` different groups fail.
fn fail(set: &mut Set<'_>, groups: usize) {
    for g in 0..groups as u64 {
        assert_eq!(set.repair(g * 24, 8, 0x22), Err(ErrorKind::Io));
    }
}

/// A set whose breaker is open.
fn opened(disks: &mut Disks) -> Set<'_> {
    let mut set = away(disks);
    fail(&mut set, UNPROVEN_GROUPS);
    assert!(set.engine.breaker_is_open());
    set.disks.log.clear();
    set
}

/// What becomes of a failed write as bios see it.
fn verdict(set: &mut Set<'_>) -> AfterError {
    let access = Access::new();
    access.update(&mut set.engine);
    assert_eq!(access.breaker_is_open(), set.engine.breaker_is_open());
    after_error(&access, Failed { write: true, readahead: false, error: ErrorKind::Io })
}

fn mode(set: &Set<'_>) -> (Mode, Option<&'static str>) {
    (set.engine.mode(), set.engine.reason_name())
}

#[test]
fn s16_the_breaker_opens_when_eight_groups_failed_without_evidence() {
    // As docs/interface.md has it.
    assert_eq!((UNPROVEN_GROUPS, SLOTS_PER_WINDOW, SLOTS_PER_SUCCESS), (8, 2048, 16));
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    fail(&mut set, UNPROVEN_GROUPS - 1);
    // The same groups again are no others.
    fail(&mut set, UNPROVEN_GROUPS - 1);
    assert_eq!((mode(&set), verdict(&mut set)), ((Mode::Rw, None), AfterError::Repair));
    while set.engine.take_notice().is_some() {}
    fail(&mut set, UNPROVEN_GROUPS);
    assert_eq!(mode(&set), (Mode::NoRemap, Some("breaker")));
    assert_eq!((verdict(&mut set), set.engine.used()), (AfterError::PassUp, 0));
    // Failed reads are narrowed all the same.
    let access = Access::new();
    access.update(&mut set.engine);
    let read = Failed { write: false, readahead: false, error: ErrorKind::Io };
    assert_eq!(after_error(&access, read), AfterError::Repair);
    let told: Vec<_> = std::iter::from_fn(|| set.engine.take_notice()).collect();
    let opened = Notice::NoRemap(NoRemapReason::Breaker(BreakerCause::Unproven));
    assert_eq!(told.iter().filter(|n| **n == opened).count(), 1);
}

#[test]
fn s30_an_opening_is_counted_once_however_long_it_lasts() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    let openings = |set: &Set<'_>| set.engine.counters().breaker_openings;
    fail(&mut set, UNPROVEN_GROUPS - 1);
    assert_eq!(openings(&set), 0);
    fail(&mut set, UNPROVEN_GROUPS);
    // What fails now passes up, and each trial that fails leaves it open for longer.
    fail(&mut set, UNPROVEN_GROUPS);
    for _ in 0..3 {
        set.now_ms += PAUSE_MS;
        set.tick();
        let before = set.engine.counters().unproven;
        fail(&mut set, UNPROVEN_GROUPS);
        assert_eq!((set.engine.counters().unproven, openings(&set)), (before + 1, 1));
    }
    // After it was closed the next is another.
    assert!(set.work(Work::Resume));
    fail(&mut set, UNPROVEN_GROUPS);
    assert_eq!((mode(&set).1, openings(&set)), (Some("breaker"), 2));
    set.engine.reset_counters();
    assert_eq!((mode(&set).1, openings(&set)), (Some("breaker"), 0));
}

#[test]
fn eight_groups_within_eleven_seconds_open_the_breaker() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    let fails = |set: &mut Set<'_>, groups: std::ops::Range<u64>| {
        for g in groups {
            set.disks.log.clear();
            assert_eq!(set.repair(g * 336, 8, 0x22), Err(ErrorKind::Io));
        }
    };
    fails(&mut set, 0..1);
    set.now_ms += UNPROVEN_WINDOW_MS - 10_000;
    fails(&mut set, 1..7);
    set.now_ms += 11_000;
    // The first does not count any more: the seventh of these is one too few.
    fails(&mut set, 7..8);
    assert!(!set.engine.breaker_is_open());
    fails(&mut set, 8..9);
    assert!(set.engine.breaker_is_open());
}

#[test]
fn s16_a_group_that_fails_again_counts_from_then_on() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    fail(&mut set, 1);
    set.now_ms += UNPROVEN_WINDOW_MS - 1000;
    fail(&mut set, UNPROVEN_GROUPS - 1);
    set.now_ms += 2000;
    assert!(!set.engine.breaker_is_open());
    assert_eq!(set.repair(2400, 8, 0x22), Err(ErrorKind::Io));
    assert!(set.engine.breaker_is_open());
}

#[test]
fn s16_a_group_every_two_minutes_never_opens_it() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    for g in 0..40 {
        set.now_ms += 120_000;
        set.disks.log.clear();
        assert_eq!(set.repair(g * 96, 8, 0x22), Err(ErrorKind::Io));
        assert!(!set.engine.breaker_is_open(), "{g}");
    }
}

#[test]
fn s16_failures_far_apart_in_time_do_not_open_it() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    fail(&mut set, UNPROVEN_GROUPS - 1);
    set.now_ms += UNPROVEN_WINDOW_MS;
    assert_eq!(set.repair(2400, 8, 0x22), Err(ErrorKind::Io));
    assert!(!set.engine.breaker_is_open());
}

#[test]
fn s16_while_it_is_open_a_failed_write_costs_nothing() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    let unproven = set.engine.counters().unproven;
    assert_eq!(set.repair(2400, 64, 0x22), Err(ErrorKind::Io));
    assert_eq!((set.disks.log.len(), set.engine.counters().unproven), (0, unproven));
}

#[test]
fn s16_a_repair_under_way_ends_when_it_opens() {
    use remap_core::engine::machine::{Event, Next};
    use remap_core::engine::repair::{Job, Repair};
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    let job =
        Job { first: Sector(2400), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Target };
    let mut repair = Repair::new(1, job, &mut set.engine, 0);
    assert!(matches!(repair.next(&mut set.engine, Event::Go, 0), Next::Load { .. }));
    assert!(matches!(repair.next(&mut set.engine, Event::Loaded, 0), Next::Io(_)));
    fail(&mut set, UNPROVEN_GROUPS);
    let next = repair.next(&mut set.engine, Event::Io(Err(ErrorKind::Io)), 0);
    assert_eq!(next, Next::Done(Err(ErrorKind::Target)));
}

#[test]
fn s16_what_was_proved_before_it_opened_still_becomes_durable() {
    use remap_core::engine::machine::{Event, Next};
    use remap_core::engine::repair::{Job, Repair};
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    set.evidence.written(1, Sector(4000), || 1);
    set.tick();
    // Nothing is committed before it is open.
    let unproven = |set: &mut Set<'_>, first| {
        let job =
            Job { first: Sector(first), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
        let mut repair = Repair::new(2, job, &mut set.engine, 10_000);
        let mut event = Event::Go;
        loop {
            event = match repair.next(&mut set.engine, event, 10_000) {
                Next::Load { .. } => Event::Loaded,
                Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
                Next::Drain(_) => Event::Drained,
                Next::Done(verdict) => break assert_eq!(verdict, Err(ErrorKind::Io)),
                other => panic!("{other:?}"),
            };
        }
    };
    let job = Job { first: Sector(2400), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut proved = Repair::new(1, job, &mut set.engine, 1);
    let mut event = Event::Go;
    loop {
        event = match proved.next(&mut set.engine, event, 1) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if r.device == Device::Main => Event::Io(Err(ErrorKind::Io)),
            Next::Io(_) => Event::Io(Ok(())),
            Next::Commit => break,
            other => panic!("{other:?}"),
        };
    }
    let slot = set.engine.used();
    (0..UNPROVEN_GROUPS as u64).for_each(|g| unproven(&mut set, g * 24));
    assert!(set.engine.breaker_is_open() && set.engine.commit_outcome(1).is_none());
    set.commit();
    assert_eq!(proved.next(&mut set.engine, Event::Committed, 20_000), Next::Done(Ok(())));
    assert_eq!((set.engine.used(), mode(&set).1), (slot, Some("breaker")));
}

#[test]
fn s16_it_closes_when_main_took_a_write_after_the_pause() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    let since = set.now_ms;
    let succeeds_at = |set: &mut Set<'_>, ms: u64| {
        set.now_ms = ms;
        set.evidence.written(ms, Sector(4000), || ms);
        set.tick();
    };
    succeeds_at(&mut set, since + PAUSE_MS - 1000);
    assert!(set.engine.breaker_is_open());
    succeeds_at(&mut set, since + PAUSE_MS);
    assert_eq!((mode(&set), verdict(&mut set)), ((Mode::Rw, None), AfterError::Repair));
    set.disks.main_away(false);
    set.disks.fail_main(2400);
    assert_eq!(set.repair(2400, 8, 0x22), Ok(()));
}

#[test]
fn s16_after_each_pause_one_failed_write_finds_out() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    for _ in 0..3 {
        set.now_ms += PAUSE_MS - 1000;
        set.tick();
        assert_eq!(verdict(&mut set), AfterError::PassUp);
        set.now_ms += 1000;
        set.tick();
        assert_eq!((mode(&set).0, verdict(&mut set)), (Mode::NoRemap, AfterError::Repair));
        set.disks.log.clear();
        assert_eq!(set.repair(2400, 8, 0x22), Err(ErrorKind::Io));
        assert!(!set.disks.log.is_empty() && set.engine.used() == 0);
        // A second one is not asked.
        set.disks.log.clear();
        assert_eq!(set.repair(2480, 8, 0x22), Err(ErrorKind::Io));
        assert!(set.disks.log.is_empty());
    }
    set.now_ms += PAUSE_MS;
    set.tick();
    set.disks.main_away(false);
    set.disks.fail_main(2400);
    assert_eq!(set.repair(2400, 8, 0x22), Ok(()));
    assert_eq!((mode(&set), set.engine.used()), ((Mode::Rw, None), 1));
}

#[test]
fn s16_a_trial_is_taken_by_one_of_those_that_fail_at_once() {
    use remap_core::engine::machine::{Event, Next};
    use remap_core::engine::repair::{Job, Repair};
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    set.now_ms += PAUSE_MS;
    set.tick();
    let mut goes = |context: u8, first| {
        let job =
            Job { first: Sector(first), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
        Repair::new(context, job, &mut set.engine, set.now_ms).next(&mut set.engine, Event::Go, set.now_ms)
    };
    assert!(matches!(goes(0, 2400), Next::Load { .. }));
    for context in 1..4 {
        assert_eq!(goes(context, 2400 + 80 * u64::from(context)), Next::Done(Err(ErrorKind::Io)));
    }
}

/// Has so many groups go to slots, each from a main that takes writes elsewhere, and then back to main.
fn there_and_back(set: &mut Set<'_>, groups: u64) {
    set.disks.main_away(true);
    assert_eq!(set.repair(0, groups as u32 * 8, 0x33), Ok(()));
    assert_eq!(u64::from(set.engine.used()), groups);
    set.disks.main_away(false);
    assert_eq!(set.release(0, groups * 8).released, groups * 8);
    set.disks.log.clear();
}

/// A set that has taken all but 48 slots of what may go within a minute.
fn nearly_too_many(disks: &mut Disks) -> Set<'_> {
    let mut set = served(disks, 600, 2);
    assert_eq!(SLOTS_PER_WINDOW, 4 * 500 + 48);
    (0..4).for_each(|_| there_and_back(&mut set, 500));
    assert!(set.now_ms < SLOTS_WINDOW_MS && mode(&set) == (Mode::Rw, None));
    set
}

#[test]
fn s16_too_many_slots_in_a_minute_open_it() {
    let mut disks = Disks::new();
    let mut set = nearly_too_many(&mut disks);
    there_and_back(&mut set, 47);
    assert_eq!(mode(&set), (Mode::Rw, None));
    while set.engine.take_notice().is_some() {}
    set.disks.main_away(true);
    // The last one is stored, and none after it.
    assert_eq!(set.repair(800, 8, 0x44), Ok(()));
    assert_eq!((mode(&set), set.read(800)), ((Mode::NoRemap, Some("breaker")), Ok(0x44)));
    assert!(set.notices().contains(&Notice::NoRemap(NoRemapReason::Breaker(BreakerCause::Slots))));
    set.disks.log.clear();
    assert_eq!(set.repair(1600, 8, 0x44), Err(ErrorKind::Io));
    assert_eq!((set.disks.log.len(), set.engine.used()), (0, 1));
}

#[test]
fn s16_the_minute_of_slots_slides() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 600, 2);
    set.now_ms = SLOTS_WINDOW_MS;
    there_and_back(&mut set, 1);
    // Half of the many come within a minute of the first, and half do not.
    let before = set.now_ms;
    (0..2).for_each(|_| there_and_back(&mut set, 500));
    let took = set.now_ms - before;
    assert!(took < SLOTS_WINDOW_MS / 4, "{took} ms");
    drop(set);
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 600, 2);
    set.now_ms = SLOTS_WINDOW_MS;
    there_and_back(&mut set, 1);
    set.now_ms = 2 * SLOTS_WINDOW_MS - took - 1000;
    (0..2).for_each(|_| there_and_back(&mut set, 500));
    assert!(set.now_ms < 2 * SLOTS_WINDOW_MS);
    set.now_ms += 2000;
    (0..2).for_each(|_| there_and_back(&mut set, 500));
    there_and_back(&mut set, 47);
    assert_eq!(mode(&set), (Mode::Rw, None));
    set.disks.main_away(true);
    assert_eq!(set.repair(800, 8, 0x44), Ok(()));
    assert_eq!(mode(&set), (Mode::NoRemap, Some("breaker")));
}

#[test]
fn s16_slots_of_another_minute_do_not_count() {
    let mut disks = Disks::new();
    let mut set = nearly_too_many(&mut disks);
    set.now_ms += SLOTS_WINDOW_MS;
    there_and_back(&mut set, 100);
    assert_eq!(mode(&set), (Mode::Rw, None));
}

#[test]
fn s16_the_trial_closes_it_when_its_own_write_succeeds() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    set.now_ms += PAUSE_MS;
    set.tick();
    set.disks.main_away(false);
    assert_eq!(set.repair(2400, 8, 0x22), Ok(()));
    assert_eq!((mode(&set), set.engine.used(), set.read(2400)), ((Mode::Rw, None), 0, Ok(0x22)));
}

#[test]
fn s16_resume_remap_closes_it() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    assert!(set.work(Work::Resume));
    assert_eq!((mode(&set), set.engine.breaker_is_open()), ((Mode::Rw, None), false));
    // It begins to count anew.
    fail(&mut set, UNPROVEN_GROUPS - 1);
    assert!(!set.engine.breaker_is_open());
}

#[test]
fn s16_bios_see_it_open_as_long_as_it_is() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    for access in [Access::new(), Access::read_only()] {
        assert!(!access.breaker_is_open());
        access.update(&mut set.engine);
        assert!(access.breaker_is_open());
    }
    let access = Access::new();
    access.update(&mut set.engine);
    assert!(set.work(Work::Resume));
    access.update(&mut set.engine);
    assert!(!access.breaker_is_open());
}

#[test]
fn s16_what_else_keeps_from_remapping_stays_when_it_closes() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    for copy in 0..3 {
        for block in [set.table_block(copy, 0), set.superblock(copy)] {
            set.disks.fail_block(block, true);
        }
    }
    set.busy = true;
    set.now_ms += PAUSE_MS;
    set.tick();
    assert_eq!(mode(&set), (Mode::Rw, None));
    set.repair(2400, 8, 0x22).unwrap_err();
    let failed = (Mode::NoRemap, Some("commit-failed"));
    assert_eq!(mode(&set), failed);
    set.engine.flush_failed();
    assert_eq!(mode(&set), (Mode::Fail, Some("flush-failed")));
    assert!(set.engine.resume_writes());
    assert_eq!((mode(&set), verdict(&mut set)), (failed, AfterError::PassUp));
}

#[test]
fn s16_a_failed_flush_says_so_while_it_is_open() {
    let mut disks = Disks::new();
    let mut set = opened(&mut disks);
    set.engine.flush_failed();
    assert_eq!(mode(&set), (Mode::Fail, Some("flush-failed")));
    set.busy = true;
    set.now_ms += PAUSE_MS;
    set.tick();
    assert_eq!((mode(&set).0, set.engine.breaker_is_open()), (Mode::Fail, false));
    assert!(set.engine.resume_writes());
    assert_eq!(mode(&set), (Mode::Rw, None));
}

#[test]
fn s16_in_a_laboratory_it_never_opens() {
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    let mut settings = *set.engine.settings();
    settings.production = false;
    set.engine.set_settings(settings);
    fail(&mut set, 3 * UNPROVEN_GROUPS);
    assert_eq!((mode(&set), set.engine.used()), ((Mode::Rw, None), 0));
    assert!(set.disks.on_main(Op::Read).len() > 3 * UNPROVEN_GROUPS);
}

/// That no failed write goes to repair to find out about main, though a trial would be due.
fn offers_no_trial(set: &mut Set<'_>) {
    assert!(set.engine.breaker_is_open());
    set.now_ms += PAUSE_MS;
    set.tick();
    assert_eq!(verdict(set), AfterError::PassUp);
    set.disks.log.clear();
    assert_eq!(set.repair(800, 8, 0x22), Err(ErrorKind::Io));
    assert_eq!(set.disks.log, []);
}

#[test]
fn s16_while_writes_are_refused_no_failed_write_finds_out() {
    let breaks: [fn(&mut Engine<'_>); 2] = [|e| e.flush_failed(), |e| e.broken("a test")];
    for breaks in breaks {
        for offered in [false, true] {
            let mut disks = Disks::new();
            let mut set = opened(&mut disks);
            if offered {
                set.now_ms += PAUSE_MS;
                set.tick();
            }
            breaks(&mut set.engine);
            offers_no_trial(&mut set);
        }
    }
}

#[test]
fn s16_after_a_failed_commit_no_failed_write_finds_out() {
    use remap_core::engine::machine::{Event, Next};
    use remap_core::engine::repair::{Job, Repair};
    let mut disks = Disks::new();
    let mut set = away(&mut disks);
    fail(&mut set, UNPROVEN_GROUPS - 1);
    // One that is proved waits for its commit while the breaker opens.
    set.evidence.written(set.now_ms, Sector(4000), || set.now_ms);
    set.tick();
    let job = Job { first: Sector(2400), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut proved = Repair::new(1, job, &mut set.engine, set.now_ms);
    let mut event = Event::Go;
    loop {
        event = match proved.next(&mut set.engine, event, set.now_ms) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) => Event::Io(if r.device == Device::Main { Err(ErrorKind::Io) } else { Ok(()) }),
            Next::Commit => break,
            other => panic!("{other:?}"),
        };
    }
    set.fail_copies(&[0, 1, 2], &[0, 1, 2], true);
    set.now_ms += 10_000;
    let end = set.now_ms;
    let job = Job { first: Sector(3200), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Io };
    let mut unproven = Repair::new(2, job, &mut set.engine, end);
    let mut event = Event::Go;
    loop {
        event = match unproven.next(&mut set.engine, event, end) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            Next::Drain(_) => Event::Drained,
            Next::Done(_) => break,
            other => panic!("{other:?}"),
        };
    }
    assert!(set.engine.breaker_is_open());
    set.commit();
    assert!(matches!(proved.next(&mut set.engine, Event::Committed, end), Next::Done(Err(_))));
    assert_eq!(mode(&set), (Mode::NoRemap, Some("commit-failed")));
    offers_no_trial(&mut set);
}
