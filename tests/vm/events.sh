#!/bin/sh
# s30: who waits for a change hears of each one once, the log is not flooded, and what the device says of itself makes it anew.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 32)
SPARE=$(cacheless spare 32)
MAIN_OFFSET=1000
SPARE_OFFSET=2048
LEN=49152

events() { dmsetup info -c --noheadings -o events r; }

# changed N COMMAND...: the command raises so many events, and whoever waits for the first hears of it.
changed() {
	wanted=$1
	shift
	before=$(events)
	dmsetup wait r "$before" &
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
	logged ': metadata copy 0 evicted'
	logged ': mode is now degraded'
	under s "$SPARE"
	changed 1 dmsetup message r 0 resume_remap
	equal "$(status r 1) $(status r 5)" 'rw 5/5'
	logged ': metadata copy 0 is in sync again'
	logged ': mode is now rw'
}

# Each of these 1000 remappings would be a line; the kernel keeps back what is too much and says how many.
log_is_not_flooded() {
	lines() { dmesg | grep -c ': mask 0xff now in slot ' || true; }
	param debug_level 2
	before=$(lines)
	dmsetup message r 0 remap 16000 8000 | grep -q ' remapped=8000 '
	param debug_level 1
	told=$(($(lines) - before))
	[ "$told" -ge 1 ]
	[ "$told" -lt 500 ]
	# What comes at another time is heard, with the number of the device that `dmsetup ls` has beside its name.
	dmsetup message r 0 release 16000 8000
	logged "device-mapper: remap: $(dmsetup info -c --noheadings --separator : -o major,minor r): active: set $(status r 13)"
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
t s30_log_is_not_flooded log_is_not_flooded
t s30_line_makes_it_anew line_makes_it_anew
t s30_measurement_makes_it_anew measurement_makes_it_anew
t kernel_log_is_clean clean_log
finish
