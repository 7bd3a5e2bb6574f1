#!/bin/sh
# The messages remap, release and reset_stats: content moves to slots and back, by itself, under load, and with everything that can come
# between. Main has no write cache, so that only what is meant to fails.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 32)
SPARE=$(disk spare 64)

message() { dmsetup message r 0 "$@"; }

# field KEY: its value in the line that came in.
field() { sed "s/.* $1=\([0-9]*\).*/\1/"; }

# on_main FIRST COUNT: fails unless main itself holds what was put there.
on_main() {
	dd if="$MAIN" of="$WORK/raw" bs=$(($2 * 512)) count=1 skip=$(($1 * 512)) iflag=direct,skip_bytes status=none
	dd if="$WORK/model" bs=$(($2 * 512)) count=1 skip=$(($1 * 512)) iflag=skip_bytes status=none | cmp - "$WORK/raw"
}

recreate() {
	dmsetup remove r
	remap r /dev/mapper/m "$SPARE"
}

# slow MILLISECONDS: main takes its time from now on; 0: it does not any more.
slow() {
	[ "$1" != 0 ] || { under m "$MAIN" && return; }
	dmsetup load m --table "0 $(sectors "$MAIN") delay $MAIN 0 $1"
	dmsetup suspend --noflush --nolockfs m
	dmsetup resume m
}

start() {
	under m "$MAIN"
	remap r /dev/mapper/m "$SPARE" format
	fill
	same
}

there_and_back() {
	equal "$(message remap 1000 8)" 'sector=1000 sectors=8 remapped=8 mapped=0 unreadable=0 failed=0'
	equal "$(message remap 1001)" 'sector=1001 sectors=1 remapped=0 mapped=1 unreadable=0 failed=0'
	equal "$(message remap 1005 10)" 'sector=1005 sectors=10 remapped=7 mapped=3 unreadable=0 failed=0'
	equal "$(query r 999) $(query r 1000) $(query r 1014) $(query r 1015)" 'main mapped mapped main'
	equal "$(used r) $(mapped r) $(status r 10) $(status r 14)" '2 15 15 0'
	put 1002 4
	same 990 40
	fails on_main 1002 4
	recreate
	same 990 40
	equal "$(message release 1004 2)" 'sector=1004 sectors=2 released=2 main=0 lost=0 unreadable=0 failed=0'
	equal "$(query r 1003) $(query r 1004) $(query r 1006)" 'mapped main mapped'
	on_main 1004 2
	put 1000 12
	same 990 40
	equal "$(message release 990 40)" 'sector=990 sectors=40 released=13 main=27 lost=0 unreadable=0 failed=0'
	on_main 990 40
	equal "$(used r) $(mapped r) $(status r 14)" '0 0 15'
	equal "$(message list)" ''
	recreate
	same 990 40
	equal "$(used r)" 0
}

all_of_it_many_times() {
	for _ in 1 2; do
		equal "$(message remap 8192 8192)" 'sector=8192 sectors=8192 remapped=8192 mapped=0 unreadable=0 failed=0'
		equal "$(used r) $(mapped r)" '1024 8192'
		put 9000 100
		same 8192 8192
		equal "$(message release 8192 8192)" 'sector=8192 sectors=8192 released=8192 main=0 lost=0 unreadable=0 failed=0'
		on_main 8192 8192
	done
	equal "$(used r)" 0
	recreate
	same
}

# What cannot be read stays where it is, and only a write moves it.
unreadable_sectors() {
	under m "$MAIN" 2000+3 2016+1
	equal "$(message remap 1992 32)" 'sector=1992 sectors=32 remapped=28 mapped=0 unreadable=4 failed=0'
	equal "$(query r 1999) $(query r 2001) $(query r 2003) $(query r 2016)" 'mapped main mapped main'
	same 1992 8
	same 2003 13
	same 2017 7
	fails get 2000 1
	fails get 1999 4
	put 2000 3
	equal "$(query r 2001) $(message remap 1992 32 | field unreadable)" 'mapped 1'
	same 1992 24
	# A group that main does not take wholly stays.
	equal "$(message release 1992 32 | field failed)" 8
	same 1992 24
	under m "$MAIN"
	equal "$(message release 1992 32 | field released)" 8
	same 1990 40
	equal "$(used r)" 0
	on_main 1992 32
}

