#!/bin/sh
# What main or a slot does not give back: all that can be read is read, the rest is an error, and never anything else.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 64)
SPARE=$(disk spare 32)

start() {
	under m "$MAIN"
	remap r /dev/mapper/m "$SPARE" format
	fill
	same
	equal "$(status r 4) $(status r 15) $(status r 16) $(status r 17)" "0 0 0 0"
}

# A disk whose reads take 0.2 s (or $1 ms) and fail, 64 sectors long; writes fail at once.
make_slow() {
	dmsetup create dead --table "0 64 error"
	dmsetup create slow --table "0 64 delay /dev/mapper/dead 0 ${1-200} /dev/mapper/dead 0 0"
}

remove_slow() {
	under m "$MAIN"
	dmsetup remove slow
	dmsetup remove dead
}

one_bad_sector_fails_a_large_read() {
	under m "$MAIN" 5000+1
	refused 'Input/output error' get 4096 2048
	equal "$(status r 4)" 1
	equal "$(query r 4999) $(query r 5000) $(query r 5001)" "main pending main"
	same 4096 904
	same 5001 1143
	equal "$(status r 17)" 1
	logged 'device-mapper: remap: .*: sector 5000: 1 sectors unreadable$'
	# What is in no map is in no list.
	equal "$(dmsetup message r 0 list | wc -l)" 0
}

# By way of the page cache all pages but one are read, though one request asked for many.
page_cache_reads_the_neighbours() {
	echo 3 >/proc/sys/vm/drop_caches
	# Not every dd ends with an error when it was told to go on.
	dd if=/dev/mapper/r of="$WORK/got" bs=4096 skip=600 count=100 conv=noerror,sync status=none || true
	dd if="$WORK/model" of="$WORK/right" bs=4096 skip=600 count=100 status=none
	# Page 625 holds sector 5000.
	dd if=/dev/zero of="$WORK/right" bs=4096 seek=25 count=1 conv=notrunc status=none
	cmp "$WORK/got" "$WORK/right"
}

pending_goes_with_a_write() {
	under m "$MAIN"
	put 4990 20
	equal "$(status r 4)" 0
	equal "$(query r 5000)" main
}

pending_goes_with_a_good_read() {
	under m "$MAIN" 5000+3
	fails get 5000 8
	equal "$(status r 4)" 3
	under m "$MAIN"
	equal "$(query r 5001)" pending
	same 5001 1
	equal "$(status r 4)" 2
	equal "$(query r 5001)" main
	same 4992 32
	equal "$(status r 4)" 0
}

pending_goes_with_a_mapping() {
	under m "$MAIN" 5000+3
	fails get 5000 8
	put 5000 2
	equal "$(status r 4)" 1
	equal "$(query r 5000) $(query r 5002)" "mapped pending"
	same 5000 2
}

# Main, two slots, main, and errors of main and of a slot in one read.
a_read_over_main_and_slots() {
	BAD=writes under m "$MAIN" 6008+16
	put 6000 40
	under m "$MAIN"
	same 5990 60
	under m "$MAIN" 6008+16
	same 5990 60
	under m "$MAIN" 6008+16 6030+1
	fails get 5990 60
	same 5990 40
	same 6031 19
	equal "$(query r 6008) $(query r 6030)" "mapped pending"
	under m "$MAIN"
	same 5990 60
	equal "$(query r 6030)" main
}

errors_that_pass_are_healed_by_retries() {
	param max_retries_production 100
	before=$(status r 16)
	make_slow
	BAD=/dev/mapper/slow under m "$MAIN" 50000+8
	get 49990 40 &
	reader=$!
	sleep 1
	under m "$MAIN"
	wait $reader
	# What this read was given, not what the next one would be.
	dd if="$WORK/model" bs=512 count=40 skip=49990 status=none | cmp - "$WORK/got"
	same 49990 40
	equal "$(status r 16)" $((before + 1))
	equal "$(query r 50000)" main
	param max_retries_production 5
	remove_slow
}

# Retries are counted by the device below, which leaves out what dies in a table of its own.
reads() {
	param max_retries_production "$1"
	stat=/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor m)/stat
	before=$(awk '{ print $1 }' "$stat")
	get "$2" 1 2>/dev/null && return 1
	echo $(($(awk '{ print $1 }' "$stat") - before))
}

max_retries_production_is_obeyed() {
	dmsetup create dead --table "0 8 error"
	BAD=/dev/mapper/dead under m "$MAIN" 51000+1 51100+1 51200+1 51300+1
	equal "$(reads 0 51000)" 2
	equal "$(reads 1 51100)" 2
	equal "$(reads 5 51200)" 6
	equal "$(reads 20 51300)" 21
	equal "$(query r 51300)" pending
	param max_retries_production 5
	under m "$MAIN"
	dmsetup remove dead
}

