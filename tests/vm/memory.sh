#!/bin/sh
# s26, s29: memory. Every call for memory that the module makes is made to fail once, and nothing is left behind; I/O asks for
# none; with swap on the device and memory used up, sectors that fail hold nobody up.
# vm: memory=512 cpus=2
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 128)
SPARE=$(disk spare 32)

# From here on the module's calls for memory are counted and can be made to fail.
begin() {
	watch
	under m "$MAIN"
}

# None of the calls by which the module takes memory was made since all counts were zero.
none_asked() {
	for name in dmr_kvzalloc dmr_vzalloc dmr_srcu_init dmr_workqueue_new bioset_init; do equal "$name $(calls $name)" "$name 0"; done
}

# each_fails FEATURE...: creates the device again and again, with the first call failing, then the second, and so on, until
# there is none left to fail. What was had before is given back each time.
each_fails() {
	echo 1 >$CALLS/counts
	before=$(cat $CALLS/failed)
	line="0 $(sectors /dev/mapper/m) remap /dev/mapper/m 0 1 $SPARE 0 $# $*"
	n=1
	: >"$WORK/said"
	while echo $n >$CALLS/nth && ! dmsetup create r --table "$line" 2>>"$WORK/said"; do n=$((n + 1)); done
	echo 0 >$CALLS/nth
	equal "$(cat $CALLS/failed) $(grep -c 'Cannot allocate memory' "$WORK/said")" "$((before + n - 1)) $((n - 1))"
	echo "$((n - 1)) calls made to fail"
	[ $n -gt 15 ]
	dmsetup remove r
	balanced
}

# A table that is loaded has all that it needs: the resume that takes the set into service, and formats it before, asks for nothing.
activation_asks_for_none() {
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	for features in '1 format' 0; do
		dmsetup create r --notable
		dmsetup load r --table "0 $(sectors /dev/mapper/m) remap /dev/mapper/m 0 1 $SPARE 0 $features"
		echo 1 >$CALLS/counts
		# Whatever is asked for is not given.
		echo 1 >$CALLS/nth
		dmsetup resume r
		echo 0 >$CALLS/nth
		none_asked
		equal "$(status r 1) $(status r 5)" 'rw 5/5'
		dmsetup remove r
	done
}

# A reload that gets no memory, whichever call it is that fails, leaves the old table at work.
reload() {
	: >"$WORK/model"
	echo 1 >$CALLS/counts
	remap r /dev/mapper/m "$SPARE"
	dmsetup table r >"$WORK/line"
	n=1
	while echo $n >$CALLS/nth && ! dmsetup load r "$WORK/line"; do
		put 0 8
		n=$((n + 1))
	done
	echo 0 >$CALLS/nth
	[ $n -gt 15 ]
	same 0 8
	equal "$(status r 1)" rw
	# The table that was loaded in the end goes into service.
	dmsetup suspend r
	dmsetup resume r
	same 0 8
	equal "$(status r 1)" rw
	dmsetup remove r
	balanced
}

# Healthy I/O, failing sectors, slots and flushes: none of it asks for memory.
io_asks_for_none() {
	remap r /dev/mapper/m "$SPARE"
	echo 1 >$CALLS/counts
	: >"$WORK/model"
	BAD=writes under m "$MAIN" 800+8 1603+1 4000+64
	put 0 2048
	put 1600 8
	put 4000 64
	dd if=/dev/zero of=/dev/mapper/r bs=4k count=1 seek=500 conv=notrunc,fdatasync status=none
	same 0 2048
	[ "$(used r)" -ge 10 ]
	none_asked
	dmsetup remove r
}

# All that a device has at work between its creation and its removal, and nothing of it stays.
round_with_io() {
	echo 1 >$CALLS/counts
	: >"$WORK/model"
	BAD=writes under m "$MAIN" 800+8 4000+64
	remap r /dev/mapper/m "$SPARE"
	put 0 2048
	put 4000 64
	put 9000 64
	dmsetup message r 0 remap 9000 64 | grep ' remapped=64 '
	dmsetup message r 0 release 9000 64 | grep ' released=64 '
	for how in '' --noflush; do
		# shellcheck disable=SC2086 # no word, or one
		dmsetup suspend $how r
		dmsetup resume r
	done
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	# A read that fails, and the list of what is mapped.
	under m "$MAIN" 12000+1
	fails get 12000 8
	equal "$(query r 12000)" pending
	[ "$(mapped r)" -ge 72 ]
	same 0 2048
	same 4000 64
	same 9000 64
	dmsetup remove r
	balanced
	under m "$MAIN"
	rmmod fail_call
}