main_that_still_fails() {
	BAD=writes under m "$MAIN" 3000+8
	put 3000 8
	equal "$(query r 3000)" mapped
	message remap 2992 24
	equal "$(message release 2992 24)" 'sector=2992 sectors=24 released=16 main=0 lost=0 unreadable=0 failed=8'
	equal "$(used r) $(mapped r) $(query r 3000)" '1 8 mapped'
	same 2990 30
	recreate
	same 2990 30
	under m "$MAIN"
	equal "$(message release 3000 8)" 'sector=3000 sectors=8 released=8 main=0 lost=0 unreadable=0 failed=0'
	on_main 2990 30
	equal "$(used r)" 0
}

# It takes every write, and in these sectors forgets it: what was written is read back before the map is changed.
main_that_forgets() {
	for forgotten in 3008+8 3011+1; do
		message remap 3000 24
		put 3000 24
		BAD=forgets under m "$MAIN" $forgotten
		equal "$(message release 3000 24)" 'sector=3000 sectors=24 released=16 main=0 lost=0 unreadable=0 failed=8'
		equal "$(query r 3000) $(query r 3008) $(query r 3015) $(query r 3016)" 'main mapped mapped main'
		equal "$(used r) $(mapped r) $(status r 1)" '1 8 rw'
		same 2990 44
		fails on_main "${forgotten%+*}" 1
		recreate
		same 2990 44
		under m "$MAIN"
		equal "$(message release 3008 8)" 'sector=3008 sectors=8 released=8 main=0 lost=0 unreadable=0 failed=0'
		on_main 2990 44
		equal "$(used r)" 0
	done
}

# fio writes and reads what it wrote, in the groups that move meanwhile.
under_load() {
	fio --name=v --filename=/dev/mapper/r --offset=16m --size=4m --rw=randwrite --bsrange=512-32k --ioengine=libaio --direct=1 \
		--iodepth=16 --verify=crc32c --verify_fatal=1 --verify_backlog=32 --serialize_overlap=1 --randseed=3 \
		--time_based --runtime=20 \
		>"$WORK/out" 2>&1 &
	pid=$!
	seed=1
	while [ -e /proc/$pid ]; do
		seed=$(((seed * 1103515245 + 12345) % 2147483648))
		first=$((32768 + seed / 256 % 7600)) count=$((1 + seed / 65536 % 592))
		case $((seed / 128 % 2)) in
		0) message remap "$first" "$count" ;;
		1) message release "$first" "$count" ;;
		esac >"$WORK/line"
		cat "$WORK/line"
		# A healthy disk and a spare with room: nothing fails.
		equal "$(field unreadable <"$WORK/line") $(field failed <"$WORK/line")" '0 0'
	done
	wait $pid || {
		cat "$WORK/out"
		return 1
	}
	equal "$(status r 1) $(status r 3) $(status r 9)" 'rw 0 0'
	[ "$(status r 10)" -gt 0 ] && [ "$(status r 14)" -gt 0 ]
	message release 32768 8192
	equal "$(used r)" 0
	# The rest of the device is untouched.
	same 0 32768
	dd if=/dev/mapper/r of="$WORK/model" bs=1M skip=16 seek=16 conv=notrunc iflag=direct status=none
	on_main 32768 8192
}

full_spare() {
	param max_remaps $(($(used r) + 2))
	equal "$(message remap 5000 40)" 'sector=5000 sectors=40 remapped=16 mapped=0 unreadable=0 failed=24'
	logged ': 100% of the slots in use'
	same 4990 60
	param max_remaps 0
	equal "$(message remap 5000 40 | field remapped)" 24
	message release 5000 40
	same 4990 60
}

# One event for an order, however many windows and commits it takes; none when nothing has changed.
one_event() {
	nr=$(events)
	dmsetup wait r "$nr" &
	message remap 6000 1000
	wait $!
	equal "$(events)" $((nr + 1))
	message remap 6000 1000
	equal "$(events)" $((nr + 1))
	dmsetup wait r $((nr + 1)) &
	message release 6000 1000
	wait $!
	equal "$(events)" $((nr + 2))
	param debug_level 2
	message remap 7000 1
	message release 7000 1
	logged ': sector 7000: mask 0x01 now in slot '
	logged ': sector 7000: mask 0x01 back on main from slot '
	param debug_level 1
}

