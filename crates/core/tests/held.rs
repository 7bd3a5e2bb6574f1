//! S9 where writes that are under way take their time: users of groups that are held for something else wait half a second for them, and no more.

mod world;

use remap_core::engine::machine::{Event, Machine, Next};
use remap_core::engine::order::Range;
use remap_core::engine::release::{Release, Released};
use remap_core::engine::relocate::{Relocate, Relocated};
use remap_core::engine::repair::{Job, Repair};
use remap_core::engine::{Engine, Mode};
use remap_core::error::ErrorKind;
use remap_core::gate::{Lanes, Regions};
use remap_core::io::{Device, Op};
use remap_core::lookup::Run;
use remap_core::units::{Sector, Slot};
use world::{served, Disks, Set};

fn is_held(engine: &Engine<'_>, sector: u64) -> bool {
    matches!(engine.table().find(Sector(sector), 1), Run::Held { .. })
}

/// A set of which 16 sectors from 40 on are mapped.
fn mapped(disks: &mut Disks) -> Set<'_> {
    let mut set = served(disks, 100, 3);
    assert_eq!(set.relocate(40, 16).remapped, 16);
    (set.drains, set.limits) = (0, Vec::new());
    set
}

/// Nobody is held while an order waits for as long as it takes.
fn held_for_the_limit_only(engine: &Engine<'_>, drain: u32) {
    assert_eq!(is_held(engine, 40), drain % 2 == 1, "drain {drain}");
}

#[test]
fn s09_a_relocation_lets_go_of_its_groups_while_writes_take_long_and_tries_again() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    set.slow_drains = 3;
    set.on_drain = Some(held_for_the_limit_only);
    assert_eq!(set.relocate(40, 16), Relocated { remapped: 16, ..Relocated::default() });
    assert_eq!(set.limits, [true, false, true, false, true, false, true]);
}

#[test]
fn s09_a_release_lets_go_of_its_groups_while_writes_take_long_and_tries_again() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks);
    set.slow_drains = 2;
    set.on_drain = Some(|engine, drain| match drain {
        // The last one is for the slots that are free now.
        9 => assert_eq!(engine.table().find(Sector(40), 8), Run::Main { sectors: 8 }),
        // Reads that were led to main when nothing was mapped yet, the hold, the writes that took too long.
        _ => assert_eq!(is_held(engine, 40), drain % 3 == 2, "drain {drain}"),
    });
    assert_eq!(set.release(40, 16), Released { released: 16, ..Released::default() });
    assert_eq!(set.limits, [false, true, false, false, true, false, false, true, false]);
    assert_eq!(set.engine.used(), 0);
}

#[test]
fn s09_an_order_stops_where_writes_take_long_again_and_again() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks);
    set.slow_drains = 100;
    let next = Some(Sector(40));
    assert_eq!(set.release(40, 16), Released { next, ..Released::default() });
    assert_eq!(
        (set.drains, set.engine.used(), set.read(40), is_held(&set.engine, 40)),
        (23, 2, Ok(0xee), false)
    );
    set.drains = 0;
    let next = Some(Sector(80));
    assert_eq!(set.relocate(80, 16), Relocated { next, ..Relocated::default() });
    assert_eq!((set.drains, set.engine.used(), is_held(&set.engine, 80)), (15, 2, false));
    // What is tried anew in one window does not count in the next.
    set.slow_drains = 7;
    assert_eq!(set.relocate(80, 16).remapped, 16);
    set.slow_drains = 7;
    assert_eq!(set.release(40, 56).released, 32);
}

