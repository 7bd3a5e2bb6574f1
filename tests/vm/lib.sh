# shellcheck shell=sh
# Shell library of the scenarios in this directory; each one sources it first.
#
# A scenario runs as root in a guest with dm_remap loaded. It calls functions that test one thing
# each, through `t NAME FUNCTION`; a function fails when any command in it fails. The runner reads
# the lines `ok NAME` and `FAIL NAME`.
set -eu

WORK=$(mktemp -d)
FAILED=0

# t NAME FUNCTION [ARGUMENT...]: one test. In a subshell with -e, so that the first failing command ends it.
t() {
	name=$1
	shift
	# Not in an `if`, where -e would be ignored.
	set +e
	(set -eux; "$@") >"$WORK/log" 2>&1
	code=$?
	set -e
	if [ "$code" = 0 ]; then
		echo "ok $name"
	else
		echo "FAIL $name (status $code): $(grep '^+ ' "$WORK/log" | grep -v '^+ \(echo\|return\)' | tail -n 1 | cut -c 3-100)"
		tail -n 60 "$WORK/log" | cut -c 1-200 | sed 's/^/    /'
		FAILED=$((FAILED + 1))
		# Where tests do not build on each other, the next is to find no rest of this one.
		[ -z "${ALONE-}" ] || dmsetup remove_all --force
	fi
}

# The last line of every scenario; the runner counts one that never gets here as failed.
finish() {
	cleanup
	# The guest's files are in its memory, and other scenarios follow.
	rm -rf "$WORK"
	echo end
	[ "$FAILED" = 0 ]
}

# load_module [PARAMETER=VALUE...]: the module, freshly loaded. DM_REMAP_KO is its file, set by the runner.
load_module() {
	cleanup
	rmmod dm_remap 2>/dev/null || true
	insmod "$DM_REMAP_KO" "$@"
}

# param NAME [VALUE]: reads or sets a parameter of the module.
param() {
	if [ $# = 2 ]; then
		echo "$2" >"/sys/module/dm_remap/parameters/$1"
	else
		cat "/sys/module/dm_remap/parameters/$1"
	fi
}

# Removes every mapped device and every disk that a scenario may have left.
cleanup() {
	swapoff -a 2>/dev/null || true
	umount "$WORK/mnt" 2>/dev/null || true
	for _ in 1 2 3 4; do
		dmsetup remove_all --force >/dev/null 2>&1 || true
	done
	losetup -D || true
	rm -f "$WORK"/*.img
	for entry in /sys/kernel/config/nullb/*/; do
		[ ! -d "$entry" ] || rmdir "$entry"
	done
	rmmod null_blk 2>/dev/null || true
	rmmod scsi_debug 2>/dev/null || true
}

# disk NAME MIB [LOGICAL BLOCK]: a new loop device full of zeroes, whose path is printed. It has a write cache.
disk() {
	modprobe loop
	rm -f "$WORK/$1.img"
	truncate -s "$2M" "$WORK/$1.img"
	losetup -f --show ${3:+-b "$3"} "$WORK/$1.img"
}

# cacheless NAME MIB [PARAMETER=VALUE...]: a new disk in memory, full of zeroes, whose path is printed. Unless the parameters of
# null_blk say otherwise it has sectors of 512 bytes, and no write cache: nobody flushes it, so that under BAD=writes nothing but
# writes fails.
cacheless() {
	modprobe null_blk nr_devices=0
	null_name=$1 size=$2
	shift 2
	mkdir "/sys/kernel/config/nullb/$null_name"
	for pair in "size=$size" blocksize=512 memory_backed=1 "$@" power=1; do
		echo "${pair#*=}" >"/sys/kernel/config/nullb/$null_name/${pair%=*}" || return 1
	done
	# Named by its number or by its name, as the kernel's version has it.
	for path in "/dev/$null_name" "/dev/nullb$(cat "/sys/kernel/config/nullb/$null_name/index")"; do
		[ -b "$path" ] && echo "$path" && return
	done
	return 1
}

# scsi_disk MIB [PARAMETER=VALUE...]: a SCSI disk in memory, whose path is printed.
scsi_disk() {
	modprobe sd_mod
	size=$1
	shift
	modprobe scsi_debug dev_size_mb="$size" delay=0 "$@" >/dev/null
	scsi_disk_path
}

# scsi_disk_path: the path of the SCSI disk in memory, when it is there.
scsi_disk_path() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		for entry in /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*; do
			[ -b "/dev/${entry##*/}" ] && echo "/dev/${entry##*/}" && return
		done
		sleep 0.2
	done
	return 1
}

