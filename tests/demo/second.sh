#!/bin/sh
# Runs in the guest, second boot: the set is opened again and everything is verified once more.
. tests/demo/lib.sh
cd "$(mktemp -d)" || exit 1
SPARE=/dev/vda
ADOPTED=$(scsi 1) || stop "finding the disk" $?
OLD=$(wc -l <$SHARE/old.sha256) NEW=$(wc -l <$SHARE/new.sha256)
VICTIM=$(cat $SHARE/victim)

reopen() {
	say "The same disk, which fails from the start now, and its spare."
	say
	attach "$ADOPTED" $SHARE/bad
	run "$DMREMAP" open /dev/mapper/disk $SPARE archive
	"$DMREMAP" list archive >list
	say
	if cmp list $SHARE/list; then
		say "All $(($(wc -l <list) - 1)) mapped runs of sectors are as they were before."
	fi
	holds "what is mapped after the reboot" "$(cat list)" = "$(cat $SHARE/list)"
	run e2fsck -fn /dev/mapper/archive
	run mount -o errors=remount-ro /dev/mapper/archive $MNT
}

files() {
	verify $SHARE/new.sha256
	keep remap_intact $intact
	keep remap_unreadable $unreadable
	keep remap_wrong $wrong
	keep remap_missing $missing
	holds "new files intact after the reboot" $intact = "$NEW"
	say
	say "$intact of $NEW new files verify, and"
	verify $SHARE/old.sha256
	keep remap_old_intact $intact
	holds "old files intact after the reboot" $intact = $((OLD - 1))
	holds "old files that cannot be read" $unreadable = 1
	holds "the file that cannot be read" "$(cat unreadable_name)" = "$VICTIM"
	say "$intact of $OLD old ones; $(cat unreadable_name) still cannot be read."
	failing_sectors "$MNT/$VICTIM" /dev/mapper/archive >unreadable
	holds "sectors that cannot be read" "$(wc -l <unreadable)" = "$(sum $SHARE/unreadable)"
	state='takes writes'
	touch $MNT/probe || state='read-only'
	keep remap_state "$(echo "$state" | tr ' ' '_')"
	holds "state of the filesystem" "$state" = 'takes writes'
}

# number KEY: a number of `dmremap --json status`.
number() { "$DMREMAP" --json status archive | tr ',{' '\n\n' | sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p" | head -n 1; }

row() { printf '  %-34s %22s %16s\n' "$1" "$(kept "bare_$2" | tr '_' ' ')" "$(kept "remap_$2" | tr '_' ' ')"; }

report() {
	title "What happened"
	printf '  %-34s %22s %16s\n' '' 'the disk as it is' 'with remap'
	row "files whose writing failed" failed
	row "new files ($NEW): intact" intact
	row "    hold something else" wrong
	row "    cannot be read" unreadable
	row "    not there" missing
	row "old files ($OLD): intact" old_intact
	row "filesystem" state
	say
	used=$(number used_slots)
	sectors=$(awk 'NR > 1 && $5 == "mapped" { n += $2 } END { print n + 0 }' list)
	holds "slots in use" "$used" -gt 0
	holds "sectors mapped" "$sectors" -gt 0
	outside >outside
	holds "mapped sectors that are not bad" "$(wc -l <outside)" = 0
	say "$used of $(number total_slots) slots are in use; they hold $sectors sectors, each of which refuses"
	say "writes on the disk. The other $(($(sum $SHARE/bad) - sectors)) that do were not needed so far, and nothing is mapped there."
}

# The mapped sectors that take writes: none should be there.
outside() {
	awk 'NR == FNR { for (i = 0; i < $2; i++) bad[$1 + i]; next }
		FNR > 1 { for (i = 0; i < $2; i++) if (!($1 + i in bad)) print $1 + i }' $SHARE/bad list
}

# The map: 1024 cells for the whole disk.
picture() {
	title "The disk"
	all=$(blockdev --getsz /dev/mapper/archive)
	awk -v all="$all" -v colour="${COLOUR:-0}" '
		function paint(sign, code) { return colour ? "\033[" code "m" sign "\033[0m" : sign }
		BEGIN { cell = all / 1024 }
		FILENAME == "list" { if ($1 ~ /^[0-9]+$/) for (i = 0; i < $2; i++) mapped[int(($1 + i) / cell)] }
		FILENAME == "unreadable" { failing[int($1 / cell)] }
		END {
			for (i = 0; i < 1024; i++) {
				sign = i in failing ? paint("!", "1;31") : i in mapped ? paint("#", "33") : "."
				printf "%s%s%s", i % 64 ? "" : "  ", sign, i % 64 == 63 ? "\n" : ""
			}
			printf "\n  One sign is %d KiB.  . untouched  %s holds sectors that live on the spare  %s cannot be read\n",
				cell / 2, paint("#", "33"), paint("!", "1;31")
		}' list unreadable
}

reopen
files
report
picture
umount $MNT
"$DMREMAP" close archive
holds "archive is gone" "$(dmsetup ls | grep -c '^archive')" = 0
finish
