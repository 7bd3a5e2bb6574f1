use super::*;
use crate::dm::fake::FakeDm;
use crate::number::Number;

/// A set of 100,000 sectors that answers so.
fn dm(replies: &[(&str, &str)]) -> FakeDm {
    let mut dm = FakeDm::with_set("archive", "REMAP-1", Number { major: 254, minor: 3 }, 0);
    dm.replies = replies.iter().map(|(message, reply)| (message.to_string(), reply.to_string())).collect();
    dm
}

fn remap_args(sector: u64, count: u64) -> RemapArgs {
    RemapArgs { name: "archive".into(), sector, count, dry_run: false }
}

fn release_args(sector: Option<u64>, count: u64) -> ReleaseArgs {
    ReleaseArgs { name: "archive".into(), sector, count, all: sector.is_none(), dry_run: false }
}

const LIST: (&str, &str) = (
    "list 0",
    "sector=8 sectors=8 state=mapped slot=0 spare_sector=96\nsector=16 sectors=3 state=lost slot=9 spare_sector=9\n\
     sector=40 sectors=1 state=suspect slot=2 spare_sector=104\n",
);

#[test]
fn s09_what_was_moved_is_told() {
    let dm =
        dm(&[("remap 2048 1", "sector=2048 sectors=8 remapped=6 mapped=2 unreadable=0 failed=0 more=1\n")]);
    let report = remap(&remap_args(2048, 1), &dm).unwrap();
    assert_eq!(report.undone, None);
    assert!(
        report.text.contains("6 sectors moved") && report.text.contains("2 were there"),
        "{}",
        report.text
    );
    assert_eq!(
        (report.json["remapped_sectors"].as_u64(), report.json["failed_sectors"].as_u64()),
        (Some(6), Some(0))
    );
}

#[test]
fn long_ranges_go_in_pieces_that_do_not_overlap() {
    let dm = dm(&[
        ("remap 3 65536", "sector=0 sectors=65544 remapped=65544 mapped=0 unreadable=0 failed=0"),
        ("remap 65544 4459", "sector=65544 sectors=4464 remapped=4464 mapped=0 unreadable=0 failed=0"),
    ]);
    let report = remap(&remap_args(3, 70_000), &dm).unwrap();
    assert_eq!(report.json["remapped_sectors"], 70_008);
    assert_eq!(dm.sent.borrow().len(), 2);
    // An answer that goes backwards does not bring the tool to ask for ever.
    let dm = self::dm(&[
        ("remap 0 65536", "sector=0 sectors=0 remapped=0 mapped=0 unreadable=0 failed=0"),
        ("remap 65536 4464", "sector=0 sectors=0 remapped=0 mapped=0 unreadable=0 failed=0"),
    ]);
    assert!(remap(&remap_args(0, 70_000), &dm).is_ok());
}

#[test]
fn what_stays_undone_is_a_failure_that_says_how_much() {
    for (reply, words) in [
        ("remapped=7 mapped=0 unreadable=1 failed=0", "1 could not be read"),
        ("remapped=0 mapped=0 unreadable=0 failed=8", "8 could not be stored"),
    ] {
        let dm = dm(&[("remap 8 8", &format!("sector=8 sectors=8 {reply}\n"))]);
        let report = remap(&remap_args(8, 8), &dm).unwrap();
        let failure = report.undone.unwrap();
        assert_eq!(failure.kind, Kind::Device);
        assert!(failure.what.contains(words), "{failure}");
    }
    for key in ["lost", "unreadable", "failed"] {
        let count = |k: &str| format!("{k}={}", u64::from(k == key));
        let counts: Vec<String> = RELEASE.keys.iter().map(|k| count(k)).collect();
        let dm = dm(&[("release 8 1", &format!("sector=8 sectors=1 {}\n", counts.join(" ")))]);
        assert!(release(&release_args(Some(8), 1), &dm).unwrap().undone.is_some(), "{key}");
    }
}

#[test]
fn s22_remapping_ends_where_nothing_can_be_stored_and_releasing_goes_on() {
    let dm = dm(&[("remap 0 65536", "sector=0 sectors=65536 remapped=9 mapped=0 unreadable=0 failed=65527")]);
    let failure = remap(&remap_args(0, 70_000), &dm).unwrap().undone.unwrap();
    assert!(failure.what.contains("from sector 65536 on nothing was tried"), "{failure}");
    assert_eq!(dm.sent.borrow().len(), 1);
    let dm = self::dm(&[
        ("release 0 65536", "sector=0 sectors=65536 released=0 main=65528 lost=0 unreadable=0 failed=8"),
        ("release 65536 4464", "sector=65536 sectors=4464 released=8 main=4456 lost=0 unreadable=0 failed=0"),
    ]);
    let report = release(&release_args(Some(0), 70_000), &dm).unwrap();
    assert_eq!((report.json["released_sectors"].as_u64(), report.undone.is_some()), (Some(8), true));
}

