#!/bin/sh
# The tool `dmremap` against the real target: what it says, its exit status, and that what it makes is what `dmsetup` sees.
. tests/vm/lib.sh

load_module
MAIN=$(disk main 32)
SPARE=$(disk spare 16)
OTHER=$(disk other 16)
under m "$MAIN"
OLD=/dev/mapper/m

closes() {
	gives 0 '' close r
	fails dmsetup info r
}

# field KEY: a number or word of `--json status r`.
field() { "$DMREMAP" --json status r | sed -n "s/^ *\"$1\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p" | head -n 1; }

sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }

nothing_there() {
	gives 0 'no set is open' status
	gives 4 'dmremap status' close r
	gives 4 'not a spare' open $OLD "$SPARE" r
	gives 4 '/nonexistent' format -q $OLD /nonexistent
	gives 1 'Usage' list
}

format_writes_only_the_spare() {
	head -c 33554432 /dev/urandom >"$WORK/model"
	dd if="$WORK/model" of=$OLD bs=1M oflag=direct status=none
	gives 1 '--batch-mode' format $OLD "$SPARE"
	gives 0 'would become' format --dry-run -q $OLD "$SPARE"
	gives 4 'not a spare' open $OLD "$SPARE" r
	gives 0 "dmremap open $OLD $SPARE" format -q --label attic $OLD "$SPARE"
	cmp "$WORK/model" "$MAIN"
}

occupied_spare_is_refused() {
	gives 4 'attic' format -q $OLD "$SPARE"
	mkfs.ext4 -q "$OTHER"
	before=$(sum "$OTHER")
	gives 4 'ext4' format -q $OLD "$OTHER"
	gives 1 '--batch-mode' format --force $OLD "$OTHER"
	equal "$(sum "$OTHER")" "$before"
}

swapped_devices_are_told() { gives 4 'MAIN comes first' open "$SPARE" $OLD r; }

missing_module_is_told() {
	rmmod dm_remap
	gives 4 'modprobe dm_remap' open $OLD "$SPARE" r
	insmod "$DM_REMAP_KO"
	fails dmsetup info r
}

opens_and_is_seen_by_dmsetup() {
	gives 0 /dev/mapper/r open $OLD "$SPARE" r
	equal "$(status r 1)" rw
	equal "$(field mode)" rw
	equal "$(field set_uuid)" "$(status r 13)"
	equal "$(dmsetup info -c --noheadings -o uuid r | cut -c 1-6)" REMAP-
	gives 5 'open already' open $OLD "$SPARE" second
	gives 5 r format -q --force $OLD "$SPARE"
	same
}

bad_sectors_are_listed() {
	gives 0 'nothing is mapped' list r
	under m "$MAIN" 2048+16 4099+1
	put 2000 3000
	same
	equal "$("$DMREMAP" list r | awk 'NR > 1 { print $1 "+" $2, $5 }' | tr '\n' ',')" \
		'2048+16 mapped,4099+1 mapped,total:+17 3,'
	equal "$(field used_slots)" "$(used r)"
	equal "$(field used_slots)" 3
	"$DMREMAP" list r >"$WORK/live"
	"$DMREMAP" list --spare "$SPARE" >"$WORK/offline"
	cmp "$WORK/live" "$WORK/offline"
}

# Sectors go to the spare and back. What main does not take stays on the spare, and the exit status says so.
sectors_move_by_order() {
	gives 0 'would move 16 sectors' remap --dry-run r 9000 16
	equal "$(used r)" 3
	gives 0 '16 sectors moved to the spare' remap r 9000 16
	gives 0 '16 were there' remap r 9000 16
	gives 0 '9000: mapped' query r 9000
	gives 0 '8999: main' query r 8999
	gives 1 'there is no sector 65536' query r 65536
	equal "$(field used_slots)" 5
	same
	gives 0 'would move 16 sectors' release --dry-run r 9000 16
	equal "$(used r)" 5
	gives 0 '16 sectors moved back to main' release r 9000 16
	gives 0 '9000: main' query r 9000
	equal "$(field used_slots) $(field released_sectors)" '3 16'
	# These are on the spare because main refuses them.
	gives 4 '17 were not taken by main' release --all r
	equal "$(field used_slots)" 3
	"$DMREMAP" list r | cmp - "$WORK/live"
	same
	under m "$MAIN"
	gives 0 '17 sectors moved back to main' release --all r
	gives 0 'nothing is mapped' list r
	dd if="$MAIN" bs=1M iflag=direct status=none | cmp - "$WORK/model"
	for range in '2048 16' '4099 1'; do
		# shellcheck disable=SC2086 # two words
		gives 0 'moved to the spare' remap r $range
	done
	equal "$(field used_slots)" 3
	"$DMREMAP" list r >"$WORK/live"
}

