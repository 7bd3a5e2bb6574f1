#!/bin/sh
# A main that is away costs no slots, is noticed, and is noticed when it is back; one bad block of an idle disk is remapped.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 64)
SPARE=$(disk spare 32)
ALL=$(sectors "$MAIN")
dmsetup create dead --table "0 $ALL error"

start() {
	under m "$MAIN"
	remap r /dev/mapper/m "$SPARE" format
	fill
	same
	equal "$(status r 18)" 0
}

# Older than the five seconds for which a success is evidence.
idle() { sleep 6; }

away() { BAD=/dev/mapper/dead under m "$MAIN" "0+$ALL"; }

# writes_fail FIRST COUNT: so many writes, of a group each, fail.
writes_fail() {
	at=$1
	while [ $at -lt $(($1 + $2 * 80)) ]; do
		refused 'Input/output error' put $at 8
		at=$((at + 80))
	done
}

opened() {
	equal "$(status r 1) $(status r 12)" 'no-remap breaker'
	logged 'mode is now no-remap: the breaker opened: main takes no writes'
}

# wait_for_mode MODE
wait_for_mode() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(status r 1)" != "$1" ] || return 0
		sleep 1
	done
	equal "$(status r 1)" "$1"
}

# Written through the page cache and flushed, with nothing else going on.
one_bad_block_of_an_idle_disk() {
	under m "$MAIN" 1000+8
	idle
	dd if=/dev/urandom of="$WORK/chunk" bs=4096 count=1 status=none
	dd if="$WORK/chunk" of=/dev/mapper/r bs=4096 seek=125 count=1 conv=notrunc,fsync status=none
	dd if="$WORK/chunk" of="$WORK/model" bs=4096 seek=125 count=1 conv=notrunc status=none
	equal "$(query r 1000)" mapped
	equal "$(used r) $(status r 18)" '1 0'
	same
}

# Reads work, writes do not: that main reads well proves nothing.
a_disk_that_only_reads_is_not_remapped() {
	slots=$(used r)
	BAD=writes under m "$MAIN" "0+$ALL"
	idle
	for at in 20000 20080 20160; do
		same 40000 64
		writes_fail $at 1
	done
	equal "$(used r) $(status r 1)" "$slots rw"
	equal "$(status r 18)" 3
	logged ': sector 20000: main takes no writes; not remapped'
	under m "$MAIN"
	same
}

a_pulled_main_opens_the_breaker() {
	slots=$(used r)
	event=$(events)
	away
	idle
	writes_fail 30000 12
	opened
	equal "$(used r)" "$slots"
	[ "$(events)" -gt "$event" ]
}

# Each sector that cannot be read is a line, and the log does not take them all; who looks for what matters must find it all the same.
a_storm_hides_no_change_of_state() {
	[ "$(status r 1)" = rw ]
	under m "$MAIN" 100000+4000
	dmesg -C
	fails get 100000 800
	[ "$(dmesg | grep -c ' sectors unreadable$')" -lt "$(status r 4)" ]
	away
	idle
	writes_fail 30000 12 &
	pid=$!
	# The storm goes on while the breaker opens.
	at=100800
	while [ -e "/proc/$pid" ] && [ $at -lt 104000 ]; do
		fails get $at 80
		at=$((at + 80))
	done
	wait $pid
	opened
	under m "$MAIN"
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	logged ': mode is now rw'
}

# One attempt and no question: each failed write costs what it costs without the target.
failures_pass_up_at_once_while_it_is_open() {
	ones=0
	for at in 40000 40080 40160; do
		# What dies in a table of its own is not counted here.
		before=$(writes_ended m)
		writes_fail $at 1
		[ "$(writes_ended m)" != $((before + 1)) ] || ones=$((ones + 1))
	done
	# But for one, if the pause was over: that one found out that main is still away.
	[ $ones -ge 2 ]
	# What is mapped is served.
	put 1000 8
	same 1000 8
}

it_closes_when_main_is_back() {
	under m "$MAIN"
	same
	sleep 30
	event=$(events)
	dmsetup wait r "$event" &
	put 50000 8
	wait $!
	wait_for_mode rw
	equal "$(status r 12) $(events)" "- $((event + 1))"
	under m "$MAIN" 52000+8
	put 52000 8
	equal "$(query r 52000)" mapped
	same
}