statistics() {
	[ "$(status r 10)" -gt 0 ] && [ "$(status r 11)" -gt 0 ] && [ "$(status r 14)" -gt 0 ]
	equal "$(message reset_stats)" stats=reset
	equal "$(status r 7) $(status r 8) $(status r 9) $(status r 10) $(status r 11) $(status r 14)" '0 0 0 0 0 0'
	equal "$(status r 1) $(used r) $(status r 3)" 'rw 0 0'
	message remap 7000 3
	equal "$(status r 10) $(status r 11)" '3 1'
	message release 7000 3
	equal "$(status r 14) $(status r 11)" '3 2'
}

# A device that is suspended does no I/O of its own; it says so at once and changes nothing.
while_suspended() {
	dmsetup suspend r
	refused 'Resource temporarily unavailable' message remap 0
	refused 'Resource temporarily unavailable' message release 0
	commits=$(status r 11) sum=$(md5sum <"$SPARE")
	refused 'Resource temporarily unavailable' message resume_remap
	equal "$(status r 11) $(md5sum <"$SPARE")" "$commits $sum"
	equal "$(query r 0)" main
	message reset_stats
	dmsetup resume r
	equal "$(message resume_remap)" mode=rw
	equal "$(message remap 0)" 'sector=0 sectors=1 remapped=1 mapped=0 unreadable=0 failed=0'
	dmsetup load r --table "$(dmsetup table r)"
	dmsetup suspend r
	dmsetup resume r
	equal "$(message release 0 | field released)" 1
}

# A long order gives way to a suspension and says where it stopped.
suspended_in_the_middle() {
	slow 30
	message remap 16384 16384 >"$WORK/line" &
	sleep 2
	dmsetup suspend r
	wait $!
	cat "$WORK/line"
	dmsetup resume r
	slow 0
	next=$(field next <"$WORK/line")
	[ "$next" -gt 16384 ] && [ "$next" -lt 32768 ]
	equal "$(field remapped <"$WORK/line") $(mapped r)" "$((next - 16384)) $((next - 16384))"
	equal "$(message remap "$next" $((32768 - next)) | field failed)" 0
	equal "$(mapped r)" 16384
	same 16384 16384
	slow 30
	message release 16384 16384 >"$WORK/line" &
	sleep 2
	dmsetup suspend --noflush r
	wait $!
	dmsetup resume r
	slow 0
	next=$(field next <"$WORK/line")
	[ "$next" -gt 16384 ]
	equal "$(mapped r)" $((32768 - next))
	same 16384 16384
	message release 16384 16384
	equal "$(used r)" 0
	on_main 16384 16384
}

# A write stays on main for as long as the test wants. Orders elsewhere do not wait for it, and those beside it keep nobody waiting.
a_slow_write_holds_up_nobody() {
	dmsetup create slow --table "0 8 delay $MAIN 9000 0 $MAIN 9000 600000"
	BAD=/dev/mapper/slow under m "$MAIN" 9000+8
	dd if="$WORK/model" of=/dev/mapper/r bs=4096 count=1 skip=$((9000 * 512)) seek=$((9000 * 512)) iflag=skip_bytes oflag=direct,seek_bytes conv=notrunc status=none &
	writer=$!
	under_way m write
	equal "$(message remap 20000 8)" 'sector=20000 sectors=8 remapped=8 mapped=0 unreadable=0 failed=0'
	# Somebody writes all the time where the order holds, and so waits for whatever keeps the order from letting go.
	before=$(writes_ended r)
	fio --name=u --filename=/dev/mapper/r --offset=$((9016 * 512)) --size=4k --rw=write --bs=4k --direct=1 --time_based --runtime=5 \
		>"$WORK/out" &
	user=$!
	until [ "$(writes_ended r)" -gt $((before + 9)) ]; do sleep 0.1; done
	message remap 9016 8 >"$WORK/line" &
	order=$!
	wait $user
	kill -0 $order
	kill -0 $writer
	put 9016 8
	same 9016 8
	equal "$(query r 9016)" main
	dmsetup suspend --noflush --nolockfs slow
	dmsetup resume slow
	wait $writer
	wait $order
	equal "$(cat "$WORK/line")" 'sector=9016 sectors=8 remapped=8 mapped=0 unreadable=0 failed=0'
	same 9000 24
	message release 9000 24
	message release 20000 8
	equal "$(used r)" 0
	under m "$MAIN"
	dmsetup remove slow
	same
}

