//! S16 in virtual time: thousands of failing writes while healthy I/O goes on, on a main whose bad sectors take seconds to fail.

mod world;

use remap_core::engine::Mode;
use world::{storm, Weather};

const STORM: Weather = Weather {
    failing: 10_000,
    failing_at_once: 8,
    steady: false,
    fail_ms: (2000, 7000),
    pause_ms: 500,
    away_until_ms: 0,
    writes_percent: 50,
    orders: false,
    slot_fails_percent: 0,
    reads_at_once: 0,
};

#[test]
fn s16_ten_thousand_slow_failures_are_stored_and_no_healthy_bio_waits_a_second_for_the_target() {
    storm(STORM, |storm| {
        assert_eq!((storm.stored, storm.passed_up, storm.engine.used()), (10_000, 0, 10_000));
        assert_eq!((storm.opened, storm.engine.mode()), (0, Mode::Rw));
        assert!(storm.healthy > 100_000 && storm.delay_ms < 1000, "{} ms", storm.delay_ms);
    });
}

#[test]
fn s09_nobody_waits_a_second_while_main_is_asked_with_slow_failures_all_around() {
    // Only what asks main gives evidence, and that has to get by writes that fail all the time.
    let readers = Weather { failing: 3000, failing_at_once: 24, steady: true, writes_percent: 0, ..STORM };
    storm(readers, |storm| {
        // Asking ends after ten seconds, and a group by which main is asked may be a bad one that takes as long.
        assert!(storm.passed_up < 30 && storm.opened == 0, "{} pass up", storm.passed_up);
        assert!(storm.healthy > 10_000 && storm.delay_ms < 1000, "{} {} ms", storm.healthy, storm.delay_ms);
    });
}

#[test]
fn s09_nobody_waits_a_second_for_orders_among_slow_failures() {
    let orders = Weather { failing: 3000, orders: true, pause_ms: 50, ..STORM };
    storm(orders, |storm| {
        assert_eq!((storm.stored, storm.passed_up, storm.opened), (3000, 0, 0));
        assert!(storm.moved > 0 && storm.delay_ms < 1000, "{} {} ms", storm.moved, storm.delay_ms);
    });
}

#[test]
fn s09_nobody_waits_a_second_while_slots_fail_too() {
    let slots = Weather { failing: 3000, slot_fails_percent: 5, pause_ms: 50, ..STORM };
    storm(slots, |storm| {
        assert_eq!((storm.passed_up, storm.opened), (0, 0));
        assert!(storm.engine.retired() > 100 && storm.delay_ms < 1000, "{} ms", storm.delay_ms);
    });
}

#[test]
fn s02_a_failed_read_is_begun_however_many_writes_fail() {
    let reads = Weather { failing: 2000, reads_at_once: 1, pause_ms: 50, ..STORM };
    storm(reads, |storm| {
        assert_eq!((storm.stored, storm.passed_up, storm.opened), (2000, 0, 0));
        // The write that its context is at has three attempts, and reads themselves half a minute.
        assert!(storm.reads_done > 100 && storm.read_waited_ms < 30_000, "{} ms", storm.read_waited_ms);
        assert!(storm.delay_ms < 1000, "{} ms", storm.delay_ms);
    });
    // Writes are repaired, and healthy I/O goes on, however many reads fail.
    storm(Weather { reads_at_once: 16, ..reads }, |storm| {
        assert_eq!((storm.stored, storm.passed_up, storm.opened), (2000, 0, 0));
        assert!(storm.reads_done > 100 && storm.delay_ms < 1000, "{} {}", storm.reads_done, storm.delay_ms);
    });
}

#[test]
fn s16_ten_thousand_quick_failures_take_no_more_slots_in_a_minute_than_the_breaker_lets_them() {
    let quick = Weather { fail_ms: (1, 1), pause_ms: 5, ..STORM };
    storm(quick, |storm| {
        // Far more than 2048 a minute: it opens, and closes after the pause as others succeed.
        let minutes = storm.now_ms / 60_000 + 1;
        assert!(storm.opened >= 1 && storm.engine.used() <= 2048 * (minutes as u32 + 1));
        assert_eq!(u64::from(storm.engine.used()), storm.stored);
        assert!(storm.stored >= 2048 && storm.delay_ms < 1000, "{} {}", storm.stored, storm.delay_ms);
    });
}

#[test]
fn s16_six_hundred_bad_groups_met_at_once_are_stored() {
    let burst = Weather { failing: 600, failing_at_once: 600, fail_ms: (1, 20), pause_ms: 5, ..STORM };
    storm(burst, |storm| {
        assert_eq!((storm.stored, storm.engine.used(), storm.opened), (600, 600, 0));
    });
}

#[test]
fn s16_a_pulled_main_costs_no_slot_and_is_noticed_when_it_is_back() {
    let pulled = Weather { fail_ms: (1, 30), pause_ms: 50, away_until_ms: 120_000, ..STORM };
    storm(Weather { failing: 100_000, ..pulled }, |storm| {
        assert!(storm.opened >= 1 && storm.passed_up > 10_000);
        // Back in service, what fails is stored again: of what came after, and only that.
        assert_eq!(u64::from(storm.engine.used()), storm.stored);
        assert!(storm.stored > 1000, "{}", storm.stored);
    });
    storm(Weather { failing: 2000, away_until_ms: u64::MAX, ..pulled }, |storm| {
        assert_eq!((storm.stored, storm.engine.used(), storm.passed_up), (0, 0, 2000));
        assert_eq!((storm.engine.mode(), storm.engine.reason_name()), (Mode::NoRemap, Some("breaker")));
        assert!(storm.engine.counters().unproven < 20);
    });
}
