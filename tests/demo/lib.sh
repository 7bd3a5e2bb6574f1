# shellcheck shell=sh
# Shell library of the demonstration. Everything it says is counted or compared at the time; what
# turns out otherwise is printed as `NOT SO` and makes the exit status 1.
set -u
export LC_ALL=C
SHARE=/mnt/share
MNT=/run/disk
WRONG=0
mkdir -p $MNT
modprobe -a dm-mod dm-flakey virtio_scsi sd_mod

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n\n' "$*"; }

# holds WHAT FOUND RELATION WANTED: one claim; RELATION is one of `test`.
holds() {
	test "$2" "$3" "$4" && return
	case $3 in
	=) relation= ;;
	-gt) relation='more than ' ;;
	-ge) relation='at least ' ;;
	*) relation="$3 " ;;
	esac
	say "NOT SO: $1: expected $relation$4, found ${2:-nothing}"
	WRONG=$((WRONG + 1))
}

# The last line of a script.
finish() { [ $WRONG = 0 ] || exit 1; }

# run COMMAND...: shows a command as it could be typed, and runs it. Nothing after it would mean
# anything if it failed.
run() {
	show=$*
	case $1 in "$DMREMAP") show="dmremap${show#"$1"}" ;; esac
	say "  \$ $show"
	"$@" >output 2>&1
	code=$?
	sed 's/^/    /' output
	[ $code = 0 ] || stop "exit status of $show" $code
}

# stop WHAT FOUND: ends the demonstration.
stop() {
	holds "$1" "$2" = 0
	exit 1
}

# keep KEY VALUE, kept KEY: a number for the table at the end, which survives the reboot.
keep() { echo "$1 $2" >>$SHARE/numbers; }
kept() { awk -v key="$1" '$1 == key { value = $2 } END { print value }' $SHARE/numbers; }

# sum FILE: the sectors that a list of places has in all.
sum() { awk '{ n += $2 } END { print n + 0 }' "$1"; }

# scsi ID: the disk with that number on the bus. The kernel may take a moment to find it.
scsi() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		for path in /sys/bus/scsi/devices/*:0:"$1":0/block/*; do
			[ -b "/dev/${path##*/}" ] && say "/dev/${path##*/}" && return
		done
		sleep 1
	done
	return 1
}

# table DEVICE [LIST]: a table of device-mapper for that disk, in which the places of LIST refuse
# writes, and are read as before. The target flakey would refuse flushes as well, and so fail all of
# the disk, if the disk had a write cache; it has none.
table() {
	awk -v device="$1" -v end="$(blockdev --getsz "$1")" '
		BEGIN { at = 0 }
		function good(to) { if (to > at) print at, to - at, "linear", device, at; at = to }
		{ good($1); print $1, $2, "flakey", device, $1, 0, 86400, 1, "error_writes"; at = $1 + $2 }
		END { good(end) }' "${2:-/dev/null}"
}

# attach DEVICE [LIST]: makes /dev/mapper/disk of it.
attach() { table "$@" | dmsetup create disk --uuid DEMO-disk || stop "making the disk" $?; }

# The sectors of $SHARE/bad begin to fail, under whatever is using the disk.
break_disk() { table "$1" $SHARE/bad | dmsetup load disk && dmsetup resume --noflush --nolockfs disk; }

# work DEVICE-OF-THE-DISK: writes all new files to the filesystem at $MNT, each with fsync. When the
# twelfth appears, the disk begins to fail. What was said to be written goes to the list `written`.
work() {
	: >written
	: >errors
	(
		until [ -e $MNT/new/12 ]; do sleep 0.05; done
		break_disk "$1"
	) &
	breaker=$!
	mkdir $MNT/new
	for file in "$SHARE"/new/*; do
		name=new/${file##*/}
		if dd if="$file" of=$MNT/"$name" bs=64k conv=fsync 2>error; then
			grep " $name\$" $SHARE/new.sha256 >>written
		else
			grep '^dd' error | sed "s,$MNT/,," >>errors
		fi
	done
	# A filesystem that failed earlier never has a twelfth file.
	kill $breaker 2>/dev/null
	wait $breaker
}

# verify LIST: compares files at $MNT with their checksums; sets intact, unreadable, wrong, missing.
# The result is in the file `result`.
verify() {
	intact=0 unreadable=0 wrong=0 missing=0
	(cd $MNT && sha256sum -c "$1") >result 2>/dev/null
	while IFS=: read -r name answer; do
		case $answer in
		' OK') intact=$((intact + 1)) ;;
		' FAILED') wrong=$((wrong + 1)) ;;
		*) if [ -e "$MNT/$name" ]; then
			unreadable=$((unreadable + 1))
			echo "$name" >unreadable_name
		else
			missing=$((missing + 1))
		fi ;;
		esac
	done <result
}

# again DEVICE [OPTION...]: mounts it anew, with nothing left in memory.
again() {
	umount $MNT 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
	mount "$@" $MNT 2>error
}

# failing_sectors FILE DEVICE: the sectors of DEVICE that hold the file and cannot be read, one a
# line. Each is read by itself: larger reads fail as a whole.
failing_sectors() {
	filefrag -v -b512 "$1" | tr -d ':.' | awk '$1 ~ /^[0-9]+$/ { print $4, $6 }' | while read -r start count; do
		dd if="$2" of=/dev/null bs=512 skip="$start" count="$count" iflag=direct conv=noerror 2>&1 |
			awk -v at="$start" '/error reading/ { failed = 1 }
				/records in/ { split($1, n, "+"); if (failed) print at + n[1] + bad++; failed = 0 }'
	done
}
