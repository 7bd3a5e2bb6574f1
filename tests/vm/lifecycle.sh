#!/bin/sh
# From a blank spare to an unloaded module: what is accepted, what is refused, and that a refusal touches nothing.
. tests/vm/lib.sh

ALONE=1
load_module
watch
MAIN=$(disk main 32)
OTHER=$(disk other 32)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")
SPARE_LEN=$(sectors "$SPARE")
BUSY='Device or resource busy'
NO_SET='No such device or address'
DAMAGED='Structure needs cleaning'
FOREIGN='Wrong medium type'

try() { dmsetup create r --table "$1"; }
sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }
zero() { dd if=/dev/zero of="$1" bs=1M count=16 oflag=direct status=none; }

target_is_known() { dmsetup targets | grep -q '^remap '; }

blank_spare_needs_the_feature() {
	before=$(sum "$SPARE")
	refused "$NO_SET" remap r "$MAIN" "$SPARE"
	equal "$(sum "$SPARE")" "$before"
	remap r "$MAIN" "$SPARE" format
	equal "$(status r 1)" rw
	equal "$(status r 5)" 5/5
}

table_recreates_the_device() {
	table=$(dmsetup table r)
	equal "$table" "0 $LEN remap $(number "$MAIN") 0 1 $(number "$SPARE") 0"
	id=$(status r 13)
	dmsetup remove r
	try "$table"
	equal "$(dmsetup table r)" "$table"
	equal "$(status r 13)" "$id"
	# A set that is there is opened, whatever the table says.
	dmsetup remove r
	remap r "$MAIN" "$SPARE" format
	equal "$(status r 13)" "$id"
}

with_nothing_mapped_it_is_main() {
	fill
	same
	sync
	cmp "$WORK/model" "$MAIN"
}

filesystem_works() {
	mkfs.ext4 -q /dev/mapper/r
	mkdir -p "$WORK/mnt"
	mount /dev/mapper/r "$WORK/mnt"
	head -c 1048576 "$WORK/model" >"$WORK/mnt/file"
	sync
	umount "$WORK/mnt"
	e2fsck -fn /dev/mapper/r
}

# Anything in the first or last MiB of a spare; what lies between is not looked at.
content_is_not_formatted() {
	dmsetup remove r || true
	for at in 0 1000000 15728640 16777215; do
		zero "$SPARE"
		printf x | dd of="$SPARE" bs=1 seek=$at conv=notrunc,fsync status=none
		before=$(sum "$SPARE")
		refused "$NO_SET" remap r "$MAIN" "$SPARE" format
		equal "$(sum "$SPARE")" "$before"
	done
	logged 'spare not formatted'
}

# The constructor only looks: a table that is loaded and never resumed leaves nothing behind.
loading_a_table_writes_nothing() {
	zero "$SPARE"
	before=$(sum "$SPARE")
	dmsetup create r --notable
	dmsetup load r --table "0 $LEN remap $MAIN 0 1 $SPARE 0 1 format"
	dmsetup remove r
	equal "$(sum "$SPARE")" "$before"
}

# A table that was not resumed yet says so, and so does one whose first resume failed: there is nothing yet to ask.
what_is_not_resumed_says_so() {
	zero "$SPARE"
	under s "$SPARE"
	remap r "$MAIN" /dev/mapper/s format
	table=$(dmsetup table r) slots=$(status r 2)
	line="0 $LEN remap inactive $slots - - - - - - - - - - $(status r 13) - - - - - - - - - - - -"
	dmsetup load r --table "$table"
	equal "$(dmsetup status --inactive r)" "$line"
	equal "$(status r 1)" rw
	dmsetup remove r
	dmsetup create r --notable
	dmsetup load r --table "$table"
	equal "$(dmsetup status --inactive r)" "$line"
	# The target is not asked: device-mapper sends messages to the table in service only.
	fails dmsetup message r 0 query 0
	under s "$SPARE" "0+$SPARE_LEN"
	fails dmsetup resume r
	equal "$(dmsetup status r)" "$line"
	for message in 'query 0' list 'list 0' reset_stats 'remap 0' 'release 0' resume_remap; do
		# shellcheck disable=SC2086 # words
		refused 'No such device or address' dmsetup message r 0 $message
	done
	under s "$SPARE"
	dmsetup resume r
	equal "$(status r 1) $(dmsetup message r 0 reset_stats)" 'rw stats=reset'
	dmsetup remove r
	dmsetup remove s
}

