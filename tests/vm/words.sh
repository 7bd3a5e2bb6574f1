#!/bin/sh
# s20, s22, s23, s30: what `dmremap` says is so, whatever state a set and the devices below it are in, and what it says to do works.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 32)
SPARE=$(disk spare 16)
under m "$MAIN"
OLD=/dev/mapper/m

# check STATUS WORDS: `status --check r` ends so and says so; `status r` says the same.
check() {
	gives "$1" "$2" status --check r
	gives 0 "$2" status r
}

# advised: the first command that was advised, as it stands.
advised() { sed -n 's/^ *next: .*`\(dmremap [^`]*\)`.*/\1/p' "$WORK/said" | head -n 1; }

nothing_is_open() {
	gives 12 'no set is open' status --check
	gives 12 'dmremap status' status --check r
	gives 0 'no set is open' status
}

all_is_well() {
	gives 0 "dmremap open $OLD $SPARE attic" format -q --label attic --slots 4 $OLD "$SPARE"
	gives 0 /dev/mapper/r open $OLD "$SPARE" /dev/mapper/r
	fill
	check 0 'bad sectors are replaced; 4 of 4 slots free'
}

names_and_numbers() {
	uuid=$("$DMREMAP" --json status r | sed -n 's/^ *"set_uuid": "\(.*\)",/\1/p')
	node=/dev/$(basename "$(readlink "/sys/dev/block/$(number /dev/mapper/r)")")
	for given in r /dev/mapper/r "$node" attic "$uuid" "$(echo "$uuid" | tr -d -)"; do
		gives 0 '/dev/mapper/r' status "$given"
		gives 0 '16: main' query "$given" 0x10
		gives 0 '64: main' query "$given" 64s
		gives 0 'nothing is mapped' list "$given"
	done
	gives 0 '2048: main' query attic 1M
	gives 4 'dmremap status' status nobody
}

# Nothing is promised for which there is no slot.
slots_run_out() {
	gives 0 'would move 32 sectors to the spare, which takes 4 of 4 free slots' remap --dry-run r 0 32
	gives 4 '4 slots are free, for 32 sectors at most' remap --dry-run r 0 64
	gives 0 '24 sectors moved' remap r 0 24
	check 10 '75 % of the 4 slots are taken: 1 further group of 4 KiB'
	equal "$("$DMREMAP" list r | awk 'NR == 2 { print $1 "+" $2, $3 }')" '0+24 0-2'
	gives 0 'total: 24 sectors mapped, 3 slots in use' list r
	under m "$MAIN" 8000+8 9000+8
	fails get 9000 8
	check 10 'main cannot read 8 sectors'
	gives 4 'restore it from a backup' remap r 9000 8
	put 12000 8
	put 8000 8
	check 11 'all of the 4 slots are taken: the next bad sector is not replaced'
	gives 4 'no slot is free' remap r 9000 8
	gives 4 'no slot is free' remap r 12000 8
	gives 4 '0 slots are free' remap --dry-run r 12000 8
	fails put 9000 8
	check 11 'stored nowhere'
}

