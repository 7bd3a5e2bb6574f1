#!/bin/sh
# A spare has bad sectors as well. Without write caches, so that nothing but reads and writes fails.
. tests/vm/lib.sh

load_module
set_up 32 32

# On main every write of these sectors fails, and reads give what was there before: what must never come back.
bad_main() { BAD=writes under m "$MAIN" 1000+8 2000+8 3000+8 4000+64 6000+8 7000+8 8192+1024; }

start() {
	bad_main
	put 1000 8
	put 2000 8
	put 4000 64
	same
}

failed_slot_read_is_an_error() {
	under s "$SPARE" "$(place 1000)+1"
	refused 'Input/output error' get 1000 1
	equal "$(query r 1000)" suspect
	equal "$(query r 1001)" mapped
	same 1001 7
	# Not main's old content either, which could be read, and not by a longer read.
	refused 'Input/output error' get 1000 1
	refused 'Input/output error' get 992 32
	refused 'Input/output error' get 1000 8
	same 992 8
	equal "$(status r 3)" 0
	# What reads well again is given, and memory alone had the suspicion.
	under s "$SPARE"
	same 992 32
	recreate
	equal "$(query r 1000)" mapped
	same 992 32
}

write_to_a_suspect_sector_moves_it() {
	retired=$(status r 6) old=$(place 1000)
	under s "$SPARE" "$old+8"
	refused 'Input/output error' get 1000 8
	put 1000 8
	equal "$(query r 1000)" mapped
	[ "$(place 1000)" != "$old" ]
	sleep 1
	equal "$(status r 6)" $((retired + 1))
	equal "$(status r 3)" 0
	same 990 30
	recreate
	same 990 30
	equal "$(status r 6)" $((retired + 1))
}

# The write brings two of eight sectors, one of the others cannot be read: that one is lost, for good.
what_cannot_be_moved_is_lost() {
	old=$(place 1000)
	under s "$SPARE" "$old+1" "$((old + 3))+1"
	refused 'Input/output error' get 1003 1
	put 1003 2
	equal "$(query r 1000)" lost
	equal "$(status r 3)" 1
	logged ': sector 1000: mask 0x01 lost'
	same 1001 7
	refused 'No data available' get 1000 1 || refused 'Input/output error' get 1000 1
	# The old slot reads well again: the content stays lost.
	under s "$SPARE"
	fails get 1000 1
	recreate
	equal "$(query r 1000)" lost
	equal "$(status r 3)" 1
	fails get 1000 8
	same 1001 7
	# Reloading the page cache's way: a buffered read, of 4 KiB, is an error.
	fails dd if=/dev/mapper/r of=/dev/null bs=4096 skip=125 count=1
	put 1000 1
	equal "$(status r 3)" 0
	equal "$(query r 1000)" mapped
	same 990 30
	recreate
	equal "$(status r 3)" 0
	same
}

failed_slot_write_takes_a_new_slot() {
	old=$(place 2000) retired=$(status r 6)
	BAD=writes under s "$SPARE" "$old+8"
	put 2002 2
	[ "$(place 2002)" != $((old + 2)) ]
	equal "$(place 2000)" $(($(place 2002) - 2))
	sleep 1
	equal "$(status r 6)" $((retired + 1))
	same 1990 30
	recreate
	same
}

# One write over many slots, some of which fail.
a_write_over_slots_moves_the_bad_ones() {
	one=$(place 4016) two=$(place 4048)
	BAD=writes under s "$SPARE" "$one+8" "$((two + 5))+1"
	put 3990 100
	[ "$(place 4016)" != "$one" ]
	[ "$(place 4048)" != "$two" ]
	same 3980 120
	recreate
	same
}

# One long write, which is one bio where the slots lie one behind the other: those that fail are retired, and no other.
a_write_over_slots_retires_the_bad_ones() {
	put 8192 240
	retired=$(status r 6) used=$(used r)
	BAD=writes under s "$SPARE" "$(place 8232)+8" "$(place 8352)+8"
	put 8192 240
	sleep 1
	equal "$(status r 6)" $((retired + 2))
	equal "$(used r)" "$used"
	same 8180 260
	under s "$SPARE"
	recreate
	same
}

