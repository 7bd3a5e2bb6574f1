#!/bin/sh
# Guest instructions for one direct 4 KiB transfer, on devices that do nothing else. The guest's clock counts them:
# QEMU runs with -icount shift=0, one nanosecond for each instruction.
#
# Prints lines `DEVICE OPERATION MAPPED INSTRUCTIONS`; the caller makes a table of them.
. tests/vm/lib.sh

# Groups that are mapped for the runs through slots.
GROUP_COUNT=${1:-2048}
RUNS=5
TRANSFER=$WORK/transfer
# Out of the host's file system, so that nothing of it is read while the clock runs.
cp "$2" "$TRANSFER"
SECTORS=$((8 * 1024 * 1024))

# null_blk NAME MEMORY: a disk, called like its directory; without memory it forgets what it is given.
null_blk() {
	dir=/sys/kernel/config/nullb/$1
	mkdir "$dir"
	echo $((SECTORS / 2048)) >"$dir/size"
	echo 4096 >"$dir/blocksize"
	echo 0 >"$dir/irqmode"
	echo "$2" >"$dir/memory_backed"
	echo 1 >"$dir/power"
}

# measure DEVICE NAME MAPPED: RUNS samples of each operation.
measure() {
	for operation in read write; do
		"$TRANSFER" "$1" $operation "$GROUP_COUNT" $RUNS | sed "s/^/$2 $operation $3 /"
	done
}

# Maps the first GROUP_COUNT groups.
map_groups() {
	dmsetup message remap 0 remap 0 $((GROUP_COUNT * 8))
	used=$(dmsetup status remap | cut -d' ' -f5 | cut -d/ -f1)
	[ "$used" -ge "$GROUP_COUNT" ] || {
		echo "only $used of $GROUP_COUNT groups are mapped" >&2
		exit 1
	}
}

modprobe null_blk nr_devices=0
null_blk nullb0 0
null_blk nullb1 1
dmsetup create linear --table "0 $SECTORS linear /dev/nullb0 0"
dmsetup create remap --table "0 $SECTORS remap /dev/nullb0 0 1 /dev/nullb1 0 1 format"
measure /dev/nullb0 null_blk 0
measure /dev/mapper/linear dm-linear 0
measure /dev/mapper/remap remap 0
map_groups
# The slots lie on a disk with memory, main on one without: what that costs is measured on a disk like the spare.
null_blk nullb2 1
dmsetup create memory --table "0 $SECTORS linear /dev/nullb2 0"
measure /dev/nullb2 null_blk+memory 0
measure /dev/mapper/memory dm-linear+memory 0
dmsetup remove memory
measure /dev/mapper/remap remap "$used"
dmsetup remove remap
dmsetup remove linear
