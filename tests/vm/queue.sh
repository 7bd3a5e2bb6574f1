#!/bin/sh
# s17, s23: NOWAIT, read-ahead, polled I/O, and what the queue says of itself, beside dm-linear where both are to do the same.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 32)
SPARE=$(disk spare 16)

start() {
	under m "$MAIN" 2008+8
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	fill
	# A table with an error segment does not offer NOWAIT.
	dmsetup remove r
	under m "$MAIN"
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(query r 2008)" mapped
	same
}

# nowait read|write SECTOR [DEVICE]: one sector, which must not wait.
nowait() {
	fio --name=n --filename="${3-/dev/mapper/r}" --rw="$1" --offset=$(($2 * 512)) --size=512 --bs=512 --direct=1 \
		--ioengine=pvsync2 --nowait=1 --allow_file_create=0
}

nowait_is_as_of_linear() {
	dmsetup create l --table "0 8192 linear $MAIN 0"
	nowait read 0 /dev/mapper/l
	dmsetup remove l
	nowait read 0
	nowait read 2008
	put 2008 8
	nowait write 2008
	nowait write 64
	get 2008 1
	dd if="$WORK/got" of="$WORK/model" bs=512 seek=2008 conv=notrunc status=none
	get 64 1
	dd if="$WORK/got" of="$WORK/model" bs=512 seek=64 conv=notrunc status=none
	same
}

AGAIN='Resource temporarily unavailable'

# Waits, ten seconds at most, until the group of the sector is held.
until_held() {
	tries=0
	until ! nowait read "$1" >"$WORK/out" 2>&1 && grep -q "$AGAIN" "$WORK/out"; do
		tries=$((tries + 1))
		[ $tries -lt 100 ]
		sleep 0.1
	done
}

nowait_does_not_wait_for_what_is_suspect_or_held() {
	place=$(dmsetup message r 0 query 2008 | sed 's/.* spare_sector=//')
	under s "$SPARE" "$place+1"
	fails get 2008 1
	under s "$SPARE"
	equal "$(query r 2008)" suspect
	refused "$AGAIN" nowait read 2008
	refused "$AGAIN" nowait write 2008
	nowait read 2009
	# The group is held while it moves to another slot, which takes long.
	dmsetup load s --table "0 $(sectors "$SPARE") delay $SPARE 0 0 $SPARE 0 3000"
	dmsetup suspend --noflush s
	dmsetup resume s
	put 2008 1 &
	until_held 2009
	# Who may wait does.
	get 2009 1
	wait $!
	under s "$SPARE"
	nowait read 2009
	same
}

# A page that is read ahead fails; the pages before it are read all the same, and nothing is known of the bad one.
read_ahead_records_nothing() {
	place=$(dmsetup message r 0 query 2008 | sed 's/.* spare_sector=//')
	under s "$SPARE" "$place+8"
	blockdev --setra 256 /dev/mapper/r
	dd if=/dev/mapper/r of="$WORK/got" bs=4096 skip=249 count=1 status=none
	cmp "$WORK/got" "$WORK/model" -i 0:$((249 * 4096)) -n 4096
	equal "$(query r 2008)" mapped
	fails dd if=/dev/mapper/r of=/dev/null bs=4096 skip=251 count=1 status=none
	equal "$(query r 2008)" suspect
	under s "$SPARE"
	same 2008 8
}

# A field that device-mapper's queues do not have on this kernel.
case $(uname -r) in
6.1.*) ABSENT=none ;;
*) ABSENT=nr_requests ;;
esac

# compare MAIN FIELD...: what of the queues of r and of dm-linear on the same main is not the same, or not there.
compare() {
	dmsetup create l --table "0 $(sectors "$1") linear $1 0"
	shift
	for field in "$@"; do
		if [ ! -e "/sys/dev/block/$(number /dev/mapper/l)/queue/$field" ]; then
			[ "$field" = $ABSENT ] || echo "$field is not there"
			continue
		fi
		[ "$(queue /dev/mapper/r "$field")" = "$(queue /dev/mapper/l "$field")" ] ||
			echo "$field $(queue /dev/mapper/r "$field") $(queue /dev/mapper/l "$field")"
	done
	for field in alignment_offset discard_alignment; do
		equal "$(cat "/sys/dev/block/$(number /dev/mapper/r)/$field")" "$(cat "/sys/dev/block/$(number /dev/mapper/l)/$field")"
	done
	dmsetup remove l
}