#[test]
fn s19_an_order_that_a_suspension_cut_short_goes_on_where_it_stopped() {
    let dm = dm(&[
        ("release 0 1000", "sector=0 sectors=1000 released=248 main=0 lost=0 unreadable=0 failed=0 next=248"),
        ("release 248 752", "sector=248 sectors=752 released=752 main=0 lost=0 unreadable=0 failed=0"),
    ]);
    let report = release(&release_args(Some(0), 1000), &dm).unwrap();
    assert_eq!((report.json["released_sectors"].as_u64(), report.undone.is_some()), (Some(1000), false));
    // One that gets nowhere is not asked for ever.
    let stuck = self::dm(&[(
        "remap 0 1000",
        "sector=0 sectors=1000 remapped=0 mapped=0 unreadable=0 failed=0 next=0",
    )]);
    assert!(remap(&remap_args(0, 1000), &stuck).unwrap().undone.is_some());
    assert_eq!(stuck.sent.borrow().len(), 1);
}

#[test]
fn an_error_on_the_way_does_not_hide_what_was_done() {
    let done =
        ("release 0 65536", "sector=0 sectors=65536 released=8 main=65528 lost=0 unreadable=0 failed=0");
    let errors = vec![("release 65536 4464".to_string(), 30)];
    let dm = FakeDm { message_errors: errors, ..dm(&[done]) };
    let report = release(&release_args(Some(0), 70_000), &dm).unwrap();
    assert_eq!(report.json["released_sectors"], 8);
    let failure = report.undone.unwrap();
    assert!(failure.what.contains("sector 65536") && failure.what.contains("mode forbids"), "{failure}");
    // With nothing done the failure is the answer.
    assert!(release(&release_args(Some(65_536), 4464), &dm).unwrap_err().what.contains("mode forbids"));
}

#[test]
fn s24_what_a_release_moved_out_of_its_way_is_told() {
    let reply = "sector=8 sectors=3 released=0 main=0 lost=0 unreadable=0 failed=3 aside=5";
    let dm = dm(&[("release 8 3", reply)]);
    let report = release(&release_args(Some(8), 3), &dm).unwrap();
    assert!(report.text.contains("; 5 beside them moved to the spare"), "{}", report.text);
    assert_eq!(report.json["aside_sectors"], 5);
    let none =
        self::dm(&[("release 8 3", "sector=8 sectors=3 released=3 main=0 lost=0 unreadable=0 failed=0")]);
    let report = release(&release_args(Some(8), 3), &none).unwrap();
    assert!(!report.text.contains("beside"), "{}", report.text);
    assert_eq!(report.json["aside_sectors"], 0);
}

#[test]
fn s24_everything_is_released_run_by_run() {
    let done = "lost=0 unreadable=0 failed=0";
    let dm = dm(&[
        LIST,
        (
            "release 8 11",
            &format!("sector=8 sectors=11 released=8 main=0 {}", done.replace("lost=0", "lost=3")),
        ),
        ("release 40 1", &format!("sector=40 sectors=1 released=1 main=0 {done}")),
    ]);
    let report = release(&release_args(None, 1), &dm).unwrap();
    assert_eq!(
        (report.json["released_sectors"].as_u64(), report.json["lost_sectors"].as_u64()),
        (Some(9), Some(3))
    );
    assert!(report.undone.unwrap().what.contains("3 are lost"));
    assert_eq!(*dm.sent.borrow(), ["list 0", "release 8 11", "release 40 1"]);
    let nothing = release(&release_args(None, 1), &self::dm(&[("list 0", "")])).unwrap();
    assert_eq!((nothing.json["released_sectors"].as_u64(), nothing.undone), (Some(0), None));
}

#[test]
fn dry_runs_only_ask() {
    let dm = dm(&[LIST]);
    let report = remap(&RemapArgs { dry_run: true, ..remap_args(10, 31) }, &dm).unwrap();
    assert_eq!(
        (report.json["main_sectors"].as_u64(), report.json["mapped_sectors"].as_u64()),
        (Some(21), Some(10))
    );
    let all = release(&ReleaseArgs { dry_run: true, ..release_args(None, 1) }, &dm).unwrap();
    assert_eq!(all.json["mapped_sectors"], 12);
    let one = release(&ReleaseArgs { dry_run: true, ..release_args(Some(40), 100) }, &dm).unwrap();
    assert_eq!(one.json["mapped_sectors"], 1);
    assert!(dm.sent.borrow().iter().all(|message| message == "list 0"));
}

