#!/bin/sh
# s23: which devices fit together, and what the mapped device says of itself; sector arithmetic where sectors end.
. tests/vm/lib.sh

ALONE=1
load_module
SPARE=$(cacheless spare 16)

topology() { lsblk -dnbo ALIGNMENT,MIN-IO,OPT-IO,PHY-SEC,LOG-SEC,ROTA,WSAME,DISC-ALN,DISC-GRAN,DISC-MAX "$1"; }
blank() { dd if=/dev/zero of="$1" bs=1M oflag=direct status=none 2>/dev/null || true; }

# served MAIN SPARE: the mapping has main's topology, and serves a failed write of one physical block of main, and one of many.
served() {
	block=$(($(blockdev --getpbsz "$1") / 512))
	BAD=writes under m "$1" "$((800 + block))+$block" 4000+256
	equal "$(topology /dev/mapper/m)" "$(topology "$1")"
	blank "$2"
	remap r /dev/mapper/m "$2" format
	equal "$(topology /dev/mapper/r)" "$(topology "$1")"
	head -c 16777216 /dev/zero >"$WORK/model"
	put $((800 + block)) "$block"
	put 792 32
	put 3992 272
	equal "$(query r $((4000 - block))) $(query r 4000) $(query r 4255) $(query r 4256)" 'main mapped mapped main'
	equal "$(mapped r)" $((256 + block))
	same 792 32
	same 3992 272
	dmsetup remove r
	remap r /dev/mapper/m "$2"
	same 792 32
	same 3992 272
	dmsetup remove r
	dmsetup remove m
}

# refused_pair MAIN SPARE
refused_pair() {
	blank "$2"
	refused 'Invalid argument' remap r "$1" "$2" format
	cmp "$2" /dev/zero -n 1048576
}

sizes_of_blocks() {
	small=$(cacheless small 16)
	large=$(cacheless large 16 blocksize=4096)
	large_spare=$(cacheless spare4k 16 blocksize=4096)
	served "$small" "$SPARE"
	served "$large" "$SPARE"
	served "$large" "$large_spare"
	refused_pair "$small" "$large_spare"
	logged 'the logical block of the spare is larger'
}

emulated_sectors() {
	sd=$(scsi_disk 16 sector_size=512 physblk_exp=3)
	served "$sd" "$SPARE"
	# As a spare it takes no limit away from main.
	served "$(cacheless main512 16)" "$sd"
	rmmod scsi_debug
	sd=$(scsi_disk 16 sector_size=4096)
	served "$sd" "$SPARE"
	refused_pair "$(cacheless other512 16)" "$sd"
	rmmod scsi_debug
	# Two groups are one physical block.
	sd=$(scsi_disk 16 sector_size=512 physblk_exp=4)
	served "$sd" "$SPARE"
	rmmod scsi_debug
}

# Disks that take less at once than repair reads and writes; and memory that begins in the middle of a page, at any sector, which is
# the least that device-mapper asks for.
small_transfers_from_unaligned_memory() {
	sd=$(scsi_disk 32)
	half=$(($(sectors "$sd") / 2))
	dmsetup create front --table "0 $half linear $sd 0"
	dmsetup create back --table "0 $half linear $sd $half"
	BAD=writes under m /dev/mapper/front 200+1 1000+24 3001+300
	remap r /dev/mapper/m /dev/mapper/back format
	echo 4 >"/sys/block/${sd##*/}/queue/max_sectors_kb"
	equal "$(queue /dev/mapper/r dma_alignment)" 511
	[ "$(queue /dev/mapper/r max_sectors_kb)" -gt 96 ]
	verify() { fio --name=u --filename=/dev/mapper/r --size=3m --bs=96k --direct=1 --rw=write --verify=crc32c "$@"; }
	verify --do_verify=0 --mem_align=512
	equal "$(mapped r) $(status r 9)" '325 0'
	for at in 200 1000 1023 3001 3300; do equal "$(query r $at)" mapped; done
	for align in 512 2048 4096; do verify --verify_only --verify_fatal=1 --mem_align=$align; done
	for name in r m front back; do dmsetup remove $name; done
	rmmod scsi_debug
}

# smaller FIELD MAIN SPARE: of r's queue it is the smaller of what the two devices have.
smaller() {
	main_has=$(queue "$2" "$1") spare_has=$(queue "$3" "$1")
	echo "$1: $main_has $spare_has"
	equal "$1 $(queue /dev/mapper/r "$1")" "$1 $(printf '%s\n' "$main_has" "$spare_has" | sort -n | head -n 1)"
}

