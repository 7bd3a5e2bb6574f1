#!/bin/sh
# s19, s21: suspend, resume and reload under I/O keep every mapping and hang nothing.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 32)
SPARE=$(cacheless spare 16)
SLOW=$(cacheless slow 1)
LEN=$(sectors "$MAIN")
# Writes of these sectors fail; fio works on the first 8192.
BAD_RANGES='1000+8 2000+64 4000+8 20000+16'

line() { echo "0 ${2-$LEN} remap ${1-/dev/mapper/m} 0 1 ${3-/dev/mapper/s} 0"; }
bad_main() {
	# shellcheck disable=SC2086 # a list of words
	BAD=writes under "${1-m}" "$MAIN" $BAD_RANGES
}

verified() {
	fio --name=b --filename=/dev/mapper/r --size=4m --io_size=2m --rw=randwrite --bsrange=512-16k --direct=1 \
		--ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 --serialize_overlap=1 --allow_file_create=0
}

# Verified writes until `idle`, which fails if one of them did.
busy() {
	rm -f "$WORK/stop"
	(
		set -e
		while [ ! -e "$WORK/stop" ]; do verified >"$WORK/fio" 2>&1; done
	) &
	busy_pid=$!
}

idle() {
	touch "$WORK/stop"
	wait "$busy_pid" || {
		cat "$WORK/fio"
		return 1
	}
	healthy
}

healthy() {
	equal "$(status r 1) $(status r 3) $(status r 9)" 'rw 0 0'
	same 20000 16
}

suspended() { dmsetup info -c --noheadings -o suspended r; }
tables() { dmsetup info -c --noheadings -o tables_loaded r; }

start() {
	bad_main
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	head -c 33554432 /dev/zero >"$WORK/model"
	put 20000 16
	equal "$(query r 20000)" mapped
}

suspend_and_resume() {
	busy
	for how in '' --noflush --nolockfs '' --noflush; do
		# shellcheck disable=SC2086 # no word, or one
		dmsetup suspend $how r
		equal "$(suspended)" Suspended
		dmsetup resume r
	done
	idle
}

# Both tables are alive from load to resume; what is mapped meanwhile must be there after it.
reload_of_the_same_line() {
	busy
	sector=20000
	for how in '' --noflush --noflush ''; do
		dmsetup load r --table "$(line)"
		# An eighth of what is bad at 20000 at a time.
		put $sector 2
		sector=$((sector + 2))
		# shellcheck disable=SC2086
		dmsetup suspend $how r
		dmsetup resume r
		same 20000 16
	done
	idle
}

# The same main by another way, and back.
reload_of_another_line() {
	bad_main m2
	busy
	for how in '' --noflush; do
		for main in m2 m; do
			dmsetup load r --table "$(line /dev/mapper/$main)"
			# shellcheck disable=SC2086
			dmsetup suspend $how r
			dmsetup resume r
		done
	done
	idle
	dmsetup remove m2
}

# Twelve writes fail at once on a disk where each attempt takes long. Four are being repaired when this returns, the others wait in
# the target.
twelve_fail() {
	dmsetup create f --table "0 256 flakey $SLOW 0 0 60 1 error_writes"
	dmsetup create d --table "0 256 delay /dev/mapper/f 0 0 /dev/mapper/f 0 3000"
	BAD=/dev/mapper/d under m "$MAIN" 24000+256
	slots=$(used r)
	repairs=$(status r 7)
	job='--name=w --filename=/dev/mapper/r --offset=12288000 --size=49152 --bs=4096 --rw=write --direct=1 --iodepth=12
		--ioengine=libaio --verify=crc32c --allow_file_create=0'
	# shellcheck disable=SC2086
	fio $job --do_verify=0 >"$WORK/fio" 2>&1 &
	pid=$!
	until [ "$(status r 7)" -gt "$repairs" ]; do
		[ -e /proc/$pid ]
		sleep 0.2
	done
}

# twelve_are_stored: the writer ends well, and what was not being repaired is on main.
twelve_are_stored() {
	wait $pid
	began=$(($(status r 7) - repairs))
	[ "$began" -ge 1 ]
	[ "$began" -lt 12 ]
	# shellcheck disable=SC2086
	fio $job --verify_only
	healthy
	dmsetup remove d
	dmsetup remove f
}

# What waits goes back when the device is suspended without flush, and finds, after the resume, that the disk takes it.
noflush_gives_back_what_waits() {
	twelve_fail
	dmsetup suspend --noflush r
	during=$(($(status r 7) - repairs))
	bad_main
	dmsetup resume r
	twelve_are_stored
	equal "$began $(($(used r) - slots))" "$during $during"
}

# The disk does not answer what is being repaired, and whoever suspends gives up: what went back comes again without a resume.
noflush_given_up_gives_back_what_waits() {
	twelve_fail
	dmsetup suspend --noflush --nolockfs m
	fails timeout -s INT 2 dmsetup suspend --noflush r
	equal "$(suspended)" Active
	[ -e /proc/$pid ]
	bad_main
	twelve_are_stored
}