#[test]
fn s27_strange_ranges_answers_and_sets_are_refused() {
    let range = remap(&remap_args(99_999, 2), &dm(&[])).unwrap_err();
    assert!(range.kind == Kind::Parameters && range.what.contains("no sector 100000"), "{range}");
    assert_eq!(remap(&remap_args(u64::MAX, 2), &dm(&[])).unwrap_err().kind, Kind::Parameters);
    assert_eq!(release(&release_args(Some(0), u64::MAX), &dm(&[])).unwrap_err().kind, Kind::Parameters);
    let short = dm(&[("remap 0 8", "sector=0 sectors=8 remapped=8 mapped=0 unreadable=0")]);
    assert!(remap(&remap_args(0, 8), &short).unwrap_err().what.contains("not understood"));
    let uuid = "REMAP-LINEAR-d00102030405460788090a0b0c0d0e0f-0:4001+2048-0:4002+0";
    let linear = FakeDm::with_set("archive", uuid, Number { major: 254, minor: 3 }, 0);
    assert!(remap(&remap_args(0, 8), &linear).unwrap_err().what.contains("--linear"));
    assert!(linear.sent.borrow().is_empty());
}

/// A set with that many of 1950 slots in use, in that mode, that maps what [`LIST`] says.
fn filled(mode: &str, used: u64, replies: &[(&str, &str)]) -> FakeDm {
    let mut dm = dm(&[&[LIST], replies].concat());
    let id = "d0010203-0405-4607-8809-0a0b0c0d0e0f";
    dm.devices[1].2[0].text = format!("{mode} {used}/1950 0 0 5/5 0 0 0 0 0 0 - {id} 0");
    dm
}

#[test]
fn s22_advice_for_what_was_not_moved_knows_whether_a_slot_is_free() {
    let reply = |unreadable: u64, failed: u64| {
        format!("sector=8 sectors=8 remapped=0 mapped=0 unreadable={unreadable} failed={failed}\n")
    };
    for (mode, used, unreadable, failed, wanted) in [
        ("rw", 3, 8, 0, "restore it from a backup"),
        ("rw", 1950, 8, 0, "no slot is free"),
        ("rw", 1950, 0, 8, "`dmremap release --all archive`"),
        ("rw", 3, 0, 8, "`dmremap status archive`"),
        ("no-remap", 3, 0, 8, "its mode is no-remap"),
    ] {
        let dm = filled(mode, used, &[("remap 8 8", &reply(unreadable, failed))]);
        let failure = remap(&remap_args(8, 8), &dm).unwrap().undone.unwrap();
        assert!(failure.next.contains(wanted), "{mode} {used}: {failure}");
    }
}

#[test]
fn s22_a_dry_run_promises_no_more_than_fits() {
    let dry = |mode: &str, used: u64, sector: u64, count: u64| {
        remap(&RemapArgs { dry_run: true, ..remap_args(sector, count) }, &filled(mode, used, &[])).unwrap()
    };
    // Sectors 8 to 18 and 40 are mapped: the groups 1, 2 and 5 have slots.
    let fits = dry("rw", 1947, 0, 48);
    assert!(fits.undone.is_none(), "{fits:?}");
    assert_eq!((fits.json["needed_slots"].as_u64(), fits.json["free_slots"].as_u64()), (Some(3), Some(3)));
    assert!(
        fits.text.contains("would move 36 sectors to the spare, which takes 3 of 3 free slots"),
        "{}",
        fits.text
    );
    let full = dry("rw", 1948, 0, 48);
    assert!(!full.text.contains("would move"), "{}", full.text);
    let failure = full.undone.unwrap();
    assert!(failure.what.contains("2 slots are free, for 16 sectors at most"), "{failure}");
    let closed = dry("no-remap", 3, 0, 48).undone.unwrap();
    assert!(closed.what.contains("the mode of archive is no-remap"), "{closed}");
    // What is there already needs nothing.
    assert!(dry("no-remap", 1950, 8, 8).undone.is_none());
}

#[test]
fn what_was_done_is_told_when_it_is_interrupted() {
    let reply = "sector=0 sectors=65536 remapped=65536 mapped=0 unreadable=0 failed=0";
    let dm = dm(&[("remap 0 65536", reply)]);
    let asked = Interrupt::default();
    asked.ask();
    let nothing = send::send(&dm, "archive", &REMAP, std::slice::from_ref(&(0..70_000)), &asked).unwrap();
    assert!(nothing.interrupted && nothing.count("remapped") == 0 && dm.sent.borrow().is_empty());
    let mut part =
        send::send(&dm, "archive", &REMAP, std::slice::from_ref(&(0..65_536)), &Interrupt::default())
            .unwrap();
    (part.stopped, part.interrupted) = (Some((65_536, None)), true);
    let failure =
        undone(&mut part, "archive", &[], "", &|at| format!("dmremap remap archive {at} 8")).unwrap();
    assert!(
        failure.what.contains("from sector 65536 on nothing was tried, since it was interrupted"),
        "{failure}"
    );
    assert_eq!(failure.next, "what is left: `dmremap remap archive 65536 8`");
}
