#!/bin/sh
# Other programs' load: ext4, xfs and btrfs, each on a device of its own, and ext4 on dm-linear beside them, under fio's
# verification and stress-ng's file and I/O stressors, for $MINUTES minutes, while the disks of the first three get worse and
# better every few seconds. The disks have no write cache, so that only writes fail: nobody above may see that anything did.
# vm: memory=3072 cpus=2
. tests/vm/lib.sh

LOAD_S=$((${MINUTES:-1} * 60))
DEVICES='ext4 xfs btrfs linear'
FAILING='ext4 xfs btrfs'
STRESSORS='hdd dentry iomix fallocate rename seek sync-file dir revio aiol link fiemap xattr readahead filename io aio flock
	symlink touch chmod getdent access open utime lockf'
# Those with an amount of their operations that does not depend on time.
COUNTED='dentry:100 dir:100 fallocate:5 hdd:50 rename:200 sync-file:1'
DISK_MIB=384
DISK_SECTORS=$((DISK_MIB * 2048))
# As many as one message may name.
RELEASE_SECTORS=65536
# Ranges of a disk that fail to be written at a time, and the most sectors in one.
PLACES=256
PLACE_SECTORS=64

load_module
for one in $DEVICES; do
	modprobe "$one" 2>/dev/null || true
	mkdir -p "$WORK/$one"
done

prepare() {
	for one in $DEVICES; do cacheless "${one}disk" "$DISK_MIB" >"$WORK/disk.$one"; done
	for one in $FAILING; do
		cacheless "${one}spare" 64 >"$WORK/spare.$one"
		under "m$one" "$(cat "$WORK/disk.$one")"
		remap "$one" "/dev/mapper/m$one" "$(cat "$WORK/spare.$one")" format
		: >"$WORK/places.$one"
		echo 0 >"$WORK/deaths.$one"
	done
	disk=$(cat "$WORK/disk.linear")
	dmsetup create linear --table "0 $(sectors "$disk") linear $disk 0"
	head -c 1048576 /dev/urandom >"$WORK/kept"
}

# filesystem KIND DEVICE: makes one, and prints what is said of it, without what two of them can't have in common.
filesystem() {
	case $1 in
	# Quietly: how often it tells of its progress goes by the clock.
	ext4) mkfs.ext4 -q -E nodiscard "/dev/mapper/$2" ;;
	xfs) mkfs.xfs -f -K "/dev/mapper/$2" ;;
	btrfs) mkfs.btrfs -f -K "/dev/mapper/$2" ;;
	esac 2>&1 | sed "s,/dev/mapper/$2\\>,DEVICE,; /UUID/d"
	mount "/dev/mapper/$2" "$WORK/$2"
}

# verified KIND FILE SEED OPTION...: 16 MiB of random writes of a sector (or what KIND can do without its cache) to 64 KiB, all
# of them read back.
verified() {
	least=512
	[ "$1" != btrfs ] || least=4k
	verified_file=$2 seed=$3
	shift 3
	fio --name=v --filename="$verified_file" --size=16m --rw=randwrite --bsrange=$least-64k --ioengine=libaio --direct=1 \
		--iodepth=8 --verify=crc32c --verify_fatal=1 --serialize_overlap=1 --randseed="$seed" --fallocate=none "$@"
}

# stressed DIRECTORY STRESSOR OPTION...: one of stress-ng's, which look at their own results, with small files.
stressed() {
	stressed_in=$1 stressor=$2
	shift 2
	case $stressor in
	fallocate | hdd | iomix | readahead | revio) set -- "--$stressor-bytes" 8M "$@" ;;
	seek) set -- --seek-size 8M "$@" ;;
	sync-file) set -- --sync-file-bytes 4M "$@" ;;
	esac
	stress-ng --temp-path "$stressed_in" --verify --"$stressor" 1 "$@"
}

# failed DEVICE: says so, with what the program said.
failed() { sed 's/^/FAILED: /' "$WORK/out.$1"; }