# One of them is a SCSI disk, the other takes 16 sectors at once, in whatever order. Contiguous slots are read by one bio, which is longer.
unlike_devices() {
	sd=$(scsi_disk 16)
	little=$(cacheless little 16 max_sectors=16)
	equal "$(queue "$little" max_sectors_kb)" 8
	fails equal "$(queue "$little" dma_alignment) $(queue "$little" max_segments)" "$(queue "$sd" dma_alignment) $(queue "$sd" max_segments)"
	for pair in "$sd $little" "$little $sd"; do
		main=${pair% *} spare=${pair#* }
		blank "$spare"
		remap r "$main" "$spare" format
		# As device-mapper has it of the two, which begins with 511 even where both disks say less.
		dmsetup create l --table "0 2048 linear $main 0
2048 2048 linear $spare 0"
		equal "$(queue /dev/mapper/r dma_alignment)" "$(queue /dev/mapper/l dma_alignment)"
		dmsetup remove l
		smaller max_segments "$main" "$spare"
		smaller max_segment_size "$main" "$spare"
		equal "$(queue /dev/mapper/r max_sectors_kb)" "$(queue "$main" max_sectors_kb)"
		: >"$WORK/model"
		put 2048 2048
		dmsetup message r 0 remap 2048 2048 | grep ' remapped=2048 '
		first=$(place 2048)
		equal "$(place 4095)" $((first + 2047))
		same 2048 2048
		put 3000 1000
		same 2048 2048
		equal "$(status r 7) $(status r 15)" '0 0'
		dmsetup remove r
	done
	rmmod scsi_debug
}

# A physical block that begins in the middle of sectors, and a main that does not begin where its disk does.
alignment() {
	sd=$(scsi_disk 16 sector_size=512 physblk_exp=3 lowest_aligned=7)
	blank "$SPARE"
	for offset in 0 1 7; do
		len=$(($(sectors "$sd") - 64))
		dmsetup create r --table "0 $len remap $sd $offset 1 $SPARE 0 1 format"
		dmsetup create l --table "0 $len linear $sd $offset"
		equal "$(topology /dev/mapper/r)" "$(topology /dev/mapper/l)"
		dmsetup remove r
		dmsetup remove l
		blank "$SPARE"
	done
	rmmod scsi_debug
}

# Both devices unmap where zeroes are written, as thin SCSI disks do. Since 6.17 the block layer compares how much of a write of zeroes
# unmaps with how much can be written; kernels before say nothing of it.
zeroes_that_unmap() {
	sd=$(scsi_disk 32 lbpu=1 lbpws=1 lbprz=1)
	half=$(($(sectors "$sd") / 2))
	dmsetup create front --table "0 $half linear $sd 0"
	dmsetup create back --table "0 $half linear $sd $half"
	remap r /dev/mapper/front /dev/mapper/back format
	unmaps=/sys/dev/block/$(number /dev/mapper/r)/queue/write_zeroes_unmap_max_hw_bytes
	if [ -e "$unmaps" ]; then
		[ "$(queue /dev/mapper/front write_zeroes_unmap_max_hw_bytes)" -gt 0 ]
		equal "$(cat "$unmaps")" "$(queue /dev/mapper/r write_zeroes_max_bytes)"
	fi
	head -c 1048576 /dev/urandom | dd of=/dev/mapper/r bs=1M oflag=direct iflag=fullblock status=none
	blkdiscard -z -l 1048576 /dev/mapper/r
	cmp -n 1048576 /dev/mapper/r /dev/zero
	for name in r front back; do dmsetup remove $name; done
	rmmod scsi_debug
}

zoned_is_refused() {
	told() { dmesg | grep -c 'zoned devices are not supported' || true; }
	zoned=$(cacheless zoned 16 zoned=1 zone_size=4)
	equal "$(queue "$zoned" zoned)" host-managed
	plain=$(cacheless plain 16)
	blank "$SPARE"
	before=$(told)
	refused 'Invalid argument' remap r "$zoned" "$SPARE" format
	refused 'Invalid argument' remap r "$plain" "$zoned" format
	equal "$(told)" $((before + 2))
	remap r "$plain" "$SPARE" format
	dmsetup remove r
}

# The last groups of a main of 1 PiB, and of the longest that a set can have. Reads of the device beneath give zeroes.
the_top_of_the_range() {
	for len in 2199023255552 8796093022208; do
		first=$((len - 64))
		dmsetup create m --table "0 $first zero
$first 56 error
$((first + 56)) 8 zero"
		blank "$SPARE"
		remap r /dev/mapper/m "$SPARE" format
		equal "$(sectors /dev/mapper/r)" $len
		at=$((len * 512 - 65536))
		head -c 65536 /dev/urandom >"$WORK/top"
		dd if="$WORK/top" of=/dev/mapper/r bs=65536 count=1 seek=$at oflag=direct,seek_bytes conv=notrunc status=none
		equal "$(query r $((first - 1))) $(query r $first) $(query r $((len - 9))) $(query r $((len - 1)))" \
			'main mapped mapped main'
		equal "$(mapped r)" 56
		for _ in before after; do
			dd if=/dev/mapper/r of="$WORK/got" bs=65536 count=1 skip=$at iflag=direct,skip_bytes status=none
			cmp "$WORK/got" /dev/zero -n 32768
			cmp -i 32768 -n 28672 "$WORK/got" "$WORK/top"
			dmsetup remove r
			remap r /dev/mapper/m "$SPARE"
		done
		dmsetup message r 0 list $first | grep -q "^sector=$first "
		equal "$(dmsetup message r 0 list $((len - 8)))" ''
		refused 'Invalid argument' dmsetup message r 0 query $len
		dmsetup remove r
		dmsetup remove m
	done
	dmsetup create m --table "0 $((len + 8)) zero"
	blank "$SPARE"
	refused 'Invalid argument' remap r /dev/mapper/m "$SPARE" format
}

t s23_sizes_of_blocks sizes_of_blocks
t s23_emulated_sectors emulated_sectors
t s23_small_transfers_from_unaligned_memory small_transfers_from_unaligned_memory
t s23_unlike_devices unlike_devices
t s23_alignment alignment
t s23_zeroes_that_unmap zeroes_that_unmap
t s23_zoned_is_refused zoned_is_refused
t s23_the_top_of_the_range the_top_of_the_range
t kernel_log_is_clean clean_log
finish
