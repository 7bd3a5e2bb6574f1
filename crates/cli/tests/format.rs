//! `dmremap format` and `dmremap list --spare` on image files, as a user without privileges runs them.

mod common;

use common::{dmremap, parse, Files, MIB};
use std::fs;

#[test]
fn format_makes_a_set_and_leaves_main_alone() {
    let files = Files::new(20 * MIB, 8 * MIB);
    fs::write(&files.main, vec![7; 20 * MIB]).unwrap();
    let out = dmremap(&[
        "--json",
        "format",
        "-q",
        "--label",
        "Archiv",
        "--copies",
        "3",
        files.main(),
        files.spare(),
    ]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let json = parse(&out.stdout);
    assert_eq!((json["format"].as_str(), json["command"].as_str()), (Some("dmremap/1"), Some("format")));
    assert_eq!(json["slots"], 1950);
    assert_eq!(json["main"]["sectors"], 40960);
    assert_eq!(json["copies"], 3);
    assert_eq!(fs::read(&files.main).unwrap(), vec![7; 20 * MIB]);
    let spare = fs::read(&files.spare).unwrap();
    assert_eq!(&spare[4096..4104], b"dm-remap");
    assert!(spare[..4096].iter().all(|&b| b == 0));
    let listed = dmremap(&["--json", "list", "--spare", files.spare()]);
    let listed = parse(&listed.stdout);
    assert_eq!(listed["set_uuid"], json["set_uuid"]);
    assert_eq!(listed["label"], "Archiv");
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(0));
}