#[test]
fn s09_an_order_that_is_stopped_while_it_lets_others_by_holds_nothing() {
    let range = Range { first: Sector(40), sectors: 16 };
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks);
    let engine = &mut set.engine;
    let release = Machine::Release(Release::new(0, range, engine));
    let relocate = Machine::Relocate(Relocate::new(1, Range { first: Sector(80), ..range }, engine));
    for mut machine in [release, relocate] {
        let mut event = Event::Go;
        loop {
            event = match machine.next(engine, event, 0) {
                Next::Io(_) => Event::Io(Ok(())),
                Next::Drain(drain) if drain.within_ms.is_some() => Event::Undrained,
                Next::Drain(drain) if drain.lanes == Lanes::READS => Event::Drained,
                next => break assert!(matches!(next, Next::Drain(_)), "{next:?}"),
            };
        }
        machine.stop();
        assert_eq!(machine.next(engine, Event::Drained, 0), Next::Done(Ok(())));
        let next = match &machine {
            Machine::Release(release) => release.tally().next,
            Machine::Relocate(relocate) => relocate.tally().next,
            other => panic!("{other:?}"),
        };
        let first = next.expect("it did not get there");
        assert!(!is_held(engine, first.0) && (first.0 == 40 || first.0 == 80));
    }
    assert_eq!(set.engine.used(), 2);
}

/// Carries out an order on a main that takes `slow_ms` for requests of one kind that touch these sectors, and 1 ms for all else. How many groups were
/// held while it took long, each time.
fn held_for_long(
    set: &mut Set<'_>,
    machine: &mut Machine,
    op: Op,
    slow: std::ops::Range<u64>,
    slow_ms: u64,
) -> Vec<usize> {
    let (mut event, mut now_ms, mut held) = (Event::Go, 0, Vec::new());
    let mut buffer = vec![0; 1 << 17];
    loop {
        event = match machine.next(&mut set.engine, event, now_ms) {
            Next::Io(r) => {
                let end = r.sector + u64::from(r.sectors);
                let touches = r.device == Device::Main && r.sector < slow.end && slow.start < end;
                if touches && r.op == op {
                    now_ms += slow_ms;
                    held.push((0..240).step_by(8).filter(|s| is_held(&set.engine, *s)).count());
                } else {
                    now_ms += 1;
                }
                Event::Io(set.disks.run(&r, &mut buffer))
            }
            Next::Compare(what) => Event::Compared(remap_core::engine::machine::same(&buffer, what)),
            Next::Drain(_) => Event::Drained,
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            next => {
                assert_eq!(next, Next::Done(Ok(())));
                return held;
            }
        };
    }
}

#[test]
fn s09_users_of_one_group_alone_wait_for_a_sector_that_takes_seconds() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let range = Range { first: Sector(0), sectors: 240 };
    let mut machine = Machine::Relocate(Relocate::new(0, range, &set.engine));
    let held = held_for_long(&mut set, &mut machine, Op::Read, 80..88, 3000);
    // With nobody held, among others, again in smaller windows, and alone; and then alone under the hold.
    assert_eq!(held, [0, 0, 0, 0, 1]);
    let Machine::Relocate(relocate) = machine else { panic!() };
    assert_eq!(relocate.tally(), Relocated { remapped: 240, ..Relocated::default() });
    let mut machine = Machine::Release(Release::new(0, range, &set.engine));
    let held = held_for_long(&mut set, &mut machine, Op::Write, 80..88, 3000);
    assert_eq!(held, [30]);
    let Machine::Release(release) = machine else { panic!() };
    assert_eq!(release.tally(), Released { released: 240, ..Released::default() });
}

#[test]
fn s09_what_was_not_read_yet_is_let_go_when_a_read_under_the_hold_takes_long() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    assert_eq!(set.relocate(80, 8).remapped, 8);
    let range = Range { first: Sector(0), sectors: 240 };
    let engine = &mut set.engine;
    let mut machine = Machine::Relocate(Relocate::new(0, range, engine));
    // Two pieces, with a group between them that is in a slot: quick at first, and then the first one takes its time.
    assert!(matches!(machine.next(engine, Event::Go, 0), Next::Io(r) if r.sectors == 80));
    assert!(matches!(machine.next(engine, Event::Io(Ok(())), 1), Next::Io(r) if r.sectors == 152));
    assert!(matches!(machine.next(engine, Event::Io(Ok(())), 2), Next::Drain(_)));
    assert!(matches!(machine.next(engine, Event::Drained, 3), Next::Io(r) if r.sectors == 80));
    assert!(is_held(engine, 0) && is_held(engine, 88));
    assert!(matches!(machine.next(engine, Event::Io(Ok(())), 700), Next::Io(r) if r.device == Device::Spare));
    assert!(is_held(engine, 0) && is_held(engine, 72) && !is_held(engine, 88));
}

