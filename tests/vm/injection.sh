#!/bin/sh
# s05, s19, s26: rounds in which the kernel has allocations and requests fail at random, and after each of which everything is as it
# was written. Only a kernel that can inject failures runs it: ./x test --kernel debug injection
. tests/vm/lib.sh

ROUNDS=200
# In percent. Of allocations only those of the module and of what it calls, and of these one in five: a table makes some hundred.
ALLOCATIONS=1
MAIN_REQUESTS=10
# Where those of the spare fail as well.
SPARE_REQUESTS=2

DEBUGFS=/sys/kernel/debug
SLAB=$DEBUGFS/failslab
PAGES=$DEBUGFS/fail_page_alloc
REQUESTS=$DEBUGFS/fail_make_request

if [ ! -d $SLAB ]; then
	echo 'skipped: s26_rounds_of_random_failures: this kernel injects no failures (./x test --kernel debug injection)'
	finish
	exit 0
fi

load_module
MAIN=$(cacheless main 64)
SPARE=$(cacheless spare 32)
LAST=131072
FAULTS_MAX=1000000

# How many failures were injected so far by one of the three.
injected() { echo $((FAULTS_MAX - $(cat "$1/times"))); }

# fail PERCENT WHAT...
fail() {
	percent=$1
	shift
	for what in "$@"; do echo "$percent" >"$what/probability"; done
}

# requests_of DISK 0|1: whether requests of the disk are among those that fail.
requests_of() { echo "$2" >"/sys/block/${1#/dev/}/make-it-fail"; }

begin() {
	text=$(cat /sys/module/dm_remap/sections/.text)
	bytes=0x$(readelf -SW "$DM_REMAP_KO" | sed -n 's/^ *\[ *[0-9]*\] \.text  *PROGBITS  *[0-9a-f]*  *[0-9a-f]*  *\([0-9a-f]*\) .*/\1/p')
	for what in "$SLAB" "$PAGES"; do
		echo N >"$what/ignore-gfp-wait"
		echo 5 >"$what/interval"
		echo 32 >"$what/stacktrace-depth"
		echo "$text" >"$what/require-start"
		printf '0xffffffff%08x\n' $((0x${text#0xffffffff} + bytes)) >"$what/require-end"
	done
	echo 0 >"$PAGES/min-order"
	for what in "$SLAB" "$PAGES" "$REQUESTS"; do
		echo $FAULTS_MAX >"$what/times"
		echo 0 >"$what/verbose"
	done
	head -c 1M /dev/urandom >"$WORK/random"
	# These disks take memory when they are written first, in the writer's context: all of it is taken before any allocation fails.
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	remap r "$MAIN" "$SPARE" format
	fill
	same
	dmsetup remove r
}

# Creates r while allocations fail: whatever does, the next attempt finds everything as it was.
created() {
	for _ in $(seq 100); do
		remap r "$MAIN" "$SPARE" 2>"$WORK/refusal" && return
		grep -q 'Cannot allocate memory' "$WORK/refusal"
		echo refused >>"$WORK/refusals"
	done
	return 1
}

# ranges ROUND: where its writes go, the same on every run, two lines of first sector and count.
ranges() {
	awk -v seed="$1" -v last=$LAST 'BEGIN {
		srand(seed); rand()
		for (n = 0; n < 2; n++) print int(rand() * (last - 300)), 1 + int(rand() * 300)
	}'
}

# write FIRST COUNT: as put, from random content that is at hand.
write() {
	skip=$(((ROUND * 37 + $1) % 1700))
	for to in /dev/mapper/r "$WORK/model"; do
		dd if="$WORK/random" of="$to" bs=$(($2 * 512)) count=1 iflag=skip_bytes,fullblock skip=$((skip * 512)) \
			oflag=seek_bytes"$([ "$to" = "$WORK/model" ] || echo ,direct)" seek=$(($1 * 512)) conv=notrunc status=none || return 1
	done
}

# Writes; what failed to be written is remembered. What was written is read as such, or not at all.
transfers() {
	: >"$WORK/unwritten"
	while read -r first count; do
		if ! write "$first" "$count"; then
			echo "$first $count" | tee -a "$WORK/all_unwritten" >>"$WORK/unwritten"
		elif get "$first" "$count"; then
			same "$first" "$count"
		fi
	done <"$WORK/ranges"
}

# What an administrator does meanwhile. It may fail, but it ends.
orders() {
	case $((ROUND % 4)) in
	0) dmsetup message r 0 remap $((ROUND * 400)) 200 || true ;;
	1) dmsetup message r 0 release 0 $LAST || true ;;
	2) dmsetup suspend r ;;
	3) dmsetup suspend --noflush r ;;
	esac
	# What is on the spare is read for a new table.
	requests_of "$SPARE" 0
	if [ $((ROUND % 2)) = 0 ]; then
		# A table that gets no memory leaves the old one at work.
		dmsetup load r --table "$(dmsetup table r)" 2>"$WORK/refusal" || {
			grep -q 'Cannot allocate memory' "$WORK/refusal"
			echo refused >>"$WORK/refusals"
		}
	fi
	dmsetup resume r
}

# No failure is injected any more: remapping goes on, what was refused is taken, and all is as it was written.
healed() {
	equal "$(dmsetup message r 0 resume_remap)" mode=rw
	while read -r first count; do write "$first" "$count"; done <"$WORK/unwritten"
	while read -r first count; do same "$first" "$count"; done <"$WORK/ranges"
	[ $((ROUND % 20)) != 0 ] || same
	equal "$(status r 1) $(status r 5)" 'rw 5/5'
}

rounds() {
	for ROUND in $(seq $ROUNDS); do
		ranges "$ROUND" >"$WORK/ranges"
		fail $ALLOCATIONS "$SLAB" "$PAGES"
		created
		requests_of "$MAIN" 1
		requests_of "$SPARE" $((ROUND % 3 == 0))
		# The two disks have one rate.
		if [ $((ROUND % 3)) = 0 ]; then fail $SPARE_REQUESTS "$REQUESTS"; else fail $MAIN_REQUESTS "$REQUESTS"; fi
		transfers
		orders
		fail 0 "$SLAB" "$PAGES" "$REQUESTS"
		healed
		dmsetup remove r
	done
}

# A run in which nothing failed shows nothing.
enough_failed() {
	[ $(($(injected "$SLAB") + $(injected "$PAGES"))) -ge $((ROUNDS / 10)) ]
	[ "$(injected "$REQUESTS")" -ge $((ROUNDS / 2)) ]
	[ -s "$WORK/refusals" ]
}

t begin begin
t s26_rounds_of_random_failures rounds
t enough_failed enough_failed
echo "failed: $(injected "$SLAB") allocations of slabs, $(injected "$PAGES") of pages, $(injected "$REQUESTS") requests;" \
	"$(grep -c . "$WORK/refusals") tables refused, $(grep -c . "$WORK/all_unwritten") writes taken at the second attempt"
t kernel_log_is_clean clean_log
finish
