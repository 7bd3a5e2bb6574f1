#!/bin/sh
# s21: main and spare that LVM, dm-crypt, dmsetup, a mount or swap uses are refused, by name, and what the tool then says to do works.
. tests/vm/lib.sh

ALONE=1
load_module
MAIN=$(disk main 48)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")
MNT=$WORK/mnt
mkdir "$MNT"
# The steps that the tool tells of name it as users have it.
ln -sf "$DMREMAP" /usr/local/bin/dmremap
# There is no udev here, and a user's own settings are in a file.
export LVM_SYSTEM_DIR="$WORK/lvm"
mkdir "$LVM_SYSTEM_DIR"

# lvm_leaves [DEVICE]: LVM takes every device but that one.
lvm_leaves() {
	cat >"$LVM_SYSTEM_DIR/lvm.conf" <<-END
		devices { obtain_device_list_from_udev=0 external_device_info_source="none" use_devicesfile=0
			global_filter=[ "r|^${1-/dev/null}\$|" ] }
		activation { udev_sync=0 udev_rules=0 monitoring=0 }
		backup { backup=0 archive=0 }
	END
}

# obey: does what the last failure said is to be done.
obey() {
	# shellcheck disable=SC2016 # backticks are meant
	sed -n 's/^  next: //p' "$WORK/said" | sed 's/, or give --beside-idle.*//; s/\. `dmremap help open` .*//' |
		grep -o '`[^`]*`' | tr -d '`' >"$WORK/steps"
	cat "$WORK/steps"
	[ -s "$WORK/steps" ]
	sh -eux "$WORK/steps"
}

# no_way WORDS: with main or spare in use, neither verb does anything, whatever it is told.
no_way() {
	before=$(md5sum <"$WORK/spare.img")
	for force in '' --force '--force --beside-idle'; do
		# shellcheck disable=SC2086 # no word, one or two
		gives 5 "$1" format -q $force "$MAIN" "$SPARE"
		# shellcheck disable=SC2086
		gives 5 "$1" open $force "$MAIN" "$SPARE" r
		# shellcheck disable=SC2086
		gives 5 "$1" open $force --linear "$MAIN" "$SPARE" r
	done
	gives 5 "$1" format --dry-run "$MAIN" "$SPARE"
	equal "$(md5sum <"$WORK/spare.img")" "$before"
	fails dmsetup info r
}

# A new set, of which nothing is mapped and which is closed.
new_set() {
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	gives 0 '' format -q "$MAIN" "$SPARE"
}

# save NAME, saved NAME: a file of random content in the filesystem, and whether it is there, read from the device anew.
save() {
	head -c 3000000 /dev/urandom >"$WORK/file-$1"
	cp "$WORK/file-$1" "$MNT/$1"
	sync
	echo 3 >/proc/sys/vm/drop_caches
}
saved() {
	echo 3 >/proc/sys/vm/drop_caches
	cmp "$MNT/$1" "$WORK/file-$1"
}

# through_r DEVICE: the files that were written below are there through the map; half of main moves to the spare, a file is written,
# and its content is right, also after it all was closed.
through_r() {
	mount "$1" "$MNT"
	saved first
	gives 0 'moved to the spare' remap r 8192 16384
	save second
	umount "$MNT"
	mount "$1" "$MNT"
	saved first
	saved second
	umount "$MNT"
}

plain_dmsetup() {
	new_set
	dmsetup create plain --table "0 $LEN linear $MAIN 0"
	mkfs.ext4 -q /dev/mapper/plain
	mount /dev/mapper/plain "$MNT"
	save first
	no_way "$MAIN is in use: used by mapped device plain (mounted at $MNT)"
	umount "$MNT"
	# A program that has it open.
	exec 7</dev/mapper/plain
	no_way 'used by mapped device plain (open)'
	exec 7<&-
	gives 5 'used by mapped device plain (not open)' open "$MAIN" "$SPARE" r
	grep -q -- --beside-idle "$WORK/said"
	gives 5 'used by mapped device plain (not open)' open --force "$MAIN" "$SPARE" r
	obey
	fails dmsetup info plain
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	through_r /dev/mapper/r
	gives 0 '' close r
	# As at the next boot.
	dmsetup create plain --table "0 $LEN linear $MAIN 0"
	mount -o ro /dev/mapper/plain "$MNT" || true
	gives 5 plain open "$MAIN" "$SPARE" r
	obey
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	mount /dev/mapper/r "$MNT"
	saved first
	saved second
	umount "$MNT"
	gives 0 '' close r
}

