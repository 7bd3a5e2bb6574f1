#!/bin/sh
# s31: commands to a driver do not go past the map: the mapped device refuses them, and what the block layer itself answers still works.
# Reservations go to the devices below: what they do there.
. tests/vm/lib.sh

load_module
COMMAND=$TEST_MODULES/command
MAIN=$(scsi_disk 32)
SPARE=$(disk spare 16)
LEN=$(sectors "$MAIN")

# answers TEXT ARGUMENT...: how a command ends. None takes long: dm core tries one again for ever when a target says ENOTCONN.
answers() {
	wanted=$1
	shift
	equal "$(timeout 10 "$COMMAND" "$@")" "$wanted"
}

# Sectors 1000 to 1007 live in a slot; on main they are zeroes.
start() {
	remap r "$MAIN" "$SPARE" format
	dd if=/dev/zero of="$WORK/model" bs=512 count="$LEN" status=none
	dmsetup message r 0 remap 1000 8 | grep -q remapped=8
	put 1000 8
	put 2000 8
	same
}

# Written by SCSI command, a mapped sector would be on main, where no reader looks, and its success would be a lie.
scsi_commands() {
	sum=$(md5sum <"$MAIN")
	for device in /dev/mapper/r "$@"; do
		answers ENOTTY sg-write "$device" 1000 0xaa
		answers ENOTTY sg-write "$device" 5000 0xaa
		answers ENOTTY sg-read "$device" 1000
	done
	equal "$(md5sum <"$MAIN")" "$sum"
	same
}

# From a device on top of the mapped one, which sends on what it is asked.
stacked() {
	dmsetup create above --table "0 $LEN linear /dev/mapper/r 0"
	scsi_commands /dev/mapper/above
	dmsetup remove above
}

# A number of each kind: of SCSI, of ATA, of CD-ROMs, of SED-OPAL, and one that no driver has.
other_commands() {
	# SG_GET_VERSION_NUM, SCSI_IOCTL_GET_IDLUN, SCSI_IOCTL_SEND_COMMAND, HDIO_GET_IDENTITY, HDIO_DRIVE_TASKFILE,
	# HDIO_DRIVE_CMD, CDROMEJECT, IOC_OPAL_SAVE, NVME_IOCTL_ADMIN_CMD.
	for number in 0x2282 0x5382 1 0x030d 0x031d 0x031f 0x5309 0x411870dc 0xc0484e41 0x7fff; do
		answers ENOTTY ioctl /dev/mapper/r $number
	done
	same
}

# Main itself takes them, as smartctl and hdparm need it.
main_answers() {
	answers 00 sg-read "$MAIN" 1000
	answers ok ioctl "$MAIN" 0x2282
}

# While the device is suspended, and with a read-only table.
in_other_states() {
	dmsetup suspend r
	answers ENOTTY sg-write /dev/mapper/r 1000 0xaa
	dmsetup resume r
	same
	dmsetup remove r
	dmsetup create r --readonly --table "0 $LEN remap $MAIN 0 1 $SPARE 0"
	scsi_commands
	dmsetup remove r
	remap r "$MAIN" "$SPARE"
}

# Without the module: of one segment alone device-mapper would send them on, also through a read-only device.
linear() {
	dmsetup remove r
	for access in '' --read-write; do
		# shellcheck disable=SC2086 # no word or one
		gives 0 /dev/mapper/r open --linear $access "$MAIN" "$SPARE" r
		scsi_commands
		gives 0 '' close r
	done
	cp "$WORK/spare.img" "$WORK/kept"
	dd if=/dev/zero of="$SPARE" bs=1M oflag=direct status=none || true
	gives 0 '' format -q "$MAIN" "$SPARE"
	gives 0 'segments' --json open --linear "$MAIN" "$SPARE" r
	sum=$(md5sum <"$MAIN")
	answers ENOTTY sg-write /dev/mapper/r 1000 0xaa
	equal "$(md5sum <"$MAIN")" "$sum"
	gives 0 '' close r
	dd if="$WORK/kept" of="$SPARE" bs=1M oflag=direct conv=notrunc status=none
	rm "$WORK/kept"
	remap r "$MAIN" "$SPARE"
	same
}

# What the block layer answers by itself, of the mapped device as of main.
block_layer() {
	for question in --getsz --getsize64 --getss --getpbsz --getiomin --getioopt --getalignoff --getdiscardzeroes; do
		equal "$(blockdev $question /dev/mapper/r)" "$(blockdev $question "$MAIN")"
	done
	equal "$(blockdev --getro /dev/mapper/r)" 0
	blockdev --setra 512 /dev/mapper/r
	equal "$(blockdev --getra /dev/mapper/r)" 512
	blockdev --flushbufs /dev/mapper/r
	blkdiscard -z -o $((4000 * 512)) -l 4096 /dev/mapper/r
	wiped 4000 8
	same
}

