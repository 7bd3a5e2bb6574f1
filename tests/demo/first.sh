#!/bin/sh
# Runs in the guest, first boot: the failing disk as it is, then with `remap` in between.
. tests/demo/lib.sh
cd "$(mktemp -d)" || exit 1
SPARE=/dev/vda
BARE=$(scsi 0) || stop "finding the first disk" $?
ADOPTED=$(scsi 1) || stop "finding the second disk" $?
OLD=$(wc -l <$SHARE/old.sha256) NEW=$(wc -l <$SHARE/new.sha256)
VICTIM=$(cat $SHARE/victim)
: >$SHARE/numbers

bare() {
	title "Act 1: the disk as it is"
	say "A disk of 64 MiB holds an ext4 filesystem with $OLD files. $(sum $SHARE/unreadable) of its sectors, all in"
	say "one file, cannot be read. Now $NEW files are written to it. While that goes on,"
	say "$(wc -l <$SHARE/bad) places of the disk, $(sum $SHARE/bad) sectors, begin to refuse writes."
	say
	attach "$BARE"
	dmesg -C
	run mount -o errors=remount-ro /dev/mapper/disk $MNT
	work "$BARE"
	failed=$((NEW - $(wc -l <written)))
	say
	say "Of $NEW files, $failed were not written. What the program saw, first and last:"
	sed -n '1,3s/^/    /p' errors
	tail -n 1 errors | sed 's/^/    /'
	holds "files whose writing failed" $failed -gt 0
	keep bare_failed $failed
	say
	say "What the kernel said of the filesystem:"
	dmesg -t | grep -E '^(EXT4-fs|Aborting|JBD2)' | sort -u | cut -c 1-110 >log
	grep -E 'abort|Abort|read-only|journal' log | head -n 4 | sed 's/^/    /'
	holds "complaints of the filesystem" "$(wc -l <log)" -gt 0
	bare_fate
}

# What is left of the files on the bare disk.
bare_fate() {
	state='takes writes'
	touch $MNT/probe 2>error || state='read-only'
	again -o errors=remount-ro /dev/mapper/disk
	if [ -s error ]; then
		say
		say "Mounted again, it is refused:"
		sed 's/^/    /' error | head -n 1
		state="$state, then unmountable"
		again -o ro,noload /dev/mapper/disk
	fi
	keep bare_state "$(echo "$state" | tr ' ' '_')"
	holds "state of the filesystem" "$state" != 'takes writes'
	verify $SHARE/old.sha256
	keep bare_old_intact $intact
	lost_old=$((OLD - intact))
	verify $SHARE/new.sha256
	keep bare_intact $intact
	keep bare_unreadable $unreadable
	keep bare_wrong $wrong
	keep bare_missing $missing
	say
	say "The filesystem is now: $state. Of the $OLD old files, $lost_old cannot be read; of the"
	say "$NEW new ones, $intact are intact, $wrong hold something else, $unreadable cannot be read,"
	say "$missing are not there."
	holds "new files intact on the bare disk" $intact -lt "$NEW"
	umount $MNT
	dmsetup remove disk
}

adopt() {
	title "Act 2: the same disk, with remap in between"
	say "The disk as it was before, byte for byte, with its filesystem and its bad sectors."
	say "A second, small disk becomes its spare. The filesystem is not made anew."
	say
	attach "$ADOPTED"
	run "$DMREMAP" format --batch-mode /dev/mapper/disk $SPARE
	holds "sectors that format wrote to main" "$(awk '{ print $7 }' "/sys/block/${ADOPTED#/dev/}/stat")" = 0
	run "$DMREMAP" open /dev/mapper/disk $SPARE archive
	run mount -o errors=remount-ro /dev/mapper/archive $MNT
	holds "/dev/mapper/archive is mounted" "$(awk -v at=$MNT '$2 == at { print $1 }' /proc/mounts)" = /dev/mapper/archive
	dmesg -C
	work "$ADOPTED"
	failed=$((NEW - $(wc -l <written)))
	keep remap_failed $failed
	say
	say "The same work, the same places refusing writes: of $NEW files, $failed were not written."
	holds "files whose writing failed with remap" $failed = 0
	sed 's/^/    /' errors | head -n 3
	holds "complaints of the filesystem" "$(dmesg -t | grep -cE '^(EXT4-fs (error|warning)|Aborting|JBD2)')" = 0
	say
	run "$DMREMAP" status archive
}

# Every file, from the disk; and the file that cannot be read.
check_files() {
	again -o errors=remount-ro /dev/mapper/archive
	verify $SHARE/new.sha256
	holds "new files intact" $intact = "$NEW"
	say
	say "Mounted anew, $intact of $NEW new files verify by their SHA-256."
	verify $SHARE/old.sha256
	holds "old files intact" $intact = $((OLD - 1))
	holds "old files that read wrong" $wrong = 0
	holds "old files that cannot be read" $unreadable = 1
	holds "the file that cannot be read" "$(cat unreadable_name)" = "$VICTIM"
	say "So do $intact of $OLD old ones. The other is $VICTIM:"
	say "  \$ cat $MNT/$VICTIM"
	cat "$MNT/$VICTIM" 2>error >back && holds "reading $VICTIM fails" no = yes
	sed 's/^/    /' error
	holds "what was read before the error is the file's beginning" \
		"$(cmp -n "$(wc -c <back)" back "$SHARE/tree/$VICTIM" && echo yes)" = yes
	failing_sectors "$MNT/$VICTIM" /dev/mapper/archive >found
	awk '{ for (i = 0; i < $2; i++) print $1 + i }' $SHARE/unreadable >wanted
	holds "the sectors that cannot be read" "$(tr '\n' ' ' <found)" = "$(tr '\n' ' ' <wanted)"
	say "What cannot be read is an error, never zeros or other content. Reading it sector by"
	say "sector names the $(wc -l <found) that fail: $(tr '\n' ' ' <found)"
	say "The kernel log has them too:"
	dmesg -t | grep 'medium error' | tail -n 1 | cut -c 1-110 | sed 's/^/    /'
	holds "medium errors in the kernel log" "$(dmesg -t | grep -c 'critical medium error')" -gt 0
}

close() {
	say
	umount $MNT
	"$DMREMAP" list archive >$SHARE/list
	run "$DMREMAP" close archive
	holds "archive is gone" "$(dmsetup ls | grep -c '^archive')" = 0
	dmsetup remove disk
}

bare
adopt
check_files
close
title "The machine is rebooted"
finish
