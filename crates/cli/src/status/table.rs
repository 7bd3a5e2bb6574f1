//! The table of states and words: `words.txt` beside this file has for each state what `status --check` says of it, each line
//! looked at as by a reader who has only this line.

use super::read::{Below, Presence};
use super::*;
use crate::dm::fake::FakeDm;
use crate::dm::Line;
use crate::number::Number;
use remap_core::engine::breaker::BreakerCause;
use remap_core::engine::{FailReason, Mode, NoRemapReason};
use remap_core::format::{ChooseError, Geometry, MainShape, SetId, Superblock};

const ID: &str = "d0010203-0405-4607-8809-0a0b0c0d0e0f";

/// A state: its name, the status line up to the reason, and what is unusual beside.
struct State {
    name: &'static str,
    line: &'static str,
    unusual: fn(&mut FakeDm),
    main: Presence,
    spare: Presence,
}

fn state(name: &'static str, line: &'static str) -> State {
    State { name, line, unusual: |_| {}, main: Presence::Present, spare: Presence::Present }
}

fn states() -> Vec<State> {
    let unusual = |name, line, unusual| State { unusual, ..state(name, line) };
    vec![
        state("rw", "rw 3/1950 0 0 5/5 0 12 12 0 40 9 -"),
        state("rw, older module", "rw 3/1950 0 -"),
        state("rw, three quarters of the slots taken", "rw 1470/1950 0 0 5/5 0 0 0 0 0 0 -"),
        state("rw, nearly full", "rw 1755/1950 0 0 5/5 0 0 0 0 0 0 -"),
        state("rw, 89 percent", "rw 1745/1950 0 0 5/5 0 0 0 0 0 0 -"),
        state("rw, full", "rw 1950/1950 0 0 5/5 0 0 0 0 0 0 -"),
        state("rw, full with retired slots", "rw 1900/1950 0 0 5/5 50 0 0 0 0 0 -"),
        state("rw, a limit on slots reached", "rw 10/10 0 0 5/5 1 0 0 0 0 0 -"),
        state("rw, one slot retired", "rw 3/1950 0 0 5/5 1 12 12 0 40 9 -"),
        state("rw, lost", "rw 3/1950 8 0 5/5 0 12 12 0 40 9 -"),
        state("rw, one sector lost", "rw 3/1950 1 0 5/5 0 12 12 0 40 9 -"),
        state("rw, pending", "rw 3/1950 0 24 5/5 0 12 12 0 40 9 -"),
        state("rw, one block pending", "rw 3/1950 0 1 5/5 0 12 12 0 40 9 -"),
        state("rw, a write was stored nowhere", "rw 3/1950 0 0 5/5 0 13 12 1 40 9 -"),
        state("degraded", "degraded 3/1950 0 0 4/5 0 12 12 0 40 9 -"),
        state("no-remap breaker", "no-remap 3/1950 0 0 5/5 0 12 12 0 40 9 breaker"),
        state("no-remap commit-failed", "no-remap 3/1950 0 0 5/5 0 12 12 0 40 9 commit-failed"),
        state("no-remap copies", "no-remap 3/1950 0 0 1/5 0 12 12 0 40 9 copies"),
        state("no-remap features", "no-remap 3/1950 0 0 5/5 0 12 12 0 40 9 features"),
        state("no-remap, a reason of a newer module", "no-remap 3/1950 0 0 5/5 0 12 12 0 40 9 tides"),
        state("no-remap, no reason", "no-remap 3/1950 0 0 5/5 0 12 12 0 40 9 -"),
        state("fail flush-failed", "fail 3/1950 0 0 5/5 0 12 12 0 40 9 flush-failed"),
        state("fail invariant", "fail 3/1950 0 0 5/5 0 12 12 0 40 9 invariant"),
        state("fail, a reason of a newer module", "fail 3/1950 0 0 5/5 0 12 12 0 40 9 tides"),
        state("fail, no reason", "fail 3/1950 0 0 5/5 0 12 12 0 40 9 -"),
        state("a mode of a newer module", "tidal 3/1950 0 0 5/5 0 12 12 0 40 9 -"),
        state("inactive by its status", "inactive 0/1950 - - - - - - - - - -"),
        unusual("inactive without a table", "rw 0/9 0 0", |dm| {
            dm.devices[1].1.clear();
            dm.devices[1].2.clear();
        }),
        unusual("linear", "rw 0/9 0 0", |dm| {
            dm.devices[1].0.uuid =
                "REMAP-LINEAR-d00102030405460788090a0b0c0d0e0f-/dev/sdb+0-/dev/sdc1+0".into();
            let line = |start, sectors, target: &str, text: &str| Line {
                start,
                sectors,
                target: target.into(),
                text: text.into(),
            };
            dm.devices[1].1 = vec![line(0, 8, "linear", "/dev/sdb 0"), line(8, 1, "error", "")];
        }),
        unusual("a status line that is none", "?", |_| {}),
        unusual("read-only", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -", |dm| dm.devices[1].0.readonly = true),
        unusual("suspended", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -", |dm| dm.devices[1].0.suspended = true),
        State { main: Presence::Gone, ..state("main gone", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -") },
        State {
            main: Presence::Offline("offline".into()),
            ..state("main offline", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -")
        },
        State { spare: Presence::Gone, ..state("the spare gone", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -") },
        State {
            spare: Presence::Silent,
            ..state("the spare does not answer", "rw 3/1950 0 0 5/5 0 0 0 0 0 0 -")
        },
        State {
            main: Presence::Gone,
            ..state("much at once", "no-remap 1950/1950 8 24 1/5 2 14 12 2 40 9 copies")
        },
    ]
}

fn superblock() -> Superblock {
    let geometry = Geometry::new(2048, None).unwrap();
    Superblock::new(SetId([1; 16]), MainShape::new(100_000, 512).unwrap(), geometry, 5)
}

/// What is said of a state, and the exit status of `--check`.
fn said(state: &State) -> (Report, Report) {
    let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    dm.devices[1].1[0].text = "/dev/sdb 0 1 /dev/sdc1 0".into();
    dm.devices[1].2[0].text = format!("{} {ID} 0 0 0 0 0 0 0 0 0 0 0 0", state.line);
    if state.line.split(' ').count() < 12 {
        dm.devices[1].2[0].text = state.line.into();
    }
    (state.unusual)(&mut dm);
    let presence = |device: &str| if device == "/dev/sdb" { state.main.clone() } else { state.spare.clone() };
    let read = |_: &_| match state.spare {
        Presence::Present | Presence::Offline(_) => Ok(superblock()),
        _ => Err(Some(ChooseError::Unreadable { places: 5 })),
    };
    let below = Below { presence: &presence, superblock: &read, emergency_percent: 90 };
    let run = |name: Option<&str>, check| {
        run_with(&StatusArgs { name: name.map(str::to_string), check }, &dm, &below).unwrap()
    };
    (run(None, true), run(None, false))
}

#[test]
fn s30_the_table_of_states_and_words() {
    let mut table = String::new();
    for state in states() {
        let (check, _) = said(&state);
        table += &format!("{} -> {}\n", state.name, check.exit_status.unwrap());
        for line in check.text.lines() {
            table += &format!("  {}\n", line.strip_prefix("archive: ").unwrap_or(line));
        }
    }
    if std::env::var_os("WRITE_WORDS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/status/words.txt"), &table).unwrap();
    }
    let wanted = include_str!("words.txt");
    for (is, was) in table.lines().zip(wanted.lines()) {
        assert_eq!(is, was);
    }
    assert_eq!(table, wanted);
}

#[test]
fn every_mode_and_reason_of_core_is_in_the_table() {
    let lines: Vec<&str> = states().iter().map(|state| state.line).collect();
    let has = |mode: Mode, reason: &str| {
        let found = lines.iter().any(|line| line.starts_with(mode.name()) && line.ends_with(reason));
        assert!(found, "{} {reason}", mode.name());
    };
    // A new variant does not compile until it is here.
    for mode in [Mode::Rw, Mode::Degraded, Mode::NoRemap, Mode::Fail] {
        match mode {
            Mode::Rw | Mode::Degraded => has(mode, "-"),
            Mode::NoRemap => {
                let breaker = NoRemapReason::Breaker(BreakerCause::Slots);
                for reason in [breaker, NoRemapReason::Commit, NoRemapReason::Copies, NoRemapReason::Features]
                {
                    match reason {
                        NoRemapReason::Breaker(BreakerCause::Slots | BreakerCause::Unproven)
                        | NoRemapReason::Commit
                        | NoRemapReason::Copies
                        | NoRemapReason::Features => has(mode, reason.name()),
                    }
                }
            }
            Mode::Fail => {
                for reason in [FailReason::Flush, FailReason::Invariant("")] {
                    match reason {
                        FailReason::Flush | FailReason::Invariant(_) => has(mode, reason.name()),
                    }
                }
            }
        }
    }
}

/// What a user reads without `--check`: the same words, and nothing that says otherwise beside them.
#[test]
fn s30_no_line_praises_a_set_that_is_not_well() {
    for state in states() {
        let (check, overview) = said(&state);
        let verdict = check.json["verdict"].as_str().unwrap().to_string();
        let praise = overview.text.contains("bad sectors are replaced;");
        assert!(!praise || verdict == "good", "{}: {}", state.name, overview.text);
        if verdict != "good" {
            assert!(overview.text.contains("archive: "), "{}: {}", state.name, overview.text);
        }
        if state.spare != Presence::Present {
            let of_spare = |text: &str| text.contains("5 of 5 in sync");
            assert!(!of_spare(&overview.text) && !of_spare(&details_of(&state)), "{}", state.name);
        }
    }
}

fn details_of(state: &State) -> String {
    let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    dm.devices[1].2[0].text = format!("{} {ID} 0 0 0 0 0 0 0 0 0 0 0 0", state.line);
    (state.unusual)(&mut dm);
    let presence = |_: &str| state.spare.clone();
    let read = |_: &_| Err(Some(ChooseError::Unreadable { places: 5 }));
    let below = Below { presence: &presence, superblock: &read, emergency_percent: 90 };
    run_with(&StatusArgs { name: Some("archive".into()), check: false }, &dm, &below).unwrap().text
}