#[test]
fn s09_a_release_is_careful_behind_a_slow_group_that_was_the_last_of_its_window() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    assert_eq!(set.relocate(80, 8).remapped, 8);
    assert_eq!(set.relocate(240, 240).remapped, 240);
    let range = Range { first: Sector(0), sectors: 480 };
    let mut machine = Machine::Release(Release::new(0, range, &set.engine));
    // The only one in the first window; what follows is begun with one group, though it was quick.
    assert_eq!(held_for_long(&mut set, &mut machine, Op::Write, 80..88, 3000), [1]);
    let Machine::Release(release) = machine else { panic!() };
    assert_eq!(release.tally(), Released { released: 248, main: 232, ..Released::default() });
    let flushes = set.disks.on_main(Op::Flush).len();
    // Of 1, 2, 4, 8 groups and the rest, and of the slow one.
    assert_eq!(flushes, 6);
}

#[test]
fn s09_what_is_slow_all_over_is_moved_group_by_group() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    assert_eq!(set.relocate(0, 240).remapped, 240);
    let range = Range { first: Sector(0), sectors: 240 };
    let mut machine = Machine::Release(Release::new(0, range, &set.engine));
    let most = held_for_long(&mut set, &mut machine, Op::Write, 0..240, 600);
    // The first of all is met with the whole window held.
    assert_eq!((most.len(), most[0], most[1..].iter().max()), (30, 30, Some(&1)));
    assert_eq!(set.engine.used(), 0);
}

#[test]
fn s09_what_waits_for_a_commit_is_not_held_while_main_is_asked() {
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks);
    set.busy = false;
    // The first group of the write leaves its slot, and for the second there is no evidence.
    let old = set.engine.geometry().slot_block(Slot(1)).first_sector();
    let engine = &mut set.engine;
    let job =
        Job { first: Sector(48), sectors: 16, fua: false, fua_flushes: false, error: ErrorKind::Target };
    let mut repair = Repair::new(1, job, engine, 10_000);
    let (mut event, mut asked) = (Event::Go, false);
    loop {
        event = match repair.next(&mut set.engine, event, 10_000) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if r.device == Device::Main && r.op == Op::Write => Event::Io(Err(ErrorKind::Io)),
            Next::Io(r) if r.device == Device::Spare && (old..old + 8).contains(&r.sector) => {
                Event::Io(Err(ErrorKind::Medium))
            }
            Next::Io(_) => Event::Io(Ok(())),
            Next::Drain(drain) => {
                asked |= drain.within_ms.is_some();
                assert!(
                    drain.within_ms.is_none() || !is_held(&set.engine, 48),
                    "others wait for main to answer"
                );
                Event::Drained
            }
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            next => break assert_eq!(next, Next::Done(Err(ErrorKind::Target))),
        };
    }
    assert!(asked);
}

#[test]
fn s19_an_order_that_waits_for_what_never_ends_holds_nothing_and_can_be_stopped() {
    let range = Range { first: Sector(40), sectors: 16 };
    let mut disks = Disks::new();
    let mut set = mapped(&mut disks);
    let engine = &mut set.engine;
    let mut release = Machine::Release(Release::new(0, range, engine));
    let Next::Drain(reads) = release.next(engine, Event::Go, 0) else { panic!() };
    assert!(reads.may_stop && reads.lanes == Lanes::READS && !is_held(engine, 40));
    release.stop();
    assert_eq!(release.next(engine, Event::Undrained, 0), Next::Done(Ok(())));
    let Machine::Release(release) = release else { panic!() };
    assert_eq!(release.tally(), Released { next: Some(Sector(40)), ..Released::default() });
    let mut relocate = Machine::Relocate(Relocate::new(1, Range { first: Sector(80), sectors: 16 }, engine));
    assert!(matches!(relocate.next(engine, Event::Go, 0), Next::Io(_)));
    assert!(matches!(relocate.next(engine, Event::Io(Ok(())), 0), Next::Drain(d) if !d.may_stop));
    assert!(matches!(relocate.next(engine, Event::Undrained, 500), Next::Drain(d) if d.may_stop));
    relocate.stop();
    assert_eq!(relocate.next(engine, Event::Undrained, 500), Next::Done(Ok(())));
    assert!((0..100).all(|sector| !is_held(engine, sector)));
    assert_eq!(set.relocate(40, 56), Relocated { remapped: 40, mapped: 16, ..Relocated::default() });
}

