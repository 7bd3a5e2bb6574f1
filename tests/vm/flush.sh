#!/bin/sh
# s08: where a flush goes, and what follows when it fails. Loop devices have a write cache, and count their flushes.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 32)
SPARE=$(disk spare 16)
# The last slots of the spare; nothing is written there, so that a table with a failing range there fails flushes and no more.
FAR=32512+8

flushes() { awk '{ print $16 }' "/sys/block/${1#/dev/}/stat"; }
flush() { dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync status=none; }

# reached: what the flushes of main and spare have gone up by since `mark`.
mark() { main=$(flushes "$MAIN") spare=$(flushes "$SPARE"); }
reached() { echo "$(($(flushes "$MAIN") - main)) $(($(flushes "$SPARE") - spare))"; }

start() {
	under m "$MAIN" 1000+8 2000+8
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	fill
	same
}

flush_reaches_what_was_written() {
	dmsetup remove r
	under m "$MAIN"
	remap r /dev/mapper/m /dev/mapper/s
	# The first covers what an earlier activation may have left in the spare's cache.
	mark
	flush
	equal "$(reached)" '1 1'
	put 100 8
	flush
	equal "$(reached)" '2 1'
	put 1000 8
	flush
	equal "$(reached)" '3 2'
	flush
	equal "$(reached)" '4 2'
	# A read is no reason.
	get 1000 8
	flush
	equal "$(reached)" '5 2'
}

fua_makes_the_slot_durable() {
	mark
	dd if="$WORK/model" of=/dev/mapper/r bs=4096 skip=125 seek=125 count=1 oflag=direct,dsync conv=notrunc status=none
	[ "$(($(flushes "$SPARE") - spare))" -ge 1 ]
	same 1000 8
}

# A write in place that failed at first is repeated by repair. A flush that comes before it is repeated does not cover it.
flush_reaches_what_a_repair_wrote() {
	place=$(place 1000)
	slots=$(used r)
	dmsetup create dead --table "0 8 error"
	dmsetup create slow --table "0 8 delay /dev/mapper/dead 0 0 /dev/mapper/dead 0 5000"
	# Flushes are not delayed.
	dmsetup create late --table "0 8 delay $SPARE $place 0 $SPARE $place 600000 $SPARE $place 0"
	BAD=/dev/mapper/late under_table "$SPARE" "$place+8" >"$WORK/later"
	BAD=/dev/mapper/slow under s "$SPARE" "$place+8"
	put 1000 8 &
	writer=$!
	under_way s write
	# The table changes when the write has failed, and what repair sends after it goes to the new one.
	becomes s "$WORK/later"
	under_way s write
	flush
	mark
	flush
	equal "$(reached)" '1 0'
	kill -0 $writer
	dmsetup suspend --noflush --nolockfs late
	dmsetup resume late
	wait $writer
	equal "$(used r) $(query r 1000)" "$slots mapped"
	under s "$SPARE"
	mark
	flush
	equal "$(reached)" '1 1'
	for name in late slow dead; do dmsetup remove $name; done
	same
}

# failed_mode: what the device must be like after a failed flush.
failed_mode() {
	equal "$(status r 1)" fail
	equal "$(status r 12)" flush-failed
	slots=$(used r)
	refused 'Input/output error' put 100 8
	refused 'Input/output error' put 1000 8
	refused 'Input/output error' put 3000 8
	refused 'Input/output error' flush
	equal "$(used r)" "$slots"
	same 0 2000
}

recovers() {
	equal "$(status r 1)" fail
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	equal "$(status r 1) $(status r 12)" 'rw -'
	put 100 8
	put 1000 8
	flush
	same
}

failed_flush_of_main() {
	slots=$(used r) failed=$(status r 22)
	BAD=writes under m "$MAIN" 65000+8
	put 200 8
	refused 'Input/output error' flush
	equal "$(used r)" "$slots"
	failed_mode
	# Those that were refused meanwhile are no others.
	equal "$(status r 22)" $((failed + 1))
	logged 'a flush failed: writes are refused until the message resume_remap'
	under m "$MAIN"
	recovers
}

failed_flush_of_the_spare() {
	# Clean: the spare is not asked, so that it cannot fail.
	flush
	BAD=writes under s "$SPARE" $FAR
	flush
	equal "$(status r 1)" rw
	failed=$(status r 22)
	put 1000 8
	refused 'Input/output error' flush
	failed_mode
	equal "$(status r 22)" $((failed + 1))
	under s "$SPARE"
	recovers
}