# The device is suspended in the moment in which it is about to have its clock wake it again: an evicted copy is tried again a minute
# later, and from then on every few milliseconds.
suspended_while_the_clock_is_set() {
	echo 1 >$CALLS/counts
	: >"$WORK/model"
	AREA=$(($(sectors "$SPARE") / 8 / 5 / 8 * 8 * 8))
	TABLE=$(($(od -An -tu4 -j $((4096 + 124)) -N 4 "$SPARE") * 8))
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s
	BAD=writes under m "$MAIN" 800+8 16000+8
	copies_fail 2
	put 16000 8
	equal "$(status r 1) $(status r 5)" 'degraded 4/5'
	copies_fail
	# Long after the commit, and long before that minute is over.
	sleep 10
	echo 4000 >$CALLS/slow_ms
	for _ in $(seq 400); do
		[ "$(cat $CALLS/sleeping)" = 0 ] || break
		sleep 0.2
	done
	equal "$(cat $CALLS/sleeping)" 1
	dmsetup suspend r
	equal "$(cat $CALLS/sleeping)" 0
	echo 0 >$CALLS/slow_ms
	dmsetup resume r
	same 16000 8
	dmsetup remove r
	dmsetup remove s
	balanced
	equal "$(threads)" 0
}

# A table is loaded without as much as sixteen pages that lie side by side.
in_single_pages() {
	for name in __alloc_pages_noprof __alloc_pages; do
		! grep -q " $name\$" /proc/kallsyms || break
	done
	insmod "$TEST_MODULES/single_pages.ko" function=$name order=3 process=dmsetup
	created=0
	remap r /dev/mapper/m "$SPARE" || created=$?
	cat /sys/module/single_pages/parameters/failed
	rmmod single_pages
	equal $created 0
	dmsetup remove r
}

# All of main is swap; every 2 MiB of it has a bad sector. Files in memory fill all that is free until 40 MiB have gone out, while
# sectors fail; what went out is read back.
swap() {
	# No memory is needed under the spare any more: all of it is there.
	SPARE=$(cacheless spare2 32)
	# shellcheck disable=SC2046 # a list of words
	BAD=writes under m "$MAIN" $(seq 512 4096 200000 | sed 's/$/+1/')
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	dd if=/dev/zero of="$MAIN" bs=1M oflag=direct status=none || true
	remap r /dev/mapper/m "$SPARE" format
	mkswap /dev/mapper/r >/dev/null
	swapon /dev/mapper/r
	# What a ramfs holds stays in memory: so much less has to go out and in.
	mkdir "$WORK/pinned" "$WORK/fill"
	mount -t ramfs none "$WORK/pinned"
	dd if=/dev/zero of="$WORK/pinned/zeroes" bs=1M count=$(($(available_mib) - 120)) status=none
	mount -t tmpfs -o size=100% none "$WORK/fill"
	# What is called available is an estimate, which a kernel that looks for faults is far below: files are added until pages go out.
	pieces=0 pieces_max=$((($(available_mib) + 100) / 8))
	until grep -qE '^pswpout [1-9][0-9]{4}' /proc/vmstat; do
		pieces=$((pieces + 1))
		[ $pieces -le $pieces_max ]
		piece $pieces >"$WORK/fill/$pieces"
	done
	grep '^pswp' /proc/vmstat
	# All that went out comes in, and other pages go out for it.
	for nth in $(seq $pieces); do piece "$nth" | cmp - "$WORK/fill/$nth"; done
	grep '^pswp' /proc/vmstat
	grep -qE '^pswpin [1-9][0-9]{3}' /proc/vmstat
	umount "$WORK/fill"
	umount "$WORK/pinned"
	swapoff /dev/mapper/r
	dmsetup status r
	equal "$(status r 1) $(status r 9)" 'rw 0'
	[ "$(used r)" -gt 10 ]
}

# 8 MiB, each other ones.
piece() { seq $((1000000000 + $1 * 1000000)) 2000000000 | head -c 8M; }

available_mib() { awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }

unloads() {
	dmsetup remove r
	dmsetup remove m
	equal "$(threads)" 0
	rmmod dm_remap
}

t begin begin
t s19_constructor_unwinds_each_failing_call each_fails format
t s19_constructor_unwinds_with_a_set each_fails
t s26_activation_asks_for_no_memory activation_asks_for_none
t s19_reload_without_memory_changes_nothing reload
t s26_io_asks_for_no_memory io_asks_for_none
t s29_a_suspension_leaves_nothing suspended_while_the_clock_is_set
t s29_a_round_with_io_leaves_nothing round_with_io
t s26_a_table_is_loaded_into_single_pages in_single_pages
t s26_swap_goes_on_while_sectors_fail swap
t s29_unloads unloads
t kernel_log_is_clean clean_log
finish
