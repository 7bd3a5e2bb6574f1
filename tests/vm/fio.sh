#!/bin/sh
# A filesystem and fio's verification on a disk that gets worse every second. The disk has no write cache, so that
# only writes fail, and what was written before its sector went bad can be read.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 64)
SPARE=$(disk spare 16)
: >"$WORK/places"

# Four places more, of 1 to 16 sectors, at most one in each 512 sectors so that none meets another.
worse() {
	awk -v seed="$(date +%s%N)" 'BEGIN {
		srand(seed % 1000000007)
		for (i = 0; i < 4; i++) printf "%d %d %d\n", int(rand() * 128), int(rand() * 480), 1 + int(rand() * 16)
	}' >>"$WORK/places"
	# shellcheck disable=SC2046 # a list of words
	BAD=writes under m "$MAIN" $(sort -n "$WORK/places" | awk '$1 != last { print $1 * 512 + $2 "+" $3; last = $1 }')
}

# while_it_gets_worse COMMAND...: runs it, with something new every second.
while_it_gets_worse() {
	"$@" >"$WORK/out" 2>&1 &
	pid=$!
	while [ -e /proc/$pid ]; do
		worse
		sleep 1
	done
	wait $pid || {
		cat "$WORK/out"
		return 1
	}
}

# verified FILE SIZE OPTION...: random writes of 512 bytes to 64 KiB with 16 in flight, each with a checksum that is read back.
verified() {
	file=$1 size=$2
	shift 2
	fio --name=v --filename="$file" --size="$size" --rw=randwrite --bsrange=512-64k --ioengine=libaio --direct=1 \
		--iodepth=16 --verify=crc32c --verify_fatal=1 --randseed=7 --serialize_overlap=1 "$@"
}

recreate() {
	dmsetup remove r
	remap r /dev/mapper/m "$SPARE"
}

healthy() {
	dmsetup status r
	equal "$(status r 1) $(status r 3) $(status r 9)" 'rw 0 0'
	[ "$(used r)" -gt "$1" ]
}

start() {
	under m "$MAIN"
	for _ in 1 2 3 4 5 6 7 8; do worse; done
	remap r /dev/mapper/m "$SPARE" format
}

raw_device() {
	while_it_gets_worse verified /dev/mapper/r 32m --rate=4m
	healthy 20
	recreate
	verified /dev/mapper/r 32m --verify_only
}

filesystem() {
	while_it_gets_worse mkfs.ext4 -q -E nodiscard /dev/mapper/r
	mkdir -p "$WORK/mnt"
	mount /dev/mapper/r "$WORK/mnt"
	while_it_gets_worse verified "$WORK/mnt/file" 24m --rate=4m --fallocate=none
	while_it_gets_worse cp "$WORK/mnt/file" "$WORK/mnt/copy"
	sync
	umount "$WORK/mnt"
	e2fsck -fn /dev/mapper/r
	healthy 30
	recreate
	e2fsck -fn /dev/mapper/r
	mount /dev/mapper/r "$WORK/mnt"
	verified "$WORK/mnt/file" 24m --verify_only
	cmp "$WORK/mnt/file" "$WORK/mnt/copy"
	umount "$WORK/mnt"
	echo "$(used r) slots, $(sort -un "$WORK/places" | wc -l) places"
}

unloads() {
	dmsetup remove r
	dmsetup remove m
	rmmod dm_remap
}

t start start
t fio_verifies_on_the_device_while_sectors_fail raw_device
t fio_verifies_on_a_filesystem_while_sectors_fail filesystem
t s29_unloads unloads
t kernel_log_is_clean clean_log
finish
