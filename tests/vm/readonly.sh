#!/bin/sh
# s19: a read-only table takes no write, discard, write-zeroes or order from anybody, and does not format; both disks stay as they are.
. tests/vm/lib.sh

load_module
# Loop devices take discards and write-zeroes.
MAIN=$(disk main 16)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")
EROFS='Read-only file system'

sum() { cat "$WORK/main.img" "$WORK/spare.img" | md5sum; }
line() { echo "0 $LEN remap $MAIN 0 1 $SPARE 0"; }
message() { dmsetup message r 0 "$@"; }

# again [OPTION]: r gets its table anew, under whatever is stacked on it.
again() {
	dmsetup load "$@" r --table "$(line)"
	dmsetup suspend r
	dmsetup resume r
}

start() {
	remap r "$MAIN" "$SPARE" format
	fill
	message remap 2000 16
	dmsetup create l --table "0 $LEN linear /dev/mapper/r 0"
}

# each_to_linear: what changes a device, sent to dm-linear on r; its exit statuses, 0 or 1.
each_to_linear() {
	for at in 1024 2000; do
		for what in 'dd if=/dev/urandom of=/dev/mapper/l bs=512 count=8 oflag=direct conv=notrunc status=none seek='$at \
			"blkdiscard -f -o $((at * 512)) -l 4096 /dev/mapper/l" \
			"fallocate --punch-hole -o $((at * 512)) -l 4096 /dev/mapper/l"; do
			$what >&2 && echo 0 || echo 1
		done
	done | tr -d '\n'
}

# dm-linear was made while r was writable, and hands everything down.
nothing_from_above() {
	equal "$(each_to_linear)" 000000
	fill
	again --readonly
	equal "$(blockdev --getro /dev/mapper/r)" 1
	sync
	before=$(sum)
	equal "$(each_to_linear)" 111111
	# Nor at the device itself.
	fails put 1024 8
	fails discard 1024 8
	fails zeroes 1024 8
	sync
	equal "$(sum)" "$before"
	same
	equal "$(status r 1) $(status r 7) $(query r 1024) $(query r 2000)" 'rw 0 main mapped'
	# With a table that takes writes all is as it was.
	again
	equal "$(each_to_linear)" 000000
	fill
	same
}

no_orders() {
	again --readonly
	before=$(sum)
	refused "$EROFS" message remap 1024 8
	refused "$EROFS" message release 2000 8
	refused "$EROFS" message resume_remap
	# What changes nothing is answered.
	equal "$(message query 2000 | cut -d ' ' -f 1-3)" 'sector=2000 sectors=1 state=mapped'
	equal "$(message reset_stats)" stats=reset
	same
	dmsetup remove l
	dmsetup remove r
	gives 0 '' open --readonly "$MAIN" "$SPARE" r
	gives 4 'it is read-only' remap r 1024 8
	gives 4 'it is read-only' release r 2000 8
	gives 4 'it is read-only' resume r
	same
	gives 0 '' close r
	equal "$(sum)" "$before"
}

# Orders are refused likewise as long as writes are, and when the map must not change.
no_orders_in_mode_fail() {
	BAD=writes under s "$SPARE" 32512+8
	remap r "$MAIN" /dev/mapper/s
	put 2000 8
	fails dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync status=none
	equal "$(status r 1)" fail
	refused "$EROFS" message remap 1024 8
	refused "$EROFS" message release 2000 8
	under s "$SPARE"
	equal "$(message resume_remap)" mode=rw
	equal "$(message release 2000 8 | cut -d ' ' -f 3)" released=8
	same
	dmsetup remove r
	dmsetup remove s
}

# A spare without a set stays without one; a set that is there is opened.
no_format() {
	blank=$(disk blank 16)
	refused "$EROFS" dmsetup create r --readonly --table "0 $LEN remap $MAIN 0 1 $blank 0 1 format"
	logged 'a read-only table does not format'
	cmp "$WORK/blank.img" /dev/zero -n 16777216
	refused 'No such device or address' dmsetup create r --readonly --table "0 $LEN remap $MAIN 0 1 $blank 0"
	before=$(sum)
	dmsetup create r --readonly --table "$(line) 1 format"
	same
	dmsetup remove r
	equal "$(sum)" "$before"
	losetup -d "$blank"
}

t start start
t s19_nothing_from_above nothing_from_above
t s19_no_orders no_orders
t s19_no_orders_in_mode_fail no_orders_in_mode_fail
t s20_no_format no_format
t kernel_log_is_clean clean_log
finish
