#!/bin/sh
# s19, s29: renamed, removed and left alone by its module under I/O. Whoever has the device open keeps it or has errors, and the map
# is there when it is opened again.
. tests/vm/lib.sh

load_module
set_up 32 16
# Its own way to the device, which neither a new name nor a removal takes away.
NODE=$WORK/node
# Writes of these sectors fail; fio works on the first 8192.
BAD_RANGES='1000+8 2000+64 4000+8 20000+16'

line() { echo "0 $(sectors "$MAIN") remap /dev/mapper/m 0 1 /dev/mapper/s 0"; }
verified() {
	fio --name=b --filename="$NODE" --size=4m --io_size=2m --rw=randwrite --bsrange=512-16k --direct=1 \
		--ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 --serialize_overlap=1 --allow_file_create=0
}

# Verified writes until `idle`, or until one fails. They are under way when this returns.
busy() {
	rm -f "$WORK/stop"
	exec 9<"$NODE"
	(
		set -e
		while [ ! -e "$WORK/stop" ]; do verified >"$WORK/fio" 2>&1; done
	) &
	busy_pid=$!
	goes_on
}

# Writes begin and end.
goes_on() {
	ended=$(writes)
	for _ in $(seq 300); do
		[ "$(writes)" -le $((ended + 20)) ] || return 0
		sleep 0.1
	done
	return 1
}
writes() { awk '{ print $5 }' "/sys/dev/block/$NUMBER/stat"; }

idle() {
	touch "$WORK/stop"
	wait "$busy_pid" || {
		cat "$WORK/fio"
		return 1
	}
}

# Closes the device.
let_go() { exec 9<&-; }

healthy() {
	equal "$(status r 1) $(status r 3) $(status r 9)" 'rw 0 0'
	same 20000 16
}

# The table is gone and all that it had, which a removal that nobody waits for does at its leisure.
gone() {
	for _ in $(seq 100); do
		if ! dmsetup info r >/dev/null 2>&1 && [ "$(cat /sys/module/dm_remap/refcnt)" = 0 ]; then return; fi
		sleep 0.2
	done
	return 1
}

opened_again() {
	remap r /dev/mapper/m /dev/mapper/s
	healthy
}

start() {
	# shellcheck disable=SC2086 # a list of words
	BAD=writes under m "$MAIN" $BAD_RANGES
	put 20000 16
	equal "$(query r 20000)" mapped
	dmsetup remove r
	watch
	remap r /dev/mapper/m /dev/mapper/s
	# shellcheck disable=SC2046 # two words
	mknod "$NODE" b $(number /dev/mapper/r | tr : ' ')
}

renamed() {
	busy
	dmsetup rename r q
	goes_on
	equal "$(query q 20000) $(status q 1)" 'mapped rw'
	fails dmsetup info r
	dmsetup rename q r
	goes_on
	idle
	let_go
	healthy
}

removed_when_closed() {
	busy
	refused 'busy' dmsetup remove r
	goes_on
	dmsetup remove --deferred r
	goes_on
	dmsetup info r | grep -q 'DEFERRED REMOVE'
	idle
	# The name's node went with the order, the device did not.
	dmsetup mknodes r
	healthy
	let_go
	gone
	opened_again
}

# The device gets a table that fails everything, under whoever has it open.
removed_by_force() {
	busy
	# The device itself stays as long as it is open.
	fails dmsetup remove --force r
	# It goes on until a write fails, which one does.
	fails wait "$busy_pid"
	grep -q 'Input/output error' "$WORK/fio"
	dmsetup table r | grep -q "^0 $(sectors "$MAIN") error"
	equal "$(cat /sys/module/dm_remap/refcnt)" 0
	let_go
	dmsetup remove r
	opened_again
}

# A table is a use of the module whether it was resumed or not.
unload_is_refused() {
	fails rmmod dm_remap
	dmsetup remove r
	dmsetup create r --notable
	dmsetup load r --table "$(line)"
	fails rmmod dm_remap
	dmsetup resume r
	dmsetup load r --table "$(line)"
	dmsetup clear r
	healthy
	dmsetup suspend r
	fails rmmod dm_remap
	dmsetup resume r
	dmsetup remove r
	# Whichever way it went before, too.
	balanced
	equal "$(threads)" 0
	rmmod fail_call
	rmmod dm_remap
	insmod "$DM_REMAP_KO"
	opened_again
}

NUMBER=$(number /dev/mapper/r)
t start start
t s19_renamed_under_io renamed
t s19_removed_when_closed removed_when_closed
t s19_removed_by_force removed_by_force
t s29_unload_is_refused unload_is_refused
t kernel_log_is_clean clean_log
finish