sectors() { blockdev --getsz "$1"; }
number() { lsblk -ndo MAJ:MIN "$1" | tr -d ' '; }

# queue DEVICE FIELD: of its queue in sysfs.
queue() { cat "/sys/dev/block/$(number "$1")/queue/$2"; }

# under NAME DEVICE [FIRST+COUNT]...: the device NAME, which is DEVICE but for these ranges of sectors, in ascending order,
# that fail as $BAD says. If NAME is there it becomes that, live, under whatever uses it.
#   BAD=error   reads and writes fail (the default)
#   BAD=writes  only writes fail, and flushes, unless DEVICE has no write cache
#   BAD=forgets writes succeed and are forgotten, and so are flushes
#   BAD=PATH    the range is on that device instead
under() {
	under_name=$1 device=$2
	shift 2
	under_table "$device" "$@" >"$WORK/table"
	if dmsetup info "$under_name" >/dev/null 2>&1; then
		becomes "$under_name" "$WORK/table"
	else
		dmsetup create "$under_name" "$WORK/table"
	fi
}

# becomes NAME TABLE: gives the device NAME another table, live, under whatever uses it.
becomes() {
	dmsetup load "$1" "$2"
	dmsetup suspend --noflush --nolockfs "$1"
	dmsetup resume "$1"
}

under_table() {
	device=$1 at=0 end=$(sectors "$1")
	shift
	for range in "$@"; do
		first=${range%+*} count=${range#*+}
		[ "$first" = "$at" ] || echo "$at $((first - at)) linear $device $at"
		case ${BAD:-error} in
		error) echo "$first $count error" ;;
		writes) echo "$first $count flakey $device $first 0 60 1 error_writes" ;;
		forgets) echo "$first $count flakey $device $first 0 60 1 drop_writes" ;;
		*) echo "$first $count linear $BAD 0" ;;
		esac
		at=$((first + count))
	done
	[ "$at" = "$end" ] || echo "$at $((end - at)) linear $device $at"
}

# remap NAME MAIN SPARE [FEATURE...]: a mapping of the whole of MAIN.
remap() {
	remap_name=$1 main=$2 spare=$3
	shift 3
	dmsetup create "$remap_name" --table "0 $(sectors "$main") remap $main 0 1 $spare 0 $# $*"
}

# set_up MIB SPARE_MIB: two new disks without write caches, MAIN and SPARE, m and s over them, and r, with a new set, whose
# content is random and in the file that says what must be read from it.
set_up() {
	MAIN=$(cacheless main "$1")
	SPARE=$(cacheless spare "$2")
	under m "$MAIN"
	under s "$SPARE"
	remap r /dev/mapper/m /dev/mapper/s format
	fill
	# The layout of docs/format.md, in sectors.
	AREA=$(($(sectors "$SPARE") / 8 / 5 / 8 * 8 * 8))
	TABLE=$(($(od -An -tu4 -j $((4096 + 124)) -N 4 "$SPARE") * 8))
}

# fill: r gets random content, which is in the file that says what must be read from it.
fill() {
	head -c $(($(sectors /dev/mapper/r) * 512)) /dev/urandom >"$WORK/model"
	dd if="$WORK/model" of=/dev/mapper/r bs=1M oflag=direct status=none
}

# Closes r and opens it again.
recreate() {
	dmsetup remove r
	remap r /dev/mapper/m /dev/mapper/s
}

