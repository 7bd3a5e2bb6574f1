//! Histories that keep every promise, and planted bugs that do not stay hidden.

use remap_sim::history;
use remap_sim::plan::Planted;
use remap_sim::world::{Options, Stats};

fn options(planted: Option<Planted>) -> Options {
    Options { planted, ..Options::default() }
}

#[test]
fn every_promise_is_kept_in_all_histories() {
    let mut sum = Stats::default();
    for seed in 1..=600 {
        match history::run(seed, options(None)) {
            Ok(stats) => sum.add(&stats),
            Err(failure) => panic!("{failure}"),
        }
    }
    // The promises are worth little if nothing happened.
    let happened = [
        sum.rereads,
        sum.pending,
        sum.repaired,
        sum.unrepaired,
        sum.commits_failed,
        sum.evictions,
        sum.readmissions,
        sum.retired,
        sum.lost,
        sum.swapped_copies,
        sum.renewed_copies,
    ];
    let asked = [sum.probes, sum.probes_taken, sum.unproven];
    assert!(happened.iter().chain(&asked).all(|n| *n > 20), "{sum:?}");
    assert!([sum.again, sum.discards, sum.discards_left].iter().all(|n| *n > 500), "{sum:?}");
    assert!(sum.refused > 5 && sum.breaker > 5, "{sum:?}");
    assert!(sum.accounts > 10_000, "{sum:?}");
    assert!(sum.cost > 50 && sum.cost_in_slots > 20 && sum.spoilt > 5, "{sum:?}");
    assert!(sum.known_tries > 50, "{sum:?}");
    assert!(sum.relocated > 5000 && sum.released > 2000, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 17, 99] {
        let run = || format!("{:?}", history::run(seed, options(None)));
        assert_eq!(run(), run());
    }
}

/// Some seed shows the bug.
fn found(bug: Planted, seeds: u64) {
    let shown = (1..=seeds).find(|seed| history::run(*seed, options(Some(bug))).is_err());
    assert!(shown.is_some(), "{bug:?} is not found within {seeds} seeds");
}

#[test]
fn s03_main_read_in_place_of_a_lost_sector_is_found() {
    found(Planted::ReadMainForLost, 200);
}

#[test]
fn s06_a_bio_completed_before_its_metadata_is_durable_is_found() {
    found(Planted::AckBeforeDurable, 50);
}

#[test]
fn s06_a_commit_without_the_flush_before_it_is_found() {
    found(Planted::SkipCommitFlush, 50);
}

#[test]
fn s08_a_flush_that_does_not_reach_the_spare_is_found() {
    found(Planted::SkipSpareFlush, 50);
}

#[test]
fn s08_a_failed_flush_that_core_is_not_told_of_is_found() {
    found(Planted::ForgetFailedFlush, 50);
}

#[test]
fn s09_a_drain_that_does_not_wait_is_found() {
    found(Planted::SkipDrain, 50);
}

#[test]
fn s09_a_drain_of_all_that_does_not_wait_for_readers_is_found() {
    found(Planted::DrainWritesOnly, 50);
}

#[test]
fn s09_a_drain_that_is_given_up_and_counts_as_done_is_found() {
    found(Planted::IgnoreTimeout, 100);
}

#[test]
fn s09_a_repair_that_does_not_wait_for_bios_in_the_slot_that_it_empties_is_found() {
    found(Planted::MoveWithoutDrain, 50);
}

#[test]
fn s09_a_discard_that_is_not_waited_for_is_found() {
    found(Planted::DiscardWithoutGate, 400);
}

#[test]
fn s14_a_remapping_without_evidence_is_found() {
    found(Planted::RemapWithoutEvidence, 50);
}

#[test]
fn s14_a_group_that_is_asked_and_not_held_is_found() {
    found(Planted::ProbeWithoutHold, 200);
}

#[test]
fn s09_a_release_that_does_not_wait_for_bios_in_its_slots_is_found() {
    found(Planted::ReleaseWithoutDrain, 50);
}

#[test]
fn s24_a_release_whose_groups_are_not_held_is_found() {
    found(Planted::ReleaseWithoutHold, 100);
}

#[test]
fn s24_a_release_that_does_not_flush_main_is_found() {
    found(Planted::ReleaseWithoutFlush, 600);
}

#[test]
fn s24_a_release_that_ends_before_the_removal_is_durable_is_found() {
    found(Planted::ReleaseBeforeDurable, 50);
}

#[test]
fn s12_a_commit_that_skips_round_two_is_found() {
    found(Planted::SkipSecondRound, 50);
}

#[test]
fn s12_a_copy_that_was_evicted_and_is_loaded_is_found() {
    found(Planted::CountEvicted, 400);
}

#[test]
fn s17_a_bio_that_must_not_wait_and_does_is_found() {
    found(Planted::NowaitWaits, 20);
}

#[test]
fn s18_a_discard_of_what_lives_in_a_slot_is_found() {
    found(Planted::DiscardMapped, 50);
}

#[test]
fn s19_a_set_that_is_closed_in_service_is_found() {
    found(Planted::CloseEarly, 20);
}

#[test]
fn s12_copies_that_are_not_made_equal_are_found() {
    found(Planted::SkipEqualising, 50);
}

#[test]
fn s12_a_copy_that_is_counted_in_again_without_having_been_written_is_found() {
    found(Planted::ReadmitWithoutRewrite, 200);
}

#[test]
fn s33_slots_that_nobody_frees_are_found() {
    found(Planted::LeakSlot, 50);
}

#[test]
fn s32_content_beside_a_failed_write_that_is_taken_for_readable_is_found() {
    found(Planted::BelieveSpoilt, 200);
}

#[test]
fn s34_what_is_known_to_be_unreadable_and_asked_for_in_full_is_found() {
    found(Planted::ForgetKnown, 50);
}

#[test]
fn s05_a_write_that_is_cut_within_a_physical_block_is_found() {
    found(Planted::CutWrites, 1500);
}

#[test]
fn s01_a_failed_read_given_as_data_is_found() {
    found(Planted::DeliverFailedRead, 20);
}

#[test]
fn s02_a_pending_block_that_was_written_is_found() {
    found(Planted::KeepPending, 50);
}

#[test]
fn s04_a_read_of_a_slot_that_is_retried_on_main_is_found() {
    found(Planted::RetryOnMain, 100);
}
