#!/bin/sh
# What fails to be written on main is stored in slots, and stays stored. Nothing here but what docs/interface.md says.
. tests/vm/lib.sh

load_module debug_level=2
MAIN=$(disk main 64)
SPARE=$(disk spare 32)
LAST=131071

start() {
	under m "$MAIN"
	remap r /dev/mapper/m "$SPARE" format
	equal "$(status r 1)" rw
	fill
	same
	equal "$(used r)" 0
}

# 512 bytes to 1 MiB, at odd places; every bad sector is in one of the writes.
all_sizes() {
	under m "$MAIN" 0+1 1001+1 2003+3 3001+9 4095+2 8191+700 20011+1 30001+1999 $LAST+1
	put 0 1
	put 1001 1
	put 2001 7
	put 2990 2048
	put 8000 128
	put 8128 1000
	put 20000 23
	put 30000 2048
	put $((LAST - 6)) 7
	same
	equal "$(status r 3)" 0
	equal "$(status r 9)" 0
	[ "$(status r 7)" = "$(status r 8)" ]
}

# On this disk a physical block is a sector: no more than what failed moves. These writes need some hundred attempts at most, which
# every machine makes in time; what the deadline cuts off would move with them.
only_what_failed_is_mapped() {
	before=$(mapped r)
	under m "$MAIN" 60001+1 60003+3 60011+9 60095+2 60100+40 60201+1
	put 60000 24
	put 60090 120
	same 60000 220
	equal $(($(mapped r) - before)) $((1 + 3 + 9 + 2 + 40 + 1))
	equal "$(query r 60002)" main
	equal "$(query r 60139)" mapped
	equal "$(query r 60140)" main
	equal "$(query r 1000)" main
	equal "$(query r 1001)" mapped
	equal "$(query r 1002)" main
	equal "$(query r $LAST)" mapped
	dmsetup message r 0 query 2003 | grep -qE '^sector=2003 sectors=1 state=mapped slot=[0-9]+ spare_sector=[0-9]+$'
	logged 'device-mapper: remap: .*: sector 1000: mask 0x02 now in slot'
}

# Good, bad, mapped and newly bad in one write.
one_write_meets_all_kinds() {
	under m "$MAIN" 0+1 995+2 1001+1 1500+33 2003+3 3001+9 4095+2 8191+700 20011+1 30001+1999 $LAST+1
	put 990 2000
	same
	equal "$(query r 1532)" mapped
	equal "$(query r 1533)" main
}

list_goes_on_from_a_sector() {
	dmsetup message r 0 list 2000 | head -1 | grep -q '^sector=2003 sectors=3 state=mapped '
	# Not all of it fits one reply, and `mapped` follows it to its end.
	dmsetup message r 0 list | tail -1 | grep -qE '^next=[0-9]+$'
	first=$(dmsetup message r 0 list | head -20)
	from=$(echo "$first" | sed -n '10s/^sector=\([0-9]*\) .*/\1/p')
	equal "$(dmsetup message r 0 list "$from" | head -11)" "$(echo "$first" | tail -11)"
}

everything_survives_recreation() {
	before=$(dmsetup message r 0 list)
	slots=$(used r)
	dmsetup remove r
	remap r /dev/mapper/m "$SPARE"
	equal "$(dmsetup message r 0 list)" "$before"
	equal "$(used r)" "$slots"
	same
	put 990 2000
	same
}

# A write that succeeds on a later attempt is nobody's bad sector: each attempt takes 0.2 s here, and the disk heals after one.
a_passing_failure_is_not_remapped() {
	param error_threshold 100
	dmsetup create dead --table "0 8 error"
	dmsetup create slow --table "0 8 delay /dev/mapper/dead 0 200"
	slots=$(used r)
	BAD=/dev/mapper/slow under m "$MAIN" 50000+8
	put 50000 8 &
	writer=$!
	sleep 1
	under m "$MAIN"
	wait $writer
	param error_threshold 3
	equal "$(used r)" "$slots"
	equal "$(query r 50000)" main
	same 50000 8
	dmsetup remove slow
	dmsetup remove dead
}

# Attempts are counted by the device below, which leaves out what dies in a table of its own.
# attempts THRESHOLD SECTOR: how many writes of the disk below a write of a bad sector takes.
attempts() {
	param error_threshold "$1"
	stat=/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor m)/stat
	# What main is asked by in the meantime is read and written once; nothing else is read.
	before=$(awk '{ print $5 - $1 }' "$stat")
	put "$2" 1
	echo $(($(awk '{ print $5 - $1 }' "$stat") - before))
}

error_threshold_counts_attempts() {
	dmsetup create dead --table "0 8 error"
	BAD=/dev/mapper/dead under m "$MAIN" 51000+1 51100+1 51200+1
	equal "$(attempts 1 51000)" 1
	equal "$(attempts 3 51100)" 3
	equal "$(attempts 7 51200)" 7
	param error_threshold 3
	under m "$MAIN"
	dmsetup remove dead
}

auto_remap_enabled_is_obeyed() {
	under m "$MAIN" 52000+8
	slots=$(used r)
	param auto_remap_enabled 0
	refused 'Input/output error' put 52000 8
	equal "$(used r)" "$slots"
	param auto_remap_enabled 1
	put 52000 8
	equal "$(used r)" $((slots + 1))
	same 52000 8
}

