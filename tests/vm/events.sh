#!/bin/sh
# s30: who waits for a change hears of each one once, the log is not flooded, and what the device says of itself makes it anew.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 32)
SPARE=$(cacheless spare 32)
MAIN_OFFSET=1000
SPARE_OFFSET=2048
LEN=49152

# changed N COMMAND...: the command raises so many events, and whoever waits for the first hears of it.
changed() {
	wanted=$1
	shift
	before=$(events)
	timeout 200 dmsetup wait r "$before" &
	waiter=$!
	"$@"
	wait $waiter
	settled $((before + wanted))
}

# settled NUMBER: so many events there are, and no more come.
settled() {
	for _ in $(seq 50); do
		[ "$(events)" -lt "$1" ] || break
		sleep 0.1
	done
	sleep 0.5
	equal "$(events)" "$1"
}

start() {
	BAD=writes under m "$MAIN" 3000+8 5000+8
	under s "$SPARE"
	dmsetup create r --table "0 $LEN remap /dev/mapper/m $MAIN_OFFSET 1 /dev/mapper/s $SPARE_OFFSET 1 format"
	head -c 25165824 /dev/zero >"$WORK/model"
	# With the number of the device that `dmsetup ls` has beside its name.
	logged "device-mapper: remap: $(dmsetup info -c --noheadings --separator : -o major,minor r): active: set $(status r 13)"
}

# Sectors of r; main begins 1000 sectors later.
one_event_for_a_change() {
	changed 1 put 2000 8
	changed 1 put 4000 8
	# No change: a healthy write, a write to a slot, reads.
	before=$(events)
	put 100 64
	put 2000 8
	same 1990 40
	settled "$before"
	under m "$MAIN" 7000+1
	changed 1 fails get 6000 1
	before=$(events)
	fails get 6000 1
	settled "$before"
	under m "$MAIN"
}

# A copy that fails is evicted by the commit that notices it, and the mode is told with it; the order is told at its end.
copies_and_modes() {
	under s "$SPARE" $((SPARE_OFFSET + 8))+64
	changed 2 dmsetup message r 0 remap 12000 8
	equal "$(status r 1) $(status r 5)" 'degraded 4/5'
	equal "$(status r 19) $(status r 20)" '1 0'
	logged ': metadata copy 0 evicted'
	logged ': mode is now degraded'
	under s "$SPARE"
	changed 1 dmsetup message r 0 resume_remap
	equal "$(status r 1) $(status r 5)" 'rw 5/5'
	equal "$(status r 19) $(status r 20)" '1 1'
	logged ': metadata copy 0 is in sync again'
	logged ': mode is now rw'
}

# A slot that fails a read makes its sectors suspect; what is written to them moves, with what can be read of the rest, and the slot is
# retired.
slots_that_fail() {
	old=$(place 2000)
	under s "$SPARE" "$old+1"
	changed 1 fails get 2000 1
	equal "$(query r 2000)" suspect
	equal "$(status r 24)" 1
	logged ": sector 2000: 1 sectors unreadable in slot "
	# What is known is not told again.
	before=$(events)
	fails get 2000 1
	settled "$before"
	# It moved; and its slot is retired, which is a change of its own.
	changed 2 put 2000 8
	logged ": slot [0-9]* retired"
	equal "$(query r 2000) $(status r 6) $(status r 3)" 'mapped 1 0'
	old=$(place 4000)
	under s "$SPARE" "$old+1" "$((old + 3))+1"
	changed 1 fails get 4003 1
	# The same, and of what moved one sector is lost.
	changed 2 put 4003 2
	logged ': sector 4000: mask 0x01 lost'
	equal "$(query r 4000) $(status r 6) $(status r 3)" 'lost 2 1'
	under s "$SPARE"
	put 4000 1
	equal "$(status r 3) $(status r 24)" '0 2'
}

# With as many slots allowed that the next one is half of them, then that it is more than the percent asked for and less than 75, and
# then with no more than are in use.
watermarks() {
	BAD=writes under m "$MAIN" 9000+8 9080+8 9160+8
	param max_remaps $((($(used r) + 1) * 2))
	changed 1 put 8000 8
	logged ': 50% of the slots in use'
	param emergency_threshold 60
	param max_remaps $((($(used r) + 1) * 100 / 65))
	changed 1 put 8080 8
	logged ': 60% of the slots in use'
	param emergency_threshold 90
	param max_remaps "$(used r)"
	changed 1 fails put 8160 8
	logged ': 100% of the slots in use'
	param max_remaps 0
	under m "$MAIN"
	put 8160 8
}

# Each write that fails without evidence is told; with the eighth the breaker opens.
the_breaker() {
	under m "$MAIN" "0+$(sectors "$MAIN")"
	# Older than the five seconds for which a success is evidence.
	sleep 6
	for sector in 20000 20080 20160 20240 20320 20400 20480; do
		changed 1 fails put $sector 8
	done
	equal "$(status r 1) $(status r 23)" 'rw 0'
	changed 1 fails put 20560 8
	equal "$(status r 1) $(status r 12) $(status r 23)" 'no-remap breaker 1'
	under m "$MAIN"
	changed 1 dmsetup message r 0 resume_remap
	equal "$(status r 1)" rw
	same
}

counts_begin_anew() {
	equal "$(dmsetup status r | cut -d ' ' -f 22-28)" '1 1 0 0 1 2 0'
	dmsetup message r 0 reset_stats
	equal "$(dmsetup status r | cut -d ' ' -f 22-28)" '0 0 0 0 0 0 0'
}

# lines PATTERN: how many the log has.
lines() { dmesg | grep -c -- "$1" || true; }