# The flush of a commit: the content of a new slot is not known to be durable, so the write fails, and nothing is mapped.
failed_flush_of_a_commit() {
	under m "$MAIN" 3000+8
	slots=$(used r) commits=$(status r 21) flushes=$(status r 22)
	BAD=writes under s "$SPARE" $FAR
	refused 'Input/output error' put 3000 8
	equal "$(status r 21) $(status r 22)" "$((commits + 1)) $((flushes + 1))"
	equal "$(used r)" "$slots"
	equal "$(query r 3000)" main
	equal "$(status r 1) $(status r 12)" 'fail flush-failed'
	under s "$SPARE"
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	put 3000 8
	equal "$(used r)" $((slots + 1))
	dmsetup remove r
	remap r /dev/mapper/m /dev/mapper/s
	same
}

# A filesystem's commits carry data and a flush at once, which device-mapper takes apart and whose failure it does not pass up.
failed_flush_under_a_filesystem() {
	dmsetup remove r
	under m "$MAIN"
	remap r /dev/mapper/m /dev/mapper/s
	mkfs.ext4 -q -E nodiscard /dev/mapper/r
	mkdir -p "$WORK/mnt"
	mount -o errors=remount-ro /dev/mapper/r "$WORK/mnt"
	BAD=writes under m "$MAIN" 65000+8
	echo text >"$WORK/mnt/file"
	fails sync "$WORK/mnt/file"
	equal "$(status r 1)" fail
	umount "$WORK/mnt"
	under m "$MAIN"
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	e2fsck -fy /dev/mapper/r || [ $? = 1 ]
}

# A loop device has no FUA of its own, so that the block layer flushes all of its cache instead, and the error of that flush is the write's.
fua_that_fails_for_its_flush() {
	dmsetup remove r
	under m "$MAIN"
	loop=$(losetup -f --show /dev/mapper/m)
	remap r "$loop" "$(disk fresh 8)" format
	fill
	flush
	BAD=writes under m "$MAIN" 65000+8
	# There is evidence that main takes writes.
	put 100 8
	refused 'Input/output error' dd if="$WORK/model" of=/dev/mapper/r bs=4096 skip=125 seek=125 count=1 \
		oflag=direct,dsync conv=notrunc status=none
	equal "$(used r) $(query r 1000)" '0 main'
	equal "$(status r 1) $(status r 12)" 'fail flush-failed'
	under m "$MAIN"
	recovers
	equal "$(used r)" 0
	dmsetup remove r
	losetup -d "$loop"
	remap r /dev/mapper/m /dev/mapper/s
}

# The mode is of one table: who loads another in its place, under whatever uses the device, says so that writes are to be accepted.
a_reload_recovers() {
	for how in '' --noflush; do
		BAD=writes under m "$MAIN" 65000+8
		put 1000 8
		fails flush
		failed_mode
		# To suspend and resume is no word about writes.
		dmsetup suspend $how r
		dmsetup resume r
		equal "$(status r 1) $(status r 12)" 'fail flush-failed'
		fails put 100 8
		under m "$MAIN"
		dmsetup load r --table "$(dmsetup table r)"
		equal "$(status r 1)" fail
		dmsetup suspend $how r
		dmsetup resume r
		equal "$(status r 1) $(status r 12)" 'rw -'
		put 100 8
		put 1000 8
		flush
		same
	done
}

# The mode is memory's: a new activation begins anew.
recreation_recovers() {
	BAD=writes under m "$MAIN" 65000+8
	fails flush
	equal "$(status r 1)" fail
	dmsetup remove r
	under m "$MAIN"
	remap r /dev/mapper/m /dev/mapper/s
	equal "$(status r 1)" rw
	put 100 8
	flush
	dmsetup remove r
}

t start start
t s08_flush_reaches_what_was_written flush_reaches_what_was_written
t s08_fua_makes_the_slot_durable fua_makes_the_slot_durable
t s08_flush_reaches_what_a_repair_wrote flush_reaches_what_a_repair_wrote
t s08_failed_flush_of_main failed_flush_of_main
t s08_failed_flush_of_the_spare failed_flush_of_the_spare
t s08_failed_flush_of_a_commit failed_flush_of_a_commit
t s08_a_reload_recovers a_reload_recovers
t s08_fua_that_fails_for_its_flush fua_that_fails_for_its_flush
t s08_failed_flush_under_a_filesystem failed_flush_under_a_filesystem
t s08_recreation_recovers recreation_recovers
t kernel_log_is_clean clean_log
finish