# Each slot of the set is used, free, retired or reserved when the device is at rest.
all_slots_are_accounted_for() {
	level=$(param debug_level)
	param debug_level 2
	dmsetup suspend r
	dmsetup resume r
	param debug_level "$level"
	total=$(status r 2)
	total=${total#*/}
	counted=$(dmesg | sed -n "s/.*: $total slots: \(.*\) used, \(.*\) free, \(.*\) retired, \(.*\) reserved$/\1 \2 \3 \4/p" | tail -n 1)
	echo "$counted"
	# shellcheck disable=SC2086 # a list of words
	set -- $counted
	equal $(($1 + $2 + $3 + $4)) "$total"
	equal "$(($1 + $4)) $3" "$(used r) $(status r 6)"
}

# The next slots fail when they are written first.
a_bad_new_slot_is_passed_over() {
	put 3000 8
	next=$(($(place 3000) + 8))
	retired=$(status r 6)
	BAD=writes under s "$SPARE" "$next+16"
	put 6000 8
	sleep 1
	equal "$(status r 6)" $((retired + 2))
	same 5990 30
	# A spare that fails throughout: the write fails, the device goes on.
	BAD=writes under s "$SPARE" "$next+4096"
	refused 'Input/output error' put 7000 8
	equal "$(query r 7000)" main
	same 6980 20
	under s "$SPARE"
	put 7000 8
	recreate
	same
}

# A write under way in a slot when its group moves to another one goes along: the move waits until it has landed, and copies then.
a_write_under_way_goes_along() {
	put 8192 8
	old=$(place 8192) end=$(sectors "$SPARE")
	cat >"$WORK/table" <<-END
		0 $old linear $SPARE 0
		$old 1 delay $SPARE $old 0 $SPARE $old 4000
		$((old + 1)) 1 flakey $SPARE $((old + 1)) 0 60 1 error_writes
		$((old + 2)) $((end - old - 2)) linear $SPARE $((old + 2))
	END
	dmsetup load s "$WORK/table"
	dmsetup suspend --noflush --nolockfs s
	dmsetup resume s
	# With a file of its own for what it writes.
	(JOB=late put 8192 1) &
	sleep 1
	put 8193 1
	wait $!
	[ "$(place 8192)" != "$old" ]
	same 8190 12
	under s "$SPARE"
	recreate
	same 8190 12
}

# writer JOB OPTION...: writes two sectors of each of 128 groups, two other ones for each job.
writer() {
	job=$1
	shift
	fio --name=w --filename=/dev/mapper/r --rw=write:3072 --bs=1024 --offset=$((8192 * 512 + job * 1024)) \
		--size=$((512 * 1024)) --ioengine=libaio --direct=1 --iodepth=4 --verify=crc32c --verify_fatal=1 "$@"
}

# Four writers, each with its own sectors of the same groups, while the groups' slots keep failing beneath them.
no_write_is_lost_while_groups_move() {
	put 8192 1024
	rm -f "$WORK/enough"
	pids=''
	for job in 0 1 2 3; do
		until [ -e "$WORK/enough" ]; do writer $job --loops=3 || exit 1; done &
		pids="$pids $!"
	done
	swaps=0
	until [ $swaps -ge 4 ] && [ "$(status r 6)" -gt 20 ]; do
		dmsetup message r 0 list 8192 | sed -n 's/^sector=.* sectors=8 .* spare_sector=//p' | sort -n |
			awk '$1 >= last + 64 { print $1 "+8"; last = $1 }' >"$WORK/bad"
		# shellcheck disable=SC2046 # a list of words
		BAD=writes under s "$SPARE" $(cat "$WORK/bad")
		swaps=$((swaps + 1))
		sleep 0.3
		[ $swaps -lt 200 ]
	done
	touch "$WORK/enough"
	for pid in $pids; do wait "$pid"; done
	dmsetup status r
	equal "$(status r 1)" rw
	equal "$(status r 3)" 0
	recreate
	for job in 0 1 2 3; do writer $job --verify_only; done
}

t start start
t s03_failed_slot_read_is_an_error failed_slot_read_is_an_error
t s07_write_to_a_suspect_sector_moves_it write_to_a_suspect_sector_moves_it
t s07_what_cannot_be_moved_is_lost what_cannot_be_moved_is_lost
t s07_failed_slot_write_takes_a_new_slot failed_slot_write_takes_a_new_slot
t s07_a_write_over_slots_moves_the_bad_ones a_write_over_slots_moves_the_bad_ones
t s33_a_write_over_slots_retires_the_bad_ones a_write_over_slots_retires_the_bad_ones
t s07_a_bad_new_slot_is_passed_over a_bad_new_slot_is_passed_over
t s09_a_write_under_way_goes_along a_write_under_way_goes_along
t s09_no_write_is_lost_while_groups_move no_write_is_lost_while_groups_move
t s33_all_slots_are_accounted_for all_slots_are_accounted_for
t kernel_log_is_clean clean_log
finish