# A page of eight unreadable blocks, alone and in a longer read: known to be unreadable, it costs no more than the reads around it. The device
# below counts all but what dies in a table of its own.
what_is_known_is_cheap() {
	dmsetup create dead --table "0 8 error"
	BAD=/dev/mapper/dead under m "$MAIN" 51400+8
	stat=/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor m)/stat
	cost() {
		before=$(awk '{ print $1 }' "$stat")
		get "$@" 2>/dev/null && return 1
		echo $(($(awk '{ print $1 }' "$stat") - before))
	}
	pending=$(status r 4)
	[ "$(cost 51400 8)" -gt 20 ]
	equal "$(status r 4)" $((pending + 8))
	for _ in 1 2 3; do
		equal "$(cost 51400 8) $(cost 51403 2)" "1 1"
		# The reader's own request, one before, one of all eight, one behind. The disk below counts the first by its parts, of which it has three.
		[ "$(cost 51360 100)" -le 6 ]
	done
	same 51360 40
	same 51408 40
	equal "$(status r 4)" $((pending + 8))
	# A read of one of them that goes well is given.
	under m "$MAIN"
	same 51400 8
	equal "$(status r 4)" "$pending"
	# One that is found anew is tried in full, and a write heals it.
	BAD=/dev/mapper/dead under m "$MAIN" 51400+8
	[ "$(cost 51400 8)" -gt 20 ]
	under m "$MAIN"
	put 51400 8
	equal "$(query r 51400)" main
	BAD=/dev/mapper/dead under m "$MAIN" 51400+8
	[ "$(cost 51400 8)" -gt 20 ]
	under m "$MAIN"
	dmsetup remove dead
	same 51400 8
}

# The read is on its way to main while a write of the block goes to a slot.
a_read_follows_its_block_to_a_slot() {
	make_slow 600000
	BAD=/dev/mapper/slow under m "$MAIN" 52000+8
	before=$(status r 16)
	# Not by `get`, whose file `put` may use.
	dd if=/dev/mapper/r of="$WORK/follows" bs=4096 count=1 skip=6500 iflag=direct status=none &
	reader=$!
	# It is on the device, where it stays until that is suspended.
	under_way m read
	# Main is asked whether it takes writes, which does not wait for the reader (S9, S14).
	put 52000 8
	equal "$(query r 52000)" mapped
	equal "$(status r 16)" "$before"
	dmsetup suspend --noflush --nolockfs slow
	dmsetup resume slow
	wait $reader
	equal "$(status r 16)" $((before + 1))
	dd if="$WORK/model" bs=4096 count=1 skip=6500 status=none | cmp - "$WORK/follows"
	remove_slow
}

# The page before the bad ones is read, and what was read ahead of it leaves no trace.
read_ahead_records_nothing() {
	under m "$MAIN" 60080+400
	blockdev --setra 1024 /dev/mapper/r
	echo 3 >/proc/sys/vm/drop_caches
	before="$(status r 4) $(status r 15)"
	stat=/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor r)/stat
	sectors=$(awk '{ print $3 }' "$stat")
	dd if=/dev/mapper/r of=/dev/null bs=4096 skip=7500 count=8 status=none
	# More was asked for than what is good.
	[ $(($(awk '{ print $3 }' "$stat") - sectors)) -gt 80 ]
	equal "$(status r 4) $(status r 15)" "$before"
	under m "$MAIN"
}

# Failed reads that take their time end by the deadline, and hold up neither good I/O nor the repair of writes.
slow_reads_hold_nobody_up() {
	make_slow 1000
	param max_retries_production 100
	BAD=/dev/mapper/slow under m "$MAIN" 70000+8 70100+8 70200+8 70300+8 71000+8
	stat=/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor m)/stat
	before=$(awk '{ print $1 }' "$stat")
	pids='' going=''
	for at in 70000 70100 70200 70300; do
		dd if=/dev/mapper/r of=/dev/null bs=4096 count=1 skip=$((at * 512)) iflag=direct,skip_bytes status=none &
		pids="$pids $!"
	done
	sleep 3
	same 69000 8
	put 71000 8
	# Of the groups that are being read as well.
	put 70000 8
	equal "$(query r 71000) $(query r 70000)" "mapped mapped"
	# The others go on meanwhile.
	for pid in $pids; do [ ! -e "/proc/$pid" ] || going=$pid; done
	[ -n "$going" ]
	# The read of 70000 is given what the write brought.
	wait "$(echo "$pids" | awk '{ print $1 }')"
	for pid in ${pids#* * }; do fails wait "$pid"; done
	# A hundred retries of eight sectors for each would be far more.
	reads=$(($(awk '{ print $1 }' "$stat") - before))
	[ "$reads" -lt 400 ] || equal "$reads" "reads before the deadline"
	same 70000 8
	param max_retries_production 5
	remove_slow
}