# Who waits for events hears of what was moved; nobody else does.
killed_in_the_middle() {
	nr=$(events)
	slow 30
	dmsetup message r 0 remap 16384 16384 &
	sleep 2
	kill -9 $!
	fails wait $!
	slow 0
	moved=$(mapped r)
	[ "$moved" -gt 0 ] && [ "$moved" -lt 16384 ]
	equal "$(events)" $((nr + 1))
	same 16384 16384
	message release 16384 16384
	equal "$(used r)" 0
}

removed_in_the_middle() {
	for what in remap release; do
		slow 30
		message $what 16384 16384 >"$WORK/line" &
		sleep 2
		dmsetup remove r
		wait $!
		cat "$WORK/line"
		slow 0
		remap r /dev/mapper/m "$SPARE"
		equal "$(status r 1)" rw
		same 16384 16384
		message remap 16384 16384 >/dev/null
	done
	message release 16384 16384
	equal "$(used r)" 0
	same
}

two_at_once() {
	message remap 16384 4096 &
	first=$!
	message release 16384 4096 &
	second=$!
	message remap 18000 100
	wait $first
	wait $second
	same 16384 4096
	message release 16384 4096
	equal "$(used r)" 0
}

read_only_and_inactive() {
	message remap 100 8
	table=$(dmsetup table r)
	dmsetup remove r
	dmsetup create r --readonly --table "$table"
	refused 'Read-only file system' message remap 200
	refused 'Read-only file system' message release 100
	equal "$(query r 100) $(query r 200)" 'mapped main'
	dmsetup remove r
	dmsetup create r --notable
	dmsetup load r --table "$table"
	fails message remap 200
	dmsetup resume r
	equal "$(message release 100 8 | field released)" 8
	same
}

filesystem() {
	mkfs.ext4 -q -E nodiscard /dev/mapper/r
	mkdir -p "$WORK/mnt"
	mount /dev/mapper/r "$WORK/mnt"
	head -c 6000000 /dev/urandom >"$WORK/file"
	for round in 1 2 3; do
		cp "$WORK/file" "$WORK/mnt/$round" &
		pid=$!
		message remap 0 20000
		message release $((round * 1000)) 20000
		wait $pid
		sync
	done
	umount "$WORK/mnt"
	e2fsck -fn /dev/mapper/r
	recreate
	mount /dev/mapper/r "$WORK/mnt"
	for round in 1 2 3; do cmp "$WORK/file" "$WORK/mnt/$round"; done
	umount "$WORK/mnt"
	# With nothing mapped, main is a filesystem by itself.
	equal "$(message release 0 65536 | field failed)" 0
	equal "$(used r)" 0
	dmsetup remove r
	e2fsck -fn "$MAIN"
}

# A write that waits for a group that goes back to main is sent there as it came, and not in logical blocks.
a_write_that_waited_goes_on_as_a_whole() {
	message remap 1200 8
	dmsetup create slow --table "0 8 delay $MAIN 1200 0 $MAIN 1200 5000"
	BAD=/dev/mapper/slow under m "$MAIN" 1200+8
	before=$(writes_ended m)
	message release 1200 8 >"$WORK/line" &
	order=$!
	under_way m write
	put 1200 8
	wait $order
	equal "$(cat "$WORK/line")" 'sector=1200 sectors=8 released=8 main=0 lost=0 unreadable=0 failed=0'
	# One of the release and one of the user.
	equal "$(($(writes_ended m) - before))" 2
	under m "$MAIN"
	dmsetup remove slow
	same 1200 8
	on_main 1200 8
}