OF_MAIN='logical_block_size physical_block_size hw_sector_size minimum_io_size optimal_io_size discard_granularity
	discard_max_bytes discard_max_hw_bytes discard_zeroes_data max_sectors_kb max_hw_sectors_kb chunk_sectors read_ahead_kb zoned'
OF_BOTH='write_cache fua rotational io_poll stable_writes add_random dax dma_alignment virt_boundary_mask max_segments
	max_segment_size max_discard_segments nr_requests'

# beside MAIN SPARE FIELD...: as `compare`, of a mapping made for it.
beside() {
	side_main=$1 side_spare=$2
	shift 2
	dd if=/dev/zero of="$side_spare" bs=1M oflag=direct status=none 2>/dev/null || true
	dmsetup create r --table "0 $(sectors "$side_main") remap $side_main 0 1 $side_spare 0 1 format" >&2
	compare "$side_main" "$@"
	dmsetup remove r
}

# Where both devices are alike, all is as of dm-linear but the length of write-zeroes.
limits_are_as_of_linear() {
	dmsetup remove r
	sd=$(scsi_disk 32 physblk_exp=3 opt_xferlen_exp=7 lbpu=1 lbpws=1 unmap_granularity=16 unmap_alignment=8)
	# shellcheck disable=SC2086 # a list of words
	equal "$(beside "$sd" "$SPARE" $OF_MAIN)" ''
	twin=$(disk twin 32)
	# shellcheck disable=SC2086
	equal "$(beside "$MAIN" "$twin" $OF_MAIN $OF_BOTH)" ''
	remap r "$MAIN" "$twin"
	equal "$(queue /dev/mapper/r write_zeroes_max_bytes)" 1048576
	dmsetup remove r
	losetup -d "$twin"
}

# A spare without discards takes none from main, and one with them invents none.
discards_are_mains() {
	plain=$(cacheless plain 32)
	equal "$(queue "$plain" discard_max_bytes)" 0
	# shellcheck disable=SC2086
	equal "$(beside "$MAIN" "$plain" $OF_MAIN)" ''
	remap r "$MAIN" "$plain"
	[ "$(queue /dev/mapper/r discard_max_bytes)" -gt 0 ]
	# The spare has no write-zeroes, so that the device has none.
	equal "$(queue /dev/mapper/r write_zeroes_max_bytes)" 0
	fails zeroes 0 8
	# The spare has no write cache, main has.
	equal "$(queue /dev/mapper/r write_cache)" 'write back'
	fill
	discard 0 64
	wiped 0 64
	same
	dmsetup remove r
	# shellcheck disable=SC2086
	equal "$(beside "$plain" "$MAIN" $OF_MAIN)" ''
	remap r "$plain" "$MAIN"
	equal "$(queue /dev/mapper/r discard_max_bytes)" 0
	fails discard 0 64
	equal "$(queue /dev/mapper/r write_cache)" 'write back'
	dmsetup remove r
}

# Both devices can be polled. Main has bad sectors.
polled_io_verifies() {
	polled=$(cacheless polled 32)
	zero=$(cacheless beneath 32)
	remap r "$polled" "$zero" format
	equal "$(queue /dev/mapper/r io_poll)" "$(queue "$polled" io_poll)"
	equal "$(queue /dev/mapper/r io_poll)" 1
	echo +1000-1007 >/sys/kernel/config/nullb/polled/badblocks
	echo +4001-4002 >/sys/kernel/config/nullb/polled/badblocks
	for engine in pvsync2 io_uring; do
		depth=1
		[ $engine = pvsync2 ] || depth=8
		fio --name=p --filename=/dev/mapper/r --ioengine=$engine --hipri=1 --iodepth=$depth --direct=1 --rw=randwrite \
			--bsrange=512-16k --size=4m --verify=crc32c --verify_fatal=1 --serialize_overlap=1
	done
	equal "$(query r 1000) $(query r 4001) $(status r 9)" 'mapped mapped 0'
	dmsetup remove r
}