#[test]
fn dry_run_changes_nothing() {
    let files = Files::new(20 * MIB, 8 * MIB);
    let out = dmremap(&["format", "--dry-run", "--slots", "100", files.main(), files.spare()]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(out.stdout.contains("would become") && out.stdout.contains("100"), "{}", out.stdout);
    assert_eq!(fs::read(&files.spare).unwrap(), vec![0; 8 * MIB]);
}

#[test]
fn without_a_terminal_batch_mode_is_needed() {
    let files = Files::new(20 * MIB, 8 * MIB);
    let out = dmremap(&["format", files.main(), files.spare()]);
    assert_eq!(out.status, 1);
    assert!(out.stderr.contains("--batch-mode"), "{}", out.stderr);
    assert_eq!(fs::read(&files.spare).unwrap(), vec![0; 8 * MIB]);
}

#[test]
fn s20_a_spare_that_is_not_blank_is_refused_until_told_twice() {
    for place in [0, MIB - 1, 7 * MIB, 8 * MIB - 1] {
        let files = Files::new(20 * MIB, 8 * MIB);
        let mut bytes = vec![0; 8 * MIB];
        bytes[place] = 1;
        fs::write(&files.spare, &bytes).unwrap();
        let out = dmremap(&["format", "-q", files.main(), files.spare()]);
        assert_eq!(out.status, 4);
        assert!(out.stderr.contains("is not zero") && out.stderr.contains("--force"), "{}", out.stderr);
        let out = dmremap(&["format", "--force", files.main(), files.spare()]);
        assert_eq!(out.status, 1, "told once");
        assert!(fs::read(&files.spare).unwrap() == bytes, "untouched");
        let out = dmremap(&["format", "--force", "-q", files.main(), files.spare()]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert_eq!(fs::read(&files.spare).unwrap()[place], 0, "wiped");
    }
}

#[test]
fn s20_what_is_recognised_is_named() {
    let files = Files::new(20 * MIB, 64 * MIB);
    let mut bytes = vec![0; 64 * MIB];
    // What swap is recognised by: the signature at the end of the first page, a version, a length and a UUID.
    bytes[4086..4096].copy_from_slice(b"SWAPSPACE2");
    bytes[1024] = 1;
    bytes[1028..1032].copy_from_slice(&16383u32.to_le_bytes());
    bytes[1036..1052].fill(0x5a);
    fs::write(&files.spare, &bytes).unwrap();
    let out = dmremap(&["--json", "format", "-q", files.main(), files.spare()]);
    assert_eq!(out.status, 4);
    let json = parse(&out.stdout);
    assert_eq!(json["error"]["exit_status"], 4);
    // On a host without blkid, the test for zeros still refuses it.
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("holds swap") || message.contains("is not zero"), "{message}");
    assert!(fs::read(&files.spare).unwrap() == bytes);
}

#[test]
fn s20_another_set_is_named_and_kept() {
    let files = Files::new(20 * MIB, 8 * MIB);
    assert_eq!(dmremap(&["format", "-q", "--label", "first", files.main(), files.spare()]).status, 0);
    let before = fs::read(&files.spare).unwrap();
    let out = dmremap(&["format", "-q", files.main(), files.spare()]);
    assert_eq!(out.status, 4);
    assert!(out.stderr.contains("dm-remap set") && out.stderr.contains("\"first\""), "{}", out.stderr);
    assert!(fs::read(&files.spare).unwrap() == before);
    assert_eq!(dmremap(&["format", "-q", "--force", files.main(), files.spare()]).status, 0);
}

#[test]
fn s20_a_cut_off_format_may_be_repeated() {
    let files = Files::new(20 * MIB, 8 * MIB);
    assert_eq!(dmremap(&["format", "-q", files.main(), files.spare()]).status, 0);
    let mut bytes = fs::read(&files.spare).unwrap();
    // As it was after the first two steps: every superblock carries the flag "formatting".
    for (copy, block) in common::formatting_superblocks(&bytes).iter().enumerate() {
        let at = (copy * 408 + 1) * 4096;
        bytes[at..at + 4096].copy_from_slice(block);
    }
    fs::write(&files.spare, &bytes).unwrap();
    let out = dmremap(&["list", "--spare", files.spare()]);
    assert!(out.status == 4 && out.stderr.contains("format the spare again"), "{}", out.stderr);
    assert_eq!(dmremap(&["format", "-q", files.main(), files.spare()]).status, 0);
}

#[test]
fn s20_a_spare_that_is_too_small_is_refused() {
    let files = Files::new(20 * MIB, 8 * MIB - 4096);
    let out = dmremap(&["format", "-q", files.main(), files.spare()]);
    assert_eq!(out.status, 4);
    assert!(out.stderr.contains("8 MiB"), "{}", out.stderr);
}

#[test]
fn s20_main_and_spare_share_a_device_only_without_overlap() {
    let files = Files::new(40 * MIB, 8 * MIB);
    let out = dmremap(&["format", "-q", files.main(), files.main()]);
    assert_eq!(out.status, 1);
    assert!(out.stderr.contains("overlap"), "{}", out.stderr);
    let sectors = (8 * MIB / 512).to_string();
    let out = dmremap(&["--json", "format", "-q", "--main-offset", &sectors, files.main(), files.main()]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let json = parse(&out.stdout);
    assert_eq!(json["spare"]["sectors"], 8 * MIB / 512);
    assert_eq!(json["main"]["sectors"], 32 * MIB / 512);
    assert_eq!(dmremap(&["list", "--spare", files.main(), "--main-offset", &sectors]).status, 0);
    let other = Files::new(40 * MIB, 8 * MIB);
    let at = (32 * MIB / 512).to_string();
    let out = dmremap(&["--json", "format", "-q", "--spare-offset", &at, other.main(), other.main()]);
    assert_eq!(parse(&out.stdout)["main"]["sectors"], 32 * MIB / 512, "{}", out.stderr);
}

#[test]
fn wrong_parameters_are_refused_with_status_1() {
    let files = Files::new(20 * MIB, 8 * MIB);
    for arguments in [
        &["format", "-q", "--copies", "6"][..],
        &["format", "-q", "--slots", "0"],
        &["format", "-q", "--slots", "1951"],
        &["format", "-q", "--spare-offset", "1"],
        &["format", "-q", "--label", "a\nb"],
        &["format", "-q", "--unknown"],
    ] {
        let out = dmremap(&[arguments, &[files.main(), files.spare()]].concat());
        assert_eq!(out.status, 1, "{arguments:?}: {}", out.stderr);
    }
    assert_eq!(fs::read(&files.spare).unwrap(), vec![0; 8 * MIB]);
    assert_eq!(dmremap(&["list"]).status, 1);
    assert_eq!(dmremap(&["--help"]).status, 0);
}

#[test]
fn wrong_devices_are_refused_with_status_4() {
    let files = Files::new(20 * MIB, 8 * MIB);
    assert_eq!(dmremap(&["format", "-q", "/nonexistent", files.spare()]).status, 4);
    assert_eq!(dmremap(&["format", "-q", files.main(), "/dev/null"]).status, 4);
    let out = dmremap(&["list", "--spare", files.spare()]);
    assert_eq!(out.status, 4);
    assert!(out.stderr.contains("next:") && out.stderr.contains("not a spare"), "{}", out.stderr);
}

#[test]
fn golden_region_is_listed() {
    let files = Files::new(MIB, 8 * MIB);
    fs::write(&files.spare, common::golden_region()).unwrap();
    let out = dmremap(&["--json", "list", "--spare", files.spare()]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let json = parse(&out.stdout);
    assert_eq!(json["label"], "Büro-Archiv");
    let runs: Vec<String> = json["runs"].as_array().unwrap().iter().map(common::in_short).collect();
    // The first slot lies at block 12: reserved, superblock, 2 table blocks, 8 health blocks.
    let expected = [
        "0+8 mapped 1@104",
        "620+1 lost 4@132",
        "621+2 mapped 4@133",
        "623+1 lost 4@135",
        "624+1 lost 5@136",
        "99999+1 mapped 2@119",
        "100000+3 mapped 3@120",
        "-+8 retired 6@144",
    ];
    assert_eq!(runs, expected);
    // Two of the runs go on where the one before ends, on main and on the spare.
    let text = dmremap(&["list", "--spare", files.spare()]).stdout;
    assert_eq!(text.lines().count(), 1 + expected.len() - 2 + 1, "{text}");
    let total = "total: 14 sectors mapped, 3 sectors lost, 5 slots in use, 1 slot retired\n";
    assert!(text.ends_with(total), "{text}");
}

#[test]
fn s12_a_damaged_copy_is_passed_over_and_without_any_the_block_is_named() {
    let files = Files::new(MIB, 8 * MIB);
    let mut region = common::golden_region();
    for copy in 0..3 {
        fs::write(&files.spare, &region).unwrap();
        let out = dmremap(&["list", "--spare", files.spare()]);
        assert_eq!(out.status, 0, "{copy} damaged: {}", out.stderr);
        region[(copy * 408 + 2) * 4096 + 100] ^= 1;
    }
    fs::write(&files.spare, &region).unwrap();
    let out = dmremap(&["list", "--spare", files.spare()]);
    assert_eq!(out.status, 4);
    assert!(out.stderr.contains("table block 0") && out.stderr.contains("checksum"), "{}", out.stderr);
}