# Each of these 1000 remappings would be a line; the kernel keeps back what is too much and says how many.
log_is_not_flooded() {
	clean_log
	# Of this interval others have used lines.
	sleep 6
	dmesg -C
	param debug_level 2
	dmsetup message r 0 remap 16000 8000 | grep -q ' remapped=8000 '
	# Of those that follow on each other the first twenty of an interval, and it may end in between.
	dmesg | awk '/ callbacks suppressed$/ { n = 0 } /: mask 0xff now in slot / { all++; if (++n > most) most = n }
		END { print all " lines, at most " most " at once"; exit !(all >= 20 && all < 500 && most <= 40) }'
	# What is lost is told in between all the same.
	old=$(place 2000)
	under s "$SPARE" "$((old + 1))+1" "$((old + 3))+1"
	dmsetup message r 0 release 16000 8000 | grep -q ' released=8000 '
	fails get 2003 1
	put 2003 1
	logged ': sector 2000: mask 0x02 lost'
	under s "$SPARE"
	put 2001 1
	# The next interval takes lines again, and begins with how many were kept back.
	for _ in $(seq 20); do
		! logged ': sector 24000: mask 0xff back on main ' || break
		sleep 1
		dmsetup message r 0 remap 24000 8
		dmsetup message r 0 release 24000 8
	done
	param debug_level 1
	logged ': sector 24000: mask 0xff back on main '
	logged 'dmr_print_allowed: [0-9]* callbacks suppressed'
}

# What is told from each level on; too little for anything to be kept back. Events are raised whatever is logged.
levels() {
	for level in 0 1 2 3; do
		clean_log
		dmesg -C
		param debug_level $level
		bad=$((10000 + level * 800))
		under m "$MAIN" $((1000 + bad))+1
		changed 1 fails get $bad 1
		BAD=writes under m "$MAIN" $((1000 + bad))+8 $((1080 + bad))+8
		changed 1 put $bad 8
		param max_remaps "$(used r)"
		changed 1 fails put $((bad + 80)) 8
		param max_remaps 0
		equal "$(lines ": sector $((bad + 80)): write failed")" 1
		equal "$(lines ": sector $bad: 1 sectors unreadable") $(lines ': 100% of the slots in use')" \
			"$((level >= 1)) $((level >= 1))"
		equal "$(lines ": sector $bad: mask 0xff now in slot ")" $((level >= 2))
		equal "$(lines ": repairing a read of 1 sectors at $bad")" $((level >= 3))
		equal "$(lines ": repairing a write of 8 sectors at $bad")" $((level >= 3))
		under m "$MAIN"
		put $((bad + 80)) 8
	done
	param debug_level 1
}

line_makes_it_anew() {
	table=$(dmsetup table r)
	equal "$table" "0 $LEN remap $(number /dev/mapper/m) $MAIN_OFFSET 1 $(number /dev/mapper/s) $SPARE_OFFSET"
	before="$(status r 13) $(used r) $(dmsetup message r 0 list)"
	[ "$(used r)" -ge 3 ]
	dmsetup remove r
	dmsetup create r --table "$table"
	equal "$(dmsetup table r)" "$table"
	equal "$(status r 13) $(used r) $(dmsetup message r 0 list)" "$before"
	same
}

# What the kernel measures of a table when it is loaded. A policy can be set once in the life of a kernel.
measurement_makes_it_anew() {
	ima=/sys/kernel/security/ima
	[ -d $ima ] || mount -t securityfs securityfs /sys/kernel/security
	echo 'measure func=CRITICAL_DATA label=device-mapper' >$ima/policy
	dmsetup load r --table "$(dmsetup table r)"
	dmsetup suspend r
	dmsetup resume r
	version=$(dmsetup targets | sed -n 's/^remap *v//p')
	words="target_name=remap,target_version=$version,main=$(number /dev/mapper/m),main_offset=$MAIN_OFFSET"
	words="$words,spare=$(number /dev/mapper/s),spare_offset=$SPARE_OFFSET,set=$(status r 13);"
	cat $ima/ascii_runtime_measurements >"$WORK/measured"
	cut -c 1-2000 "$WORK/measured"
	hex=$(printf %s "$words" | od -An -v -tx1 | tr -d ' \n')
	grep ' dm_table_load ' "$WORK/measured" | grep "$hex" | tail -n 1 | sed 's/.* //; s/../\\x&/g' >"$WORK/escaped"
	# The shell's own knows no such escapes.
	env printf %b "$(cat "$WORK/escaped")" | tr ';,' '\n\n' >"$WORK/words"
	cat "$WORK/words"
	line=$(measured target_begin target_len target_name main main_offset)
	line="$line 1 $(measured spare spare_offset)"
	before="$(status r 13) $(used r) $(dmsetup message r 0 list)"
	dmsetup remove r
	dmsetup create r --table "$line"
	equal "$(status r 13) $(used r) $(dmsetup message r 0 list)" "$before"
	same
}

# measured KEY...: what was measured of these, in this order.
measured() {
	for key in "$@"; do
		grep "^$key=" "$WORK/words" | tail -n 1
	done | sed 's/.*=//' | tr '\n' ' ' | sed 's/ $//'
}

t start start
t s30_one_event_for_a_change one_event_for_a_change
t s30_copies_and_modes copies_and_modes
t s30_slots_that_fail slots_that_fail
t s22_watermarks watermarks
t s16_the_breaker the_breaker
t s30_counts_begin_anew counts_begin_anew
t s30_log_is_not_flooded log_is_not_flooded
t s30_levels_of_the_log levels
t s30_line_makes_it_anew line_makes_it_anew
t s30_measurement_makes_it_anew measurement_makes_it_anew
t kernel_log_is_clean clean_log
finish
