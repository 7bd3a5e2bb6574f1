#!/bin/sh
# s18, s08: discard, write-zeroes, secure erase.
. tests/vm/lib.sh

load_module
modprobe dm-multipath
modprobe dm-round-robin
MAIN=$(disk main 32)
SPARE=$(disk spare 16)
# Fails whatever is sent, from the message to the one that takes it back, without a change of its queue limits: what is on it
# is offered discards and write-zeroes all the while.
FRAIL=$(disk frail 1)

break_frail() { dmsetup message p 0 fail_path "$(number "$FRAIL")"; }
mend_frail() { dmsetup message p 0 reinstate_path "$(number "$FRAIL")"; }

# Sectors 2000 to 2063 are on the frail disk.
start() {
	dmsetup create p --table "0 $(sectors "$FRAIL") multipath 2 queue_mode bio 0 1 1 round-robin 0 1 1 $FRAIL 1"
	BAD=/dev/mapper/p under m "$MAIN" 2000+64
	# A broken disk is not to fail flushes as well.
	echo 'write through' >"/sys/dev/block/$(number /dev/mapper/m)/queue/write_cache"
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	fill
}

# spoil FIRST COUNT: writes them while the frail disk is broken, so that they get mapped.
spoil() {
	break_frail
	put "$1" "$2"
	mend_frail
	equal "$(query r "$1")" mapped
}

flushes() { awk '{ print $16 }' "/sys/block/${1#/dev/}/stat"; }
flush() { dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync status=none; }

