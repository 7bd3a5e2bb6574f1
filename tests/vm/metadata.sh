#!/bin/sh
# s12, s13: copies of the metadata that cannot be written. Copies are found by docs/format.md.
. tests/vm/lib.sh

load_module
set_up 16 16
# One word for all of them: only writes fail.
BAD=writes

in_sync() { status r 5; }

# Where main takes no writes, in all tests.
main_fails() { under m "$MAIN" 1000+8 2000+8 3000+16 4000+8 5000+8 6000+8 7000+8; }

start() {
	main_fails
	put 1000 8
	equal "$(status r 1) $(in_sync)" 'rw 5/5'
}

a_copy_that_fails_is_evicted() {
	copies_fail 2
	put 2000 8
	equal "$(status r 1) $(in_sync)" 'degraded 4/5'
	logged 'metadata copy 2 evicted'
	logged 'mode is now degraded'
	same
}

# What it says is old, however well it reads and writes again.
an_evicted_copy_does_not_return() {
	copies_fail
	put 3000 8
	recreate
	same
	equal "$(status r 1) $(in_sync)" 'degraded 4/5'
	put 3008 8
	recreate
	same
	equal "$(in_sync)" 4/5
}

the_first_copy_can_be_evicted() {
	copies_fail 0
	put 4000 8
	equal "$(status r 1) $(in_sync)" 'degraded 3/5'
	recreate
	same
	copies_fail
	recreate
	same
	equal "$(status r 1) $(in_sync)" 'degraded 3/5'
}

# No copy at all: the write fails, and since its commit may have landed its group takes no more. All else goes on.
a_failed_commit_stops_remapping() {
	copies_fail 0 1 2 3 4
	equal "$(status r 21)" 0
	refused 'Input/output error' put 5000 8
	equal "$(status r 1) $(status r 21)" 'no-remap 1'
	# One slot is reserved still, as what may have landed.
	slots=$(used r)
	logged 'commit failed;'
	dmsetup message r 0 query 5000 | grep -q ' writes=refused$'
	# Not by the disk, which would take it.
	under m "$MAIN"
	refused 'Input/output error' put 5000 8
	main_fails
	dmsetup message r 0 query 6000 | grep -qv refused
	refused 'Input/output error' put 6000 8
	put 990 30
	put 2000 8
	put 5008 8
	equal "$(used r)" "$slots"
	same 0 4900
	# Still no copy: the message cannot help, and says so.
	equal "$(dmsetup message r 0 resume_remap)" mode=no-remap
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	dmsetup message r 0 query 5000 | grep -qv refused
	put 5000 8
	put 6000 8
	same
	recreate
	same
	equal "$(in_sync)" 5/5
}

# A spare that takes no metadata serves what is mapped there.
an_unwritable_spare_is_served() {
	copies_fail 0 1 2 3 4
	recreate
	same
	equal "$(status r 1)" no-remap
	refused 'Input/output error' put 7000 8
	put 1000 8
	same
	copies_fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	put 7000 8
	recreate
	same
}

# On the way from five copies to one, the commit that is under way ends on the last; nothing is mapped after it.
with_one_copy_nothing_is_mapped() {
	under m "$MAIN" 8000+8 9000+8
	tables_fail 1 2 3 4
	put 8000 8 || echo "refused, which is right as well"
	equal "$(status r 1) $(in_sync)" 'no-remap 1/5'
	refused 'Input/output error' put 9000 8
	put 2000 8
	same 0 7900
	recreate
	same
	equal "$(status r 1) $(in_sync)" 'no-remap 1/5'
	refused 'Input/output error' put 9000 8
}

# A second one brings remapping back.
with_two_copies_remapping_goes_on() {
	tables_fail 2 3 4
	equal "$(dmsetup message r 0 resume_remap)" mode=degraded
	equal "$(in_sync)" 2/5
	put 9000 8
	recreate
	same
	equal "$(status r 1) $(in_sync)" 'degraded 2/5'
	dmsetup remove r
}

t start start
t s12_a_copy_that_fails_is_evicted a_copy_that_fails_is_evicted
t s12_an_evicted_copy_does_not_return an_evicted_copy_does_not_return
t s12_the_first_copy_can_be_evicted the_first_copy_can_be_evicted
t s13_a_failed_commit_stops_remapping a_failed_commit_stops_remapping
t s12_an_unwritable_spare_is_served an_unwritable_spare_is_served
t s12_with_one_copy_nothing_is_mapped with_one_copy_nothing_is_mapped
t s12_with_two_copies_remapping_goes_on with_two_copies_remapping_goes_on
t kernel_log_is_clean clean_log
finish