#[test]
fn s09_a_relocation_whose_slot_fails_waits_for_no_writes_with_others_held() {
    let mut disks = Disks::new();
    disks.bad_reads.extend((44..48).map(|s| (false, s)));
    let mut set = served(&mut disks, 100, 3);
    let mut settings = *set.engine.settings();
    settings.physical_sectors = 1;
    set.engine.set_settings(settings);
    assert_eq!(set.relocate(40, 8), Relocated { remapped: 4, unreadable: 4, ..Relocated::default() });
    set.disks.bad_reads.clear();
    let slot = set.engine.geometry().slot_block(Slot(0)).first_sector();
    set.disks.fail_block(slot, true);
    // The drain is for the window: what lives in the slot that is left was read under the same hold.
    let mut machine =
        Machine::Relocate(Relocate::new(0, Range { first: Sector(40), sectors: 16 }, &set.engine));
    let (mut event, mut drains, mut buffer) = (Event::Go, 0, vec![0; 1 << 17]);
    loop {
        event = match machine.next(&mut set.engine, event, 0) {
            Next::Io(r) => Event::Io(set.disks.run(&r, &mut buffer)),
            Next::Drain(drain) => {
                drains += u32::from(is_held(&set.engine, 48));
                assert_eq!(drain.within_ms.is_some(), is_held(&set.engine, 48));
                Event::Drained
            }
            Next::Commit => {
                set.commit();
                Event::Committed
            }
            next => break assert_eq!(next, Next::Done(Ok(()))),
        };
    }
    let Machine::Relocate(relocate) = machine else { panic!() };
    assert_eq!(
        (drains, relocate.tally()),
        (1, Relocated { remapped: 12, mapped: 4, ..Relocated::default() })
    );
    set.commit();
    assert_eq!((set.engine.used(), set.engine.retired()), (2, 1));
    assert_eq!((set.read(40), set.read(44), set.read(48)), (Ok(0xee), Ok(0xee), Ok(0xee)));
}

#[test]
fn s28_an_order_that_is_told_what_it_did_not_ask_for_breaks_an_invariant() {
    let range = Range { first: Sector(40), sectors: 16 };
    for event in [Event::Committed, Event::Drained, Event::Undrained, Event::Io(Ok(())), Event::Stored] {
        for release in [true, false] {
            let mut disks = Disks::new();
            let mut set = mapped(&mut disks);
            let mut machine = match release {
                true => Machine::Release(Release::new(0, range, &set.engine)),
                false => Machine::Relocate(Relocate::new(0, range, &set.engine)),
            };
            assert_eq!(machine.next(&mut set.engine, event, 0), Next::Done(Ok(())), "{event:?}");
            assert_eq!((set.engine.mode(), set.engine.reason_name()), (Mode::Fail, Some("invariant")));
        }
    }
}

/// The repair of a write of one group.
fn repair_of(engine: &mut Engine<'_>, first: u64) -> Repair {
    let job =
        Job { first: Sector(first), sectors: 8, fua: false, fua_flushes: false, error: ErrorKind::Target };
    Repair::new(1, job, engine, 0)
}