# counted KIND DEVICE: an amount of work that does not depend on time. What comes of it is left in a file.
counted() {
	filesystem "$1" "$2"
	mkdir "$WORK/$2/stress"
	for word in $COUNTED; do
		stressed "$WORK/$2/stress" "${word%:*}" --"${word%:*}-ops" "${word#*:}" >"$WORK/out.$2" 2>&1 || failed "$2"
	done
	verified "$1" "$WORK/$2/file" 1 >"$WORK/out.$2" 2>&1 || failed "$2"
	grep -o 'issued rwts: .*' "$WORK/out.$2"
	cp -r tests docs "$WORK/kept" "$WORK/$2"
	# In fio's file there is the time of each write.
	(cd "$WORK/$2" && find . -type f ! -name file -exec sha256sum {} + | sort)
}

# While no disk fails: the same work on a filesystem over the target and on one over dm-linear, at the same time.
without_faults() {
	(set +x; counted "$1" "$1") >"$WORK/counted.$1" 2>&1 &
	pid=$!
	(set +x; counted "$1" linear) >"$WORK/counted.linear" 2>&1
	wait $pid
	umount "$WORK/$1" "$WORK/linear"
	# The length of a name changes the width of a column.
	diff -b "$WORK/counted.linear" "$WORK/counted.$1"
	fails grep FAILED "$WORK/counted.linear"
	grep 'issued rwts' "$WORK/counted.linear"
	check "$1" "$1"
	equal "$(used "$1") $(status "$1" 7) $(status "$1" 14)" '0 0 0'
	mount "/dev/mapper/$1" "$WORK/$1"
	[ "$1" != ext4 ] || mount /dev/mapper/linear "$WORK/linear"
}

# random BELOW: a number from 0 on.
random() { echo $(($(od -An -tu4 -N 4 /dev/urandom) % $1)); }

# The disk under DEVICE gets other bad places. Most that failed writes go on with it and the rest are new; every third
# of them fails for every other second only. Some of what is in slots now goes entirely: nobody reads it on main.
change() {
	dmsetup message "$1" 0 list "$(random $DISK_SECTORS)" >"$WORK/mapped"
	[ -s "$WORK/mapped" ] || dmsetup message "$1" 0 list >"$WORK/mapped"
	awk -v seed="$(random 1000000000)" 'BEGIN { srand(seed) }
		/^sector=/ && n < 40 && rand() < 0.5 { gsub(/[a-z]+=/, ""); print $1, $2, "dead"; n++ }
	' "$WORK/mapped" >"$WORK/dead.$1"
	awk -v seed="$(random 1000000000)" -v places=$PLACES -v most=$PLACE_SECTORS -v disk=$DISK_SECTORS '
		BEGIN { srand(seed) }
		n < places && rand() < 0.7 { print; n++ }
		END {
			for (; n < places; n++)
				print int(rand() * (disk - most)), 1 + int(rand() * most), rand() < 0.33 ? "passing" : "writes"
		}' "$WORK/places.$1" >"$WORK/places.new"
	mv "$WORK/places.new" "$WORK/places.$1"
	sort -n "$WORK/places.$1" "$WORK/dead.$1" | table "$(cat "$WORK/disk.$1")" >"$WORK/table"
	becomes "m$1" "$WORK/table"
	echo $(($(cat "$WORK/deaths.$1") + $(wc -l <"$WORK/dead.$1"))) >"$WORK/deaths.$1"
}

# table DISK: the table for ascending places of a disk. Of two that meet, the dead one counts: it is not to grow or shrink.
table() {
	awk -v disk="$1" -v sectors=$DISK_SECTORS '
		$3 == "dead" { while (n && end[n] > $1) n-- }
		n == 0 || $1 >= end[n] { n++; first[n] = $1; end[n] = $1 + $2; kind[n] = $3 }
		END {
			at = 0
			for (i = 1; i <= n + 1; i++) {
				if (i > n) first[i] = sectors
				if (first[i] > at) print at, first[i] - at, "linear", disk, at
				if (i > n) break
				here = first[i] " " end[i] - first[i]
				if (kind[i] == "dead") print here, "error"
				else print here, "flakey", disk, first[i], kind[i] == "passing" ? "1 1" : "0 60", "1 error_writes"
				at = end[i]
			}
		}'
}

