#!/bin/sh
# s06, s07, s08, s24: the power goes, and takes with it what write caches hold. Main and spare are parts of one device, and
# dm-log-writes logs what is written to it in the order in which it becomes durable: with FUA at once, the rest by a flush. The set
# is opened as it would be if the power had gone at one place or another of the log.
. tests/vm/lib.sh

load_module
MAIN_LEN=4096
SPARE_LEN=16384
BASE=$(cacheless base 10)
AFTER=$(cacheless after 10)
LOG=$(cacheless log 64)

# parts DEVICE [FIRST+COUNT]...: m and s are parts of the device, and these sectors of m fail.
parts() {
	dmsetup create front --table "0 $MAIN_LEN linear $1 0"
	dmsetup create back --table "0 $SPARE_LEN linear $1 $MAIN_LEN"
	shift
	under m /dev/mapper/front "$@"
	under s /dev/mapper/back
}

no_parts() {
	for name in r m s front back; do dmsetup remove --retry $name; done
}

start() {
	parts "$BASE" 1600+8
	remap r /dev/mapper/m /dev/mapper/s format
	fill
	put 1600 8
	dmsetup message r 0 remap 3200 8
	put 3200 8
	no_parts
}

# cuts COMMAND...: does that with r, whose main has bad sectors, and then sees what is left of it by a cut as soon as the first
# copy of the metadata has changed, which is the old content or the new, and by one when the command had ended, which is the new.
cuts() {
	cp "$WORK/model" "$WORK/model.old"
	dd if="$BASE" of="$WORK/left" bs=1M iflag=direct status=none
	dmsetup create logged --table "0 $(sectors "$BASE") log-writes $BASE $LOG"
	parts /dev/mapper/logged 1600+8 2400+24
	remap r /dev/mapper/m /dev/mapper/s
	dmsetup message logged 0 mark begun
	"$@"
	dmsetup message logged 0 mark ended
	no_parts
	dmsetup remove --retry logged
	entries >"$WORK/entries"
	cat "$WORK/entries"
	tail -n 1 "$WORK/entries" | grep -q ended
	parts "$AFTER"
	while read -r at sector count cut; do
		dd if="$LOG" of="$WORK/left" bs=512 skip="$at" seek="$sector" count="$count" conv=notrunc status=none
		case $cut in
		changed) left model.old ;;
		ended) left ;;
		esac
	done <"$WORK/entries"
	for name in m s front back; do dmsetup remove --retry $name; done
}

# entries: of each entry of the log where its data is in it, what sectors it wrote, and whether a cut follows. Behind a first sector
# the log has a sector for each entry, with the data behind it. Flag 2 is FUA, 8 a mark.
entries() {
	od -An -v -tu8 -w512 -N 4194304 "$LOG" | awk '
		NR > 1 && NR - 1 >= at {
			cut = "-"
			if (int($3 / 2) % 2 && marks == 1 && !changed++) cut = "changed"
			if (int($3 / 8) % 2 && ++marks == 2) cut = "ended"
			print NR, $1, $2, cut
			at = NR + $2
		}
		marks == 2 { exit }'
}

# left [FILE]: opens what is left, and compares it sector by sector with what was put there, or else with the file.
left() {
	dd if="$WORK/left" of="$AFTER" bs=1M oflag=direct status=none
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(status r 1) $(status r 3) $(status r 5)" 'rw 0 5/5'
	dd if=/dev/mapper/r of="$WORK/got" bs=1M iflag=direct status=none
	dmsetup remove r
	differs model >"$WORK/wrong"
	[ $# = 0 ] || {
		differs "$1" | comm -12 - "$WORK/wrong" >"$WORK/both"
		mv "$WORK/both" "$WORK/wrong"
	}
	equal "$(head -n 1 "$WORK/wrong")" ''
}

# differs FILE: the sectors of what was read that are not as in the file.
differs() { cmp -l "$WORK/$1" "$WORK/got" | awk '{ print int(($1 - 1) / 512) }' | sort -u; }

# The content is durable in its slot before the mapping is, and both are when the write ends.
remapped_write() { cuts put 2400 24; }

flush_of_a_slot() { cuts put_and_flush 1600 8; }
put_and_flush() {
	put "$@"
	dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync status=none
}

# The new entry is there before the old slot is given up.
failing_slot() { cuts put_into_a_bad_slot 1600 8; }
put_into_a_bad_slot() {
	old=$(place "$1")
	under s /dev/mapper/back "$old+8"
	put "$@"
	[ "$(place "$1")" != "$old" ]
	# What follows the end of the write.
	sleep 1
}

# The content does not change, and is there at any time.
there_and_back() {
	cuts dmsetup message r 0 remap 3600 16
	cuts dmsetup message r 0 release 3200 8
}

t start start
t s06_a_remapped_write_is_durable_when_it_ends remapped_write
t s07_a_slot_is_given_up_last failing_slot
t s08_a_flush_makes_a_slot_durable flush_of_a_slot
t s24_content_that_moves_is_somewhere there_and_back
t kernel_log_is_clean clean_log
finish
