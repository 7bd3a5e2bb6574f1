//! Failed flushes, and writes that are accepted again.

mod world;

use remap_core::engine::{Engine, FailReason, Mode, Notice};
use remap_core::path::{Access, SpareDirty};
use world::{served, Disks};

/// Main's half of a flush has failed, and the spare's is under way.
fn half_failed(access: &Access, engine: &mut Engine<'_>) {
    assert!(access.flush_begins() && access.flush_begins());
    access.flush_ended(false);
    access.update(engine);
    assert_eq!((engine.mode(), engine.fail_reason()), (Mode::Fail, Some(FailReason::Flush)));
}

/// The write that the flush came before is sent when both have ended, and whoever waits for it is not told of the flush.
#[test]
fn s08_writes_are_not_accepted_again_before_all_of_the_failed_flush_has_ended() {
    for ok in [true, false] {
        let mut disks = Disks::new();
        let mut set = served(&mut disks, 20, 2);
        let access = Access::new();
        half_failed(&access, &mut set.engine);
        assert!(!access.resume(&mut set.engine), "the spare's half has not ended");
        assert_eq!(set.engine.mode(), Mode::Fail);
        assert!(!access.flush_begins());
        access.flush_ended(ok);
        access.update(&mut set.engine);
        assert_eq!(set.engine.mode(), Mode::Fail);
        assert!(access.resume(&mut set.engine));
        assert_eq!((set.engine.mode(), set.engine.fail_reason()), (Mode::Rw, None));
        assert!(access.flush_begins());
    }
}

/// Nobody has told the engine yet.
#[test]
fn s08_a_half_that_fails_just_before_writes_are_accepted_again_stops_them_again() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let access = Access::new();
    half_failed(&access, &mut set.engine);
    set.notices();
    access.flush_ended(false);
    access.resume(&mut set.engine);
    assert_eq!((set.engine.mode(), access.flush_begins()), (Mode::Fail, false));
    assert!(set.notices().contains(&Notice::Failed(FailReason::Flush)));
    assert!(access.resume(&mut set.engine));
    assert_eq!((set.engine.mode(), set.engine.counters().flush_failures), (Mode::Rw, 2));
}

#[test]
fn s08_the_half_that_succeeds_counts_for_its_device() {
    let mut disks = Disks::new();
    let mut set = served(&mut disks, 20, 2);
    let (access, dirty) = (Access::new(), SpareDirty::new());
    let mark = dirty.flush_begins().unwrap();
    half_failed(&access, &mut set.engine);
    dirty.flushed(mark);
    access.flush_ended(true);
    assert!(access.resume(&mut set.engine));
    assert_eq!((dirty.flush_begins(), set.engine.mode()), (None, Mode::Rw));
}