# `dmsetup wait` returns, and the counters move.
a_remapping_raises_an_event() {
	under m "$MAIN" 53000+8
	event=$(events)
	timeout 20 dmsetup wait r "$event" &
	waiter=$!
	stored=$(status r 8) sectors=$(status r 10) commits=$(status r 11)
	put 53000 8
	wait $waiter
	equal "$(status r 8)" $((stored + 1))
	equal "$(status r 10)" $((sectors + 8))
	[ "$(status r 11)" -gt "$commits" ]
	logged ': sector 53000: mask 0xff now in slot'
}

# A pool below that is full says so; no slot helps against that.
no_space_passes_up() {
	modprobe dm-thin-pool
	meta=$(disk meta 4)
	data=$(disk data 4)
	dmsetup create pool --table "0 8192 thin-pool $meta $data 128 0 2 error_if_no_space skip_block_zeroing"
	dmsetup message pool 0 create_thin 0
	dmsetup create thin --table "0 65536 thin /dev/mapper/pool 0"
	remap n /dev/mapper/thin "$(disk spare2 8)" format
	refused 'No space left on device' dd if=/dev/zero of=/dev/mapper/n bs=64k oflag=direct
	equal "$(used n)" 0
	equal "$(status n 1)" rw
	dmsetup remove n
	dmsetup remove thin
	dmsetup remove pool
}

physical_blocks_of_4096() {
	dmsetup remove r
	dmsetup remove m
	disk4k=$(scsi_disk 32 physblk_exp=3)
	equal "$(blockdev --getss --getpbsz "$disk4k" | xargs)" "512 4096"
	under m "$disk4k"
	remap r /dev/mapper/m "$(disk spare3 8)" format
	fill
	BAD=writes under m "$disk4k" 1000+8 2000+8
	# Part of a physical block: what is written moves, what is not stays.
	put 1002 3
	equal "$(mapped r)" 3
	same 1000 8
	# A whole one: the disk may have lost all of it.
	put 1990 30
	equal "$(query r 2000)" mapped
	equal "$(mapped r)" 11
	put 1000 8
	equal "$(query r 1000)" mapped
	same
	dmsetup remove r
	dmsetup remove m
}

max_remaps_is_a_limit() {
	under m "$MAIN" 1000+8 2000+8 3000+8 4000+8 5000+8
	dd if=/dev/zero of="$SPARE" bs=1M count=32 oflag=direct status=none
	remap r /dev/mapper/m "$SPARE" format
	param max_remaps 4
	for at in 1000 2000 3000 4000; do put $at 8; done
	equal "$(status r 2)" 4/4
	refused 'Input/output error' put 5000 8
	put 3000 8
	same 3000 8
	for percent in 50 75 100; do logged ": $percent% of the slots in use"; done
	logged ': sector 5000: write failed'
	param max_remaps 0
	put 5000 8
	same 5000 8
	dmsetup remove r
}

# Every slot of the smallest spare.
exhaustion_is_an_error_and_not_a_hang() {
	small=$(disk small 8)
	under m "$MAIN" 8192+20480
	remap r /dev/mapper/m "$small" format
	total=$(status r 2)
	total=${total#*/}
	[ "$total" -gt 1500 ]
	at=8192
	while put $at 512; do
		at=$((at + 512))
		[ $at -lt 28672 ]
	done 2>"$WORK/err"
	grep -q 'Input/output error' "$WORK/err"
	[ "$(used r)" -gt $((total - 64)) ]
	[ "$(used r)" -le "$total" ]
	same 8192 $((at - 8192))
	put 8192 512
	same 8192 512
	# Sectors that are not bad go on as before, and so does a new start with a full spare.
	put 40000 100
	dmsetup remove r
	remap r /dev/mapper/m "$small"
	same 8192 $((at - 8192))
	same 40000 100
	dmsetup remove r
}

unloads() {
	dmsetup remove m
	rmmod dm_remap
	fails grep -q '^dm_remap ' /proc/modules
}

t start start
t s05_failed_writes_of_all_sizes_are_stored all_sizes
t s05_only_what_failed_is_mapped only_what_failed_is_mapped
t s10_one_write_meets_all_kinds one_write_meets_all_kinds
t list_goes_on_from_a_sector list_goes_on_from_a_sector
t s06_everything_survives_recreation everything_survives_recreation
t s05_a_passing_failure_is_not_remapped a_passing_failure_is_not_remapped
t s05_error_threshold_counts_attempts error_threshold_counts_attempts
t auto_remap_enabled_is_obeyed auto_remap_enabled_is_obeyed
t s30_a_remapping_raises_an_event a_remapping_raises_an_event
t s15_no_space_passes_up no_space_passes_up
t s05_physical_blocks_of_4096 physical_blocks_of_4096
t s22_max_remaps_is_a_limit max_remaps_is_a_limit
t s22_exhaustion_is_an_error_and_not_a_hang exhaustion_is_an_error_and_not_a_hang
t s29_unloads unloads
t kernel_log_is_clean clean_log
finish
