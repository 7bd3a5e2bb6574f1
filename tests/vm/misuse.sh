#!/bin/sh
# s27: every word that comes in is checked; a bad one is an error and changes nothing.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 16)
SPARE=$(disk spare 8)
LEN=$(sectors "$MAIN")

start() {
	under m "$MAIN" 1000+8 2000+800
	remap r /dev/mapper/m "$SPARE" format
	fill
	same
}

state() {
	dmsetup table r
	dmsetup status r
	dmsetup message r 0 list
}

# What stands after `remap` in a table; %M and %S are main and spare.
bad_tables() {
	start=$(state)
	other=$(disk other 16)
	spare2=$(disk spare2 8)
	while IFS= read -r line; do
		args=$(echo "$line" | sed "s,%M,$other,g; s,%S,$spare2,g")
		text='Invalid argument'
		case $line in */nonexistent*) text='No such ' ;; esac
		refused "$text" dmsetup create x --table "0 8 remap $args"
	done <<-'END'

		%M
		%M 0
		%M 0 1
		%M 0 1 %S
		%M 0 0 %S 0
		%M 0 2 %S 0
		%M 0 -1 %S 0
		%M 0 one %S 0
		%M x 1 %S 0
		%M -1 1 %S 0
		%M +1 1 %S 0
		%M 0x10 1 %S 0
		%M 1. 1 %S 0
		%M 18446744073709551615 1 %S 0
		%M 18446744073709551616 1 %S 0
		%M 36893488147419103232 1 %S 0
		%M 99999999999999999999 1 %S 0
		%M 32768 1 %S 0
		%M 32761 1 %S 0
		%M 0 1 %S x
		%M 0 1 %S 4
		%M 0 1 %S -8
		%M 0 1 %S 16384
		%M 0 1 %S 18446744073709551608
		%M 0 1 %S 18446744073709551616
		%M 0 1 %S 16376 1 format
		%M 0 1 %S 0 1
		%M 0 1 %S 0 0 format
		%M 0 1 %S 0 2 format
		%M 0 1 %S 0 2 format format
		%M 0 1 %S 0 1 Format
		%M 0 1 %S 0 1 formatted
		%M 0 1 %S 0 1 format more
		%M 0 1 %S 0 -1 format
		%M 0 1 %S 0 18446744073709551615 format
		%M 0 1 %S 0 x format
		%M 0 1 %M 0 1 format
		/nonexistent 0 1 %S 0
		%M 0 1 /nonexistent 0
	END
	# No table of the target begins anywhere but at 0.
	refused 'Invalid argument' dmsetup create x --table "8 8 remap $other 0 1 $spare2 0 1 format"
	cmp "$WORK/spare2.img" /dev/zero -n 8388608
	equal "$(state)" "$start"
	losetup -d "$other"
	losetup -d "$spare2"
}

bad_messages() {
	start=$(state)
	# Each line is a message; dmsetup takes its words one by one.
	while IFS= read -r line; do
		# shellcheck disable=SC2086 # words
		refused 'Invalid argument' dmsetup message r 0 -- $line
	done <<-END
		query
		query x
		query -1
		query +1
		query 0x10
		query 1 2
		query $LEN
		remap
		remap x
		remap -1
		remap 0 0
		remap 0 x
		remap 0 -1
		remap 0 1 2
		remap 0 65537
		remap 0 18446744073709551615
		remap 1 18446744073709551615
		remap 18446744073709551615 1
		remap 0 18446744073709551616
		remap $LEN
		remap $LEN 0
		remap $((LEN - 1)) 2
		Remap 0
		REMAP 0
		release
		release x
		release 0 0
		release 0 65537
		release 0 1 2
		release $LEN
		release $((LEN - 1)) 2
		release 1 18446744073709551615
		Release 0
		reset_stats 0
		RESET_STATS
		query 18446744073709551615
		query 18446744073709551616
		query 99999999999999999999
		query 1000000000000000000000000000000000000000000
		list x
		list -1
		list $LEN
		list 0 0
		list 99999999999999999999
		resume_remap now
		resume
		QUERY 1
		Query 1
		remapp
		release
		\x01\xff
		%s%n%p
	END
	refused 'Invalid argument' dmsetup message r 0 query ''
	refused 'Invalid argument' dmsetup message r 0 ''
	refused 'Invalid argument' dmsetup message r 0 release ''
	long=$(head -c 4000 /dev/zero | tr '\0' 7)
	refused 'Invalid argument' dmsetup message r 0 query "$long"
	refused 'Invalid argument' dmsetup message r 0 "$long"
	equal "$(state)" "$start"
}

