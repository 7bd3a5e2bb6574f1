//! `dmremap table` on image files: segments from the golden image, and what is refused.

mod common;

use common::{dmremap, parse, Files, MIB};
use std::fs;

/// Length of main in the golden set.
const GOLDEN_SECTORS: usize = 100_003;

/// Main of the right length, and the golden region.
fn golden() -> Files {
    let files = Files::new(GOLDEN_SECTORS * 512, 8 * MIB);
    fs::write(&files.spare, common::golden_region()).unwrap();
    files
}

/// Lines of the table, with M and S for the two paths.
fn lines(files: &Files, words: &[&str]) -> Vec<String> {
    let out = dmremap(&[&["table"], words, &[files.main(), files.spare()]].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    let short = |line: &str| line.replace(files.main(), "M").replace(files.spare(), "S");
    out.stdout.lines().map(short).collect()
}

#[test]
fn the_golden_set_becomes_segments() {
    let files = golden();
    let expected = [
        "0 8 linear S 104",
        "8 612 linear M 8",
        "620 1 error",
        "621 2 linear S 133",
        "623 2 error",
        "625 99374 linear M 625",
        "99999 1 linear S 119",
        "100000 3 linear S 120",
    ];
    let found = lines(&files, &["--force", "--linear"]);
    // The last two slots lie one behind the other.
    let merged = [&expected[..6], &["99999 4 linear S 119"]].concat();
    assert_eq!(found, merged);
    assert_eq!(lines(&files, &["--force"]), ["0 100003 remap M 0 1 S 0"]);
}

#[test]
fn nothing_is_written() {
    let files = golden();
    let before = fs::read(&files.spare).unwrap();
    lines(&files, &["--force", "--linear"]);
    assert!(fs::read(&files.spare).unwrap() == before);
    assert!(fs::read(&files.main).unwrap().iter().all(|&b| b == 0));
}

#[test]
fn json_has_the_lines_and_tells_what_is_lost() {
    let files = golden();
    let out = dmremap(&["--json", "table", "--force", "--linear", files.main(), files.spare()]);
    let json = parse(&out.stdout);
    assert_eq!(json["lines"].as_array().map(Vec::len), Some(7));
    assert_eq!((json["mapped_sectors"].as_u64(), json["lost_sectors"].as_u64()), (Some(14), Some(3)));
    assert_eq!(json["linear"], true);
    let warnings: Vec<&str> =
        json["warnings"].as_array().unwrap().iter().filter_map(|w| w.as_str()).collect();
    let about_files = warnings.iter().filter(|w| w.contains("is a file") && w.contains("losetup"));
    assert_eq!(about_files.count(), 2, "{warnings:?}");
}

#[test]
fn parts_of_one_file_are_named_with_their_offsets() {
    let files = Files::new(40 * MIB, MIB);
    let sectors = (8 * MIB / 512).to_string();
    let offset = ["--main-offset", &sectors];
    let format = dmremap(&[&["format", "-q"], &offset[..], &[files.main(), files.main()]].concat());
    assert_eq!(format.status, 0, "{}", format.stderr);
    let out = dmremap(&[&["table", "--linear"], &offset[..], &[files.main(), files.main()]].concat());
    let main = files.main();
    assert_eq!(out.stdout, format!("0 32768 linear {main} 16384\n32768 32768 linear {main} 49152\n"));
}

#[test]
fn s12_the_newest_valid_block_of_the_copies_in_sync_counts_and_unequal_copies_are_told() {
    let files = golden();
    let equal = lines(&files, &["--force", "--linear"]);
    let said = |files: &Files| dmremap(&["table", "--force", "--linear", files.main(), files.spare()]).stderr;
    assert!(!said(&files).contains("not equal"));
    let mut region = common::golden_region();
    for copy in 0..3 {
        region[(copy * 408 + 2) * 4096 + 100] ^= 1;
        fs::write(&files.spare, &region).unwrap();
        let out = dmremap(&["table", "--linear", "--force", files.main(), files.spare()]);
        if copy < 2 {
            assert_eq!(lines(&files, &["--force", "--linear"]), equal);
            assert!(out.stderr.contains("not equal"), "{}", out.stderr);
        } else {
            assert_eq!(out.status, 4);
            assert!(out.stderr.contains("table block 0"), "{}", out.stderr);
        }
    }
}

#[test]
fn s12_a_minority_of_superblocks_is_for_readers_only() {
    let files = golden();
    let equal = lines(&files, &["--force", "--linear"]);
    let mut region = common::golden_region();
    let said = |words: &[&str], refused: bool| {
        let out = dmremap(&[words, &[files.main(), files.spare()]].concat());
        assert_eq!(out.status, if refused { 4 } else { 0 }, "{words:?}: {}", out.stderr);
        out.stderr
    };
    for (damaged, copy) in [4, 3, 2, 1].into_iter().enumerate() {
        region[(copy * 408 + 1) * 4096 + 100] ^= 1;
        fs::write(&files.spare, &region).unwrap();
        let minority = damaged == 3;
        let text = said(&["table", "--force"], minority);
        assert_eq!(
            minority,
            text.contains("1 of 3") && text.contains("`dmremap table --linear --force "),
            "{text}"
        );
        assert_eq!(lines(&files, &["--force", "--linear"]), equal);
        assert!(!minority || said(&["table", "--linear"], true).contains("1 of 3"));
    }
}

#[test]
fn s21_another_main_is_refused() {
    let files = golden();
    for (main_sectors, forced) in [(GOLDEN_SECTORS - 1, false), (GOLDEN_SECTORS + 1, true)] {
        fs::write(&files.main, vec![0; main_sectors * 512]).unwrap();
        let out = dmremap(&["table", files.main(), files.spare()]);
        assert_eq!(out.status, 4);
        assert!(out.stderr.contains("sectors"), "{}", out.stderr);
        // What is too short cannot be forced upon the target; segments are for reading what is there.
        let out = dmremap(&["table", "--force", files.main(), files.spare()]);
        assert_eq!(out.status == 0, forced, "{}", out.stderr);
        assert_eq!(dmremap(&["table", "--force", "--linear", files.main(), files.spare()]).status, 0);
    }
}

#[test]
fn segments_of_a_set_that_was_not_closed_come_with_a_warning() {
    let files = Files::new(20 * MIB, 8 * MIB);
    assert_eq!(dmremap(&["format", "-q", files.main(), files.spare()]).status, 0);
    let said = |words: &[&str]| dmremap(&[words, &[files.main(), files.spare()]].concat()).stderr;
    assert!(!said(&["table", "--linear"]).contains("not closed"));
    let mut region = fs::read(&files.spare).unwrap();
    common::unclean(&mut region);
    fs::write(&files.spare, &region).unwrap();
    assert!(said(&["table", "--linear"]).contains("not closed"));
    assert!(!said(&["table"]).contains("not closed"));
}

#[test]
fn what_holds_no_set_is_refused() {
    let files = Files::new(20 * MIB, 8 * MIB);
    for words in [&["table"][..], &["table", "--linear"]] {
        let out = dmremap(&[words, &[files.main(), files.spare()]].concat());
        assert_eq!(out.status, 4);
        assert!(out.stderr.contains("not a spare"), "{}", out.stderr);
    }
    let out = dmremap(&["open", "--read-write", files.main(), files.spare(), "x"]);
    assert_eq!(out.status, 1, "--read-write is of --linear");
}

/// A set on files whose main has `main_bytes`, of which one group is mapped: the golden one has an odd length.
fn resized(main_sectors: usize, spare_bytes: usize) -> Files {
    let files = golden();
    fs::File::options().write(true).open(&files.main).unwrap().set_len(main_sectors as u64 * 512).unwrap();
    fs::File::options().write(true).open(&files.spare).unwrap().set_len(spare_bytes as u64).unwrap();
    files
}

#[test]
fn s23_a_spare_that_grew_is_used_as_before_and_its_gain_is_told() {
    let equal = lines(&golden(), &["--force", "--linear"]);
    let files = resized(GOLDEN_SECTORS, 20 * MIB);
    assert_eq!(lines(&files, &["--force", "--linear"]), equal);
    let said = dmremap(&["table", "--force", files.main(), files.spare()]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains("grew from 8 MiB to 20 MiB"), "{}", said.stderr);
    assert!(said.stderr.contains("further slots are to be gained by a new `format`"), "{}", said.stderr);
    let listed = dmremap(&["list", "--spare", files.spare()]);
    assert!(listed.status == 0 && listed.stdout.contains("14 sectors mapped"), "{}", listed.stderr);
    // It is a set for `format` as well.
    let refused = dmremap(&["format", "-q", files.main(), files.spare()]);
    assert!(refused.status == 4 && refused.stderr.contains("dm-remap set"), "{}", refused.stderr);
    // One that shrank is told as that, without an option that does not exist.
    let shrunk = resized(GOLDEN_SECTORS, 8 * MIB - 4096 * 8);
    let said = dmremap(&["table", "--force", "--linear", shrunk.main(), shrunk.spare()]).stderr;
    assert!(said.contains("8 MiB at least"), "{said}");
}

#[test]
fn s23_a_main_that_is_longer_or_shorter_is_read_by_segments() {
    for (sectors, last) in [
        (GOLDEN_SECTORS + 1, vec!["625 99374 linear M 625", "99999 4 linear S 119"]),
        // What is missing is in slots.
        (GOLDEN_SECTORS - 1, vec!["625 99374 linear M 625", "99999 4 linear S 119"]),
        (90_000, vec!["625 89375 linear M 625", "90000 9999 error", "99999 4 linear S 119"]),
        (700, vec!["625 75 linear M 625", "700 99299 error", "99999 4 linear S 119"]),
    ] {
        let files = resized(sectors, 8 * MIB);
        let found = lines(&files, &["--force", "--linear"]);
        assert_eq!(found[found.len() - last.len()..], last, "{sectors}");
        let said = dmremap(&["table", "--force", "--linear", files.main(), files.spare()]).stderr;
        assert!(
            said.contains(&format!("it has {sectors} sectors, the set's main {GOLDEN_SECTORS}")),
            "{said}"
        );
        // By the target it is refused, and what works is named.
        let out = dmremap(&["table", files.main(), files.spare()]);
        let command = format!("`dmremap table --linear {} {}`", files.main(), files.spare());
        assert!(out.status == 4 && out.stderr.contains(&command), "{}", out.stderr);
        assert_eq!(out.stderr.contains("--force"), sectors > GOLDEN_SECTORS, "{}", out.stderr);
    }
}
