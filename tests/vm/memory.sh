#!/bin/sh
# s26, s29: memory. Every call for memory that the module makes is made to fail once, and nothing is left behind; I/O asks for
# none; with swap on the device and memory used up, sectors that fail hold nobody up.
# vm: memory=512 cpus=2
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 128)
SPARE=$(disk spare 32)
CALLS=/sys/module/fail_call/parameters
NOMEM=-12

# From here on all calls for memory of the module are counted; what gives it back as well.
watch() {
	insmod "$TEST_MODULES/fail_call.ko" \
		text="$(cat /sys/module/dm_remap/sections/.text)" size=1048576 \
		functions=dm_remap:dmr_kvzalloc=0,dm_remap:dmr_alloc_pages=0,dm_remap:dmr_srcu_init=$NOMEM,dm_remap:dmr_workqueue_new=0,bioset_init=$NOMEM,dm_remap:dmr_kvfree,dm_remap:dmr_free_pages
	under m "$MAIN"
}

calls() { sed -n "s/^dm_remap:$1=//p" $CALLS/counts; }

balanced() {
	equal "$(calls dmr_kvzalloc)" "$(calls dmr_kvfree)"
	equal "$(calls dmr_alloc_pages)" "$(calls dmr_free_pages)"
	[ "$(calls dmr_kvzalloc)" -gt 15 ]
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

# A reload that gets no memory leaves the old table at work.
reload() {
	remap r /dev/mapper/m "$SPARE"
	dmsetup table r >"$WORK/line"
	for n in 1 5 9; do
		echo $n >$CALLS/nth
		fails dmsetup load r "$WORK/line"
		put 0 8
	done
	equal "$(status r 1)" rw
}

# Healthy I/O, failing sectors, slots and flushes: none of it asks for memory.
io_asks_for_none() {
	echo 1 >$CALLS/counts
	: >"$WORK/model"
	BAD=writes under m "$MAIN" 800+8 1603+1 4000+64
	put 0 2048
	put 1600 8
	put 4000 64
	dd if=/dev/zero of=/dev/mapper/r bs=4k count=1 seek=500 conv=notrunc,fdatasync status=none
	same 0 2048
	[ "$(used r)" -ge 10 ]
	cat $CALLS/counts
	for name in dmr_kvzalloc dmr_alloc_pages dmr_srcu_init dmr_workqueue_new; do equal "$(calls $name)" 0; done
	under m "$MAIN"
	dmsetup remove r
	rmmod fail_call
}

# All of main is swap; every 2 MiB of it has a bad sector. Files in memory fill all that is free and 30 MiB more, which goes out
# while sectors fail, and what went out is read back.
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
	mib=$(($(available_mib) + 30))
	mount -t tmpfs -o size=100% none "$WORK/fill"
	seq 1000000000 2000000000 | head -c ${mib}M >"$WORK/fill/numbers"
	grep -E '^pswpout [1-9][0-9]{3}' /proc/vmstat
	# What was written first went out first; it comes in, and other pages go out for it.
	seq 1000000000 2000000000 | cmp -n $((48 << 20)) - "$WORK/fill/numbers"
	grep -E '^pswpin [1-9][0-9]{3}' /proc/vmstat
	umount "$WORK/fill"
	umount "$WORK/pinned"
	swapoff /dev/mapper/r
	dmsetup status r
	equal "$(status r 1) $(status r 9)" 'rw 0'
	[ "$(used r)" -gt 10 ]
}

available_mib() { awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }

unloads() {
	dmsetup remove r
	dmsetup remove m
	rmmod dm_remap
	fails grep -q dm_remap /proc/vmallocinfo
}

t watch watch
t s19_constructor_unwinds_each_failing_call each_fails format
t s19_constructor_unwinds_with_a_set each_fails
t s19_reload_without_memory_changes_nothing reload
t s26_io_asks_for_no_memory io_asks_for_none
t s26_swap_goes_on_while_sectors_fail swap
t s29_unloads unloads
t kernel_log_is_clean clean_log
finish
