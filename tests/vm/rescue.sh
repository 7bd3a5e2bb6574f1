#!/bin/sh
# A set without the module: `dmremap open --linear` and `dmremap table`. Without write caches, so that only what is to fail fails.
. tests/vm/lib.sh

load_module
MAIN=$(cacheless main 32)
SPARE=$(cacheless spare 16)
OLD=/dev/mapper/m
NEW=/dev/mapper/s
SECTORS=65536

sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }

# field VERB KEY [ARGUMENT...]: a number or word that a verb tells as JSON.
field() {
	verb=$1 key=$2
	shift 2
	"$DMREMAP" --json "$verb" "$@" | sed -n "s/^ *\"$key\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p" | head -n 1
}

# What reading a lost sector says: the target calls it a medium error, the target `error` does not.
LOST='No data available'

# all_but_lost: sector 1000 is an error, every other one reads as what was put there.
all_but_lost() {
	same 0 1000
	refused "$LOST" get 1000 1
	refused "$LOST" get 996 8
	same 1001 $((SECTORS - 1001))
}

# On main every write of some sectors fails and reads give old content. One of the mapped sectors is lost on the spare.
start() {
	under m "$MAIN"
	under s "$SPARE"
	gives 0 '' format -q $OLD $NEW
	gives 0 '' open $OLD $NEW r
	head -c $((SECTORS * 512)) /dev/urandom >"$WORK/model"
	dd if="$WORK/model" of=/dev/mapper/r bs=1M oflag=direct status=none
	BAD=writes under m "$MAIN" 1000+8 2001+3 3000+8 4000+64 65528+8
	put 1000 8
	put 1990 40
	put 3990 100
	put 65520 16
	same
	old=$(place 1000)
	under s "$SPARE" "$old+1" "$((old + 3))+1"
	refused 'Input/output error' get 1003 1
	put 1003 2
	under s "$SPARE"
	equal "$(query r 1000)" lost
	all_but_lost
}

verbs_ask_the_target() {
	gives 0 '1001: mapped' query r 1001
	gives 0 '1000: lost' query r 1000
	gives 0 '5: main' query r 5
	equal "$(field query spare_sector r 4007)" "$(place 4007)"
	gives 1 "no sector $SECTORS" query r $SECTORS
	gives 4 'dmremap status' query nobody 0
	gives 0 'mode rw' resume r
	gives 0 "$OLD from sector 0" status r
}

goes_without_the_module() {
	gives 5 'open already' open --linear $OLD $NEW second
	"$DMREMAP" list r | grep -v ^total >"$WORK/live"
	gives 0 '' close r
	rmmod dm_remap
	echo "$(sum "$SPARE") $(sum "$MAIN")" >"$WORK/before"
	gives 4 '--linear' open $OLD $NEW r
	gives 0 'nothing is remapped' open --linear $OLD $NEW r
	LOST='Input/output error' all_but_lost
}

reads_only_unless_asked() {
	equal "$(blockdev --getro /dev/mapper/r)" 1
	fails put 0 8
	gives 0 'no further bad sector is replaced' status r
	equal "$(field status mode r)" linear
	equal "$(field status lost_sectors r)" 1
	equal "$(field status mapped_sectors r)" 82
	# A spare that is not in use tells of retired slots as well.
	"$DMREMAP" list r | grep -v 'retired\|^total' | cmp - "$WORK/live"
	gives 4 '--linear' query r 0
	gives 5 'open already' open --linear $OLD $NEW second
	gives 5 'used by dm-remap set r' format -q --force $OLD $NEW
	LOST='Input/output error' all_but_lost
	gives 0 '' close r
	fails dmsetup info r
	equal "$(sum "$SPARE") $(sum "$MAIN")" "$(cat "$WORK/before")"
}

dmsetup_makes_the_same() {
	gives 0 '' open --linear $OLD $NEW r
	dmsetup table r >"$WORK/by-tool"
	gives 0 '' close r
	"$DMREMAP" table --linear $OLD $NEW | dmsetup create --readonly r
	dmsetup table r | cmp - "$WORK/by-tool"
	LOST='Input/output error' all_but_lost
	dmsetup remove r
	equal "$(wc -l <"$WORK/by-tool")" "$("$DMREMAP" table --linear $OLD $NEW | wc -l)"
	# One for the lost sector, and slots one behind the other are one.
	equal "$(grep -c error "$WORK/by-tool")" 1
	grep -qE '^4000 64 linear ' "$WORK/by-tool"
}

