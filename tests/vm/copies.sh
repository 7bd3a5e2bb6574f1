#!/bin/sh
# s12: copies of the metadata that come back, that are old, another set's, or cannot be read. Found by docs/format.md.
. tests/vm/lib.sh

load_module
set_up 32 64

in_sync() { echo "$(status r 1) $(status r 5)"; }

# image NAME COPY: saves the metadata of a copy. put_back NAME COPY: writes it there again. Only while nothing uses the spare.
image() {
	dd if="$SPARE" of="$WORK/$1" bs=512 skip=$(($2 * AREA + 8)) count=$((8 + TABLE)) iflag=direct status=none
}
put_back() {
	dd if="$WORK/$1" of="$SPARE" bs=512 seek=$(($2 * AREA + 8)) oflag=direct conv=notrunc status=none
}

# opening_fails TEXT: r cannot be opened, and the kernel log says TEXT.
opening_fails() {
	dmesg -C
	fails remap r /dev/mapper/m /dev/mapper/s
	dmesg | grep -qF -- "$1"
}

start() {
	BAD=writes under m "$MAIN" 1000+8 2000+8 3000+8 4000+8 5000+8 6000+8 7000+8 8192+4096 13000+8
	put 1000 8
	equal "$(in_sync)" 'rw 5/5'
}

# Writes that make metadata change all the time, until $WORK/stop is there.
write_on() {
	group=0
	while [ ! -e "$WORK/stop" ] && [ $group -lt 512 ]; do
		put $((8192 + group * 8)) 8 || return 1
		group=$((group + 1))
	done
	echo $group >"$WORK/groups"
}

# Under writes; the spare has three batches of table blocks.
a_copy_is_evicted_and_comes_back_under_io() {
	[ "$TABLE" -gt 384 ]
	JOB=w write_on &
	writer=$!
	BAD=writes copies_fail 2
	put 2000 8
	equal "$(in_sync)" 'degraded 4/5'
	equal "$(status r 19) $(status r 20)" '1 0'
	copies_fail
	event=$(events)
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	equal "$(in_sync)" 'rw 5/5'
	equal "$(status r 19) $(status r 20)" '1 1'
	logged 'metadata copy 2 is in sync again'
	[ "$(events)" -gt "$event" ]
	touch "$WORK/stop"
	wait "$writer"
	[ "$(cat "$WORK/groups")" -gt 0 ]
	same
	# It alone serves everything.
	dmsetup remove r
	tables_fail 0 1 3 4
	remap r /dev/mapper/m /dev/mapper/s
	same
	equal "$(in_sync)" 'no-remap 1/5'
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	equal "$(in_sync)" 'rw 5/5'
	# Of this activation.
	equal "$(status r 19) $(status r 20)" '4 4'
}

a_copy_that_fails_its_rewrite_stays_out() {
	BAD=writes copies_fail 1
	put 3000 8
	equal "$(dmsetup message r 0 resume_remap)" mode=degraded
	logged 'metadata copy 1 stays evicted'
	put 4000 8
	recreate
	equal "$(in_sync)" 'degraded 4/5'
	same
}

# Nobody orders anything: it comes back by the clock, one minute after the activation.
a_copy_comes_back_by_the_clock() {
	copies_fail
	waited=0
	while [ "$(in_sync)" != 'rw 5/5' ]; do
		sleep 2
		waited=$((waited + 1))
		[ $waited -lt 150 ]
	done
	same
	recreate
	equal "$(in_sync)" 'rw 5/5'
	same
}

# A copy that was out comes back as it was, and says that it is in sync.
an_evicted_copy_that_is_old_does_not_count() {
	dmsetup remove r
	image old 0
	remap r /dev/mapper/m /dev/mapper/s
	BAD=writes copies_fail 0
	put 5000 8
	equal "$(in_sync)" 'degraded 4/5'
	dmsetup remove r
	copies_fail
	put_back old 0
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'degraded 4/5'
	same
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
}

# newest FILE: the highest sequence of the blocks in it.
newest() { od -An -v -tu8 -w4096 "$1" | awk '$6 > n { n = $6 } END { print n }'; }

# superblock COPY: epoch and mask of the copies in sync, as they are on disk.
superblock() {
	dd if="$SPARE" of="$WORK/superblock" bs=512 skip=$(($1 * AREA + 8)) count=8 iflag=direct status=none
	# shellcheck disable=SC2046 # two words
	echo $(od -An -tu8 -j 80 -N 8 "$WORK/superblock") $(od -An -tu1 -j 89 -N 1 "$WORK/superblock")
}

