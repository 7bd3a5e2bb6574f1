#!/bin/sh
# Disks that say that their medium is bad, in the words of SCSI, of NVMe and of virtio: two sectors, for reads and writes.
# vm: scsi=32M@2003+2 nvme=32M@2003+2 virtio=32M@2003+2
. tests/vm/lib.sh
# Each makes its own set.
export ALONE=yes

load_module
modprobe virtio_scsi
modprobe sd_mod
# QEMU says a line of each attempt.
modprobe nvme_core max_retries=0
modprobe nvme
modprobe virtio_blk
SPARE=$(disk spare 32)

# begin DISK WORDS: a new set on that disk, of which all but two sectors can be used and what those say is this.
begin() {
	DISK=$1 words=$2
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ ! -b "$DISK" ] || break
		sleep 1
	done
	refused "$words" dd if=/dev/zero of="$DISK" bs=512 seek=2004 count=1 oflag=direct conv=notrunc
	refused "$words" dd if="$DISK" of=/dev/null bs=512 skip=2003 count=1 iflag=direct
	dd if=/dev/zero of="$SPARE" bs=1M count=32 oflag=direct conv=notrunc status=none
	remap r "$DISK" "$SPARE" format
}

# mode, slots, pending blocks, failed writes and what became of them
counts() { dmsetup status r | awk '{ sub("/.*", "", $5); print $4, $5, $7, $10, $11, $12, $21 }'; }

reads() { awk '{ print $1 }' "/sys/block/${DISK##*/}/stat"; }

# One of the writes that fill the disk fails: it is narrowed to the two sectors.
writes() {
	begin "$@"
	fill
	equal "$(counts)" 'rw 1 0 1 1 0 0'
	equal "$(mapped r) $(query r 2002) $(query r 2003) $(query r 2004) $(query r 2005)" '2 main mapped mapped main'
	same
	put 1996 16
	same
	dmsetup remove r
	remap r "$DISK" "$SPARE"
	same
	equal "$(counts)" 'rw 1 0 0 0 0 0'
	dmsetup remove r
}

# A read gives what can be read and the disk's error; a write makes the rest readable. Nothing else goes on for longer than a
# success is evidence, so that main is asked, beside a block that cannot be read.
reads_of_an_idle_disk() {
	begin "$@"
	refused "$2" get 1990 30
	equal "$(counts)" 'rw 0 2 0 0 0 0'
	equal "$(status r 15) $(status r 16) $(status r 17)" '1 0 1'
	equal "$(query r 2002) $(query r 2003) $(query r 2004) $(query r 2005)" 'main pending pending main'
	logged ': sector 2003: 1 sectors unreadable'
	logged ': sector 2004: 1 sectors unreadable'
	same 0 2003
	same 2005 4096
	sleep 6
	before=$(reads)
	put 2003 2
	[ "$(reads)" -gt "$before" ]
	equal "$(counts)" 'rw 1 0 1 1 0 0'
	equal "$(mapped r)" 2
	same
	dmsetup remove r
}

MEDIUM='No data available'
t s14_a_failed_write_of_scsi writes /dev/sda "$MEDIUM"
t s14_a_failed_read_and_an_idle_disk_of_scsi reads_of_an_idle_disk /dev/sda "$MEDIUM"
t s14_a_failed_write_of_nvme writes /dev/nvme0n1 "$MEDIUM"
t s14_a_failed_read_and_an_idle_disk_of_nvme reads_of_an_idle_disk /dev/nvme0n1 "$MEDIUM"
t s14_a_failed_write_of_virtio writes /dev/vda 'Input/output error'
t s14_a_failed_read_and_an_idle_disk_of_virtio reads_of_an_idle_disk /dev/vda 'Input/output error'
t kernel_log_is_clean clean_log
finish
