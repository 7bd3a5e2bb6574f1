#!/bin/sh
# Errors as SCSI disks and time-outs bring them: which ones cost a slot, which ones pass up, and what the breaker does.
. tests/vm/lib.sh

# Each makes its own disk and set.
export ALONE=yes
load_module

DEBUG=/sys/bus/pseudo/drivers/scsi_debug
# Here newer kernels take orders for errors.
ORDERS=/sys/kernel/debug/scsi_debug
scsi_disk 8 >"$WORK/disk"
OFFERED=$(ls "$ORDERS" 2>/dev/null || true)
cleanup

# over MAIN: r, with a new set and random content, over it.
over() {
	remap r "$1" "$SPARE" format
	fill
}

# begin: r over a new SCSI disk in memory.
begin() {
	cleanup
	SPARE=$(disk spare 32)
	MAIN=$(scsi_disk 8 physblk_exp=3)
	SYSFS=/sys/block/${MAIN##*/}/device
	over "$MAIN"
}

# mode, slots, pending blocks, failed writes and what became of them
counts() { dmsetup status r | awk '{ sub("/.*", "", $5); print $4, $5, $7, $10, $11, $12, $21 }'; }

# Older than the five seconds for which a success is evidence.
idle() { sleep 6; }

# writes_fail WORDS FIRST COUNT: so many writes, of a group each, fail and the error is this.
writes_fail() {
	at=$2
	while [ "$at" -lt $(($2 + $3 * 80)) ]; do
		refused "$1" put "$at" 8
		at=$((at + 80))
	done
}

opened() {
	equal "$(status r 1) $(status r 12)" 'no-remap breaker'
	logged 'mode is now no-remap: the breaker opened: main takes no writes'
}

# order COUNT STATUS KEY CODE: so many writes end with this status of SCSI and this sense.
order() { echo "2 -$1 0x2a 0 0 $2 $3 $4 0" >"$ORDERS/$(basename "$(readlink -f "$SYSFS")")/error"; }

# The disk knows its last 128 sectors no more: the error is of the target. What is written is remapped.
illegal_request() {
	cleanup
	SPARE=$(disk spare 32)
	MAIN=$(scsi_disk 8 virtual_gb=1)
	# In memory are 16384 sectors, the addresses begin anew behind them.
	dmsetup create m --table "0 16384 linear $MAIN 128"
	over /dev/mapper/m
	echo 0 >$DEBUG/virtual_gb
	refused 'Remote I/O error' dd if=/dev/mapper/m of=/dev/null bs=512 skip=16256 count=1 iflag=direct
	refused 'Remote I/O error' get 16248 16
	equal "$(counts)" 'rw 0 8 0 0 0 0'
	same 0 16256
	put 16248 136
	equal "$(counts)" 'rw 16 0 1 1 0 0'
	equal "$(mapped r) $(query r 16255) $(query r 16256)" '128 main mapped'
	same
}

# So is the error of a hardware that fails, when the user's attempt and two of the target's failed.
hardware_error() {
	begin
	order 2 0x2 0x4 0x44
	put 800 8
	equal "$(counts) $(query r 800)" 'rw 0 0 1 1 0 0 main'
	order 3 0x2 0x4 0x44
	put 1000 8
	equal "$(counts) $(query r 1000)" 'rw 1 0 2 2 0 0 mapped'
	same
}

# And that of a disk that is write-protected, but it takes no write anywhere.
write_protected() {
	begin
	echo 1 >/sys/module/scsi_debug/parameters/wp
	idle
	writes_fail 'Remote I/O error' 4000 7
	equal "$(counts)" 'rw 0 0 7 0 7 7'
	logged ': sector 4000: main takes no writes; not remapped'
	writes_fail 'Remote I/O error' 8000 2
	opened
	equal "$(used r) $(status r 18)" '0 8'
	same
	echo 0 >/sys/module/scsi_debug/parameters/wp
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	put 4000 8
	equal "$(query r 4000)" main
	same
}

# passes_up WORDS: writes and reads fail with this error, at once, and nothing is recorded.
passes_up() {
	before=$(counts)
	writes_fail "$1" 4000 3
	equal "$(counts)" "$before"
}

# A checksum that travels with the data does not fit: the data is what may be wrong. The disk has it nevertheless.
protection() {
	begin
	echo 32 >$DEBUG/opts
	echo 1 >$DEBUG/every_nth
	passes_up 'Invalid or incomplete multibyte'
	refused 'Invalid or incomplete multibyte' get 6000 8
	equal "$(counts)" 'rw 0 0 0 0 0 0'
	echo 0 >$DEBUG/opts
	at=4000
	while [ "$at" -lt 4800 ]; do
		put "$at" 8
		at=$((at + 80))
	done
	same
}

# Held by another host (a status of SCSI); behind a link that is gone (a word of the host's). scsi_debug takes orders for both on
# newer kernels only; on all of them its function for writes can be made to answer so.
reservation_and_transport() {
	begin
	for answer in "$((0x18)) Invalid exchange" "$((0xf << 16)) Link has been severed"; do
		insmod "$TEST_MODULES/fail_call.ko" functions=scsi_debug:resp_write_dt0="${answer%% *}"
		before=$(counts)
		for at in 4000 4080 4160; do
			# One answer, so that whoever asks again gets another.
			echo 1 >/sys/module/fail_call/parameters/nth
			refused "${answer#* }" put $at 8
		done
		equal "$(counts) $(cat /sys/module/fail_call/parameters/failed)" "$before 3"
		rmmod fail_call
	done
	put 4000 8
	equal "$(query r 4000)" main
	same
}

# The block layer's own time is over: the device answers later than it is given time to.
timeout_of_the_block_layer() {
	cleanup
	SPARE=$(disk spare 32)
	MAIN=$(cacheless main 8)
	late=$(cacheless late 8 irqmode=2 completion_nsec=2500000000)
	echo 100 >"/sys/block/${late##*/}/queue/io_timeout"
	under m "$MAIN"
	over /dev/mapper/m
	BAD=$late under m "$MAIN" 4000+8
	refused 'Connection timed out' put 4000 8
	refused 'Connection timed out' get 3992 16
	equal "$(counts)" 'rw 0 0 0 0 0 0'
	under m "$MAIN"
	same
}

# A SCSI disk that does not answer: an I/O error once the kernel has given up, which may be the medium's. The disk answers no
# question either.
timeout_of_a_scsi_disk() {
	begin
	echo 1 >"$SYSFS/timeout"
	for tries in "$SYSFS"/scsi_disk/*/max_retries; do
		echo 0 >"$tries"
	done
	idle
	echo 128 >$DEBUG/opts
	echo 1 >$DEBUG/every_nth
	refused 'Input/output error' put 4000 8
	echo 0 >$DEBUG/opts
	equal "$(counts)" 'rw 0 0 1 0 1 1'
	logged ': sector 4000: main takes no writes; not remapped'
	same
	put 4000 8
	equal "$(query r 4000)" main
	same
}

# Taken offline and back.
offline() {
	begin
	idle
	echo offline >"$SYSFS/state"
	writes_fail 'Input/output error' 4000 7
	equal "$(counts)" 'rw 0 0 7 0 7 7'
	writes_fail 'Input/output error' 8000 2
	opened
	equal "$(used r) $(status r 18)" '0 8'
	refused 'Input/output error' get 4000 8
	echo running >"$SYSFS/state"
	same
	equal "$(status r 4)" 0
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	put 4000 8
	equal "$(query r 4000)" main
	same
}

# rewrites FIRST: what is in 2 MiB from there on is written again and again, until that fails.
rewrites() {
	while dd if="$WORK/model" of=/dev/mapper/r bs=4096 skip=$(($1 / 8)) seek=$(($1 / 8)) count=512 oflag=direct \
		conv=notrunc status=none; do :; done
}

# Pulled under writers, and plugged in again under another name. What went to slots on the evidence of the last success is no
# more than that one is good for, and not lost.
pulled_under_io() {
	begin
	host=$(readlink -f "$SYSFS")
	host=${host%%/target*}
	jobs=
	for first in 0 4096 8192; do
		rewrites $first &
		jobs="$jobs $!"
	done
	sleep 1
	echo 1 >"$SYSFS/delete"
	for job in $jobs; do
		wait "$job"
	done
	idle
	writes_fail 'Input/output error' 14000 9
	opened
	slots=$(used r)
	[ "$slots" -le 16 ]
	dmsetup remove r
	echo '- - -' >"/sys/class/scsi_host/${host##*/}/scan"
	MAIN=$(scsi_disk_path)
	remap r "$MAIN" "$SPARE"
	equal "$(status r 1) $(used r)" "rw $slots"
	same
	put 14000 8
	equal "$(query r 14000)" main
	same
}

t s14_illegal_request illegal_request
if [ -n "$OFFERED" ]; then
	t s14_hardware_error hardware_error
else
	echo 'skipped: s14_hardware_error: scsi_debug of this kernel takes no orders for errors in debugfs'
fi
t s16_write_protected write_protected
t s15_protection protection
t s15_reservation_and_transport reservation_and_transport
t s15_timeout_of_the_block_layer timeout_of_the_block_layer
t s14_timeout_of_a_scsi_disk timeout_of_a_scsi_disk
t s16_offline offline
t s16_pulled_under_io pulled_under_io
t kernel_log_is_clean clean_log
finish
