//! The score: in range, and never better for anything that is worse.

use proptest::prelude::*;
use remap_core::engine::{Mode, NoRemapReason};
use remap_core::health::evidence::Evidence;
use remap_core::health::score::{Facts, PartKind, Score};
use remap_core::health::SetFacts;

fn mode() -> impl Strategy<Value = (Mode, Option<NoRemapReason>)> {
    prop_oneof![
        Just((Mode::Rw, None)),
        Just((Mode::Degraded, None)),
        Just((Mode::NoRemap, Some(NoRemapReason::Copies))),
        Just((Mode::NoRemap, Some(NoRemapReason::Features))),
        Just((Mode::Fail, None)),
    ]
}

/// Small amounts, where tables have their rows, and all others.
fn amount() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..300, 0u32..400_000, any::<u32>()]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (proptest::option::of(0u16..=1000), any::<Option<bool>>(), any::<[u32; 2]>()).prop_map(
        |(smart, smart_failed, [age_s, received_s])| Evidence {
            smart,
            smart_failed,
            smart_model: None,
            age_s,
            received_s,
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let slots = (amount(), amount(), amount(), amount());
    let copies = (any::<u32>(), 0u32..7, 0u32..7);
    let bursts = [amount(), amount(), amount(), amount()];
    (any::<bool>(), amount(), bursts, slots, copies, mode(), evidence(), any::<u32>()).prop_map(
        |(pass_ended, unreadable, bursts, slots, copies, (mode, no_remap), evidence, age_s)| Facts {
            pass_ended,
            unreadable,
            bursts,
            set: SetFacts {
                slots_used: slots.0,
                slots_total: slots.1,
                slots_retired: slots.2,
                slots_suspect: slots.3,
                emergency_percent: copies.0,
                copies: copies.1,
                copies_in_sync: copies.2,
                mode,
                no_remap,
                pending: 0,
            },
            evidence,
            age_s,
        },
    )
}

/// One amount made worse.
fn worse(facts: &Facts, which: usize, by: u32) -> Facts {
    let mut f = *facts;
    let amount = match which {
        0 => &mut f.unreadable,
        1..=4 => &mut f.bursts[which - 1],
        5 => &mut f.set.slots_used,
        6 => &mut f.set.slots_retired,
        7 => &mut f.set.slots_suspect,
        _ => {
            f.set.copies_in_sync = f.set.copies_in_sync.saturating_sub(by);
            return f;
        }
    };
    *amount = amount.saturating_add(by);
    f
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn a_worse_amount_never_gives_a_better_score(f in facts(), which in 0usize..9, by in amount()) {
        let (before, after) = (Score::of(&f), Score::of(&worse(&f, which, by)));
        for (a, b) in before.parts.iter().zip(&after.parts) {
            // A part that was not known is known once it is bad.
            prop_assert!(b.score.is_none() == a.score.is_none() || b.score < Some(800), "{:?} {:?}", a, b);
            prop_assert!(a.score.is_none() || b.score <= a.score, "{:?} {:?}", a, b);
        }
        prop_assert!(before.value.is_none() || (after.value.is_some() && after.value <= before.value));
    }

    #[test]
    fn the_score_is_its_lowest_part_and_in_range(f in facts()) {
        let score = Score::of(&f);
        let known = score.parts.iter().filter_map(|part| part.score);
        prop_assert!(known.clone().all(|s| s <= 1000));
        prop_assert!(score.value.is_none() || score.value == known.min());
        let looked_for = [PartKind::Media, PartKind::Latency].map(|kind| score.parts[kind as usize].score);
        if !f.pass_ended {
            prop_assert!(looked_for.iter().all(|s| s.is_none_or(|s| s < 800)), "nothing good is known");
        }
        prop_assert_eq!(score.value.is_none(), !f.pass_ended && score.parts.iter().filter_map(|p| p.score).all(|s| s >= 800));
        if let Some(part) = score.lowest() {
            prop_assert_eq!(part.score, score.value);
        }
    }

    #[test]
    fn age_alone_never_improves_the_score(f in facts(), by in any::<u32>()) {
        let older = Facts { age_s: f.age_s.saturating_add(by), ..f };
        prop_assert_eq!(Score::of(&f).value, Score::of(&older).value);
        let stale = |f: &Facts| Score::of(f).parts[PartKind::Smart as usize].stale;
        prop_assert!(!stale(&f) || stale(&older));
    }
}