# What is idle is gone on beside, if that is wanted, and told. Of the spare `format` wants all.
idle_is_gone_on_beside() {
	new_set
	dmsetup create idle --table "0 $LEN linear $MAIN 0"
	gives 0 'mapped device idle (not open); gone on beside it' open --beside-idle "$MAIN" "$SPARE" r
	equal "$(status r 1)" rw
	gives 0 '' close r
	gives 0 'mapped device idle (not open); gone on beside it' format -q --force --beside-idle "$MAIN" "$SPARE"
	obey_none=$(grep -c 'next: dmremap open' "$WORK/said")
	equal "$obey_none" 1
	dmsetup remove idle
	dmsetup create idle --table "0 $(sectors "$SPARE") linear $SPARE 0"
	gives 5 "$SPARE is in use: used by mapped device idle (not open)" format -q --force --beside-idle "$MAIN" "$SPARE"
	fails grep -q 'give --beside-idle' "$WORK/said"
	gives 0 'idle (not open); gone on beside it' open --beside-idle "$MAIN" "$SPARE" r
	gives 0 '' close r
	exec 7</dev/mapper/idle
	no_way "$SPARE is in use: used by mapped device idle (open)"
	exec 7<&-
	dmsetup remove idle
}

# While the set is open, no content moves under a program that uses main past the map.
taken_while_open() {
	new_set
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	fill
	gives 0 '8 sectors moved' remap r 1000 8
	dmsetup create plain --table "0 $LEN linear $MAIN 0"
	exec 7</dev/mapper/plain
	gives 5 'main of r' release --all r
	gives 5 'used by mapped device plain (open)' remap r 2000 8
	equal "$(used r)" 1
	exec 7<&-
	obey
	gives 0 '8 sectors moved back' release --all r
	same
	gives 0 '' close r
}

lvm() {
	new_set
	lvm_leaves
	pvcreate -qq "$MAIN"
	vgcreate -qq my-vg "$MAIN"
	lvcreate -qq -y -Zn -Wn -l 100%FREE -n da-ta my-vg
	lvchange -a y my-vg/da-ta
	mkfs.ext4 -q /dev/mapper/my--vg-da--ta
	mount /dev/mapper/my--vg-da--ta "$MNT"
	save first
	no_way "used by LVM volume my-vg/da-ta (mounted at $MNT)"
	obey
	fails dmsetup info my--vg-da--ta
	new_set
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	# From now on LVM takes the mapped device, as the documents say.
	lvm_leaves "$MAIN"
	vgchange -a y my-vg
	equal "$(lvs --noheadings -o devices my-vg | tr -d ' ')" '/dev/mapper/r(0)'
	through_r /dev/mapper/my--vg-da--ta
	gives 5 'LVM volume my-vg/da-ta' close r
	vgchange -a n my-vg
	gives 0 '' close r
	# Without that, as at the next boot: the volume is on main, and the set is refused.
	lvm_leaves
	vgchange -a y my-vg
	gives 5 'used by LVM volume my-vg/da-ta (not open)' open "$MAIN" "$SPARE" r
	obey
	lvm_leaves "$MAIN"
	vgchange -a y my-vg || true
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	vgchange -a y my-vg
	mount /dev/mapper/my--vg-da--ta "$MNT"
	saved first
	saved second
	umount "$MNT"
	vgchange -a n my-vg
	gives 0 '' close r
}

# unlock DEVICE: the encrypted volume on it, as `secret`.
unlock() { echo passphrase | cryptsetup open --key-file - "$1" secret; }

crypt() {
	new_set
	echo passphrase | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 --key-file - "$MAIN"
	unlock "$MAIN"
	mkfs.ext4 -q /dev/mapper/secret
	mount /dev/mapper/secret "$MNT"
	save first
	no_way "used by crypt device secret (mounted at $MNT)"
	obey
	new_set
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	unlock /dev/mapper/r
	through_r /dev/mapper/secret
	cryptsetup close secret
	gives 0 '' close r
	unlock "$MAIN"
	gives 5 'used by crypt device secret (not open)' open "$MAIN" "$SPARE" r
	obey
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	unlock /dev/mapper/r
	mount /dev/mapper/secret "$MNT"
	saved first
	saved second
	umount "$MNT"
	cryptsetup close secret
	gives 0 '' close r
}