writes_go_where_the_sectors_are() {
	gives 0 'writes go where' open --linear --read-write $OLD $NEW r
	put 0 16
	put 1001 7
	put 1995 20
	put 3980 110
	put 65500 36
	LOST='Input/output error' all_but_lost
	# Nothing is remapped: neither a bad sector of main nor a lost one takes a write.
	fails put 3000 8
	fails put 1000 1
	LOST='Input/output error' all_but_lost
	equal "$(field close fingerprint_stored r)" true
}

the_module_goes_on() {
	insmod "$DM_REMAP_KO"
	gives 0 '' open $OLD $NEW r
	all_but_lost
	"$DMREMAP" list r | grep -v ^total | cmp - "$WORK/live"
	gives 5 'open already' open --linear $OLD $NEW second
	put 3000 8
	put 1000 1
	same
	gives 0 '' close r
}

a_change_of_main_is_noticed_afterwards() {
	gives 0 '' open --linear --read-write $OLD $NEW r
	put 0 8
	gives 0 '' close r
	dd if="$MAIN" of="$WORK/kept" bs=4096 count=1 iflag=direct status=none
	dd if=/dev/zero of="$MAIN" bs=4096 count=1 oflag=direct conv=notrunc status=none
	gives 4 'content changed' open $OLD $NEW r
	gives 4 'content changed' open --linear $OLD $NEW r
	gives 4 'content changed' table --linear $OLD $NEW
	dd if="$WORK/kept" of="$MAIN" bs=4096 count=1 oflag=direct conv=notrunc status=none
	gives 0 '' open $OLD $NEW r
	same
	gives 0 '' close r
}

# As after a power cut, or `dmsetup remove`: there is no fingerprint, and the set opens.
no_close_is_no_obstacle() {
	gives 0 '' open --linear --read-write $OLD $NEW r
	put 0 8
	dmsetup remove r
	gives 0 '' open $OLD $NEW r
	same
	gives 0 '' close r
}

# While the copies differ, a later reading may find another map: nothing is to be written by this one.
unequal_copies_are_only_read() {
	dd if=/dev/urandom of="$SPARE" bs=4096 seek=2 count=1 oflag=direct conv=notrunc status=none
	gives 4 'not equal' open --linear --read-write $OLD $NEW r
	fails dmsetup info r
	gives 0 'not equal' table --linear $OLD $NEW
	gives 0 'read-only' open --linear $OLD $NEW r
	same
	gives 0 '' close r
	# The module makes them equal.
	gives 0 '' open $OLD $NEW r
	gives 0 '' close r
	gives 0 '' open --linear --read-write $OLD $NEW r
	same
	gives 0 '' close r
}

# Without a UUID of ours on it, the target's own device is found all the same.
what_dmsetup_made_is_in_the_way() {
	remap byhand $OLD $NEW
	gives 5 'byhand' open --linear $OLD $NEW r
	dmsetup remove byhand
	"$DMREMAP" table $OLD $NEW | dmsetup create r
	same
	gives 0 'mode    rw' status r
	gives 0 '' close r
	gives 4 'MAIN comes first' open --linear --force $NEW $OLD r
}

# Blocks of 4096 bytes on main: every segment is aligned to them.
large_blocks() {
	gives 0 '' open $OLD $NEW r
	gives 0 '' close r
	dmsetup remove m
	dmsetup remove s
	large=$(disk large 32 4096)
	small=$(disk small 16)
	under m "$large"
	gives 0 '' format -q $OLD "$small"
	gives 0 '' open $OLD "$small" r
	dd if="$WORK/model" of=/dev/mapper/r bs=1M oflag=direct status=none
	# A write over all of it succeeds, and the flakey part takes nothing more.
	BAD=writes under m "$large" 1000+8 4000+64
	put 1000 8
	put 3968 128
	gives 0 '' close r
	gives 0 '' open --linear --read-write $OLD "$small" r
	equal "$(blockdev --getss /dev/mapper/r)" 4096
	same
	put 1000 8
	put 4024 16
	same
	gives 0 '' close r
	gives 0 '' open $OLD "$small" r
	same
	gives 0 '' close r
}

t start start
t verbs_ask_the_target verbs_ask_the_target
t s03_goes_without_the_module goes_without_the_module
t reads_only_unless_asked reads_only_unless_asked
t dmsetup_makes_the_same dmsetup_makes_the_same
t writes_go_where_the_sectors_are writes_go_where_the_sectors_are
t the_module_goes_on the_module_goes_on
t s21_a_change_of_main_is_noticed_afterwards a_change_of_main_is_noticed_afterwards
t no_close_is_no_obstacle no_close_is_no_obstacle
t s12_unequal_copies_are_only_read unequal_copies_are_only_read
t s20_what_dmsetup_made_is_in_the_way what_dmsetup_made_is_in_the_way
t s23_large_blocks large_blocks
t kernel_log_is_clean clean_log
finish