# A disk that fails by 4096 bytes, and takes 512. Of such a block three sectors live in a slot.
a_part_of_a_physical_block_goes_back() {
	dmsetup remove m
	DISK=$(scsi_disk 16 physblk_exp=3)
	equal "$(queue "$DISK" logical_block_size) $(queue "$DISK" physical_block_size)" '512 4096'
	dd if=/dev/zero of="$SPARE" bs=1M count=64 oflag=direct conv=notrunc status=none
	under m "$DISK"
	remap r /dev/mapper/m "$SPARE" format
	fill
	BAD=writes under m "$DISK" 1000+8
	put 1002 3
	equal "$(mapped r) $(query r 1001) $(query r 1002)" '3 main mapped'
	# The rest of the block is out of the way before main is asked to take a part, and stays there when it does not.
	equal "$(message release 1002 3)" 'sector=1002 sectors=3 released=0 main=0 lost=0 unreadable=0 failed=3 aside=5'
	equal "$(mapped r) $(used r)" '8 1'
	same 992 24
	under m "$DISK"
	equal "$(message release 1000 5)" 'sector=1000 sectors=5 released=5 main=0 lost=0 unreadable=0 failed=0'
	equal "$(mapped r) $(query r 1004) $(query r 1005)" '3 main mapped'
	# It goes back with it.
	equal "$(message release 1005 2)" 'sector=1005 sectors=2 released=2 main=0 lost=0 unreadable=0 failed=0'
	equal "$(mapped r) $(query r 1007)" '1 mapped'
	same 992 24
	equal "$(message release 1000 8)" 'sector=1000 sectors=8 released=1 main=7 lost=0 unreadable=0 failed=0'
	equal "$(used r)" 0
	same
	dmsetup remove r
	dd if="$DISK" bs=1M iflag=direct status=none | cmp - "$WORK/model"
}

# A disk whose first aligned sector is 7, and a main that begins at 3: what is moved are whole physical blocks all the same.
physical_blocks_begin_where_the_disk_says() {
	dmsetup remove m
	rmmod scsi_debug
	DISK=$(scsi_disk 16 physblk_exp=3 lowest_aligned=7)
	for offset in 0 3 63; do
		dd if=/dev/zero of="$SPARE" bs=1M count=64 oflag=direct conv=notrunc status=none
		len=$(($(sectors "$DISK") - offset))
		dmsetup create r --table "0 $len remap $DISK $offset 1 $SPARE 0 1 format"
		first=$(((7 + 8000 - offset) % 8 + 96))
		equal "$(message remap $((first + 5)) 1)" "sector=$first sectors=8 remapped=8 mapped=0 unreadable=0 failed=0"
		equal "$(query r $((first - 1))) $(query r "$first") $(query r $((first + 7))) $(query r $((first + 8)))" 'main mapped mapped main'
		equal "$(message release "$first" 8)" "sector=$first sectors=8 released=8 main=0 lost=0 unreadable=0 failed=0"
		equal "$(used r)" 0
		dmsetup remove r
	done
}

t start start
t s24_content_goes_there_and_back there_and_back
t s24_back_and_forth_many_times all_of_it_many_times
t s01_what_cannot_be_read_stays unreadable_sectors
t s24_main_that_still_fails main_that_still_fails
t s24_main_that_forgets_what_it_took main_that_forgets
t s09_under_load under_load
t s22_full_spare full_spare
t s30_one_event_for_an_order one_event
t reset_stats statistics
t s19_suspended_devices_take_no_orders while_suspended
t s19_suspend_in_the_middle suspended_in_the_middle
t s09_a_slow_write_holds_up_nobody a_slow_write_holds_up_nobody
t s19_kill_in_the_middle killed_in_the_middle
t s19_remove_in_the_middle removed_in_the_middle
t s09_two_orders_at_once two_at_once
t s19_read_only_and_inactive read_only_and_inactive
t s10_a_write_that_waited_goes_on_as_a_whole a_write_that_waited_goes_on_as_a_whole
t s09_filesystem_that_moves filesystem
t s32_a_part_of_a_physical_block_goes_back a_part_of_a_physical_block_goes_back
t s32_physical_blocks_begin_where_the_disk_says physical_blocks_begin_where_the_disk_says
t kernel_log_is_clean clean_log
finish