mounts_and_swap() {
	new_set
	mkfs.ext4 -q "$MAIN"
	mount "$MAIN" "$MNT"
	no_way "$MAIN is in use: mounted at $MNT"
	obey
	mkswap "$MAIN"
	swapon "$MAIN"
	no_way "$MAIN is in use: used as swap"
	obey
	mkfs.ext4 -qF "$SPARE"
	mount "$SPARE" "$MNT"
	gives 5 "$SPARE is in use: mounted at $MNT" format -q --force "$MAIN" "$SPARE"
	obey
	# A mount that only another namespace has.
	mkfs.ext4 -q "$MAIN"
	unshare --mount --propagation private sh -c "mount $MAIN $MNT && touch $WORK/there && exec sleep 600" &
	sleeper=$!
	for _ in $(seq 100); do [ -e "$WORK/there" ] || sleep 0.1; done
	gives 5 "$MAIN is in use: claimed by something" format -q --force "$MAIN" "$SPARE"
	kill $sleeper
	wait $sleeper || true
	gives 0 '' format -q --force "$MAIN" "$SPARE"
}

# A partition in use keeps its disk; a disk in use keeps its partitions; a partition keeps no other.
partitions() {
	new_set
	addpart "$MAIN" 1 2048 40960
	addpart "$MAIN" 2 49152 40960
	mkfs.ext4 -q "${MAIN}p1"
	mount "${MAIN}p1" "$MNT"
	no_way "$MAIN is in use: ${MAIN}p1 is mounted at $MNT"
	gives 0 '' format -q --force "${MAIN}p2" "$SPARE"
	gives 0 /dev/mapper/r open "${MAIN}p2" "$SPARE" r
	gives 0 '' close r
	umount "$MNT"
	dmsetup create plain --table "0 2048 linear $MAIN 0"
	exec 7</dev/mapper/plain
	gives 5 "$MAIN is used by mapped device plain (open)" open --force --beside-idle "${MAIN}p2" "$SPARE" r
	gives 5 "$MAIN is used by mapped device plain (open)" format -q --force --beside-idle "${MAIN}p1" "$SPARE"
	exec 7<&-
	dmsetup remove plain
	delpart "$MAIN" 1
	delpart "$MAIN" 2
	# What is elsewhere on the disk is not in the way, as far as its table tells.
	dmsetup create plain --table "0 2048 linear $MAIN 0"
	exec 7</dev/mapper/plain
	gives 0 '' format -q --force --main-offset 2048 "$MAIN" "$SPARE"
	gives 5 'used by mapped device plain (open)' format -q --force --main-offset 2040 "$MAIN" "$SPARE"
	gives 0 /dev/mapper/r open --main-offset 2048 "$MAIN" "$SPARE" r
	gives 0 '' close r
	exec 7<&-
	dmsetup remove plain
}

# Another device of device-mapper on the same sectors, of which main itself knows nothing; a second loop device of one file.
beside() {
	new_set
	under m "$MAIN"
	dmsetup create plain --table "0 4096 linear $MAIN 4096"
	exec 7</dev/mapper/plain
	gives 5 "$MAIN is used by mapped device plain (open)" open --beside-idle /dev/mapper/m "$SPARE" r
	exec 7<&-
	obey
	gives 0 /dev/mapper/r open --beside-idle /dev/mapper/m "$SPARE" r
	gives 0 '' close r
	dmsetup remove m
	mkfs.ext4 -q "$MAIN"
	new_set
	twin=$(losetup -f --show "$WORK/main.img")
	mount "$twin" "$MNT"
	no_way "$MAIN is in use: used by ${twin#/dev/} (mounted at $MNT)"
	obey
	over=$(losetup -f --show "$MAIN")
	mount "$over" "$MNT"
	no_way "$MAIN is in use: used by ${over#/dev/} (mounted at $MNT)"
	obey
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	gives 5 'used by dm-remap set r' format -q --force "$MAIN" "$SPARE"
	obey
	gives 0 /dev/mapper/r open "$MAIN" "$SPARE" r
	gives 0 '' close r
}

t s21_plain_dmsetup plain_dmsetup
t s21_idle_is_gone_on_beside idle_is_gone_on_beside
t s21_taken_while_open taken_while_open
t s21_lvm lvm
t s21_crypt crypt
t s21_mounts_and_swap mounts_and_swap
t s21_partitions partitions
t s21_beside beside
t kernel_log_is_clean clean_log
finish