refused_loads_leave_the_table() {
	before=$(dmsetup table r)
	busy
	for table in "$(line /dev/mapper/m $((LEN - 8)))" "$(line /dev/mapper/m $((LEN + 8)))" "$(line /dev/mapper/m 8)" \
		"$(line /dev/mapper/s)" "$(line /dev/mapper/m "$LEN" "$SLOW")" "$(line /dev/mapper/none)" "0 $LEN remap"; do
		fails dmsetup load r --table "$table"
		equal "$(tables)" Live
	done
	# A resume after that has nothing to swap in.
	dmsetup suspend r
	dmsetup resume r
	idle
	equal "$(dmsetup table r)" "$before"
	equal "$(sectors /dev/mapper/r)" "$LEN"
}

# What lives in slots would be read from main, where it is old, if another set took the place of the one in service.
another_set_does_not_follow() {
	other=$(cacheless other 16)
	under o "$other"
	foreign='Wrong medium type'
	refused "$foreign" dmsetup load r --table "$(line /dev/mapper/m "$LEN" /dev/mapper/o) 1 format"
	refused "$foreign" dmsetup load r --table "$(line /dev/mapper/m $((LEN - 8)) /dev/mapper/o) 1 format"
	logged 'serves main with the set of another spare'
	cmp "$other" /dev/zero -n 1048576
	# One that is a set already, of another main of that length.
	twin=$(cacheless twin 32)
	dmsetup create x --table "$(line "$twin" "$LEN" /dev/mapper/o) 1 format"
	dmsetup remove x
	refused "$foreign" dmsetup load r --table "$(line /dev/mapper/m "$LEN" /dev/mapper/o)"
	equal "$(tables)" Live
	healthy
	# Main's copy on a new disk is another main.
	dmsetup load r --table "$(line "$twin" "$LEN" /dev/mapper/o)"
	equal "$(tables)" Both
	dmsetup clear r
	healthy
	dmsetup remove o
	rmdir /sys/kernel/config/nullb/other /sys/kernel/config/nullb/twin
}

# When the first resume of a table fails, the old one is gone already; the device stays suspended, and a further resume, or a
# further load, goes on.
failed_first_resume() {
	busy
	for again in resume load; do
		dmsetup load r --table "$(line)"
		dmsetup suspend r
		under s "$SPARE" 0+32768
		fails dmsetup resume r
		equal "$(suspended)" Suspended
		under s "$SPARE"
		[ $again = resume ] || dmsetup load r --table "$(line)"
		dmsetup resume r
		equal "$(suspended)" Active
	done
	idle
}

# The disk does not answer, and whoever suspends gives up: the device goes on as if nothing had been.
given_up_suspend() {
	for how in --nolockfs --noflush; do
		dmsetup suspend --noflush --nolockfs m
		put 16000 8 &
		sleep 1
		fails timeout -s INT 2 dmsetup suspend $how r
		equal "$(suspended)" Active
		dmsetup resume m
		wait $!
		same 16000 8
		put 1000 8
		same 1000 8
		# Orders are taken again as well.
		dmsetup message r 0 remap 17000 8 | grep -q ' remapped=8 '
		dmsetup message r 0 release 17000 8 | grep -q ' released=8 '
		same 16992 24
		healthy
	done
}

# Whatever is stacked on it: a read-only table writes neither to main nor to the spare.
read_only() {
	sum() { cat "$MAIN" "$SPARE" | md5sum; }
	dmsetup remove r
	for how in create reload; do
		if [ $how = create ]; then
			before=$(sum)
			dmsetup create r --readonly --table "$(line)"
		else
			remap r /dev/mapper/m /dev/mapper/s
			dmsetup load r --readonly --table "$(line)"
			dmsetup suspend r
			before=$(sum)
			dmsetup resume r
		fi
		healthy
		equal "$(blockdev --getro /dev/mapper/r)" 1
		fails put 100 8
		fails put 20000 8
		for message in resume_remap 'remap 16000'; do
			# shellcheck disable=SC2086
			fails dmsetup message r 0 $message
		done
		if dmsetup create l --table "0 $LEN linear /dev/mapper/r 0"; then
			for at in 100 20000; do
				fails dd if=/dev/urandom of=/dev/mapper/l bs=512 seek=$at count=8 oflag=direct conv=notrunc status=none
			done
			dmsetup remove l
		fi
		same 96 16
		healthy
		equal "$(sum)" "$before"
		dmsetup load r --table "$(line)"
		dmsetup suspend r
		dmsetup resume r
		put 20000 16
		put 100 8
		dmsetup remove r
	done
	remap r /dev/mapper/m /dev/mapper/s
	healthy
}

t start start
t s19_suspend_and_resume_under_io suspend_and_resume
t s19_reload_of_the_same_line_under_io reload_of_the_same_line
t s19_reload_of_another_line_under_io reload_of_another_line
t s19_noflush_gives_back_what_waits noflush_gives_back_what_waits
t s19_noflush_given_up_gives_back_what_waits noflush_given_up_gives_back_what_waits
t s21_refused_loads_leave_the_table refused_loads_leave_the_table
t s21_another_set_does_not_follow another_set_does_not_follow
t s19_failed_first_resume failed_first_resume
t s19_given_up_suspend given_up_suspend
t s19_read_only_tables_write_nothing read_only
t kernel_log_is_clean clean_log
finish
