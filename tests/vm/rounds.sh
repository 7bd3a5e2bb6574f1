#!/bin/sh
# vm: memory=1024
# s29: a thousand times from nothing to a device in service and back, and nothing of it stays in memory.
. tests/vm/lib.sh

load_module
# Eight mappings at a time, each with a spare of 8 MiB and a main of 1 MiB behind it.
DISK=$(cacheless disk 72)
ROUNDS=125

table() { printf '%s' "r$1,,,rw,0 2048 remap $DISK $(($1 * 18432 + 16384)) 1 $DISK $(($1 * 18432)) ${2-}"; }
tables() { for i in 0 1 2 3 4 5 6 7; do table "$i" "${1-}" && printf ';'; done; }

# One that fails half-way: the set belongs to another main.
foreign() { dmsetup create x --table "0 1024 remap $DISK 16384 1 $DISK 0" 2>/dev/null; }

rounds() {
	line=$(tables | sed 's/;$//')
	round=0
	while [ $round -lt "$1" ]; do
		dmsetup create --concise "$line"
		dmsetup remove r0 r1 r2 r3 r4 r5 r6 r7
		fails foreign
		round=$((round + 1))
	done
}

# Objects in the kernel's general caches and in those of bios, workers and queues; KiB of pages of each kind.
memory() {
	# What is freed after a grace period, or by a worker, is by then.
	sleep 2
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	# What a processor keeps at hand counts as in use, up to 512 objects a page, unless it is told to give it back.
	for cache in /sys/kernel/slab/kmalloc-*/shrink; do echo 1 >"$cache"; done
	awk '/^(kmalloc-|bio|pool_workqueue|task_struct)/ { print $1, $2, $5 }' /proc/slabinfo
	awk '/^(Percpu|VmallocUsed|KernelStack):/ { sub(":", "", $1); print $1, $2 }' /proc/meminfo
	# Tens of MiB of what is free may be on the processors' lists.
	awk '/^ *pages free / { n += $3 } /^ *count: / { n += $2 } END { print "Free", n * 4 }' /proc/zoneinfo
}

start() {
	dmsetup create --concise "$(tables '1 format' | sed 's/;$//')"
	equal "$(dmsetup status | grep -c ' remap rw ')" 8
	dmsetup remove r0 r1 r2 r3 r4 r5 r6 r7
}

# grown NAME: by how much, from before the rounds to after.
grown() { echo $(($(awk -v n="$1" '$1 == n { print $2 }' "$WORK/after") - $(awk -v n="$1" '$1 == n { print $2 }' "$WORK/before"))); }

# What is freed later is free in the end, and what is lost is not.
nothing_stays() {
	rounds 10
	memory >"$WORK/before"
	rounds $ROUNDS
	for _ in 1 2 3 4 5; do
		memory >"$WORK/after"
		! no_more_than_before || return 0
	done
	paste "$WORK/before" "$WORK/after"
	no_more_than_before
}

no_more_than_before() {
	# An object lost in each of a thousand rounds would be a thousand. What is free of one page of them may count as in use.
	grep -E '^[a-z]' "$WORK/before" >"$WORK/caches"
	while read -r cache _ page_objects; do
		[ "$(grown "$cache")" -lt $((400 + page_objects)) ] || return 1
	done <"$WORK/caches"
	# The smallest that a round takes: 0.7 KiB for all processors, some KiB of pages, more than 100 KiB of memory mapped in pieces.
	[ "$(cat /sys/module/dm_remap/refcnt)" = 0 ] &&
		[ "$(grown Percpu)" -lt 300 ] &&
		[ "$(grown VmallocUsed)" -lt 4000 ] &&
		[ "$(grown KernelStack)" -lt 1000 ] &&
		[ $((-$(grown Free))) -lt 3000 ]
}

nothing_is_left() {
	equal "$(threads)" 0
	rmmod dm_remap
}

t start start
t s29_nothing_stays nothing_stays
t s29_nothing_is_left nothing_is_left
t kernel_log_is_clean clean_log
finish