# main_is [RANGE]: FAST, but for sectors 4002 to 4007, which are on NARROW, and, if they are given, sectors behind that fail.
main_is() {
	end=$(sectors "$FAST")
	bad=${1-$end+0}
	first=${bad%+*} count=${bad#*+}
	behind=$((first + count))
	{
		echo "0 4002 linear $FAST 0"
		echo "4002 6 linear $NARROW 2"
		echo "4008 $((first - 4008)) linear $FAST 4008"
		[ "$count" = 0 ] || echo "$first $count error"
		[ "$behind" = "$end" ] || echo "$behind $((end - behind)) linear $FAST $behind"
	} >"$WORK/table"
	becomes m "$WORK/table"
}

# slots_take MS: how long the spare takes for a write.
slots_take() {
	echo "0 $(sectors "$SLOTS") delay $SLOTS 0 0 $SLOTS 0 $1" >"$WORK/table"
	becomes s "$WORK/table"
}

narrow_main() {
	dmsetup remove m
	dmsetup remove s
	under m "$FAST"
	under s "$SLOTS"
	remap r /dev/mapper/m /dev/mapper/s format
	fill
	dd if="$WORK/model" of="$NARROW" bs=4096 count=1 skip=500 oflag=direct status=none
	echo none >"/sys/block/${NARROW#/dev/}/queue/scheduler"
	main_is
	same 4000 8
}

# Six writes of a group wait until a part of it has moved. They are sent on to a main that has room for one at a time, and a write
# elsewhere, which has to be remapped meanwhile, does not wait for that.
nothing_waits_for_those_that_waited() {
	mkdir "$WORK/cgroup"
	mount -t cgroup2 none "$WORK/cgroup"
	echo +io >"$WORK/cgroup/cgroup.subtree_control"
	mkdir "$WORK/cgroup/payer"
	slots_take 5000
	dmsetup message r 0 remap 3992 10 &
	order=$!
	until_held 3992
	for nth in 2 3 4 5 6 7; do
		(
			echo 0 >"$WORK/cgroup/payer/cgroup.procs"
			JOB=$nth put $((4000 + nth)) 1
		) &
	done
	# Each brings its content from a process of its own.
	until [ "$(writing r)" = 6 ]; do sleep 0.1; done
	equal "$(query r 3992) $(query r 4000) $(writing m)" 'main main 0'
	main_is 16008+8
	put 64 1
	equal "$(query r 3992) $(writing r)" 'main 6'
	under s "$SLOTS"
	wait $order
	equal "$(query r 4000)" mapped
	put 16008 8
	equal "$(query r 16008)" mapped
	# At two seconds each.
	[ "$(writing r)" -ge 3 ]
	wait
	same 3992 16
	same 16008 8
}

# writing NAME: how many writes to the mapped device are under way.
writing() { awk '{ print $2 }' "$(counters "$1")/inflight"; }

# What those six wrote is on the account of the processes that wrote it.
what_waited_is_charged_to_its_writer() {
	cat "$WORK/cgroup/payer/io.stat" >"$WORK/account"
	rmdir "$WORK/cgroup/payer"
	umount "$WORK/cgroup"
	cat "$WORK/account"
	grep "^$(number "$NARROW") .* wbytes=$((6 * 512)) .* wios=6 " "$WORK/account"
}

# A spare that takes six seconds for a write: a thread of the module that waits for it is no hung task.
waiting_is_no_hang() {
	seconds=$(cat /proc/sys/kernel/hung_task_timeout_secs)
	echo 2 >/proc/sys/kernel/hung_task_timeout_secs
	slots_take 6000
	main_is 20000+8
	put 64 1
	put 20000 8
	echo "$seconds" >/proc/sys/kernel/hung_task_timeout_secs
	under s "$SLOTS"
	equal "$(query r 20000)" mapped
	same 20000 8
	fails logged 'blocked for more than'
}

t start start
t s17_nowait_is_as_of_linear nowait_is_as_of_linear
t s17_nowait_does_not_wait nowait_does_not_wait_for_what_is_suspect_or_held
t s17_read_ahead_records_nothing read_ahead_records_nothing
t s23_limits_are_as_of_linear limits_are_as_of_linear
t s23_discards_are_mains discards_are_mains
t s17_polled_io_verifies polled_io_verifies

# A disk that takes one request at a time, and two seconds for it.
NARROW=$(cacheless narrow 1 submit_queues=1 hw_queue_depth=1 irqmode=2 completion_nsec=2000000000)
FAST=$(cacheless fast 32)
SLOTS=$(cacheless slots 16)
t narrow_main narrow_main
t s09_nothing_waits_for_those_that_waited nothing_waits_for_those_that_waited
t s09_what_waited_is_charged_to_its_writer what_waited_is_charged_to_its_writer
t s09_waiting_is_no_hang waiting_is_no_hang
t kernel_log_is_clean clean_log
finish