# The tables of a copy that is out are valid, of this set, newer than those of all others, and say something else.
an_evicted_copy_that_is_newer_does_not_count() {
	dmsetup remove r
	for copy in 0 1 2 3 4; do image "t0-$copy" $copy; done
	remap r /dev/mapper/m /dev/mapper/s
	dmsetup message r 0 remap 17000 8 | grep ' remapped=8 '
	for _ in 1 2 3 4; do
		dmsetup message r 0 remap 18000 8 | grep ' remapped=8 '
		dmsetup message r 0 release 18000 8 | grep ' released=8 '
	done
	dmsetup remove r
	image newer 0
	for copy in 0 1 2 3 4; do put_back "t0-$copy" $copy; done
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync) $(query r 17000)" 'rw 5/5 main'
	before=$(superblock 1)
	equal "${before#* }" 31
	# It goes to main; in what was a slot of it there is what was there before.
	put 17000 8
	BAD=writes copies_fail 0
	put 13000 8
	equal "$(query r 13000) $(in_sync)" 'mapped degraded 4/5'
	for copy in 1 2 3 4; do equal "$(superblock $copy)" "$((${before% *} + 1)) 30"; done
	dmsetup remove r
	copies_fail
	image others 1
	[ "$(newest "$WORK/newer")" -gt "$(newest "$WORK/others")" ]
	# The tables alone: its superblock says nothing new.
	dd if="$WORK/newer" of="$SPARE" bs=512 skip=8 seek=16 oflag=direct conv=notrunc status=none
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(query r 13000) $(query r 17000) $(in_sync)" 'mapped main degraded 4/5'
	same
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	equal "$(in_sync)" 'rw 5/5'
}

# A copy that is in sync was put back to what it was: the others are newer, and it is made equal.
a_copy_in_sync_that_is_old_is_made_equal() {
	dmsetup remove r
	image old 3
	remap r /dev/mapper/m /dev/mapper/s
	put 6000 8
	dmsetup remove r
	put_back old 3
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'rw 5/5'
	same
	dmsetup remove r
	tables_fail 0 1 2 4
	remap r /dev/mapper/m /dev/mapper/s
	same
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
}

# The metadata of another set in the place of a copy: refused, until somebody says which is which; then only its tables are
# there, and do not count.
a_foreign_copy_is_refused() {
	dmsetup remove r
	image ours 4
	other=$(cacheless other 64)
	dmsetup create o --table "0 $(sectors "$MAIN") remap /dev/mapper/m 0 1 $other 0 1 format"
	dmsetup remove o
	(SPARE=$other && image foreign 4)
	put_back foreign 4
	opening_fails 'superblocks of two sets'
	dd if=/dev/zero of="$SPARE" bs=512 seek=$((4 * AREA + 8)) count=8 oflag=direct conv=notrunc status=none
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'rw 5/5'
	same
}

# Copies that cannot be read leave the rest to serve; they are evicted, as they cannot be written either.
metadata_that_cannot_be_read_is_read_from_other_copies() {
	dmsetup remove r
	under s "$SPARE" "$((AREA + 24))+8" "$((2 * AREA + 16))+$TABLE"
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'degraded 3/5'
	same
	put 7000 8
	under s "$SPARE"
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	same
	# One block of the table in every copy.
	dmsetup remove r
	# shellcheck disable=SC2046 # a list of words
	under s "$SPARE" $(for copy in 0 1 2 3 4; do echo "$((copy * AREA + 24))+8"; done)
	opening_fails 'table block 1 is unreadable'
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'rw 5/5'
	same
}

a_minority_of_superblocks_is_refused() {
	dmsetup remove r
	superblocks_fail 0 1 3
	opening_fails 'only 2 of 5 superblocks are readable'
	# Three are enough to know the newest state.
	superblocks_fail 0 3
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(in_sync)" 'degraded 3/5'
	same
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	recreate
	equal "$(in_sync)" 'rw 5/5'
	same
	dmsetup remove r
}

t start start
t s12_a_copy_is_evicted_and_comes_back_under_io a_copy_is_evicted_and_comes_back_under_io
t s12_a_copy_that_fails_its_rewrite_stays_out a_copy_that_fails_its_rewrite_stays_out
t s12_a_copy_comes_back_by_the_clock a_copy_comes_back_by_the_clock
t s12_an_evicted_copy_that_is_old_does_not_count an_evicted_copy_that_is_old_does_not_count
t s12_an_evicted_copy_that_is_newer_does_not_count an_evicted_copy_that_is_newer_does_not_count
t s12_a_copy_in_sync_that_is_old_is_made_equal a_copy_in_sync_that_is_old_is_made_equal
t s12_a_foreign_copy_is_refused a_foreign_copy_is_refused
t s12_metadata_that_cannot_be_read_is_read_from_other_copies metadata_that_cannot_be_read_is_read_from_other_copies
t s12_a_minority_of_superblocks_is_refused a_minority_of_superblocks_is_refused
t kernel_log_is_clean clean_log
finish