# A read on main that takes its time holds up no group that is moved, nor who uses it.
an_order_does_not_wait_for_a_slow_read() {
	make_slow 600000
	param max_retries_production 0
	BAD=/dev/mapper/slow under m "$MAIN" 90000+8
	dd if=/dev/mapper/r of=/dev/null bs=4096 count=1 skip=$((90000 * 512)) iflag=direct,skip_bytes status=none &
	pid=$!
	sleep 1
	equal "$(dmsetup message r 0 remap 92000 8)" 'sector=92000 sectors=8 remapped=8 mapped=0 unreadable=0 failed=0'
	put 92000 8
	same 92000 8
	# Who reads main must be gone before main is written: the answer takes as long as the read, but no user has to wait.
	dmsetup message r 0 release 92000 8 >"$WORK/released" &
	order=$!
	for _ in $(seq 5); do
		sleep 0.2
		put 92000 8
		same 92000 8
	done
	kill -0 $pid
	kill -0 $order
	equal "$(query r 92000)" mapped
	# It fails now, and so does what it is tried in again.
	dmsetup load slow --table "0 64 error"
	dmsetup suspend --noflush --nolockfs slow
	dmsetup resume slow
	fails wait $pid
	wait $order
	equal "$(cat "$WORK/released")" 'sector=92000 sectors=8 released=8 main=0 lost=0 unreadable=0 failed=0'
	param max_retries_production 5
	remove_slow
}

narrowed_without_remapping_too() {
	param auto_remap_enabled 0
	under m "$MAIN" 80000+1
	before=$(status r 15)
	fails get 79990 20
	equal "$(status r 15)" $((before + 1))
	equal "$(query r 80000)" pending
	same 79990 10
	same 80001 9
	param auto_remap_enabled 1
	under m "$MAIN"
}

nothing_of_it_outlives_the_device() {
	under m "$MAIN" 5002+1
	fails get 5002 1
	dmsetup remove r
	remap r /dev/mapper/m "$SPARE"
	equal "$(status r 4) $(status r 15)" "0 0"
	under m "$MAIN"
	same
}

# A disk of 512e that says what is wrong, and fails by the sector.
medium_errors_of_a_scsi_disk() {
	dmsetup remove r
	dmsetup remove m
	scsi=$(scsi_disk 64 physblk_exp=3)
	under m "$scsi"
	dd if=/dev/zero of="$SPARE" bs=1M count=1 conv=notrunc oflag=direct status=none
	dd if=/dev/zero of="$SPARE" bs=1M seek=31 count=1 conv=notrunc oflag=direct status=none
	remap r /dev/mapper/m "$SPARE" format
	dd if="$WORK/model" of=/dev/mapper/r bs=1M oflag=direct status=none
	echo 4660 >/sys/module/scsi_debug/parameters/medium_error_start
	echo 3 >/sys/module/scsi_debug/parameters/medium_error_count
	echo 2 >/sys/bus/pseudo/drivers/scsi_debug/opts
	refused 'No data available' get 4096 2048
	equal "$(status r 4)" 3
	equal "$(query r 4659) $(query r 4660) $(query r 4662) $(query r 4663)" "main pending pending main"
	same 4656 4
	same 4663 1
	echo 0 >/sys/bus/pseudo/drivers/scsi_debug/opts
	same
	equal "$(status r 4)" 0
}

t start start
t s02_one_bad_sector_fails_a_large_read one_bad_sector_fails_a_large_read
t s02_page_cache_reads_the_neighbours page_cache_reads_the_neighbours
t s02_pending_goes_with_a_write pending_goes_with_a_write
t s02_pending_goes_with_a_good_read pending_goes_with_a_good_read
t s02_pending_goes_with_a_mapping pending_goes_with_a_mapping
t s03_a_read_over_main_and_slots a_read_over_main_and_slots
t s02_errors_that_pass_are_healed_by_retries errors_that_pass_are_healed_by_retries
t s02_max_retries_production_is_obeyed max_retries_production_is_obeyed
t s34_what_is_known_is_cheap what_is_known_is_cheap
t s04_a_read_follows_its_block_to_a_slot a_read_follows_its_block_to_a_slot
t s17_read_ahead_records_nothing read_ahead_records_nothing
t s02_slow_reads_hold_nobody_up slow_reads_hold_nobody_up
t s09_an_order_does_not_wait_for_a_slow_read an_order_does_not_wait_for_a_slow_read
t s02_narrowed_without_remapping_too narrowed_without_remapping_too
t nothing_of_it_outlives_the_device nothing_of_it_outlives_the_device
t s02_medium_errors_of_a_scsi_disk medium_errors_of_a_scsi_disk
t kernel_log_is_clean clean_log
finish