# Writes to the spare begin to fail in the middle of a format, which leaves flags of a format under way.
cut_off_format_begins_again() {
	zero "$SPARE"
	BAD=writes under s "$SPARE" 200+8
	fails remap r "$MAIN" /dev/mapper/s format
	under s "$SPARE"
	refused "$DAMAGED" remap r "$MAIN" /dev/mapper/s
	remap r "$MAIN" /dev/mapper/s format
	equal "$(status r 1)" rw
	dmsetup remove r
	dmsetup remove s
}

in_use_is_refused() {
	zero "$SPARE"
	remap r "$MAIN" "$SPARE" format
	refused "$BUSY" remap x "$MAIN" "$SPARE"
	refused "$BUSY" remap x "$MAIN" "$OTHER" format
	refused "$BUSY" remap x "$OTHER" "$SPARE" format
	refused "$BUSY" remap x "$SPARE" "$OTHER" format
	refused "$BUSY" remap x "$OTHER" "$MAIN" format
	# The same set by another way: another loop device over the same file, and another main.
	again=$(losetup -f --show "$WORK/spare.img")
	refused "$BUSY" remap x "$OTHER" "$again"
	losetup -d "$again"
	equal "$(status r 1)" rw
	dmsetup remove r
}

one_disk_serves_as_both() {
	zero "$OTHER"
	half=32768
	dd if=/dev/zero of="$OTHER" bs=1M oflag=direct status=none || true
	refused 'Invalid argument' try "0 $half remap $OTHER 0 1 $OTHER $((half - 8)) 1 format"
	refused 'Invalid argument' try "0 $half remap $OTHER 8 1 $OTHER 8 1 format"
	for place in "$half 0" "0 $half"; do
		main=${place% *} spare=${place#* }
		try "0 $half remap $OTHER $main 1 $OTHER $spare 1 format"
		dd if="$WORK/model" of=/dev/mapper/r bs=1M count=16 oflag=direct status=none
		# The other half is taken, all of it.
		refused "$BUSY" dmsetup create x --table "0 8 remap $OTHER $((spare + half - 8)) 1 $SPARE 0"
		dmsetup remove r
		try "0 $half remap $OTHER $main 1 $OTHER $spare"
		dd if=/dev/mapper/r bs=1M iflag=direct status=none | cmp -n 16777216 - "$WORK/model"
		dmsetup remove r
		dd if=/dev/zero of="$OTHER" bs=1M oflag=direct status=none || true
	done
}

another_main_is_refused() {
	refused "$FOREIGN" try "0 $((LEN - 8)) remap $MAIN 0 1 $SPARE 0"
	big=$(disk big 32 4096)
	refused "$FOREIGN" try "0 $LEN remap $big 0 1 $SPARE 0"
	losetup -d "$big"
	# A longer region than the recorded one is used as recorded, a shorter one is refused.
	truncate -s 24M "$WORK/spare.img"
	losetup -c "$SPARE"
	remap r "$MAIN" "$SPARE"
	dmsetup remove r
	dmsetup create short --table "0 24576 linear $SPARE 0"
	refused "$DAMAGED" try "0 $LEN remap $MAIN 0 1 /dev/mapper/short 0"
	dmsetup remove short
	truncate -s 16M "$WORK/spare.img"
	losetup -c "$SPARE"
	remap r "$MAIN" "$SPARE"
	dmsetup remove r
}

# overwrite COPY...: random bytes where the superblocks of these copies are (docs/format.md).
overwrite() {
	area=$((SPARE_LEN / 8 / 5 / 8 * 8))
	for copy in "$@"; do
		dd if=/dev/urandom of="$SPARE" bs=4096 seek=$((copy * area + 1)) count=1 oflag=direct conv=notrunc status=none
	done
}

corrupt_superblocks() {
	overwrite 0
	remap r "$MAIN" "$SPARE"
	equal "$(status r 5)" 5/5
	dmsetup remove r
	overwrite 1 3
	remap r "$MAIN" "$SPARE"
	dmsetup remove r
	overwrite 0 2 4
	cp "$WORK/spare.img" "$WORK/kept"
	refused "$DAMAGED" remap r "$MAIN" "$SPARE" format
	cmp "$WORK/kept" "$WORK/spare.img"
	overwrite 1 3
	refused "$NO_SET" remap r "$MAIN" "$SPARE" format
	rm "$WORK/kept"
	zero "$SPARE"
}

limits_are_mains() {
	sd=$(scsi_disk 32 physblk_exp=3 opt_xferlen_exp=7)
	remap r "$sd" "$SPARE" format
	for field in logical_block_size physical_block_size minimum_io_size optimal_io_size max_sectors_kb; do
		equal "$field $(queue /dev/mapper/r $field)" "$field $(queue "$sd" $field)"
	done
	equal "$(blockdev --getalignoff /dev/mapper/r)" 0
	dmsetup remove r
	zero "$SPARE"
	rmmod scsi_debug
}

# Tables of several targets are refused, and so is a spare whose blocks main cannot address.
impossible_pairs_are_refused() {
	two="0 $((LEN - 8)) remap $MAIN 0 1 $SPARE 0 1 format
$((LEN - 8)) 8 linear $OTHER 0"
	echo "$two" >"$WORK/two"
	refused 'Invalid argument' dmsetup create r "$WORK/two"
	big=$(disk big 16 4096)
	refused 'Invalid argument' remap r "$MAIN" "$big" format
	losetup -d "$big"
}

blocks_of_4096() {
	big=$(disk big 16 4096)
	remap r "$big" "$SPARE" format
	equal "$(blockdev --getss /dev/mapper/r)" 4096
	fill
	same
	dmsetup remove r
	under m "$big" 800+8 1600+800
	remap r /dev/mapper/m "$SPARE"
	equal "$(blockdev --getss /dev/mapper/r)" 4096
	put 792 24
	put 1600 1600
	same
	equal "$(mapped r)" 808
	dmsetup remove r
	remap r /dev/mapper/m "$SPARE"
	same
	dmsetup remove r
	dmsetup remove m
	losetup -d "$big"
	zero "$SPARE"
}

# The smallest spare is 8 MiB.
small_spares_are_refused() {
	small=$(disk small 8)
	refused 'Invalid argument' try "0 $LEN remap $MAIN 0 1 $small 8 1 format"
	try "0 $LEN remap $MAIN 0 1 $small 0 1 format"
	dmsetup remove r
	losetup -d "$small"
}

# Of all that was accepted and refused before, too.
held_while_in_use_and_unloads_clean() {
	remap r "$MAIN" "$SPARE" format
	fails rmmod dm_remap
	# Those that help the workers out when memory is short: one for each queue of repairs, commits and bios that waited.
	equal "$(threads)" 3
	dmsetup remove r
	equal "$(threads)" 0
	balanced
	rmmod fail_call
	rmmod dm_remap
	fails grep -q '^dm_remap ' /proc/modules
}

t target_is_known target_is_known
t s20_blank_spare_needs_the_feature blank_spare_needs_the_feature
t table_recreates_the_device table_recreates_the_device
t with_nothing_mapped_it_is_main with_nothing_mapped_it_is_main
t filesystem_works filesystem_works
t s20_content_is_not_formatted content_is_not_formatted
t s19_loading_a_table_writes_nothing loading_a_table_writes_nothing
t s30_what_is_not_resumed_says_so what_is_not_resumed_says_so
t s20_cut_off_format_begins_again cut_off_format_begins_again
t s20_what_is_in_use_is_refused in_use_is_refused
t s20_one_disk_serves_as_both one_disk_serves_as_both
t s21_another_main_is_refused another_main_is_refused
t s21_corrupt_superblocks corrupt_superblocks
t s23_limits_are_mains limits_are_mains
t s23_impossible_pairs_are_refused impossible_pairs_are_refused
t s23_blocks_of_4096 blocks_of_4096
t s20_small_spares_are_refused small_spares_are_refused
t s29_held_while_in_use_and_unloads_clean held_while_in_use_and_unloads_clean
t kernel_log_is_clean clean_log
finish