# lun NAME MIB: a SCSI disk that knows reservations, in memory, whose path is printed. lun NAME: another way to that disk, as
# from another host.
CONFIG=/sys/kernel/config/target
lun() {
	core=$CONFIG/core/rd_mcp_0/$1
	if [ $# = 2 ]; then
		mkdir -p "$core"
		echo "rd_pages=$(($2 * 256))" >"$core/control"
		echo "t10_serial_$1" >"$core/wwn/vpd_unit_serial"
		echo 1 >"$core/enable"
	fi
	luns=$((luns + 1))
	path=$CONFIG/loopback/naa.600140500000000$luns/tpgt_1
	mkdir -p "$path"
	echo "naa.600140500000001$luns" >"$path/nexus"
	mkdir "$path/lun/lun_0"
	ln -s "$core" "$path/lun/lun_0/port"
	for _ in $(seq 100); do
		for entry in /sys/class/block/sd*; do
			[ -b "/dev/${entry##*/}" ] || continue
			case $known in *" ${entry##*/} "*) ;; *) known="$known${entry##*/} " && DISK=/dev/${entry##*/} && return ;; esac
		done
		sleep 0.1
	done
	return 1
}

# The order of the keys: registered at both devices; held on main alone, the first that takes it.
reservations() {
	modprobe -a tcm_loop target_core_mod sd_mod
	# Where the SCSI target keeps registrations, as its kernel threads see the root: that of the first process.
	mkdir -p "/proc/1/root$(cat $CONFIG/dbroot)/pr"
	luns=0 known=" ${MAIN#/dev/} "
	lun main 16
	main=$DISK
	lun main
	other=$DISK
	lun spare 16
	spare=$DISK
	remap p "$main" "$spare" format
	answers ok register /dev/mapper/p 11
	answers ok reserve /dev/mapper/p 11
	# The target's own commands and writes go on: it is the host that holds the reservation.
	dmsetup message p 0 remap 1000 8 | grep -q remapped=8
	dd if=/dev/urandom of=/dev/mapper/p bs=512 seek=996 count=16 oflag=direct status=none
	# Another host is kept off main. The spare takes its writes.
	fails dd if=/dev/zero of="$other" bs=4096 count=1 oflag=direct status=none
	answers ok reserve "$spare" 11
	answers ok release /dev/mapper/p 11
	dd if=/dev/zero of="$other" bs=4096 count=1 seek=500 oflag=direct status=none
	# Held by another host, main refuses writes: they pass up, and nothing is remapped.
	answers ok register "$other" 22
	answers ok reserve "$other" 22
	refused 'Invalid exchange' dd if=/dev/zero of=/dev/mapper/p bs=4096 count=1 seek=8 oflag=direct status=none
	equal "$(used p)" 1
	# An order for the mapped device succeeds all the same: the spare takes it.
	answers ok reserve /dev/mapper/p 11
	refused 'Invalid exchange' dd if=/dev/zero of=/dev/mapper/p bs=4096 count=1 seek=8 oflag=direct status=none
	answers ok release "$other" 22
	# What is asked of one device below, device-mapper finds by the way that commands would go.
	answers ENOTTY clear /dev/mapper/p 11
	dmsetup remove p
	answers ok clear "$main" 11
	answers ok clear "$spare" 11
	# A spare that knows no reservations: the key is taken back from main.
	remap p "$main" "$(disk plain 16)" format
	answers EOPNOTSUPP register /dev/mapper/p 33
	dmsetup remove p
	# Main has the key no more: it would not take another.
	answers ok register "$main" 44
	rm $CONFIG/loopback/naa.*/tpgt_1/lun/lun_0/port
	rmdir $CONFIG/loopback/naa.*/tpgt_1/lun/lun_0 $CONFIG/loopback/naa.*/tpgt_1 $CONFIG/loopback/naa.* \
		$CONFIG/core/rd_mcp_0/main $CONFIG/core/rd_mcp_0/spare
	rmdir $CONFIG/loopback $CONFIG/core/rd_mcp_0
	rmmod tcm_loop
}

t start start
t s31_scsi_commands scsi_commands
t s31_stacked stacked
t s31_other_commands other_commands
t s31_main_answers main_answers
t s31_in_other_states in_other_states
t s31_linear linear
t s31_block_layer block_layer
t s31_reservations reservations
t kernel_log_is_clean clean_log
finish
