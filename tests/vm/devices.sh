#!/bin/sh
# s19, s20: how many tables there may be, partitions and the disk that they are on, and a main whose length changes under its device.
. tests/vm/lib.sh

ALONE=1
load_module
MAIN=$(disk main 32)
OTHER=$(disk other 32)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")
SPARE_LEN=$(sectors "$SPARE")
BUSY='Device or resource busy'
FOREIGN='Wrong medium type'

try() { dmsetup create r --table "$1"; }

# Of as many mappings of 8 sectors as there may be each has its spare before it, all on one disk of which only what is written takes
# memory. A table counts from its load on.
no_more_tables() {
	many=$(cacheless many 2340)
	place() { echo "0 8 remap $many $(($1 * 18432 + 16384)) 1 $many $(($1 * 18432))"; }
	for i in $(seq 0 255); do echo "many$i,,,rw,$(place "$i") 1 format"; done | tr '\n' ';' >"$WORK/many"
	dmsetup create --concise "$(sed 's/;$//' "$WORK/many")"
	full='No space left on device'
	refused "$full" try "$(place 256) 1 format"
	logged '256 tables are loaded already'
	refused "$full" dmsetup load many7 --table "$(place 7)"
	dmsetup remove many0
	dmsetup load many7 --table "$(place 7)"
	refused "$full" try "$(place 0)"
	# Counted no more when it is cleared, or has taken the place of the one before.
	dmsetup clear many7
	try "$(place 0)"
	dmsetup remove r
	dmsetup load many7 --table "$(place 7)"
	dmsetup suspend many7
	dmsetup resume many7
	try "$(place 0)"
	refused "$full" dmsetup create x --table "$(place 256) 1 format"
	dmsetup remove_all
	try "$(place 256) 1 format"
	dmsetup remove r
	rmdir /sys/kernel/config/nullb/many
}

# A partition and the disk that it is on do not serve two mappings, nor one as both; two partitions do.
partitions() {
	whole=$(cacheless parted 48)
	one=${whole}p1 two=${whole}p2
	case $whole in *[!0-9]) one=${whole}1 two=${whole}2 ;; esac
	addpart "$whole" 1 0 "$SPARE_LEN"
	addpart "$whole" 2 "$SPARE_LEN" "$LEN"
	refused "$BUSY" remap r "$two" "$whole" format
	refused "$BUSY" try "0 $LEN remap $whole $SPARE_LEN 1 $one 0 1 format"
	remap r "$two" "$one" format
	refused "$BUSY" dmsetup create x --table "0 8 remap $whole 0 1 $SPARE 0 1 format"
	refused "$BUSY" remap x "$OTHER" "$whole" format
	refused "$BUSY" remap x "$two" "$SPARE" format
	head -c 1048576 /dev/urandom >"$WORK/chunk"
	dd if="$WORK/chunk" of=/dev/mapper/r bs=1M oflag=direct conv=notrunc status=none
	dmsetup remove r
	# The same set by its place on the disk; now the partitions are in use.
	try "0 $LEN remap $whole $SPARE_LEN 1 $whole 0"
	dd if=/dev/mapper/r bs=1M count=1 iflag=direct status=none | cmp - "$WORK/chunk"
	refused "$BUSY" remap x "$two" "$SPARE" format
	refused "$BUSY" remap x "$OTHER" "$one"
	cmp -n 1048576 "$SPARE" /dev/zero
	dmsetup remove r
	rmdir /sys/kernel/config/nullb/parted
}

# grow_to MIB: main is so long from now on, under whatever uses it.
grow_to() {
	truncate -s "$1M" "$WORK/main.img"
	losetup -c "$MAIN"
	equal "$(sectors "$MAIN")" $(($1 * 2048))
}

# What main becomes longer by is not used, and a mapping of all of it is not that of the set.
main_that_grows() {
	remap r "$MAIN" "$SPARE" format
	table=$(dmsetup table r)
	fill
	grow_to 40
	put $((LEN - 8)) 8
	same
	equal "$(dmsetup table r) $(sectors /dev/mapper/r) $(status r 1)" "$table $LEN rw"
	refused "$FOREIGN" dmsetup load r --table "0 81920 remap $MAIN 0 1 $SPARE 0"
	dmsetup load r --table "$table"
	dmsetup suspend r
	dmsetup resume r
	same
	dmsetup remove r
	refused "$FOREIGN" remap r "$MAIN" "$SPARE"
	try "$table"
	same
	dmsetup remove r
	grow_to 32
}

# What main lost is an I/O error, as of any disk: writes go to slots, nothing is read but what was written, and a table for the shorter
# main is refused. When main has its length again, the whole is there but for what main itself lost.
main_that_shrinks() {
	remap r "$MAIN" "$SPARE"
	table=$(dmsetup table r)
	same
	grow_to 24
	# The last 8 MiB, 16384 sectors; there is evidence that main takes writes.
	end=$((LEN - 16384))
	put 100 8
	refused 'Input/output error' get $end 8
	refused 'Input/output error' get $((LEN - 8)) 8
	put $((end - 8)) 16
	put $((LEN - 8)) 8
	equal "$(query r $((end - 1))) $(query r $end) $(query r $((LEN - 1)))" 'main mapped mapped'
	equal "$(used r) $(status r 1)" '2 rw'
	same $((end - 8)) 16
	same $((LEN - 8)) 8
	same 0 $end
	refused 'Input/output error' get $((end + 8)) 8
	refused 'Invalid argument' dmsetup load r --table "$table"
	refused "$FOREIGN" dmsetup load r --table "0 $end remap $MAIN 0 1 $SPARE 0"
	equal "$(dmsetup table r)" "$table"
	put 100 8
	dmsetup remove r
	refused 'Invalid argument' try "$table"
	refused "$FOREIGN" remap r "$MAIN" "$SPARE"
	grow_to 32
	try "$table"
	dd if=/dev/zero of="$WORK/model" bs=512 seek=$((end + 8)) count=$((16384 - 16)) conv=notrunc status=none
	same
	equal "$(used r)" 2
	dmsetup remove r
}

t s20_no_more_tables_than_256 no_more_tables
t s20_partitions_and_their_disk partitions
t s19_main_that_grows main_that_grows
t s19_main_that_shrinks main_that_shrinks
t kernel_log_is_clean clean_log
finish
