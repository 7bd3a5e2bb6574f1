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
		echo "FAIL $name (status $code)"
		sed 's/^/    /' "$WORK/log"
		FAILED=$((FAILED + 1))
	fi
}

# The last line of every scenario; the runner counts one that never gets here as failed.
finish() {
	cleanup
	echo end
	[ "$FAILED" = 0 ]
}

# load_module [PARAMETER=VALUE...]: the module, freshly loaded. DM_REMAP_KO is its file, set by the runner.
load_module() {
	cleanup
	rmmod dm_remap 2>/dev/null || true
	insmod "$DM_REMAP_KO" "$@"
}

# Removes every mapped device and every RAM disk or loop device that a scenario may have left.
cleanup() {
	for _ in 1 2 3; do
		dmsetup remove_all --force >/dev/null 2>&1 || true
	done
	losetup -D || true
	rmmod brd 2>/dev/null || true
	rmmod null_blk 2>/dev/null || true
	rmmod scsi_debug 2>/dev/null || true
}

# ramdisks COUNT MIB: /dev/ram0 and so on, filled with zeroes.
ramdisks() {
	rmmod brd 2>/dev/null || true
	modprobe brd rd_nr="$1" rd_size=$(($2 * 1024))
}

sectors() { blockdev --getsz "$1"; }

# fails COMMAND...: succeeds if the command fails.
fails() {
	if "$@"; then
		echo "should have failed: $*"
		return 1
	fi
}

# equal A B: fails, and shows both, when the two texts differ.
equal() {
	[ "$1" = "$2" ] || {
		echo "expected: $2"
		echo "found:    $1"
		return 1
	}
}

# clean_log: fails if the kernel complained. The runner looks as well; this names the scenario.
clean_log() {
	fails sh -c "dmesg | grep -E 'WARNING:|BUG|Oops|blocked for more than|alignment inconsistency'"
}
