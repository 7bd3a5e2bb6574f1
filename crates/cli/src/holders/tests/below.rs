//! Overlap by what lies below, in the same tree of files.

use super::super::below::{Piece, Place};
use super::*;

const SDC: Number = Number { major: 8, minor: 32 };
const SDB2: Number = Number { major: 8, minor: 18 };
const LOOP0: Number = Number { major: 7, minor: 0 };
const LOOP1: Number = Number { major: 7, minor: 1 };
const MD0: Number = Number { major: 9, minor: 0 };

fn dm(minor: u32) -> Number {
    Number { major: 254, minor }
}

/// Whether they overlap, asked both ways round.
#[track_caller]
fn overlap(tree: &Tree, a: (Number, Range<u64>), b: (Number, Range<u64>), wanted: bool) {
    let piece = |(number, sectors): &(Number, Range<u64>)| Piece::device(*number, sectors.clone());
    let found = |a, b| tree.ask(|system| system.same_place(&piece(a), piece(b)));
    assert_eq!((found(&a, &b), found(&b, &a)), (wanted, wanted), "{a:?} {b:?}");
}

fn parted() -> Tree {
    let mut tree = Tree::new();
    tree.write("devices/sdb/sdb1/start", "2048");
    tree.write("devices/sdb/sdb2/start", "50000");
    tree.device("sdc", "", SDC);
    tree
}

#[test]
fn s23_partitions_overlap_by_where_they_lie_on_the_disk() {
    let tree = parted();
    overlap(&tree, (SDB, ALL), (SDC, ALL), false);
    overlap(&tree, (SDB, ALL), (SDB1, 0..1000), true);
    overlap(&tree, (SDB, 0..2048), (SDB1, 0..1000), false);
    overlap(&tree, (SDB, 0..2049), (SDB1, 0..1000), true);
    overlap(&tree, (SDB1, 0..40_000), (SDB2, 0..40_000), false);
    overlap(&tree, (SDB1, 0..8), (SDB1, 8..16), false);
    overlap(&tree, (SDB1, 8..8), (SDB1, ALL), false);
}

#[test]
fn s23_a_volume_inside_main_is_seen_through_the_tables() {
    let mut tree = parted();
    tree.mapped(1, "vg-lv", LVM, 0, "linear 8:17 3000");
    tree.mapped(2, "vg-other", LVM, 0, "linear 8:17 3100");
    tree.mapped(3, "secret", "CRYPT-LUKS2-1", 0, "crypt aes key 0 254:1 0");
    for (above, below) in [("dm-1", "sdb1"), ("dm-2", "sdb1"), ("dm-3", "dm-1")] {
        tree.stack(above, below);
    }
    // The volumes have 100 sectors, from 2048 + 3000 and 2048 + 3100 of the disk on.
    overlap(&tree, (SDB, ALL), (dm(1), ALL), true);
    overlap(&tree, (SDB1, ALL), (dm(1), ALL), true);
    overlap(&tree, (SDB, 0..5048), (dm(1), 0..100), false);
    overlap(&tree, (SDB, 0..5049), (dm(1), 0..100), true);
    overlap(&tree, (dm(1), 0..100), (dm(2), 0..100), false);
    overlap(&tree, (dm(3), 0..8), (SDB, ALL), true);
    // Of crypt no table is read: all of what lies below it counts, and no more.
    overlap(&tree, (dm(3), 0..8), (dm(2), ALL), false);
    overlap(&tree, (dm(1), ALL), (SDC, ALL), false);
}

#[test]
fn s23_volumes_of_one_pool_and_stripes_side_by_side_do_not_overlap() {
    let mut tree = parted();
    tree.mapped(1, "pool", LVM, 0, "linear 8:16 0");
    tree.mapped(2, "thin-a", LVM, 0, "thin 254:1 1");
    tree.mapped(3, "thin-b", LVM, 0, "thin 254:1 2");
    tree.mapped(4, "striped-a", "", 0, "striped 2 8 8:16 0 8:32 0");
    tree.mapped(5, "striped-b", "", 0, "striped 2 8 8:16 50 8:32 50");
    for (above, below) in
        [("dm-1", "sdb"), ("dm-2", "dm-1"), ("dm-3", "dm-1"), ("dm-4", "sdb"), ("dm-4", "sdc")]
    {
        tree.stack(above, below);
    }
    overlap(&tree, (dm(2), ALL), (dm(3), ALL), false);
    overlap(&tree, (dm(4), ALL), (dm(5), ALL), false);
    overlap(&tree, (dm(4), ALL), (SDC, 0..50), true);
    overlap(&tree, (dm(4), ALL), (SDC, 50..99), false);
}

#[test]
fn s23_md_and_its_members_overlap_and_its_partitions_do_not() {
    let mut tree = parted();
    tree.device("md0", "", MD0);
    tree.stack("md0", "sdb");
    tree.stack("md0", "sdc");
    for (minor, start) in [(1, "0"), (2, "1000")] {
        tree.device(&format!("md0p{minor}"), "md0/", Number { major: 259, minor });
        tree.write(&format!("devices/md0/md0p{minor}/partition"), "1");
        tree.write(&format!("devices/md0/md0p{minor}/start"), start);
    }
    let part = |minor| Number { major: 259, minor };
    overlap(&tree, (MD0, ALL), (SDC, ALL), true);
    overlap(&tree, (part(1), 0..1000), (SDB, 7..8), true);
    overlap(&tree, (part(1), 0..1000), (part(2), 0..1000), false);
    overlap(&tree, (part(1), 0..1001), (part(2), 0..1000), true);
}

#[test]
fn s23_loop_devices_overlap_by_their_file() {
    let mut tree = parted();
    let file = |inode| FileId { device: SDC, inode };
    tree.files = vec![("/srv/main.img", file(1)), ("/srv/spare.img", file(2))];
    for (name, number, backing) in [("loop0", LOOP0, "/srv/main.img"), ("loop1", LOOP1, "/srv/main.img")] {
        tree.device(name, "", number);
        tree.write(&format!("devices/{name}/loop/backing_file"), backing);
        tree.write(&format!("devices/{name}/loop/offset"), "0");
    }
    overlap(&tree, (LOOP0, 0..8), (LOOP1, 0..8), true);
    tree.write("devices/loop1/loop/offset", "4096");
    overlap(&tree, (LOOP0, 0..8), (LOOP1, 0..8), false);
    overlap(&tree, (LOOP0, 0..9), (LOOP1, 0..8), true);
    // The file itself, as `format /dev/loop0 main.img` has it.
    let itself = Piece { place: Place::File(file(1)), ..Piece::device(SDC, 0..8) };
    assert!(tree.ask(|system| system.same_place(&itself, Piece::device(LOOP0, 0..8))));
    // Another file of the same filesystem is elsewhere, and the disk of that filesystem holds both.
    tree.write("devices/loop1/loop/backing_file", "/srv/spare.img");
    overlap(&tree, (LOOP0, ALL), (LOOP1, ALL), false);
    overlap(&tree, (LOOP0, 0..8), (SDC, ALL), true);
    // A loop device on a block device.
    tree.write("devices/loop1/loop/backing_file", "/dev/sdb1");
    tree.write("devices/loop1/loop/offset", "0");
    overlap(&tree, (LOOP1, 0..8), (SDB, 2048..2049), true);
    overlap(&tree, (LOOP1, 0..8), (SDB, 0..2048), false);
}