# Nobody writes but those whose writes fail.
a_failed_write_finds_out_that_main_is_back() {
	away
	idle
	writes_fail 60000 8
	opened
	under m "$MAIN" 54000+8
	sleep 31
	# The first one after the pause passes up still, and has the next tried.
	for _ in 1 2 3 4 5; do
		! put 54000 8 || break
		sleep 1
	done
	equal "$(query r 54000)" mapped
	equal "$(status r 1)" rw
	same
}

resume_remap_closes_it() {
	away
	idle
	writes_fail 60000 8
	opened
	under m "$MAIN" 56000+8
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	put 56000 8
	equal "$(query r 56000)" mapped
	same
}

in_a_laboratory_it_never_opens() {
	param enable_production_mode 0
	slots=$(used r) unproven=$(status r 18)
	away
	idle
	writes_fail 60000 12
	equal "$(status r 1) $(status r 12) $(used r)" "rw - $slots"
	equal "$(status r 18)" $((unproven + 12))
	param enable_production_mode 1
	under m "$MAIN"
	same
}

# A few hundred at once, good ones between: no cable is pulled here.
hundreds_of_bad_groups_at_once_are_remapped() {
	slots=$(used r)
	ranges=
	at=70000
	while [ $at -lt 79600 ]; do
		ranges="$ranges $at+8"
		at=$((at + 16))
	done
	# shellcheck disable=SC2086 # ranges
	under m "$MAIN" $ranges
	put 70000 2048
	put 72048 2048
	put 74096 5504
	equal "$(used r)" $((slots + 600))
	equal "$(status r 1)" rw
	under m "$MAIN"
	same
}

# One sector that takes its time does not hold up the repair of others.
a_slow_sector_does_not_hold_up_others() {
	dmsetup create slow --table "0 $ALL delay /dev/mapper/dead 0 8000"
	{
		echo "0 90000 linear $MAIN 0"
		echo "90000 8 linear /dev/mapper/slow 0"
		echo "90008 992 linear $MAIN 90008"
		echo "91000 8 error"
		echo "91008 $((ALL - 91008)) linear $MAIN 91008"
	} | dmsetup load m
	dmsetup suspend --noflush --nolockfs m
	dmsetup resume m
	dd if=/dev/zero of=/dev/mapper/r bs=4096 count=1 seek=46080000 oflag=direct,seek_bytes conv=notrunc status=none &
	slow=$!
	put 91000 8
	put 90016 64
	same 90008 100
	equal "$(query r 91000)" mapped
	# Neither the slow one nor anything of it has ended.
	kill -0 $slow
	equal "$(query r 90000)" main
	wait $slow
	equal "$(query r 90000)" mapped
	dd if=/dev/zero of="$WORK/model" bs=4096 count=1 seek=46080000 oflag=seek_bytes conv=notrunc status=none
	under m "$MAIN"
	same
	dmsetup remove slow
}

t start start
t s14_one_bad_block_of_an_idle_disk one_bad_block_of_an_idle_disk
t s14_a_disk_that_only_reads_is_not_remapped a_disk_that_only_reads_is_not_remapped
t s16_a_pulled_main_opens_the_breaker a_pulled_main_opens_the_breaker
t s16_failures_pass_up_at_once_while_it_is_open failures_pass_up_at_once_while_it_is_open
t s16_it_closes_when_main_is_back it_closes_when_main_is_back
t s16_a_failed_write_finds_out_that_main_is_back a_failed_write_finds_out_that_main_is_back
t s16_resume_remap_closes_it resume_remap_closes_it
t s30_a_storm_hides_no_change_of_state a_storm_hides_no_change_of_state
t s16_in_a_laboratory_it_never_opens in_a_laboratory_it_never_opens
t s16_hundreds_of_bad_groups_at_once_are_remapped hundreds_of_bad_groups_at_once_are_remapped
t a_slow_sector_does_not_hold_up_others a_slow_sector_does_not_hold_up_others
t kernel_log_is_clean clean_log
finish
