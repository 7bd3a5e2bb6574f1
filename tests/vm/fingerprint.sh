#!/bin/sh
# s21: main is changed past the map, as people do by mistake, and the next `open` says so. An unchanged main opens.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 400)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")
MNT=$WORK/mnt
KEY=$WORK/key
mkdir -p "$MNT" /run/lock
head -c 64 /dev/urandom >"$KEY"
# There is no udev here.
export MDADM_NO_UDEV=1

# empty: main is zeros.
empty() { blkdiscard -f "$MAIN"; }

# adopt: main as it is becomes that of a new set, of which something is mapped, and the set is closed.
adopt() {
	gives 0 '' format -q --force "$MAIN" "$SPARE"
	gives 0 '' open "$MAIN" "$SPARE" r
	gives 0 'moved to the spare' remap r $((LEN / 4 * 3)) 8
	gives 0 '' close r
	unchanged
}

# unchanged: the set opens, and nothing is said of main.
unchanged() {
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	fails grep -E 'changed|could not be read' "$WORK/said"
	gives 0 '' close r
}

# noticed COMMAND...: its change of main is noticed, and then accepted.
noticed() {
	"$@"
	gives 4 'content changed since the set was closed' open "$MAIN" "$SPARE" r
	fails dmsetup info r
	gives 0 'forced' open --force "$MAIN" "$SPARE" r
	gives 0 '' close r
}

# mounted COMMAND...: main itself is mounted meanwhile.
mounted() {
	mount "$MAIN" "$MNT"
	"$@"
	umount "$MNT"
}

one_file() { echo new >"$MNT/new"; }
# Afterwards as many blocks and inodes are free as before.
nothing_in_sum() {
	echo new >"$MNT/briefly"
	sync
	rm "$MNT/briefly"
}

# filesystem MAKE LABEL GROW: three functions.
filesystem() {
	empty
	"$1"
	mounted one_file
	adopt
	gives 0 '' open "$MAIN" "$SPARE" r
	mount /dev/mapper/r "$MNT"
	echo kept >"$MNT/kept"
	umount "$MNT"
	gives 0 '' close r
	unchanged
	noticed mounted one_file
	noticed mounted nothing_in_sum
	noticed "$2"
	noticed "$3"
	noticed "$1"
	unchanged
}

make_ext4() { mkfs.ext4 -q -F "$MAIN" 200M; }
make_ext4_without_journal() { mkfs.ext4 -q -F -O ^has_journal "$MAIN" 200M; }
label_ext4() { e2label "$MAIN" "l$(date +%N)"; }
grow_ext4() {
	e2fsck -f -y "$MAIN" || [ $? = 1 ]
	resize2fs "$MAIN"
}
make_xfs() { mkfs.xfs -q -f -d size=320m "$MAIN"; }
make_xfs_of_version_4() { mkfs.xfs -q -f -m crc=0 -d size=320m "$MAIN"; }
label_xfs() { xfs_admin -L archive "$MAIN"; }
grow_xfs() { mounted xfs_growfs "$MNT"; }
make_btrfs() { mkfs.btrfs -q -f -b 200M "$MAIN"; }
label_btrfs() { btrfs filesystem label "$MAIN" archive; }
grow_btrfs() { mounted btrfs filesystem resize max "$MNT"; }

lvm_does() {
	lvm "$@" --config "activation { udev_sync=0 udev_rules=0 } devices { use_devicesfile=0
		obtain_device_list_from_udev=0 external_device_info_source=\"none\" filter=[\"a|^$MAIN\$|\", \"r|.*|\"] }"
}

lvm_changes() {
	empty
	lvm_does pvcreate -ff -y --setphysicalvolumesize 200M --metadatacopies 2 "$MAIN"
	lvm_does vgcreate vg "$MAIN"
	adopt
	noticed lvm_does lvcreate -an -Zn -Wn -L 16M -n one vg
	noticed lvm_does vgrename vg archive
	noticed lvm_does pvresize -y "$MAIN"
	lvm_does vgremove -y -f archive
	noticed lvm_does pvcreate -ff -y "$MAIN"
	unchanged
}

md_create() { mdadm --create /dev/md7 --run --force --level=1 --raid-devices=2 --metadata="$1" "--size=$2" "$MAIN" missing; }
md_made() {
	md_create "$1" 102400
	mdadm --stop /dev/md7
}
md_written() {
	mdadm --assemble --run /dev/md7 "$MAIN"
	dd if=/dev/urandom of=/dev/md7 bs=4096 count=1 seek=1000 oflag=direct status=none
	mdadm --stop /dev/md7
}
md_named() {
	mdadm --assemble --run --update=name --name=archive /dev/md7 "$MAIN"
	mdadm --stop /dev/md7
}
md_grown() {
	mdadm --assemble --run /dev/md7 "$MAIN"
	mdadm --grow --size=204800 /dev/md7
	mdadm --stop /dev/md7
}
md_changes() {
	for version in 0.90 1.0 1.1 1.2; do
		empty
		md_made $version
		adopt
		noticed md_written
		[ $version = 0.90 ] || noticed md_named
		noticed md_grown
		noticed md_made $version
		unchanged
	done
}

luks() { cryptsetup --batch-mode --key-file "$KEY" --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$@"; }
luks_changes() {
	for version in luks1 luks2; do
		empty
		luks luksFormat --type $version "$MAIN"
		adopt
		noticed luks luksAddKey "$MAIN" tests/vm/lib.sh
		[ $version = luks1 ] || noticed cryptsetup config --label archive "$MAIN"
		noticed luks luksFormat --type $version "$MAIN"
		unchanged
	done
}

swap_changes() {
	empty
	mkswap "$MAIN" 102400
	adopt
	noticed swaplabel -L archive "$MAIN"
	noticed mkswap "$MAIN"
	noticed mkswap "$MAIN"
	unchanged
}

in_partition() {
	losetup -o $((2048 * 512)) --sizelimit $((200000 * 512)) "$PART" "$MAIN"
	"$@"
	losetup -d "$PART"
}
part_mounted() {
	mount "$PART" "$MNT"
	one_file
	umount "$MNT"
}
gpt_changes() {
	empty
	sgdisk -n 1:2048:202047 "$MAIN"
	PART=$(losetup -f)
	in_partition mkfs.ext4 -q -F "$PART"
	adopt
	noticed sgdisk -c 1:archive "$MAIN"
	noticed in_partition part_mounted
	noticed sgdisk -n 2:0:0 "$MAIN"
	noticed sgdisk -o "$MAIN"
	unchanged
}

t s21_ext4 filesystem make_ext4 label_ext4 grow_ext4
t s21_ext4_without_journal filesystem make_ext4_without_journal label_ext4 grow_ext4
t s21_xfs filesystem make_xfs label_xfs grow_xfs
t s21_xfs_of_version_4 filesystem make_xfs_of_version_4 label_xfs grow_xfs
t s21_btrfs filesystem make_btrfs label_btrfs grow_btrfs
t s21_lvm lvm_changes
t s21_md md_changes
t s21_luks luks_changes
t s21_swap swap_changes
t s21_gpt gpt_changes
t kernel_log_is_clean clean_log
finish
