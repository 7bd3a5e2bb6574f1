//! S21: a main that was changed past the map is noticed, and one that was not raises no alarm. Content is made by the programs that
//! people use, on image files, without privileges; a program that is missing is told. Mounts are in tests/vm/fingerprint.sh.

mod common;

use common::{dmremap, parse, Files, MIB};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

const CHANGED: &str = "content of main changed";

/// Runs a program of the system on files; false when the host does not have it. `{}` in an argument is the path.
fn run(program: &str, arguments: &[&str], file: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let Some(found) = dirs.map(|dir| dir.join(program)).find(|path| path.exists()) else {
        eprintln!("skipped in part: {program} is not installed");
        return false;
    };
    let arguments: Vec<String> = arguments.iter().map(|a| a.replace("{}", file)).collect();
    let mut command = Command::new(found);
    let output = command.args(&arguments).stdin(Stdio::null()).env("LC_ALL", "C").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    true
}

/// Main is made by `make`, and becomes main of a set. It opens as long as it is unchanged, and each of `changes`, one after
/// the other, is noticed. A program and its arguments are one text.
fn noticed(main_mib: usize, make: &str, changes: &[&str]) {
    let files = Files::new(main_mib * MIB, 8 * MIB);
    let words = |text: &str| {
        let mut words = text.split(' ');
        let program = words.next().unwrap().to_string();
        (program, words.map(str::to_string).collect::<Vec<_>>())
    };
    let change = |text: &str| {
        let (program, arguments) = words(text);
        run(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), files.main())
    };
    if !change(make) {
        return;
    }
    for text in changes {
        adopt(&files);
        assert!(!is_changed(&files), "after {make}: an alarm without a change");
        if change(text) {
            assert!(is_changed(&files), "after {make}: {text}");
        }
    }
}

/// Makes the spare one of main as it is.
fn adopt(files: &Files) {
    let out = dmremap(&["format", "-q", "--force", files.main(), files.spare()]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

/// Whether the tool says that main was changed.
fn is_changed(files: &Files) -> bool {
    let out = dmremap(&["--json", "table", files.main(), files.spare()]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let json = parse(&out.stdout);
    let warnings = json["warnings"].as_array().unwrap();
    warnings.iter().any(|warning| warning.as_str().unwrap().contains(CHANGED))
}

#[test]
fn s21_changes_of_ext4_are_noticed() {
    // The superblock and most other metadata end in their own CRC32C, or have none.
    for features in ["metadata_csum", "^metadata_csum", "^has_journal", "^extent,^64bit"] {
        let make = format!("mkfs.ext4 -q -F -O {features} {{}} 48M");
        let changes = ["tune2fs -L archive {}", "tune2fs -T 20200101 {}", "resize2fs {}", make.as_str()];
        noticed(64, &make, &changes);
    }
    noticed(64, "mkfs.ext4 -q -F -b 1024 {}", &["tune2fs -C 7 {}"]);
    noticed(64, "mkfs.ext3 -q -F {}", &["tune2fs -L archive {}", "mkfs.ext4 -q -F {}"]);
    noticed(64, "mkfs.ext2 -q -F {}", &["tune2fs -L archive {}", "mkfs.ext2 -q -F {}"]);
}

#[test]
fn s21_changes_of_xfs_are_noticed() {
    let make = "mkfs.xfs -q -f {}";
    noticed(320, make, &["xfs_admin -L archive {}", "xfs_admin -U generate {}", make]);
}

#[test]
fn s21_changes_of_btrfs_are_noticed() {
    let make = "mkfs.btrfs -q -f {}";
    noticed(128, make, &["btrfs filesystem label {} archive", "btrfstune -f -u {}", make]);
}

#[test]
fn s21_changes_of_swap_and_luks_are_noticed() {
    noticed(64, "mkswap {}", &["mkswap -L archive {}", "swaplabel -L other {}", "mkswap {}"]);
    let key =
        "--batch-mode --disable-locks --key-file /etc/hostname --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    if !Path::new("/etc/hostname").exists() {
        eprintln!("skipped in part: /etc/hostname is the key, and is not there");
        return;
    }
    for version in ["luks1", "luks2"] {
        let make = format!("cryptsetup luksFormat {key} --type {version} {{}}");
        let add = format!("cryptsetup luksAddKey {key} {{}} /etc/os-release");
        let label = "cryptsetup config --disable-locks --label archive {}";
        match version {
            "luks1" => noticed(32, &make, &[&add, &make]),
            _ => noticed(32, &make, &[&add, label, &make]),
        }
    }
}

#[test]
fn s21_changes_of_a_partition_table_are_noticed() {
    let make = "sgdisk -Z -n 1:2048:40959 -n 2:40960:0 {}";
    let changes = ["sgdisk -c 1:archive {}", "sgdisk -d 2 -n 2:40960:81919 {}", "sgdisk -o {}"];
    noticed(64, make, &changes);
}

/// Main is a whole disk, and a partition of it changes.
#[test]
fn s21_changes_in_a_partition_are_noticed() {
    let at = |mib: u64| format!("offset={}", mib * MIB as u64);
    for table in ["sgdisk -Z -n 1:0:+16M -n 2:0:+32M {}", "sfdisk"] {
        let files = Files::new(64 * MIB, 8 * MIB);
        if table == "sfdisk" {
            // The filesystem is in a logical partition.
            let file = std::fs::OpenOptions::new().write(true).open(&files.main).unwrap();
            dos_with_a_logical_partition(&file);
        } else {
            let words: Vec<&str> = table.split(' ').collect();
            if !run(words[0], &words[1..], files.main()) {
                continue;
            }
        }
        if !run("mkfs.ext4", &["-q", "-F", "-E", &at(17), "{}", "32M"], files.main()) {
            return;
        }
        adopt(&files);
        assert!(!is_changed(&files));
        assert!(run("tune2fs", &["-L", "archive", &format!("{{}}?{}", at(17))], files.main()));
        assert!(is_changed(&files), "{table}");
    }
}

/// A primary partition, and in an extended one a logical partition from 17 MiB on.
fn dos_with_a_logical_partition(file: &std::fs::File) {
    let entry = |kind: u8, start: u32, sectors: u32| {
        let mut bytes = [0; 16];
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&start.to_le_bytes());
        bytes[12..].copy_from_slice(&sectors.to_le_bytes());
        bytes
    };
    let table = |at: u64, entries: [[u8; 16]; 2]| {
        let mut sector = [0; 512];
        sector[446..478].copy_from_slice(&entries.concat());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        file.write_all_at(&sector, at * 512).unwrap();
    };
    table(0, [entry(0x83, 2048, 2048), entry(5, 32768, 98304)]);
    table(32768, [entry(0x83, 2048, 65536), [0; 16]]);
}
