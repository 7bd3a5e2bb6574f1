#!/bin/sh
# s12, s19, s20: a first resume that fails in the middle. What was loaded is not what is there any more, or the spare does not take what
# has to be written before the first I/O; the table stays, and what it says is right when it goes on. Found by docs/format.md.
. tests/vm/lib.sh

ALONE=1
load_module
set_up 32 64

line() { echo "0 $(sectors "$MAIN") remap /dev/mapper/m 0 1 /dev/mapper/s 0 ${1-}"; }

# image NAME COPY: saves the metadata of a copy. put_back NAME COPY: writes it there again. Only while nothing uses the spare.
image() {
	dd if="$SPARE" of="$WORK/$1" bs=512 skip=$(($2 * AREA + 8)) count=$((8 + TABLE)) iflag=direct status=none
}
put_back() {
	dd if="$WORK/$1" of="$SPARE" bs=512 seek=$(($2 * AREA + 8)) oflag=direct conv=notrunc status=none
}

# Whatever the test before left: both devices as they are meant, and the set open.
opened() {
	dmsetup remove r || true
	BAD=writes under m "$MAIN" 1000+8 2000+8 3000+8 4000+8
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s
}

# loaded [FEATURES]: r has a table that was not resumed yet.
loaded() {
	dmsetup create r --notable
	dmsetup load r --table "$(line ${1+"$1"})"
}

# resume_fails TEXT: a resume does, as the kernel log says, and the device stays suspended.
resume_fails() {
	dmesg -C
	fails dmsetup resume r
	dmesg | grep -qF -- "$1"
	equal "$(dmsetup info -c --noheadings -o suspended r)" Suspended
}

# serves SECTOR: r reads as what was put there and takes a write there that main does not.
serves() {
	equal "$(status r 1) $(status r 5)" 'rw 5/5'
	same
	put "$1" 8
	equal "$(query r "$1")" mapped
	same
}

# Copy 3 is older than the others, and at the resume no copy takes a write.
copies_differ_and_take_nothing() {
	opened
	dmsetup remove r
	image old 3
	remap r /dev/mapper/m /dev/mapper/s
	put 1000 8
	dmsetup remove r
	put_back old 3
	BAD=writes copies_fail 0 1 2 3 4
	loaded
	for _ in 1 2; do resume_fails 'the copies of the metadata could not be made equal'; done
	# The metadata is known by now.
	equal "$(status r 1) $(status r 12)" 'no-remap commit-failed'
	copies_fail
	dmsetup resume r
	serves 2000
	# The copy that was old serves alone.
	dmsetup remove r
	tables_fail 0 1 2 4
	remap r /dev/mapper/m /dev/mapper/s
	same
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
}

# The second block of the tables was well when the table was loaded, and at the resume no copy gives it.
a_block_is_lost() {
	opened
	dmsetup remove r
	loaded
	# shellcheck disable=SC2046 # a list of words
	under s "$SPARE" $(for copy in 0 1 2 3 4; do echo "$((copy * AREA + 24))+8"; done)
	resume_fails 'table block 1 is unreadable'
	under s "$SPARE"
	# What was read half is not taken up again.
	resume_fails 'a table that could not be loaded cannot be resumed: load it again'
	dmsetup load r --table "$(line)"
	dmsetup resume r
	serves 3000
}

# Between load and resume there is another set on the spare: it is neither served nor touched.
the_spare_is_another() {
	opened
	dmsetup remove r
	dmsetup remove s
	dd if="$SPARE" of="$WORK/ours" bs=1M iflag=direct status=none
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	dmsetup create r --table "0 $(sectors "$MAIN") remap /dev/mapper/m 0 1 $SPARE 0 1 format"
	dmsetup remove r
	dd if="$SPARE" of="$WORK/theirs" bs=1M iflag=direct status=none
	dd if="$WORK/ours" of="$SPARE" bs=1M oflag=direct status=none
	under s "$SPARE"
	loaded
	dd if="$WORK/theirs" of="$SPARE" bs=1M oflag=direct status=none
	resume_fails 'the spare was changed since the table was loaded'
	cmp "$WORK/theirs" "$SPARE"
	dd if="$WORK/ours" of="$SPARE" bs=1M oflag=direct status=none
	rm "$WORK/ours" "$WORK/theirs"
	dmsetup resume r
	serves 4000
}

# The spare was blank when the table was loaded, and is used for something else since then.
the_spare_is_not_blank_any_more() {
	opened
	dmsetup remove r
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	loaded '1 format'
	at=$(($(sectors "$SPARE") - 8))
	printf x | dd of="$SPARE" bs=512 seek=$at conv=notrunc,fsync status=none
	before=$(md5sum <"$SPARE")
	resume_fails 'spare not formatted'
	equal "$(md5sum <"$SPARE")" "$before"
	dd if=/dev/zero of="$SPARE" bs=512 seek=$at count=8 oflag=direct conv=notrunc status=none
	dmsetup resume r
	equal "$(status r 1) $(used r)" 'rw 0'
	dmsetup remove r
}

t s12_copies_differ_and_take_nothing copies_differ_and_take_nothing
t s12_a_block_is_lost a_block_is_lost
t s19_the_spare_is_another the_spare_is_another
t s20_the_spare_is_not_blank_any_more the_spare_is_not_blank_any_more
t kernel_log_is_clean clean_log
finish
