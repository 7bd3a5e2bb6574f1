//! Users of devices in a tree of files that looks like sysfs.

mod below;

use super::*;
use crate::dm::fake::FakeDm;
use crate::dm::{Info, Line};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

const SDB: Number = Number { major: 8, minor: 16 };
const SDB1: Number = Number { major: 8, minor: 17 };
const ALL: Range<u64> = 0..u64::MAX;
const LVM: &str = "LVM-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A system of files.
struct Tree {
    root: tempfile::TempDir,
    numbers: BTreeMap<String, Number>,
    dm: FakeDm,
    claimed: Vec<&'static str>,
    files: Vec<(&'static str, FileId)>,
}

impl Tree {
    /// A disk sdb with the partitions sdb1 and sdb2.
    fn new() -> Tree {
        let root = tempfile::tempdir().unwrap();
        let mut tree = Tree {
            root,
            numbers: BTreeMap::new(),
            dm: FakeDm::default(),
            claimed: Vec::new(),
            files: Vec::new(),
        };
        tree.device("sdb", "", SDB);
        for minor in 17..19 {
            let name = format!("sdb{}", minor - 16);
            tree.device(&name, "sdb/", Number { major: 8, minor });
            tree.write(&format!("devices/sdb/{name}/partition"), "1");
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn device(&mut self, name: &str, within: &str, number: Number) {
        let dir = format!("devices/{within}{name}");
        self.write(&format!("{dir}/dev"), &number.to_string());
        self.write(&format!("{dir}/size"), "100000");
        let by_number = self.root.path().join("dev/block");
        fs::create_dir_all(&by_number).unwrap();
        symlink(self.root.path().join(&dir), by_number.join(number.to_string())).unwrap();
        if within.is_empty() {
            let block = self.root.path().join("block");
            fs::create_dir_all(&block).unwrap();
            symlink(self.root.path().join(&dir), block.join(name)).unwrap();
        }
        self.numbers.insert(format!("/dev/{name}"), number);
    }

    fn dir_of(&self, name: &str) -> PathBuf {
        let number = self.numbers[&format!("/dev/{name}")];
        fs::canonicalize(self.root.path().join(format!("dev/block/{number}"))).unwrap()
    }

    /// `above` is on top of `below`.
    fn stack(&self, above: &str, below: &str) {
        for (dir, kind, of) in [(below, "holders", above), (above, "slaves", below)] {
            let links = self.dir_of(dir).join(kind);
            fs::create_dir_all(&links).unwrap();
            symlink(self.dir_of(of), links.join(of)).unwrap();
        }
    }

    /// A mapped device, open so often, with the table `0 100 TARGET TEXT`.
    fn mapped(&mut self, minor: u32, name: &str, uuid: &str, open_count: u32, table: &str) {
        let kernel_name = format!("dm-{minor}");
        let number = Number { major: 254, minor };
        self.device(&kernel_name, "", number);
        self.write(&format!("devices/{kernel_name}/dm/name"), name);
        self.write(&format!("devices/{kernel_name}/dm/uuid"), uuid);
        self.numbers.insert(format!("/dev/mapper/{name}"), number);
        let (target, text) = table.split_once(' ').unwrap();
        let line = Line { start: 0, sectors: 100, target: target.into(), text: text.into() };
        let (name, uuid) = (name.into(), uuid.into());
        let info = Info { name, uuid, number, open_count, suspended: false, readonly: false };
        self.dm.devices.push((info, vec![line], Vec::new()));
    }

    fn ask<T>(&self, question: impl FnOnce(&System<'_>) -> T) -> T {
        let number_of = |path: &Path| self.numbers.get(path.to_str()?).copied();
        let is_claimed = |name: &str| self.claimed.contains(&name);
        question(&System {
            sys: self.root.path().into(),
            mounts: self.root.path().join("mountinfo"),
            swaps: self.root.path().join("swaps"),
            dm: Some(&self.dm),
            number_of: &number_of,
            file_of: &|path| self.files.iter().find(|(known, _)| Path::new(known) == path).map(|(_, id)| *id),
            is_claimed: &is_claimed,
        })
    }

    /// What uses these sectors, in words, and how it is ended.
    fn words(&self, number: Number, sectors: Range<u64>) -> (String, String) {
        self.ask(|system| {
            let users = system.users(number, &sectors);
            (described(&users, system.name(number)), steps(&users))
        })
    }

    fn is_idle(&self, number: Number) -> bool {
        self.ask(|system| system.users(number, &ALL)).iter().all(User::is_idle)
    }
}

#[track_caller]
fn says(tree: &Tree, number: Number, words: &str, next: &str) {
    assert_eq!(tree.words(number, ALL), (words.to_string(), next.to_string()));
}

#[test]
fn s21_what_nothing_uses_has_no_users() {
    let tree = Tree::new();
    says(&tree, SDB, "", "");
    says(&tree, SDB1, "", "");
    says(&tree, Number { major: 7, minor: 7 }, "", "");
}

#[test]
fn s21_a_mount_of_main_a_partition_or_the_disk_is_named() {
    let tree = Tree::new();
    let mounts = "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 8:17 /x /srv/my\\040files rw,noatime shared:1 - ext4 /dev/sdb1 rw";
    tree.write("mountinfo", mounts);
    says(&tree, SDB1, "mounted at /srv/my files", "`umount '/srv/my files'`");
    says(&tree, SDB, "/dev/sdb1 is mounted at /srv/my files", "`umount '/srv/my files'`");
    // The neighbour is another device.
    says(&tree, Number { major: 8, minor: 18 }, "", "");
    tree.write("mountinfo", "31 30 8:16 / /srv rw - ext4 /dev/sdb rw");
    says(&tree, SDB1, "/dev/sdb is mounted at /srv", "`umount /srv`");
    assert!(!tree.is_idle(SDB));
}

#[test]
fn s21_btrfs_is_found_though_its_mount_has_another_number() {
    let tree = Tree::new();
    tree.write("mountinfo", "31 30 0:40 / /srv rw - btrfs /dev/sdb1 rw");
    says(&tree, SDB1, "mounted at /srv", "`umount /srv`");
    // Of several devices the list of mounts names one.
    let uuid = "6e4b-1";
    tree.write("mountinfo", "31 30 0:40 / /srv rw - btrfs /dev/sda rw");
    tree.write(&format!("fs/btrfs/{uuid}/devices/sdb1"), "");
    tree.write("fs/btrfs/features/x", "");
    let words = "part of the mounted btrfs filesystem 6e4b-1";
    says(&tree, SDB1, words, "unmount the btrfs filesystem 6e4b-1");
}

#[test]
fn s21_swap_is_named() {
    let tree = Tree::new();
    tree.write("swaps", "Filename\t\tType\t\tSize\n/dev/sdb1     partition\t10\t0\t-2\n/srv/file file 1 1 1");
    says(&tree, SDB1, "used as swap", "`swapoff /dev/sdb1`");
    assert!(!tree.is_idle(SDB1));
}

#[test]
fn s21_a_stack_is_named_from_below_and_ended_from_above() {
    let mut tree = Tree::new();
    tree.mapped(0, "luks-x", "CRYPT-LUKS2-1-luks-x", 1, "crypt aes");
    tree.mapped(1, "my--vg-root", LVM, 1, "linear 254:0 2048");
    tree.stack("dm-0", "sdb1");
    tree.stack("dm-1", "dm-0");
    tree.write("mountinfo", "31 30 254:1 / /srv rw - ext4 /dev/mapper/my--vg-root rw");
    let next = "`umount /srv`, then `lvchange --activate n my-vg/root`, then `cryptsetup close luks-x`";
    says(&tree, SDB1, "used by crypt device luks-x (used by LVM volume my-vg/root (mounted at /srv))", next);
    let words = "/dev/sdb1 is used by crypt device luks-x (used by LVM volume my-vg/root (mounted at /srv))";
    says(&tree, SDB, words, next);
}

#[test]
fn s21_only_a_mapped_device_that_is_not_open_is_idle() {
    for (uuid, table, open_count, idle) in [
        ("", "linear 8:16 0", 0, true),
        ("", "linear 8:16 0", 1, false),
        (LVM, "linear 8:16 0", 0, true),
        ("CRYPT-PLAIN-x", "crypt aes", 0, true),
        ("mpath-3600", "multipath 0", 0, false),
        ("part1-mpath-3600", "linear 8:16 0", 0, false),
        ("REMAP-1", "remap 8:16 0 1 8:32 0", 0, false),
        ("", "remap 8:16 0 1 8:32 0", 0, false),
    ] {
        let mut tree = Tree::new();
        tree.mapped(0, "vg-x", uuid, open_count, table);
        tree.stack("dm-0", "sdb");
        assert_eq!(tree.is_idle(SDB), idle, "{uuid} {table} {open_count}");
        // How often it is open can only be asked of device-mapper; without an answer it counts as open.
        tree.dm.devices.clear();
        assert!(!tree.is_idle(SDB), "{uuid}");
    }
}

#[test]
fn s21_only_beside_idle_goes_on_beside_what_is_idle_and_nothing_else() {
    let verdict_of = |open_count, beside_idle| {
        let mut tree = Tree::new();
        tree.mapped(0, "x", "", open_count, "linear 8:16 0");
        tree.stack("dm-0", "sdb");
        let users = tree.ask(|system| system.users(SDB, &ALL));
        verdict(Path::new("/dev/sdb"), Some("sdb".into()), &users, beside_idle)
    };
    let warning = verdict_of(0, BesideIdle::Given).unwrap().unwrap();
    assert!(
        warning.contains("/dev/sdb is in use: used by mapped device x (not open); gone on beside it"),
        "{warning}"
    );
    for (open_count, beside_idle, offered) in [
        (0, BesideIdle::NotGiven, true),
        (0, BesideIdle::Useless, false),
        (1, BesideIdle::Given, false),
        (1, BesideIdle::NotGiven, false),
        (1, BesideIdle::Useless, false),
    ] {
        let failure = verdict_of(open_count, beside_idle).unwrap_err();
        assert_eq!(failure.kind, Kind::Busy);
        assert!(failure.what.contains("used by mapped device x"), "{failure}");
        assert!(failure.next.contains("`dmsetup remove x`"), "{failure}");
        assert_eq!(failure.next.contains("--beside-idle"), offered, "{failure}");
        assert!(!failure.next.contains("--force"), "{failure}");
    }
    assert_eq!(verdict(Path::new("/dev/sdb"), None, &[], BesideIdle::Useless), Ok(None));
}

#[test]
fn s21_each_kind_is_called_by_its_name() {
    for (uuid, table, words, next) in [
        ("", "linear 8:16 0", "mapped device x", "dmsetup remove x"),
        ("CRYPT-PLAIN-x", "crypt aes", "crypt device x", "cryptsetup close x"),
        ("CRYPT-VERITY-1-x", "verity 1", "crypt device x", "veritysetup close x"),
        ("CRYPT-INTEGRITY-x", "integrity 1", "crypt device x", "integritysetup close x"),
        ("REMAP-LINEAR-1", "linear 8:16 0", "dm-remap set x", "dmremap close x"),
        ("", "remap 8:16 0 1 8:32 0", "dm-remap set x", "dmremap close x"),
    ] {
        let mut tree = Tree::new();
        tree.mapped(0, "x", uuid, 0, table);
        tree.stack("dm-0", "sdb");
        says(&tree, SDB, &format!("used by {words} (not open)"), &format!("`{next}`"));
    }
    let mut tree = Tree::new();
    tree.device("md0", "", Number { major: 9, minor: 0 });
    tree.stack("md0", "sdb1");
    tree.write("mountinfo", "31 30 9:0 / /srv rw - ext4 /dev/md0 rw");
    says(&tree, SDB1, "used by md0 (mounted at /srv)", "`umount /srv`, then `mdadm --stop /dev/md0`");
    assert!(!tree.is_idle(SDB1));
}

#[test]
fn s21_a_multipath_device_is_given_in_place_of_its_path() {
    let mut tree = Tree::new();
    tree.mapped(0, "mpath\u{1b}a", "mpath-3600", 0, "multipath 0");
    tree.stack("dm-0", "sdb");
    let (words, next) = tree.words(SDB1, ALL);
    assert!(words.contains("multipath device mpath?a"), "{words}");
    assert!(next.contains("/dev/mapper/mpath?a, or its partition") && !next.contains('\u{1b}'), "{next}");
}

/// A mount point that is no UTF-8 hides no other.
#[test]
fn s21_mount_points_are_bytes() {
    let tree = Tree::new();
    fs::write(
        tree.root.path().join("mountinfo"),
        b"30 1 0:40 / /odd\xff rw - tmpfs tmpfs rw\n31 30 8:17 / /srv\xfe rw - ext4 /dev/sdb1 rw\n",
    )
    .unwrap();
    let (words, _) = tree.words(SDB1, ALL);
    assert!(words.contains("mounted at /srv"), "{words}");
    fs::write(tree.root.path().join("mountinfo"), "").unwrap();
    fs::write(tree.root.path().join("swaps"), b"Filename\n/odd\xff file 1\n/dev/sdb1 partition 10\n")
        .unwrap();
    says(&tree, SDB1, "used as swap", "`swapoff /dev/sdb1`");
}

#[test]
fn s21_inner_devices_of_lvm_go_with_their_volume() {
    let mut tree = Tree::new();
    tree.mapped(0, "vg-lv_rimage_0", LVM, 1, "linear 8:16 2048");
    tree.mapped(1, "vg-lv", LVM, 0, "raid raid1");
    tree.stack("dm-0", "sdb");
    tree.stack("dm-1", "dm-0");
    let words = "used by LVM volume vg/lv_rimage_0 (used by LVM volume vg/lv (not open))";
    says(&tree, SDB, words, "`lvchange --activate n vg/lv`");
}

#[test]
fn s21_a_mapped_device_elsewhere_on_the_disk_is_not_in_the_way() {
    let mut tree = Tree::new();
    tree.mapped(0, "x", "", 1, "linear 8:16 1000");
    tree.stack("dm-0", "sdb");
    assert_eq!(tree.words(SDB, 0..1000).0, "");
    assert_eq!(tree.words(SDB, 1100..5000).0, "");
    for met in [999..1001, 1099..1200, 0..u64::MAX] {
        assert_eq!(tree.words(SDB, met).0, "used by mapped device x (open)");
    }
    // Of a table that is not understood nothing is known.
    tree.dm.devices[0].1[0].target = "cache".into();
    assert_eq!(tree.words(SDB, 0..1).0, "used by mapped device x (open)");
}

#[test]
fn s21_what_is_beside_a_mapped_main_on_the_same_sectors_is_found() {
    let mut tree = Tree::new();
    let main = Number { major: 254, minor: 0 };
    tree.mapped(0, "m", "", 0, "linear 8:16 1000");
    tree.mapped(1, "vg-lv", LVM, 1, "linear 8:16 1050");
    tree.stack("dm-0", "sdb");
    says(&tree, main, "", "");
    tree.stack("dm-1", "sdb");
    let words = "/dev/sdb is used by LVM volume vg/lv (open)";
    says(&tree, main, words, "`lvchange --activate n vg/lv`");
    // Main may be a part of its device.
    assert_eq!(tree.words(main, 0..50).0, "");
    assert_eq!(tree.words(main, 0..51).0, words);
    // Another volume of the same group.
    tree.dm.devices[1].1[0].text = "8:16 1100".into();
    says(&tree, main, "", "");
    // All of the disk is below: whatever else is on it is on main.
    tree.dm.devices[1].1[0].target = "crypt".into();
    says(&tree, main, "", "");
    tree.write("devices/sdb/size", "100");
    says(&tree, main, words, "`lvchange --activate n vg/lv`");
}

#[test]
fn s21_loop_devices_on_main_and_on_its_file_are_found() {
    let mut tree = Tree::new();
    let (loop0, loop1) = (Number { major: 7, minor: 0 }, Number { major: 7, minor: 1 });
    tree.device("loop0", "", loop0);
    tree.device("loop1", "", loop1);
    tree.write("devices/loop0/loop/backing_file", "/dev/sdb");
    tree.write("devices/loop1/loop/backing_file", "/srv/disk.img");
    says(&tree, SDB, "used by loop0", "`losetup --detach /dev/loop0`");
    assert!(tree.is_idle(SDB));
    tree.write("mountinfo", "31 30 7:0 / /srv rw - ext4 /dev/loop0 rw");
    says(&tree, SDB, "used by loop0 (mounted at /srv)", "`umount /srv`, then `losetup --detach /dev/loop0`");
    assert!(!tree.is_idle(SDB));
    says(&tree, loop1, "", "");
    tree.write("devices/loop0/loop/backing_file", "/srv/disk.img");
    says(
        &tree,
        loop1,
        "used by loop0 (mounted at /srv)",
        "`umount /srv`, then `losetup --detach /dev/loop0`",
    );
    // Two partitions of one image.
    tree.write("devices/loop0/loop/offset", "51200000");
    says(&tree, loop1, "", "");
}

/// Main is a partition of a loop device, another loop device shows the same file.
#[test]
fn s21_a_partition_of_a_loop_device_has_its_file() {
    let mut tree = Tree::new();
    let part = Number { major: 259, minor: 0 };
    tree.device("loop0", "", Number { major: 7, minor: 0 });
    tree.device("loop0p1", "loop0/", part);
    tree.device("loop1", "", Number { major: 7, minor: 1 });
    tree.write("devices/loop0/loop0p1/partition", "1");
    tree.write("devices/loop0/loop0p1/start", "2048");
    tree.write("devices/loop0/loop0p1/size", "1000");
    for name in ["loop0", "loop1"] {
        tree.write(&format!("devices/{name}/loop/backing_file"), "/srv/disk.img");
    }
    tree.write("devices/loop1/size", "2048");
    says(&tree, part, "", "");
    tree.write("devices/loop1/size", "2049");
    let (words, next) = tree.words(part, ALL);
    assert!(words.contains("used by loop1") && next.contains("losetup --detach /dev/loop1"), "{words}");
}

#[test]
fn s21_a_claim_without_a_name_is_told() {
    let mut tree = Tree::new();
    tree.claimed = vec!["sdb"];
    let (words, next) = tree.words(SDB, ALL);
    assert!(words.starts_with("claimed by something") && next.contains("/dev/sdb`"), "{words} {next}");
    assert!(!tree.is_idle(SDB));
    tree.claimed = vec!["sdb", "sdb2"];
    let (words, next) = tree.words(SDB, ALL);
    assert!(words.starts_with("/dev/sdb2 is claimed") && next.contains("/dev/sdb2`"), "{words} {next}");
    // One that is known elsewhere on the disk is no riddle.
    tree.mapped(0, "x", "", 1, "linear 8:16 1000");
    tree.stack("dm-0", "sdb");
    tree.claimed = vec!["sdb"];
    assert_eq!(tree.words(SDB, 0..1000).0, "");
}

/// The users of main of an open set `r` that are not the set.
#[test]
fn s21_an_open_set_is_not_in_its_own_way() {
    let mut tree = Tree::new();
    tree.mapped(0, "r", "REMAP-1", 1, "remap 8:16 0 1 8:32 0");
    tree.stack("dm-0", "sdb");
    tree.claimed = vec!["sdb"];
    let set = crate::set::open_set(&tree.dm, "r").unwrap();
    assert!(tree.ask(|system| check_open_set(system, &set)).is_err(), "without the list of mounts");
    tree.write("mountinfo", "");
    assert_eq!(tree.ask(|system| check_open_set(system, &set)), Ok(()));
    tree.mapped(1, "vg-lv", LVM, 0, "linear 8:16 50");
    tree.stack("dm-1", "sdb");
    assert_eq!(tree.ask(|system| check_open_set(system, &set)), Ok(()), "idle");
    assert_eq!(tree.ask(|system| check_claimed(system, &set, true)), Ok(()));
    assert!(
        tree.ask(|system| check_claimed(system, &set, false)).is_err(),
        "idle, and new since the first look"
    );
    tree.dm.devices[1].0.open_count = 1;
    let failure = tree.ask(|system| check_open_set(system, &set)).unwrap_err();
    assert!(failure.what.contains("main of r") && failure.what.contains("vg/lv"), "{failure}");
    assert!(failure.next.contains("lvchange") && failure.kind == Kind::Busy, "{failure}");
    assert!(failure.next.contains("at the next boot"), "{failure}");

    // A spare has nothing by which it is found at boot.
    tree.device("sdc", "", Number { major: 8, minor: 32 });
    tree.mapped(2, "vg-lv2", LVM, 1, "linear 8:32 50");
    tree.stack("dm-2", "sdc");
    tree.dm.devices[1].0.open_count = 0;
    let failure = tree.ask(|system| check_open_set(system, &set)).unwrap_err();
    assert!(failure.what.contains("the spare of r") && failure.what.contains("vg/lv2"), "{failure}");
    assert!(!failure.next.contains("boot"), "{failure}");
}