# What is advised is given, and helps.
advice_helps() {
	under m "$MAIN"
	gives 11 'all of the 4 slots are taken' status --check r
	command=$(advised)
	equal "$command" 'dmremap release --all r'
	# shellcheck disable=SC2086 # words of a command
	gives 0 'moved back to main' ${command#dmremap }
	put 9000 8
	gives 10 'stored nowhere' status --check r
	command=$(advised)
	equal "$command" 'dmremap reset-stats r'
	# shellcheck disable=SC2086
	gives 0 '' ${command#dmremap }
	check 0 'bad sectors are replaced'
	same
}

suspended() {
	dmsetup suspend --noflush --nolockfs r
	check 11 'it is suspended: reads and writes wait'
	dmsetup resume r
	check 0 'bad sectors are replaced'
}

failed_flush() {
	BAD=writes under m "$MAIN" 60000+8
	fails dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync
	under m "$MAIN"
	check 11 'writes are refused: a flush failed'
	command=$(advised)
	equal "$command" 'dmremap resume r'
	gives 0 'mode rw' resume attic
	check 0 'bad sectors are replaced'
}

closes_by_label() {
	gives 0 '' close attic
	fails dmsetup info r
}

# pulled WHICH WORDS: of a main or a spare that was pulled the module learns with the next request, and the tool at once.
pulled() {
	cleanup
	scsi=$(scsi_disk 16)
	loop=$(disk other 16)
	main=$loop spare=$scsi
	[ "$1" = spare ] || { main=$scsi spare=$loop; }
	"$DMREMAP" format -q "$main" "$spare"
	"$DMREMAP" open "$main" "$spare" r
	check 0 'bad sectors are replaced'
	echo 1 >"/sys/block/${scsi##*/}/device/delete"
	equal "$(status r 1)" rw
	check 11 "$2"
	[ "$1" = main ] || fails grep '5 of 5 in sync' "$WORK/said"
	gives 0 'act now' status
	"$DMREMAP" close r || dmsetup remove --force r
	cleanup
}

spare_that_fails() {
	under s "$SPARE"
	"$DMREMAP" open $OLD /dev/mapper/s r
	check 0 'bad sectors are replaced'
	echo "0 $(sectors "$SPARE") error" >"$WORK/table"
	becomes s "$WORK/table"
	check 11 'does not answer: none of its superblocks can be read'
	gives 0 'not known; 5 of 5 were in sync' status r
	echo "0 $(sectors "$SPARE") linear $SPARE 0" >"$WORK/table"
	becomes s "$WORK/table"
	check 0 'bad sectors are replaced'
	"$DMREMAP" close r
	dmsetup remove s
}

# The set is on m and SPARE.
overlap_is_refused() {
	dmsetup create inside --table "0 20480 linear $OLD 4096"
	gives 1 'overlap: they are in part the same place' format -q --beside-idle $OLD /dev/mapper/inside
	dmsetup remove inside
	gives 1 'overlap' format -q "$MAIN" "$WORK/main.img"
	second=$(losetup -f --show "$WORK/main.img")
	gives 1 'overlap' format -q --beside-idle "$MAIN" "$second"
	losetup -d "$second"
}

readonly_devices() {
	before=$(md5sum <"$WORK/spare.img")
	blockdev --setro "$SPARE"
	gives 4 "$SPARE is read-only" format -q --force $OLD "$SPARE"
	gives 4 '--readonly opens the set' open $OLD "$SPARE" r
	gives 0 /dev/mapper/r open --readonly $OLD "$SPARE" r
	check 0 'read-only: everything is served'
	same
	gives 0 '' close r
	gives 0 'nothing is remapped' open --linear $OLD "$SPARE" r
	gives 0 '' close r
	equal "$(md5sum <"$WORK/spare.img")" "$before"
	blockdev --setrw "$SPARE"
}

zoned_is_told_before_anything_is_written() {
	zoned=$(cacheless zoned 16 zoned=1 zone_size=4)
	gives 4 'zoned devices are not supported' format -q "$zoned" "$(disk blank 16)"
	rmdir /sys/kernel/config/nullb/zoned
}

# 24 sectors and one of them alone are mapped.
spare_that_grew() {
	gives 0 /dev/mapper/r open $OLD "$SPARE" r
	"$DMREMAP" remap r 0 24
	"$DMREMAP" remap r 4099
	"$DMREMAP" list r >"$WORK/live"
	gives 0 '' close r
	truncate -s 32M "$WORK/spare.img"
	losetup -c "$SPARE"
	gives 0 'grew from 16 MiB to 32 MiB' open --linear $OLD "$SPARE" r
	same
	gives 0 '' close r
	"$DMREMAP" list --spare "$SPARE" | cmp - "$WORK/live"
	gives 0 'grew from 16 MiB to 32 MiB' open $OLD "$SPARE" r
	"$DMREMAP" list r | cmp - "$WORK/live"
	same
	gives 0 '' close r
	truncate -s 16M "$WORK/spare.img"
	losetup -c "$SPARE"
}

# One block more or less: the refusal names what works, and that works.
main_of_another_length() {
	dmsetup remove m
	truncate -s 33558528 "$WORK/main.img"
	losetup -c "$MAIN"
	gives 4 'it has 65544 sectors' open "$MAIN" "$SPARE" r
	command=$(sed -n 's/.*`\(dmremap open [^`]*\)`.*/\1/p' "$WORK/said")
	equal "$command" "dmremap open --linear $MAIN $SPARE r"
	# shellcheck disable=SC2086
	gives 0 'it has 65544 sectors' ${command#dmremap }
	same
	gives 0 '' close r
	truncate -s 33550336 "$WORK/main.img"
	losetup -c "$MAIN"
	# shellcheck disable=SC2086
	gives 0 'it has 65528 sectors' ${command#dmremap }
	same 0 65528
	fails get 65528 8
	gives 0 '' close r
	truncate -s 33554432 "$WORK/main.img"
	dd if="$WORK/model" of="$WORK/main.img" bs=512 skip=65528 seek=65528 count=8 conv=notrunc status=none
	losetup -c "$MAIN"
}

# A disk of 512-byte blocks behind a bridge of 4096.
main_of_other_blocks() {
	losetup -d "$MAIN"
	MAIN=$(losetup -f --show -b 4096 "$WORK/main.img")
	gives 4 'its logical block has 4096 bytes' open "$MAIN" "$SPARE" r
	gives 4 'parts of them' open --linear --force "$MAIN" "$SPARE" r
	command=$(sed -n 's/.*`\(losetup [^`]*\)`.*/\1/p' "$WORK/said")
	seen=$($command)
	gives 0 'nothing is remapped' open --linear --force "$seen" "$SPARE" r
	same
	gives 0 '' close r
	losetup -d "$seen"
}

# A partition of main is swap: the kernel says busy, and the tool by what.
swap_on_a_partition() {
	cleanup
	MAIN=$(disk main 32)
	SPARE=$(disk spare 16)
	"$DMREMAP" format -q "$MAIN" "$SPARE"
	addpart "$MAIN" 1 2048 40960
	mkswap "${MAIN}p1"
	swapon "${MAIN}p1"
	gives 5 "/dev/${MAIN##*/}p1 is used as swap" open "$MAIN" "$SPARE" r
	gives 5 'swapoff' format -q --force "$MAIN" "$SPARE"
	gives 5 "used as swap" format -q "$SPARE" "$MAIN"
	swapoff "${MAIN}p1"
	delpart "$MAIN" 1
}

# The first Ctrl-C ends an order after the part that is under way, with a summary.
interrupted() {
	cleanup
	MAIN=$(disk main 64)
	SPARE=$(disk spare 96)
	"$DMREMAP" format -q "$MAIN" "$SPARE"
	"$DMREMAP" open "$MAIN" "$SPARE" r
	set +e
	"$DMREMAP" --json remap r 0 131072 >"$WORK/said" 2>&1 &
	pid=$!
	set -e
	# From the first slot on the signal is taken.
	until [ "$(used r)" -gt 0 ]; do sleep 0.1; done
	kill -INT $pid
	code=0
	wait $pid || code=$?
	cat "$WORK/said"
	equal "$code" 4
	grep -q 'stopping after the part' "$WORK/said"
	at=$(sed -n 's/.*from sector \([0-9]*\) on nothing was tried, since it was interrupted.*/\1/p' "$WORK/said")
	[ "$at" -gt 0 ] && [ "$at" -lt 131072 ]
	grep -q "\"remapped_sectors\": $at," "$WORK/said"
	equal "$(used r)" $((at / 8))
	command=$(sed -n 's/.*`\(dmremap remap [^`]*\)`.*/\1/p' "$WORK/said")
	equal "$command" "dmremap remap r $at $((131072 - at))"
	# shellcheck disable=SC2086
	gives 0 'moved to the spare' ${command#dmremap }
	equal "$(used r)" 16384
	"$DMREMAP" close r
}

t s30_nothing_is_open nothing_is_open
t s30_all_is_well all_is_well
t names_and_numbers names_and_numbers
t s22_slots_run_out slots_run_out
t s30_advice_helps advice_helps
t s30_suspended suspended
t s08_failed_flush failed_flush
t closes_by_label closes_by_label
t s30_spare_that_fails spare_that_fails
t s23_overlap_is_refused overlap_is_refused
t s23_readonly_devices readonly_devices
t s23_zoned_is_told zoned_is_told_before_anything_is_written
t s23_spare_that_grew spare_that_grew
t s23_main_of_another_length main_of_another_length
t s23_main_of_other_blocks main_of_other_blocks
t s30_main_was_pulled pulled main 'main is gone'
t s30_spare_was_pulled pulled spare 'the spare is gone'
t s21_swap_on_a_partition swap_on_a_partition
t s24_interrupted interrupted
t kernel_log_is_clean clean_log
finish