# Discards of the loop device leave zeroes.
discard_keeps_what_is_mapped() {
	spoil 2008 8
	spoil 2020 3
	slots=$(used r)
	# What main has there is not what was written, and is not touched.
	beneath() { dd if="$FRAIL" bs=512 skip=8 count=8 iflag=direct status=none | md5sum; }
	before=$(beneath)
	discard 1992 80
	equal "$(beneath)" "$before"
	# Of 2020 to 2022 mapped, the group's other sectors are discarded: the loop device takes whole blocks only.
	for range in '1992 8' '2000 8' '2024 48'; do
		# shellcheck disable=SC2086 # two words
		get $range
		cmp "$WORK/got" /dev/zero -n $((${range#* } * 512))
	done
	equal "$(used r)" "$slots"
	same 2008 8
	same 2020 3
	equal "$(query r 2008) $(query r 2021) $(query r 2019)" 'mapped mapped main'
	recreate
	same 2008 8
	same 2020 3
	fill
}

# All of the device at once, with mappings in it, and a discard of mapped sectors alone.
discard_of_everything() {
	dd if="$WORK/model" of="$WORK/kept" bs=512 skip=2008 count=8 status=none
	discard 2008 8
	same 2008 8
	discard 0 "$(sectors /dev/mapper/r)"
	get 2008 8
	cmp "$WORK/got" "$WORK/kept"
	get 0 1024
	cmp "$WORK/got" /dev/zero -n 524288
	equal "$(query r 2008)" mapped
	fill
	same
}

failed_discard_is_passed_up() {
	slots=$(used r)
	repairs=$(status r 7)
	break_frail
	fails discard 2032 32
	mend_frail
	equal "$(used r) $(status r 7)" "$slots $repairs"
	discard 2032 32
	fill
}

zeroes_reach_main_and_slots() {
	commits=$(status r 11)
	zeroes 1990 100
	wiped 1990 100
	same 1980 120
	equal "$(query r 2008) $(query r 2021)" 'mapped mapped'
	equal "$(status r 11)" "$commits"
	recreate
	same 1980 120
	put 2008 8
	same
}

zeroes_in_a_slot_need_the_flush() {
	flush
	before=$(flushes "$SPARE")
	zeroes 2008 8
	wiped 2008 8
	flush
	[ "$(flushes "$SPARE")" -gt "$before" ]
}

failed_zeroes_are_repaired() {
	slots=$(used r)
	break_frail
	zeroes 2032 24
	equal "$(query r 2032) $(query r 2055)" 'mapped mapped'
	wiped 2032 24
	same 2032 24
	# A long one of which only a part fails.
	zeroes 1024 4096
	wiped 1024 4096
	mend_frail
	same
	[ "$(used r)" -gt "$slots" ]
	recreate
	same
	fill
}

zeroes_move_a_suspect_sector() {
	place=$(dmsetup message r 0 query 2008 | sed 's/.* spare_sector=//')
	under s "$SPARE" "$place+8"
	fails get 2008 8
	equal "$(query r 2008)" suspect
	zeroes 2008 8
	wiped 2008 8
	under s "$SPARE"
	same 2000 24
	equal "$(query r 2008) $(status r 3)" 'mapped 0'
	[ "$(dmsetup message r 0 query 2008 | sed 's/.* spare_sector=//')" != "$place" ]
}

refused_after_a_failed_flush() {
	BAD=writes under s "$SPARE" 32512+8
	put 2008 8
	fails flush
	equal "$(status r 1)" fail
	fails zeroes 100 8
	fails zeroes 2008 8
	fails discard 100 8
	same 96 16
	same 2008 8
	under s "$SPARE"
	dmsetup message r 0 resume_remap
	zeroes 100 8
	wiped 100 8
	same
}

# A discard does not end on main, and its group is to be moved: what main has there is read for good when it has ended.
moving_waits_for_a_discard() {
	dmsetup create slow --table "0 8 delay $MAIN 3000 0 $MAIN 3000 600000"
	BAD=/dev/mapper/slow under m "$MAIN" 3000+8
	discard 3000 8 &
	user=$!
	under_way m write
	dmsetup message r 0 remap 3000 8 >"$WORK/line" &
	order=$!
	sleep 2
	kill -0 $user
	kill -0 $order
	equal "$(query r 3000)" main
	dmsetup suspend --noflush --nolockfs slow
	dmsetup resume slow
	wait $user
	wait $order
	grep ' remapped=8 ' "$WORK/line"
	wiped 3000 8
	equal "$(query r 3000)" mapped
	same 2992 24
	under m "$MAIN"
	dmsetup remove slow
	dmsetup message r 0 release 3000 8 | grep ' released=8 '
	same 2992 24
}

# told FIELDS COMMAND...: the command, and by how much these of the counts of the disk COUNTED went up by it.
told() {
	fields=$1
	shift
	before=$(cat "/sys/block/${COUNTED#/dev/}/stat")
	"$@" >&2
	echo "$before $(cat "/sys/block/${COUNTED#/dev/}/stat")" |
		awk -v fields="$fields" '{ n = split(fields, f, ","); for (i = 1; i <= n; i++) printf "%d ", $(NF / 2 + f[i]) - $f[i]; print "" }'
}

# all_kinds DEVICE COUNTED: all that may be sent to a device is; what the disk COUNTED below it got of each is printed.
all_kinds() {
	device=$1 COUNTED=$2
	# Reads, sectors read, writes, sectors written, discards, sectors discarded, flushes.
	all=1,3,5,7,12,14,16
	# Through the cache, where the number of requests is up to the time.
	sectors=3,7,12,14,16
	# Of what only the way through the device is to be seen, and not how a program opens it.
	to() { dd of="$device" conv=notrunc status=none "$@"; }
	blockdev --setra 64 "$device"
	# What is longer is cut by the pieces that its memory is in.
	told $all to if="$WORK/new" bs=256k oflag=direct
	told $all to if="$WORK/new" bs=512 seek=1001 count=3 oflag=direct
	told $all to if="$WORK/new" bs=4096 seek=10 count=5 oflag=direct,dsync
	told $all to if="$WORK/new" bs=512 seek=77 count=1 oflag=direct,dsync
	told $all dd if=/dev/null of="$device" conv=notrunc,fsync status=none
	told $sectors to if="$WORK/new" bs=64k seek=100 count=8 conv=notrunc,fsync
	told $all blkdiscard -f -o 4194304 -l 2097152 "$device"
	told $all blkdiscard -f -o $((1001 * 512)) -l $((37 * 512)) "$device"
	told $all fallocate --punch-hole -o 8388608 -l 1048576 "$device"
	told $all fallocate --punch-hole -o $((20001 * 512)) -l $((13 * 512)) "$device"
	for how in read write; do
		told $all fio --name=n --filename="$device" --rw=$how --bs=4096 --size=4096 --offset=12582912 --direct=1 --buffer_pattern=7 \
			--ioengine=pvsync2 --nowait=1 --allow_file_create=0 --unlink=0
	done
	blockdev --flushbufs "$device"
	told $sectors xfs_io -r -c 'fadvise -w 16m 256k' -c 'pread -q 16m 4k' -c 'pread -q 16512k 128k' "$device"
	told $sectors dd if="$device" of=/dev/null bs=16k skip=1100 count=20 status=none
	told $all dd if="$device" of=/dev/null bs=256k iflag=direct status=none
}

# The same done to a linear on an equal disk: main gets what that gets, and the spare gets nothing.
as_on_linear() {
	dmsetup remove r
	plain=$(disk plain 32)
	beside=$(disk beside 32)
	second=$(disk second 16)
	remap r "$plain" "$second" format
	dmsetup create l --table "0 $(sectors "$beside") linear $beside 0"
	head -c 33554432 /dev/urandom >"$WORK/new"
	# The first flush covers what an earlier activation may have left in the spare's cache.
	flush
	untouched=$(cat "/sys/block/${second#/dev/}/stat")
	all_kinds /dev/mapper/r "$plain" >"$WORK/counts"
	equal "$(cat "/sys/block/${second#/dev/}/stat")" "$untouched"
	all_kinds /dev/mapper/l "$beside" >"$WORK/counts-linear"
	paste "$WORK/counts" "$WORK/counts-linear"
	equal "$(cat "$WORK/counts")" "$(cat "$WORK/counts-linear")"
	# Each of them reached the disk at all.
	fails grep -qx '[0 ]*' "$WORK/counts-linear"
	cmp /dev/mapper/r /dev/mapper/l
	cmp "$plain" "$beside"
	equal "$(used r)" 0
	dmsetup remove l
}

# What a disk offers of this none here does: a disk that does nothing is made to say that it does.
secure_erase_is_not_offered() {
	dmsetup remove r
	# A secure erase carries no data, which a disk that keeps data in memory does not bear.
	erases=$(cacheless erases 32 memory_backed=0)
	insmod "$TEST_MODULES/offer_secure_erase.ko" fd=3 3<"$erases"
	rmmod offer_secure_erase
	blkdiscard -f --secure "$erases"
	dmsetup create l --table "0 $(sectors "$erases") linear $erases 0"
	blkdiscard -f --secure /dev/mapper/l
	dmsetup remove l
	remap r "$erases" "$(disk third 16)" format
	refused 'not supported' blkdiscard -f --secure /dev/mapper/r
	dmsetup remove r
}

t start start
t s18_discard_keeps_what_is_mapped discard_keeps_what_is_mapped
t s18_discard_of_everything discard_of_everything
t s18_failed_discard_is_passed_up failed_discard_is_passed_up
t s18_zeroes_reach_main_and_slots zeroes_reach_main_and_slots
t s08_zeroes_in_a_slot_need_the_flush zeroes_in_a_slot_need_the_flush
t s18_failed_zeroes_are_repaired failed_zeroes_are_repaired
t s18_zeroes_move_a_suspect_sector zeroes_move_a_suspect_sector
t s08_refused_after_a_failed_flush refused_after_a_failed_flush
t s09_moving_waits_for_a_discard moving_waits_for_a_discard
t s18_with_nothing_mapped_all_is_as_on_linear as_on_linear
t s18_secure_erase_is_not_offered secure_erase_is_not_offered
t kernel_log_is_clean clean_log
finish