# In these copies of the metadata superblock and tables fail as $BAD says, or the tables alone, or the superblock alone.
# In the others nothing does.
copies_fail() { copies_under 8 $((8 + TABLE)) "$@"; }
tables_fail() { copies_under 16 "$TABLE" "$@"; }
superblocks_fail() { copies_under 8 8 "$@"; }
copies_under() {
	skip=$1 count=$2
	shift 2
	# shellcheck disable=SC2046 # a list of words
	set -- $(for copy in "$@"; do echo "$((copy * AREA + skip))+$count"; done)
	under s "$SPARE" "$@"
}

# status NAME N: field N of what `dmsetup status` prints after the target's name. See docs/interface.md.
status() {
	answer=$(dmsetup status "$1")
	# shellcheck disable=SC2086 # a list of words
	set -- "$2" $answer
	shift $(($1 + 3))
	echo "$1"
}
used() { u=$(status "$1" 2) && echo "${u%/*}"; }

# query NAME SECTOR: the state of a sector.
query() {
	answer=$(dmsetup message "$1" 0 query "$2")
	answer=${answer#* state=}
	echo "${answer%% *}"
}

# place SECTOR: where the slot of a sector of r has it on the spare.
place() { dmsetup message r 0 query "$1" | sed 's/.* spare_sector=//'; }

# mapped NAME: how many sectors `list` names.
mapped() {
	from=0
	while [ -n "$from" ]; do
		dmsetup message "$1" 0 list "$from" >"$WORK/list"
		cat "$WORK/list"
		from=$(sed -n 's/^next=//p' "$WORK/list")
	done | awk '/^sector=/ { sub("sectors=", "", $2); n += $2 } END { print n + 0 }'
}

# put FIRST COUNT: writes random sectors to /dev/mapper/r in one go, and, if that succeeds, to the file that says what must
# be read from it. Two at a time need a JOB each.
put() {
	chunk=$WORK/chunk${JOB-}
	dd if=/dev/urandom of="$chunk" bs=$(($2 * 512)) count=1 iflag=fullblock status=none
	dd if="$chunk" of=/dev/mapper/r bs=$(($2 * 512)) count=1 seek=$(($1 * 512)) oflag=direct,seek_bytes \
		conv=notrunc status=none || return 1
	dd if="$chunk" of="$WORK/model" bs=$(($2 * 512)) count=1 seek=$(($1 * 512)) oflag=seek_bytes \
		conv=notrunc status=none
}

# get FIRST COUNT: reads sectors from /dev/mapper/r in one go, to $WORK/got.
get() {
	dd if=/dev/mapper/r of="$WORK/got" bs=$(($2 * 512)) count=1 skip=$(($1 * 512)) iflag=direct,skip_bytes status=none
}

# same [FIRST COUNT]: fails unless /dev/mapper/r, or these sectors of it, read as what was put there.
same() {
	if [ $# = 2 ]; then
		get "$1" "$2"
		dd if="$WORK/model" bs=$(($2 * 512)) count=1 skip=$(($1 * 512)) iflag=skip_bytes status=none | cmp - "$WORK/got"
	else
		dd if=/dev/mapper/r bs=1M iflag=direct status=none >"$WORK/got"
		cmp "$WORK/model" "$WORK/got"
	fi
}

# discard FIRST COUNT: discards sectors of /dev/mapper/r.
discard() { blkdiscard -f -o $(($1 * 512)) -l $(($2 * 512)) /dev/mapper/r; }

# zeroes FIRST COUNT: writes zeroes to /dev/mapper/r by punching a hole: the device does it or it fails, and nobody falls back
# to ordinary writes.
zeroes() { fallocate --punch-hole -o $(($1 * 512)) -l $(($2 * 512)) /dev/mapper/r; }

# wiped FIRST COUNT: sectors of /dev/mapper/r must be read as zeroes from now on.
wiped() { dd if=/dev/zero of="$WORK/model" bs=512 seek="$1" count="$2" conv=notrunc status=none; }

# events: how many events r has raised.
events() { dmsetup info -c --noheadings -o events r; }

# counters NAME: where the kernel counts the I/O of a mapped device.
counters() { echo "/sys/dev/block/$(dmsetup info -c --noheadings -o major,minor "$1")"; }

# writes_ended NAME: how many writes to the mapped device have ended.
writes_ended() { awk '{ print $5 }' "$(counters "$1")/stat"; }

# under_way NAME read|write: waits until there is such a bio on the mapped device.
under_way() {
	inflight=$(counters "$1")/inflight
	for _ in $(seq 600); do
		read -r reading writing <"$inflight"
		[ "$2" = read ] || reading=$writing
		[ "$reading" = 0 ] || return 0
		sleep 0.1
	done
	return 1
}

# watch: from here on the calls by which the module takes memory and gives it back are counted, and one of the former can be made to
# fail; the setting of its clock can be made slow: see modules/fail_call.c. There is no device of the module yet.
watch() {
	# What a failing call returns: no pointer, or -ENOMEM.
	insmod "$TEST_MODULES/fail_call.ko" caller=dm_remap \
		functions=dm_remap:dmr_kvzalloc=0,dm_remap:dmr_vzalloc=0,dm_remap:dmr_srcu_init=-12,dm_remap:dmr_workqueue_new=0,bioset_init=-12,dm_remap:dmr_kvfree,dm_remap:dmr_vfree,cleanup_srcu_struct,destroy_workqueue,bioset_exit,cancel_delayed_work@
}
CALLS=/sys/module/fail_call/parameters

# calls FUNCTION: how often it was called since all counts were zero, without the calls that were made to fail.
calls() { sed -n "s/^\(dm_remap:\)\{0,1\}$1=//p" $CALLS/counts; }

# balanced: of all that was taken since all counts were zero everything was given back, and of each kind there was something.
balanced() {
	cat $CALLS/counts
	for pair in dmr_kvzalloc=dmr_kvfree dmr_vzalloc=dmr_vfree dmr_srcu_init=cleanup_srcu_struct \
		dmr_workqueue_new=destroy_workqueue bioset_init=bioset_exit; do
		equal "$pair $(calls "${pair#*=}")" "$pair $(calls "${pair%=*}")"
		[ "$(calls "${pair%=*}")" -gt 0 ] || return 1
	done
}

# threads: how many the module has. The system's own workers keep the name of what they did last.
threads() { ps -e | grep -v 'kworker/[0-9u]' | grep -c dm_remap || true; }

# fails COMMAND...: succeeds if the command fails.
fails() {
	if "$@"; then
		echo "should have failed: $*"
		return 1
	fi
}

# refused TEXT COMMAND...: succeeds if the command fails and what it prints holds the text.
refused() {
	text=$1
	shift
	if "$@" >"$WORK/said" 2>&1; then
		echo "should have failed: $*"
		return 1
	fi
	cat "$WORK/said"
	grep -qF -- "$text" "$WORK/said"
}

# gives STATUS WORDS ARGUMENT...: the tool ends with that exit status, and its output holds these words.
gives() {
	wanted=$1 words=$2
	shift 2
	set +e
	"$DMREMAP" "$@" >"$WORK/said" 2>&1 </dev/null
	code=$?
	set -e
	cat "$WORK/said"
	equal "$code" "$wanted"
	[ -z "$words" ] || grep -qF -- "$words" "$WORK/said"
}

# equal A B: fails, and shows both, when the two texts differ.
equal() {
	[ "$1" = "$2" ] || {
		echo "expected: $2"
		echo "found:    $1"
		return 1
	}
}

# logged PATTERN: whether the kernel log has such a line, from here or before.
logged() { dmesg | grep -qE -- "$1"; }

# clean_log: fails if the kernel complained. The runner looks as well; this names the scenario.
clean_log() {
	fails sh -c "dmesg | grep -E 'WARNING:|BUG|Oops|blocked for more than|alignment inconsistency'"
}