counts_are_reset() {
	[ "$(field released_sectors)" -gt 0 ] && [ "$(field remapped_sectors)" -gt 0 ]
	gives 0 '' reset-stats r
	equal "$(field released_sectors) $(field remapped_sectors) $(field repairs) $(field used_slots)" '0 0 0 3'
}

# A flush that main fails ends all writes, until the tool is told to go on.
resumes_after_a_failed_flush() {
	BAD=writes under m "$MAIN" 60000+8
	fails dd if=/dev/null of=/dev/mapper/r conv=notrunc,fsync
	under m "$MAIN"
	equal "$(field mode) $(field reason)" 'fail flush-failed'
	fails put 100 8
	gives 0 'r: mode rw' resume r
	equal "$(field mode)" rw
	put 100 8
	same
}

close_waits_for_users() {
	exec 7</dev/mapper/r
	gives 5 'in use' close r
	gives 0 'last user' close --deferred r
	exec 7<&-
	fails dmsetup info r
}

everything_is_there_again() {
	gives 0 /dev/mapper/r open $OLD "$SPARE" r
	"$DMREMAP" list r | cmp - "$WORK/live"
	same
	closes
}

readonly_takes_no_writes() {
	gives 0 /dev/mapper/r open --readonly $OLD "$SPARE" r
	gives 0 'read-only' status r
	same
	fails dd if=/dev/zero of=/dev/mapper/r count=1 oflag=direct
	same
	closes
}

changed_main_is_noticed() {
	dd if=/dev/zero of="$MAIN" bs=4096 count=1 oflag=direct conv=notrunc
	gives 4 '--force' open $OLD "$SPARE" r
	dd if="$WORK/model" of="$MAIN" bs=4096 count=1 oflag=direct conv=notrunc
	gives 0 /dev/mapper/r open $OLD "$SPARE" r
	same
	closes
}

foreign_main_is_refused() {
	gives 4 'sectors' open "$OTHER" "$SPARE" r
	gives 4 '' open --force "$OTHER" "$SPARE" r
	fails dmsetup info r
}

first_superblock_lost() {
	# Copy 0 is in block 1; block 0 is nobody's.
	magic() { dd if="$SPARE" bs=4096 skip=1 count=1 iflag=direct status=none | head -c 8; }
	equal "$(magic)" dm-remap
	dd if=/dev/urandom of="$SPARE" bs=4096 seek=1 count=1 oflag=direct conv=notrunc
	gives 0 /dev/mapper/r open $OLD "$SPARE" r
	equal "$(magic) $(status r 5)" 'dm-remap 5/5'
	equal "$("$DMREMAP" list r)" "$(cat "$WORK/live")"
	same
	closes
}

t nothing_there_is_told nothing_there
t format_writes_only_the_spare format_writes_only_the_spare
t s20_an_occupied_spare_is_refused occupied_spare_is_refused
t swapped_devices_are_told swapped_devices_are_told
t a_missing_module_is_told missing_module_is_told
t opens_and_is_seen_by_dmsetup opens_and_is_seen_by_dmsetup
t bad_sectors_are_listed bad_sectors_are_listed
t s24_sectors_move_by_order sectors_move_by_order
t counts_are_reset counts_are_reset
t s08_resumes_after_a_failed_flush resumes_after_a_failed_flush
t close_waits_for_users close_waits_for_users
t everything_is_there_again everything_is_there_again
t readonly_takes_no_writes readonly_takes_no_writes
t s21_changed_main_is_noticed changed_main_is_noticed
t s21_foreign_main_is_refused foreign_main_is_refused
t s12_first_superblock_lost first_superblock_lost
t kernel_log_is_clean clean_log
finish
