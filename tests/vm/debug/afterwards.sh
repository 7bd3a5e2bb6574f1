#!/bin/sh
# What the debug kernel has found when a scenario has ended: memory that nothing points to any more, and a lockdep that has given up.
. tests/vm/lib.sh

LEAKS=/sys/kernel/debug/kmemleak

# A scan misses what a register or a stale stack points to, and counts nothing younger than five seconds: the third one has the last word.
no_leak() {
	for _ in 1 2 3; do
		sleep 6
		echo scan >$LEAKS
	done
	equal "$(cat $LEAKS)" ''
}

# After its first report lockdep looks at nothing any more.
lockdep_is_at_work() { grep -qE '^ *debug_locks: +1$' /proc/lockdep_stats; }

cleanup
rmmod dm_remap 2>/dev/null || true
t no_memory_is_lost no_leak
t lockdep_is_at_work lockdep_is_at_work
finish