/// Has main asked for a write that failed at sector 2000, every drain with a limit being too long while `busy` says so of a sector at a time.
/// A write to several regions ends at `wide_ms`. The groups that were held, whether main took a write, and how the repair ended.
fn ask(
    engine: &mut Engine<'_>,
    wide_ms: u64,
    busy: impl Fn(u64, u64) -> bool,
) -> (Vec<u64>, Option<u64>, Next) {
    let mut repair = repair_of(engine, 2000);
    let (mut event, mut now_ms, mut held, mut took) = (Event::Go, 0, Vec::new(), None);
    loop {
        event = match repair.next(engine, event, now_ms) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if r.op == Op::Read => Event::Io(Ok(())),
            Next::Io(r) if held.last() == Some(&r.sector) => {
                took = Some(r.sector);
                Event::Io(Ok(()))
            }
            Next::Io(_) if took.is_some() => return (held, took, Next::Done(Ok(()))),
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            Next::Drain(drain) if drain.lanes == Lanes::WIDE => {
                assert!((0..engine.shape().sectors).all(|s| !is_held(engine, s)), "somebody waits for them");
                now_ms = now_ms.max(wide_ms.min(now_ms + drain.within_ms.unwrap_or(u64::MAX)));
                if now_ms < wide_ms {
                    Event::Undrained
                } else {
                    Event::Drained
                }
            }
            Next::Drain(drain) => {
                let groups = (0..engine.shape().sectors).step_by(8);
                let group = groups.filter(|s| is_held(engine, *s)).collect::<Vec<_>>();
                assert_eq!(
                    (group.len(), drain.within_ms),
                    (1, Some(500)),
                    "users wait for one group, and half a second"
                );
                held.push(group[0]);
                match busy(group[0], now_ms) {
                    true => {
                        now_ms += 500;
                        Event::Undrained
                    }
                    false => Event::Drained,
                }
            }
            next => return (held, took, next),
        };
    }
}

#[test]
fn s14_main_is_asked_elsewhere_where_writes_do_not_take_long() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let regions = Regions::new(set.engine.shape().sectors);
    let region = |sector: u64| regions.of_group(Sector(sector).group());
    let (held, took, _) = ask(&mut set.engine, 0, |sector, _| region(sector) == region(2000));
    // Beside the write that failed nobody is held a second time.
    assert_eq!(held.iter().filter(|s| region(**s) == region(2000)).count(), 1, "{held:?}");
    assert!(took.is_some_and(|sector| region(sector) != region(2000)));
    assert!(set.engine.table().record_of(Sector(1992).group()).is_none());
}

#[test]
fn s14_main_is_asked_again_when_writes_that_took_long_have_ended_and_for_ten_seconds() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let (held, took, _) = ask(&mut set.engine, 0, |_, now_ms| now_ms < 8000);
    assert_eq!((held.len(), took.is_some()), (17, true));
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let (held, took, end) = ask(&mut set.engine, 0, |_, _| true);
    assert_eq!((held.len(), took, end), (20, None, Next::Done(Err(ErrorKind::Target))));
    assert_eq!((set.engine.used(), set.engine.counters().unproven), (0, 1));
}

#[test]
fn s14_a_write_to_several_regions_is_waited_for_with_nobody_held() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let (held, took, _) = ask(&mut set.engine, 20_000, |_, now_ms| now_ms < 20_000);
    assert_eq!((held.len(), took.is_some()), (2, true));
    // Until the repair has to end, and then main is asked no longer than always.
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    let (held, took, end) = ask(&mut set.engine, u64::MAX, |_, _| true);
    assert_eq!((held.len(), took, end), (20, None, Next::Done(Err(ErrorKind::Target))));
}

#[test]
fn s14_a_group_that_has_answered_is_not_asked_again() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 100, 3);
    set.busy = false;
    // The group before cannot be read, and all others are busy, so that they are gone through more than once.
    let mut repair = repair_of(&mut set.engine, 80);
    let (mut event, mut asked, mut now_ms) = (Event::Go, 0, 0);
    loop {
        event = match repair.next(&mut set.engine, event, now_ms) {
            Next::Load { .. } => Event::Loaded,
            Next::Io(r) if (r.op, r.sector) == (Op::Read, 72) => {
                asked += 1;
                Event::Io(Err(ErrorKind::Medium))
            }
            Next::Io(_) => Event::Io(Err(ErrorKind::Io)),
            Next::Drain(drain) if drain.lanes == Lanes::WIDE => Event::Drained,
            Next::Drain(_) if is_held(&set.engine, 72) => Event::Drained,
            Next::Drain(_) => {
                now_ms += 500;
                Event::Undrained
            }
            next => break assert_eq!(next, Next::Done(Err(ErrorKind::Target))),
        };
    }
    assert_eq!((asked, now_ms), (1, 10_000));
}
