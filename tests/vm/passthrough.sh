#!/bin/sh
# With nothing mapped, `remap` is main: every byte, every sector, nothing else.
. tests/vm/lib.sh

load_module
ramdisks 2 64
OFFSET=2048
LEN=$(($(sectors /dev/ram0) - OFFSET))

create() { dmsetup create r --table "0 $LEN remap /dev/ram0 $OFFSET 1 /dev/ram1 0"; }

target_is_known() { dmsetup targets | grep -q '^remap '; }

table_recreates_device() {
	create
	table=$(dmsetup table r)
	equal "$table" "0 $LEN remap 1:0 $OFFSET 1 1:1 0"
	dmsetup remove r
	dmsetup create r --table "$table"
	equal "$(dmsetup table r)" "$table"
}

status_begins_with_mode() { dmsetup status r | grep -qE "^0 $LEN remap rw [0-9]+/[0-9]+ [0-9]+ [0-9]+"; }

content_lands_on_main_at_the_offset() {
	head -c 1048576 /dev/urandom >"$WORK/data"
	dd if="$WORK/data" of=/dev/mapper/r bs=4096 seek=3 oflag=direct conv=fsync
	dd if=/dev/ram0 of="$WORK/back" bs=4096 skip=$((OFFSET / 8 + 3)) count=256 iflag=direct
	cmp "$WORK/data" "$WORK/back"
	dd if=/dev/mapper/r of="$WORK/back" bs=4096 skip=3 count=256 iflag=direct
	cmp "$WORK/data" "$WORK/back"
}

filesystem_works() {
	mkfs.ext4 -q /dev/mapper/r
	mkdir -p "$WORK/mnt"
	mount /dev/mapper/r "$WORK/mnt"
	cp "$WORK/data" "$WORK/mnt/file"
	sync
	umount "$WORK/mnt"
	e2fsck -fn /dev/mapper/r
}

module_is_held_while_in_use() { fails rmmod dm_remap; }

bad_tables_are_refused() {
	for args in "" "/dev/ram0" "/dev/ram0 x 1 /dev/ram1 0" "/dev/ram0 0 2 /dev/ram1 0" \
		"/nonexistent 0 1 /dev/ram1 0" "/dev/ram0 0 1 /nonexistent 0" "/dev/ram0 -1 1 /dev/ram1 0"; do
		fails dmsetup create bad --table "0 8 remap $args"
	done
}

module_unloads() {
	dmsetup remove r
	rmmod dm_remap
	fails grep -q '^dm_remap ' /proc/modules
}

t target_is_known target_is_known
t table_recreates_device table_recreates_device
t status_begins_with_mode status_begins_with_mode
t content_lands_on_main_at_the_offset content_lands_on_main_at_the_offset
t filesystem_works filesystem_works
t s29_module_is_held_while_in_use module_is_held_while_in_use
t s27_bad_tables_are_refused bad_tables_are_refused
t s29_module_unloads module_unloads
t kernel_log_is_clean clean_log
finish
