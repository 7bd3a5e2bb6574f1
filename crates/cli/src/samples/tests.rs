use super::*;
use crate::device::{Access, Device};
use remap_core::format::MainShape;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

const MIB: u64 = 1 << 20;

/// A main in a file, zeros at first, which may end before main does: reads behind its end fail.
struct Main {
    _dir: tempfile::TempDir,
    file: File,
    device: Device,
    shape: MainShape,
}

impl Main {
    fn new(file_bytes: u64, sectors: u64) -> Main {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main");
        fs::write(&path, []).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file_bytes).unwrap();
        let device = Device::open(&path, Access::Read).unwrap();
        Main { _dir: dir, file, device, shape: MainShape::new(sectors, 512).unwrap() }
    }

    fn of_mib(mib: u64) -> Main {
        Main::new(mib * MIB, mib * MIB / 512)
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    fn view(&self) -> View<'_> {
        View::new(&self.device, self.shape, 0)
    }

    fn samples_byte(&self, at: u64) -> bool {
        let group = at / 4096;
        choice::of(&self.view()).iter().any(|r| (r.group..r.group + u64::from(r.count)).contains(&group))
    }
}

/// By another implementation: `(printf '\2\0\0\0\0\0\0\0A'; head -c 4095 /dev/zero) | sha256sum`.
#[test]
fn s21_a_hash_is_that_of_the_document() {
    let main = Main::of_mib(1);
    main.put(2 * 4096, b"A");
    assert_eq!(hash_range(&main.view(), 2, 1), Some([0x42, 0x8b, 0x9d, 0xdb, 0xe0, 0xa4]));
    // Content past the end of main counts as zeros.
    let short = Main::new(MIB, 17);
    short.put(2 * 4096, b"A");
    short.put(2 * 4096 + 512, b"B");
    assert_eq!(hash_range(&short.view(), 2, 1), hash_range(&main.view(), 2, 1));
}

#[test]
fn s21_content_that_moved_is_noticed() {
    let main = Main::of_mib(1);
    assert_ne!(hash_range(&main.view(), 0, 2), hash_range(&main.view(), 1, 2), "both are zeros");
}

#[test]
fn s21_every_sampled_byte_counts() {
    let main = Main::of_mib(8);
    let samples = take(&main.view());
    assert_eq!(compare(&main.view(), &samples), Difference::default());
    for (at, place) in [
        (0, "in sectors 0 to 135"),
        (68 * 1024 - 1, "in sectors 0 to 135"),
        (8 * MIB - 132 * 1024, "in sectors 16120 to 16383"),
        (8 * MIB - 1, "in sectors 16120 to 16383"),
        (2047 / 15 * 4096, "in one of 16 places that are spread over it"),
    ] {
        main.put(at, &[1]);
        let found = compare(&main.view(), &samples);
        assert!(found.changed.iter().any(|p| p == place) && !found.unreadable, "{at}: {found:?}");
        main.put(at, &[0]);
    }
    assert_eq!(compare(&main.view(), &samples), Difference::default());
}

/// Main ends in unreadable groups: the others are sampled and compared all the same.
#[test]
fn s21_unreadable_groups_are_left_out() {
    // The last three groups of the first range are missing, and all behind them.
    let main = Main::new(14 * 4096, 8 * MIB / 512);
    let samples = take(&main.view());
    let ranges: Vec<(u64, u8)> = samples.ranges().iter().map(|r| (r.group, r.count)).collect();
    assert_eq!(ranges, [(0, 14)]);
    assert_eq!(samples.spread_count, 0);
    main.put(13 * 4096, &[1]);
    let changed = vec!["in sectors 0 to 111".to_string()];
    assert_eq!(compare(&main.view(), &samples), Difference { changed, unreadable: false });
    // A range that has become unreadable is told, and the others are compared.
    main.file.set_len(13 * 4096).unwrap();
    assert_eq!(compare(&main.view(), &samples), Difference { changed: vec![], unreadable: true });
}

/// Each bad group costs one read, and what lies between is sampled.
#[test]
fn s21_what_lies_between_unreadable_groups_is_sampled() {
    let main = Main::of_mib(8);
    let view = main.view();
    for group in [3, 9, 14] {
        view.note_failure(group..=group);
    }
    let ranges: Vec<(u64, u8)> = take(&view).ranges().iter().map(|r| (r.group, r.count)).collect();
    assert_eq!(ranges, [(0, 3), (4, 5), (10, 4), (15, 2), (2015, 33)]);
}

/// A GPT whose entries cannot be read: the search for places and the samples have one limit together.
#[test]
fn a_disk_that_fails_is_read_a_limited_number_of_times() {
    let main = Main::new(8192, 80 * MIB / 512);
    main.put(512, b"EFI PART");
    let numbers = [(72, 1000), (80, 128), (84, 4096)];
    for (at, number) in numbers {
        main.put(512 + at, &(number as u32).to_le_bytes());
    }
    let view = main.view();
    let _ = take(&view);
    assert!(view.is_spent() && view.failed_groups() <= 2 * view::FAILED_READS_MAX, "{view:?}");
    assert_eq!(view.failed_reads(), view::FAILED_READS_MAX);
}

#[test]
fn a_main_that_cannot_be_read_at_all_is_not_asked_for_ever() {
    let main = Main::new(0, 8 * MIB / 512);
    assert!(take(&main.view()).is_empty());
}