# What an administrator may do at any time: content moves to slots, and back where the disk is good again.
order() {
	dmsetup message "$1" 0 remap "$(random $DISK_SECTORS)" | grep 'unreadable=0 failed=0'
	release "$1" "$(random $((DISK_SECTORS - RELEASE_SECTORS)))"
}

# release DEVICE SECTOR: from there on; what the disk does not take stays in its slots.
release() { dmsetup message "$1" 0 release "$2" $RELEASE_SECTORS | grep 'lost=0 unreadable=0'; }

# passes KIND DEVICE: fio's verification again and again, a few times however slow the guest is. The last seed is left in a file.
passes() {
	pass=1
	while [ "$(date +%s)" -lt "$END_S" ] || [ $pass -lt 4 ]; do
		pass=$((pass + 1))
		verified "$1" "$WORK/$2/file" $pass >"$WORK/fio.$2" 2>&1 || {
			cat "$WORK/fio.$2"
			return 1
		}
		echo $pass >"$WORK/pass.$2"
	done
}

# copied DEVICE: a file is written through the cache, and what the disk has of it then is what was written.
copied() {
	cp "$WORK/kept" "$WORK/$1/new"
	sync "$WORK/$1/new"
	dd if="$WORK/$1/new" bs=1M iflag=direct status=none | cmp - "$WORK/kept"
	mv "$WORK/$1/new" "$WORK/$1/copy"
}

# load KIND DEVICE TURN: fio, and beside it stress-ng's stressors one after the other, from that one on, two at least.
load() {
	# Whatever changes the disks has its turn first.
	renice -n 10 -p "$(exec sh -c 'echo $PPID')" >"$WORK/out.$2"
	passes "$1" "$2" &
	fio=$!
	turn=$3
	while [ "$(date +%s)" -lt "$END_S" ] || [ $turn -lt $(($3 + 2)) ]; do
		# shellcheck disable=SC2086 # a list of words
		stressor=$(echo $STRESSORS | cut -d ' ' -f $((turn % STRESSORS_COUNT + 1)))
		stressed "$WORK/$2/stress" "$stressor" --timeout 4s >"$WORK/out.$2" 2>&1 || {
			cat "$WORK/out.$2"
			return 1
		}
		echo "$stressor" >>"$WORK/turns.$2"
		copied "$2"
		turn=$((turn + 1))
	done
	wait $fio
}

# All at once, and the disks change meanwhile.
under_load() {
	END_S=$(($(date +%s) + LOAD_S))
	# shellcheck disable=SC2086 # a list of words
	STRESSORS_COUNT=$(echo $STRESSORS | wc -w)
	for one in $FAILING; do change "$one"; done
	load ext4 ext4 0 >"$WORK/load.ext4" 2>&1 &
	pids=$!
	load xfs xfs 6 >"$WORK/load.xfs" 2>&1 &
	pids="$pids $!"
	load btrfs btrfs 12 >"$WORK/load.btrfs" 2>&1 &
	pids="$pids $!"
	load ext4 linear 18 >"$WORK/load.linear" 2>&1 &
	pids="$pids $!"
	set +x
	# shellcheck disable=SC2086 # numbers
	while alive $pids; do
		for one in $FAILING; do
			change "$one"
			order "$one" >"$WORK/ordered"
		done
		echo change >>"$WORK/changes"
		sleep 2
	done
	bad=
	for pid in $pids; do wait "$pid" || bad="$bad $pid"; done
	[ -z "$bad" ] || {
		tail -n 15 "$WORK"/load.*
		return 1
	}
}

