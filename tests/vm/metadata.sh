#!/bin/sh
# s12, s13: copies of the metadata that cannot be written. Copies are found by docs/format.md.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 16)
SPARE=$(cacheless spare 16)
AREA=$((4096 / 5 / 8 * 8 * 8))

# The superblocks and tables of these copies, or the tables alone, take no writes.
spare_without() { spoil 8 136 "$@"; }
spare_without_tables() { spoil 16 128 "$@"; }
spoil() {
	skip=$1 count=$2
	shift 2
	# shellcheck disable=SC2046 # a list of words
	set -- $(for copy in "$@"; do echo "$((copy * AREA + skip))+$count"; done)
	BAD=writes under s "$SPARE" "$@"
}

recreate() {
	dmsetup remove r
	remap r /dev/mapper/m /dev/mapper/s
	same
}

start() {
	under m "$MAIN"
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	head -c 16777216 /dev/urandom >"$WORK/model"
	dd if="$WORK/model" of=/dev/mapper/r bs=1M oflag=direct status=none
	BAD=writes under m "$MAIN" 1000+8 2000+8 3000+16 4000+8 5000+8 6000+8 7000+8
	put 1000 8
	equal "$(status r 1) $(status r 5)" 'rw 5/5'
}

a_copy_that_fails_is_evicted() {
	spare_without 2
	put 2000 8
	equal "$(status r 1) $(status r 5)" 'degraded 4/5'
	logged 'metadata copy 2 evicted'
	logged 'mode is now degraded'
	same
}

# What it says is old, and it stays out however well it reads and writes again.
an_evicted_copy_does_not_return() {
	spare_without
	put 3000 8
	recreate
	equal "$(status r 1) $(status r 5)" 'degraded 4/5'
	put 3008 8
	recreate
	equal "$(status r 5)" 4/5
}

the_first_copy_can_be_evicted() {
	spare_without 0
	put 4000 8
	equal "$(status r 1) $(status r 5)" 'degraded 3/5'
	recreate
	spare_without
	recreate
	equal "$(status r 1) $(status r 5)" 'degraded 3/5'
}

# No copy at all: the write fails, and since its commit may have landed its group takes no more. All else goes on.
a_failed_commit_stops_remapping() {
	spare_without 0 1 2 3 4
	refused 'Input/output error' put 5000 8
	equal "$(status r 1)" no-remap
	# One slot is reserved still, as what may have landed.
	slots=$(used r)
	logged 'commit failed;'
	dmsetup message r 0 query 5000 | grep -q ' writes=refused$'
	refused 'Input/output error' put 5000 8
	dmsetup message r 0 query 6000 | grep -qv refused
	refused 'Input/output error' put 6000 8
	put 990 30
	put 2000 8
	put 5008 8
	equal "$(used r)" "$slots"
	same 0 4900
	# Still no copy: the message cannot help, and says so.
	equal "$(dmsetup message r 0 resume_remap)" mode=no-remap
	spare_without
	equal "$(dmsetup message r 0 resume_remap)" mode=degraded
	dmsetup message r 0 query 5000 | grep -qv refused
	put 5000 8
	put 6000 8
	same
	recreate
	equal "$(status r 5)" 3/5
}

# A spare that takes no metadata serves what is mapped there.
an_unwritable_spare_is_served() {
	spare_without 0 1 2 3 4
	recreate
	equal "$(status r 1)" no-remap
	refused 'Input/output error' put 7000 8
	put 1000 8
	same
	spare_without
	equal "$(dmsetup message r 0 resume_remap)" mode=degraded
	put 7000 8
	recreate
}

# On the way from three copies to one, the commit that is under way ends on the last; nothing is mapped after it.
with_one_copy_nothing_is_mapped() {
	BAD=writes under m "$MAIN" 8000+8 9000+8
	spare_without_tables 1 3
	put 8000 8 || echo "refused, which is right as well"
	equal "$(status r 1) $(status r 5)" 'no-remap 1/5'
	refused 'Input/output error' put 9000 8
	put 2000 8
	same 0 7900
	recreate
	equal "$(status r 1) $(status r 5)" 'no-remap 1/5'
	refused 'Input/output error' put 9000 8
	dmsetup remove r
}

t start start
t s12_a_copy_that_fails_is_evicted a_copy_that_fails_is_evicted
t s12_an_evicted_copy_does_not_return an_evicted_copy_does_not_return
t s12_the_first_copy_can_be_evicted the_first_copy_can_be_evicted
t s13_a_failed_commit_stops_remapping a_failed_commit_stops_remapping
t s12_an_unwritable_spare_is_served an_unwritable_spare_is_served
t s12_with_one_copy_nothing_is_mapped with_one_copy_nothing_is_mapped
t kernel_log_is_clean clean_log
finish