/// A log of XFS, in the second of two allocation groups, whose next block is `head`.
fn xfs_with_log(main: &Main, head: u64) -> u64 {
    const LOG_BLOCKS: u64 = 1024;
    let mut superblock = [0; 512];
    superblock[..4].copy_from_slice(b"XFSB");
    superblock[4..8].copy_from_slice(&4096_u32.to_be_bytes());
    superblock[48..56].copy_from_slice(&(1_u64 << 11 | 5).to_be_bytes());
    superblock[84..88].copy_from_slice(&2000_u32.to_be_bytes());
    superblock[88..92].copy_from_slice(&2_u32.to_be_bytes());
    superblock[96..100].copy_from_slice(&(LOG_BLOCKS as u32 / 8).to_be_bytes());
    (superblock[121], superblock[124]) = (9, 11);
    main.put(0, &superblock);
    let log = 2005 * 4096;
    for block in 0..LOG_BLOCKS {
        let round = if block < head { 8_u32 } else { 7 }.to_be_bytes();
        // Every fifth is the header of a record.
        let start = if block % 5 == 0 { [0xfeed_babe_u32.to_be_bytes(), round] } else { [round, round] };
        main.put(log + block * 512, &start.concat());
    }
    log
}

#[test]
fn s21_the_log_of_xfs_is_sampled_where_it_goes_on() {
    let main = Main::of_mib(16);
    for head in [1, 2, 500, 511, 512, 513, 1023] {
        let log = xfs_with_log(&main, head);
        assert!(main.samples_byte(log + head * 512), "head {head}");
        assert!(main.samples_byte(log + (head - 1) * 512), "the last record, before {head}");
    }
    // All blocks are of one round: it begins anew.
    let log = xfs_with_log(&main, 1024);
    assert!(main.samples_byte(log));
    assert!(main.samples_byte(2000 * 4096), "the second allocation group");
}

#[test]
fn s21_marks_at_the_end_and_elsewhere_are_sampled() {
    let main = Main::of_mib(80);
    assert!(!main.samples_byte(64 * MIB) && !main.samples_byte(40 * MIB));
    main.put(65_536 + 64, b"_BHRfS_M");
    assert!(main.samples_byte(64 * MIB), "btrfs");
    let main = Main::of_mib(80);
    main.put(512, b"LABELONE");
    main.put(512 + 20, &32_u32.to_le_bytes());
    main.put(512 + 24, b"LVM2 001");
    let list = [MIB, 0, 0, 0, 4096, MIB - 4096, 40 * MIB, MIB, 0, 0, 50 * MIB, MIB];
    main.put(512 + 32 + 40, &list.map(u64::to_le_bytes).concat());
    assert!(main.samples_byte(40 * MIB) && !main.samples_byte(50 * MIB), "LVM");
}

#[test]
fn s21_the_journal_of_ext4_is_sampled_where_its_inode_says() {
    let journal = 30 * MIB;
    let block = (journal / 4096).to_le_bytes();
    let leaf = |at: u64, main: &Main| {
        main.put(at, &[0x0a, 0xf3, 1, 0, 4, 0, 0, 0]);
        main.put(at + 12 + 8, &block[..4]);
    };
    for kind in ["extent", "tree", "blocks", "none"] {
        let main = Main::of_mib(64);
        main.put(1024 + 24, &[2]);
        main.put(1024 + 56, &[0x53, 0xef]);
        main.put(1024 + 92, &[if kind == "none" { 0 } else { 4 }]);
        main.put(1024 + 253, &[1]);
        match kind {
            "extent" | "none" => leaf(1024 + 268, &main),
            "tree" => {
                main.put(1024 + 268, &[0x0a, 0xf3, 1, 0, 4, 0, 1, 0]);
                main.put(1024 + 268 + 12 + 4, &(20 * MIB as u32 / 4096).to_le_bytes());
                leaf(20 * MIB, &main);
            }
            _ => main.put(1024 + 268, &block[..4]),
        }
        assert_eq!(main.samples_byte(journal), kind != "none", "{kind}");
    }
}

/// A partition of an MBR from 16 MiB to 32 MiB.
fn with_partition() -> Main {
    let main = Main::of_mib(80);
    let entry: Vec<u8> = [0x83_u32, 32768, 32768].iter().flat_map(|n| n.to_le_bytes()).collect();
    main.put(446 + 4, &entry);
    main.put(510, &[0x55, 0xaa]);
    main
}

#[test]
fn s21_marks_of_a_partition_are_sampled() {
    let main = with_partition();
    assert!(main.samples_byte(16 * MIB) && main.samples_byte(16 * MIB + 64 * 1024));
    assert!(!main.samples_byte(32 * MIB - 64 * 1024));
    for at in [32 * MIB - 64 * 1024, 32 * MIB - 8192] {
        let main = with_partition();
        main.put(at, &0xa92b_4efc_u32.to_le_bytes());
        assert!(main.samples_byte(at), "md, {at}");
    }
}

/// Whatever stands where numbers are looked for, places are some of main, no more than a superblock has room for.
#[test]
fn s27_hostile_content_leads_nowhere_else() {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    for round in 0..300 {
        let main = Main::new(MIB, 2048);
        let extreme = [0, 0xff][round % 2];
        let bytes: Vec<u8> = (0..8192).map(|_| if random() < 64 { random() } else { extreme }).collect();
        main.put(0, &bytes);
        match round % 5 {
            0 => main.put(0, b"XFSB"),
            1 => main.put(512, b"EFI PART"),
            2 => main.put(510, &[0x55, 0xaa]),
            3 => {
                main.put(1024 + 56, &[0x53, 0xef]);
                main.put(1024 + 253, &[1]);
                main.put(1024 + 268, &[0x0a, 0xf3]);
            }
            _ => {
                main.put(0, b"LABELONE");
                main.put(20, &[32, 0, 0, 0]);
                main.put(24, b"LVM2 001");
            }
        }
        let found = choice::of(&main.view());
        assert!(found.len() <= 16);
        assert!(found.iter().all(|r| r.count > 0 && r.group + u64::from(r.count) <= 256), "{found:?}");
    }
}
