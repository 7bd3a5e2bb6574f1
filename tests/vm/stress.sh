#!/bin/sh
# Other programs' load: ext4, xfs and btrfs side by side, each on a device of its own, under stress-ng's file and I/O stressors
# and fio's verification, for $MINUTES minutes, while the disk under two of them gets worse and better; the third is dm-linear
# on a good disk, so that what the load does by itself is seen too. Then every byte verifies, and fsck is clean.
# vm: memory=3072 cpus=2
. tests/vm/lib.sh

LEFT_S=$((${MINUTES:-2} * 60))
STRESSORS='dir flock fallocate fiemap hdd iomix readahead rename seek sync-file truncate utime'

load_module
modprobe ext4 xfs btrfs 2>/dev/null || true
for fs in ext4 xfs btrfs; do
	modprobe $fs
	mkdir -p "$WORK/$fs"
done

# No write cache: only writes fail, and what was acknowledged stays.
EXT4_MAIN=$(cacheless ext4main 384)
XFS_MAIN=$(cacheless xfsmain 384)
BTRFS_MAIN=$(cacheless btrfsmain 384)
LINEAR_MAIN=$(cacheless linearmain 384)

main_of() {
	case $1 in
	ext4) echo "$EXT4_MAIN" ;;
	xfs) echo "$XFS_MAIN" ;;
	btrfs) echo "$BTRFS_MAIN" ;;
	esac
}

# The disk under FILESYSTEM has other bad places than before: most of the old ones, and some new.
change() {
	awk -v seed="$(date +%s%N)" 'BEGIN { srand(seed % 1000000007) }
		rand() < 0.95 { print }
		END { for (i = 0; i < 6; i++) printf "%d %d %d\n", int(rand() * 1536), int(rand() * 480), 1 + int(rand() * 16) }
	' "$WORK/places.$1" >"$WORK/places.new"
	sort -n "$WORK/places.new" | awk '$1 != last { print; last = $1 }' >"$WORK/places.$1"
	# shellcheck disable=SC2046 # a list of words
	BAD=writes under "m$1" "$(main_of "$1")" $(awk '{ print $1 * 512 + $2 "+" $3 }' "$WORK/places.$1")
}

prepare() {
	for fs in ext4 xfs btrfs; do
		: >"$WORK/places.$fs"
		under m$fs "$(main_of $fs)"
		cacheless ${fs}spare 64 >"$WORK/spare.$fs"
		remap $fs "/dev/mapper/m$fs" "$(cat "$WORK/spare.$fs")" format
		change $fs
	done
	dmsetup create linear --table "0 $(sectors "$LINEAR_MAIN") linear $LINEAR_MAIN 0"
	mkfs.ext4 -q -E nodiscard /dev/mapper/ext4
	mkfs.xfs -q -K /dev/mapper/xfs
	mkfs.btrfs -q -K /dev/mapper/btrfs
	mkfs.ext4 -q -E nodiscard /dev/mapper/linear
	mkdir -p "$WORK/linear"
	for fs in ext4 xfs btrfs linear; do mount /dev/mapper/$fs "$WORK/$fs"; done
}

# load NAME SECONDS: one of stress-ng's stressors after the other, and fio beside them, on one filesystem.
load() {
	mkdir -p "$WORK/$1/stress"
	fio --name=v --filename="$WORK/$1/file" --size=48m --rw=randwrite --bsrange=512-64k --ioengine=libaio --direct=1 \
		--iodepth=8 --verify=crc32c --verify_fatal=1 --serialize_overlap=1 --rate=1m --time_based --runtime="$2" \
		--fallocate=none >"$WORK/fio.$1" 2>&1 &
	fio_pid=$!
	end=$(($(date +%s) + $2))
	while [ "$(date +%s)" -lt $end ]; do
		for stressor in $STRESSORS; do
			[ "$(date +%s)" -lt $end ] || break
			# shellcheck disable=SC2086,SC2046 # words
			stress-ng --temp-path "$WORK/$1/stress" --timeout 5s --$stressor 1 $(limits $stressor) --verify 2>&1 || return 1
		done
	done
	wait $fio_pid || {
		cat "$WORK/fio.$1"
		return 1
	}
}

# What keeps a stressor's files small.
limits() {
	case $1 in
	hdd | iomix | fallocate | readahead | truncate) echo "--$1-bytes 8M" ;;
	sync-file) echo '--sync-file-bytes 4M' ;;
	esac
}

# All at once, and every few seconds the disks change.
under_load() {
	pids=
	for fs in ext4 xfs btrfs linear; do
		load $fs "$LEFT_S" >"$WORK/load.$fs" 2>&1 &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086 # numbers
	while alive $pids; do
		for fs in ext4 xfs btrfs; do change $fs; done
		sleep 4
	done
	bad=
	for pid in $pids; do wait "$pid" || bad="$bad $pid"; done
	[ -z "$bad" ] || {
		tail -n 20 "$WORK"/load.*
		return 1
	}
}

# Whether one of the processes is there.
alive() {
	for alive_pid in "$@"; do
		[ ! -e "/proc/$alive_pid" ] || return 0
	done
	return 1
}

# healthy NAME: nothing failed above, and the disk was bad enough for that to mean something.
healthy() {
	dmsetup status "$1"
	equal "$(status "$1" 1) $(status "$1" 3) $(status "$1" 9)" 'rw 0 0'
	[ "$(used "$1")" -gt 20 ]
}

check() {
	case $1 in
	ext4 | linear) e2fsck -fn "/dev/mapper/$1" ;;
	xfs) xfs_repair -n "/dev/mapper/xfs" ;;
	btrfs) btrfs check --readonly --check-data-csum "/dev/mapper/btrfs" ;;
	esac
}

sound() {
	sum=$(sha256sum <"$WORK/$1/file")
	umount "$WORK/$1"
	check "$1"
	if [ "$1" != linear ]; then
		healthy "$1"
		dmsetup remove "$1"
		remap "$1" "/dev/mapper/m$1" "$(cat "$WORK/spare.$1")"
		check "$1"
	fi
	mount "/dev/mapper/$1" "$WORK/$1"
	equal "$(sha256sum <"$WORK/$1/file")" "$sum"
	umount "$WORK/$1"
}

unloads() {
	for fs in ext4 xfs btrfs; do
		dmsetup remove $fs
		dmsetup remove m$fs
	done
	dmsetup remove linear
	rmmod dm_remap
}

t filesystems_are_made_on_failing_disks prepare
t load_runs_as_on_dm_linear under_load
for fs in linear ext4 xfs btrfs; do t ${fs}_is_sound_and_verifies sound $fs; done
t s29_unloads unloads
t kernel_log_is_clean clean_log
finish