good_messages() {
	dmsetup message r 0 query 0 | grep -qx 'sector=0 sectors=1 state=main'
	dmsetup message r 0 query $((LEN - 1)) | grep -qx "sector=$((LEN - 1)) sectors=1 state=main"
	dmsetup message r 0 query 1000 | grep -qE '^sector=1000 sectors=1 state=mapped slot=[0-9]+ spare_sector=[0-9]+$'
	dmsetup message r 0 query 0000001000 | grep -q '^sector=1000 '
	equal "$(dmsetup message r 0 list $((LEN - 1)))" ''
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	# The name of a message is as it is said in docs/interface.md, wherever it is addressed to in the device.
	dmsetup message r 8 query 0 | grep -q state=main
}

bad_parameters() {
	for pair in debug_level=-1 debug_level=4 error_threshold=0 error_threshold=101 error_threshold=x \
		auto_remap_enabled=2 enable_production_mode=2 max_remaps=-1 max_remaps=4294967296 emergency_threshold=0 \
		emergency_threshold=101 max_retries_production=-1 max_retries_production=101; do
		name=${pair%=*}
		before=$(param "$name")
		fails sh -c "echo ${pair#*=} >/sys/module/dm_remap/parameters/$name"
		equal "$(param "$name")" "$before"
	done
	equal "$(param debug_level) $(param error_threshold) $(param auto_remap_enabled) $(param max_remaps) $(
		param emergency_threshold) $(param max_retries_production) $(param enable_production_mode)" "1 3 Y 0 90 5 Y"
}

# Each byte of a superblock and of a table block, one at a time in the copies' first: the others serve, or it is refused.
damaged_metadata_is_survived() {
	dmsetup remove r
	cp "$WORK/spare.img" "$WORK/good"
	for at in 4096 4104 4108 4112 4128 4136 4144 4148 4160 4172 4176 4185 4188 4192 4208 4216 4240 8150 8192 8200 8256 8263 8271; do
		printf '\377\377\377' | dd of="$SPARE" bs=1 seek=$at conv=notrunc,fsync status=none
		remap r /dev/mapper/m "$SPARE"
		same
		equal "$(status r 5)" 5/5
		dmsetup remove r
	done
	rm "$WORK/good"
}

# All copies of the table's first block: refused, and the log says which.
unreadable_table_is_refused() {
	area=$((2048 / 5 / 8 * 8))
	for copy in 0 1 2 3 4; do
		dd if=/dev/urandom of="$SPARE" bs=4096 seek=$((copy * area + 2)) count=1 oflag=direct conv=notrunc status=none
	done
	sum=$(md5sum <"$WORK/spare.img")
	fails remap r /dev/mapper/m "$SPARE"
	logged 'set not loaded: .*block 0'
	equal "$(md5sum <"$WORK/spare.img")" "$sum"
	fails dmsetup info r
}

# Devices that lie in a circle, or that are as long as a sector number goes.
strange_devices() {
	fails dmsetup create x --table "0 8 remap $MAIN 0 1 /dev/mapper/x 0 1 format"
	fails dmsetup create x --table "0 8 remap /dev/null 0 1 $SPARE 0"
	dmsetup create huge --table "0 9000000000000000 zero"
	fails dmsetup create x --table "0 9000000000000000 remap /dev/mapper/huge 0 1 $SPARE 0 1 format"
	fails dmsetup create x --table "0 8 remap $MAIN 0 1 /dev/mapper/huge 0 1 format"
	dmsetup remove huge
}

t start start
t s27_bad_tables bad_tables
t s27_bad_messages bad_messages
t good_messages good_messages
t s27_bad_parameters bad_parameters
t s27_damaged_metadata_is_survived damaged_metadata_is_survived
t s12_unreadable_table_is_refused unreadable_table_is_refused
t s27_strange_devices strange_devices
t kernel_log_is_clean clean_log
finish