# Whether one of the processes is there.
alive() {
	for alive_pid in "$@"; do
		[ ! -e "/proc/$alive_pid" ] || return 0
	done
	return 1
}

# check KIND DEVICE
check() {
	case $1 in
	ext4) e2fsck -fn "/dev/mapper/$2" ;;
	xfs) xfs_repair -n "/dev/mapper/$2" ;;
	btrfs) btrfs check --readonly --check-data-csum "/dev/mapper/$2" ;;
	esac
}

# Nothing failed above, and the disk was bad enough for that to mean something.
healthy() {
	dmsetup status "$1"
	equal "$(status "$1" 1) $(status "$1" 3) $(status "$1" 4) $(status "$1" 9) $(status "$1" 17) $(status "$1" 18)" 'rw 0 0 0 0 0'
	equal "$(status "$1" 8)" "$(status "$1" 7)"
	changes=$(wc -l <"$WORK/changes")
	[ "$(status "$1" 7)" -ge $((10 + changes)) ]
	[ "$(status "$1" 10)" -ge $((30 + changes)) ]
	[ "$(cat "$WORK/deaths.$1")" -gt 0 ]
}

# same_files KIND DEVICE WHERE: the filesystem's own check finds nothing, and every byte is what was written.
same_files() {
	check "$1" "$2"
	mount "/dev/mapper/$2" "$3"
	verified "$1" "$3/file" "$(cat "$WORK/pass.${3##*/}")" --verify_only
	cmp "$WORK/kept" "$3/kept"
	cmp "$WORK/kept" "$3/copy"
	diff -r docs "$3/docs"
	umount "$3"
}

sound() {
	umount "$WORK/$2"
	if [ "$2" != linear ]; then
		healthy "$2"
		dmsetup remove "$2"
		remap "$2" "/dev/mapper/m$2" "$(cat "$WORK/spare.$2")"
	fi
	same_files "$1" "$2" "$WORK/$2"
}

# On a disk that is good again all goes back, and the disk alone is what the device was.
goes_back() {
	under "m$1" "$(cat "$WORK/disk.$1")"
	from=0
	while [ $from -lt $DISK_SECTORS ]; do
		release "$1" $from
		from=$((from + RELEASE_SECTORS))
	done
	dmsetup status "$1"
	equal "$(used "$1")" 0
	[ "$(status "$1" 14)" -gt 0 ]
	dmsetup remove "$1"
	same_files "$1" "m$1" "$WORK/$1"
}

# What was done, for whoever reads the output.
figures() {
	echo "$(wc -l <"$WORK/changes") changes of each disk"
	for one in $DEVICES; do
		echo "$one: $(cat "$WORK/pass.$one") passes of fio, $(wc -l <"$WORK/turns.$one") stressors"
		[ "$one" = linear ] || echo "    $(cat "$WORK/deaths.$one") dead places, $(dmsetup status "$one" | cut -d ' ' -f 4-)"
	done
}

unloads() {
	for one in $FAILING; do dmsetup remove "m$one"; done
	dmsetup remove linear
	rmmod dm_remap
}

nothing_is_said_to_have_failed() {
	clean_log
	fails sh -c "dmesg | grep -iE 'I/O error|EXT4-fs.*(error|warning)|XFS .*(error|corrupt|shutdown)|BTRFS.*(error|warning|critical)|device-mapper: remap: .*(failed|unreadable|lost|retired|evicted|mode is)'"
}

t disks_are_made prepare
for kind in btrfs xfs ext4; do t without_faults_${kind}_is_as_on_dm_linear without_faults $kind; done
t load_runs_while_the_disks_change under_load
figures
t ext4_on_dm_linear_is_sound sound ext4 linear
for kind in ext4 xfs btrfs; do t ${kind}_is_sound_and_every_byte_verifies sound $kind $kind; done
for kind in ext4 xfs btrfs; do t ${kind}_goes_back_to_the_disk_alone goes_back $kind; done
t s29_unloads unloads
t kernel_log_says_nothing_failed nothing_is_said_to_have_failed
finish
