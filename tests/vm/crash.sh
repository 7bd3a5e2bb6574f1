#!/bin/sh
# s11: the power goes at any instant. Main and spare are parts of one device; its table is swapped for one of nothing but
# errors, which is one instant for both, and what was acknowledged before must be there afterwards. (Writes that a cache loses,
# tears or reorders are the simulator's.)
. tests/vm/lib.sh

load_module error_threshold=1
BASE=$(cacheless base 48)
LEN=65536
REST=32768

power_on() {
	under base "$BASE"
	dmsetup create mainpart --table "0 $LEN linear /dev/mapper/base 0"
	dmsetup create s --table "0 $REST linear /dev/mapper/base $LEN"
	# Of sixteen groups four cannot be written.
	awk -v len=$LEN 'BEGIN {
		for (at = 0; at < 8192; at += 128) {
			print at, 96, "linear /dev/mapper/mainpart", at
			print at + 96, 32, "flakey /dev/mapper/mainpart", at + 96, "0 60 1 error_writes"
		}
		print 8192, len - 8192, "linear /dev/mapper/mainpart", 8192
	}' >"$WORK/main.table"
	dmsetup create m "$WORK/main.table"
}

power_off() {
	echo "0 $((LEN + REST)) error" >"$WORK/off"
	dmsetup load base "$WORK/off"
	dmsetup suspend --noflush --nolockfs base
	dmsetup resume base
}

remove_all() {
	for name in r m mainpart s base; do dmsetup remove --retry $name; done
}

# Writes one group after the other, each sector with a text that says group and write, and notes what was acknowledged.
acknowledged() {
	i=$(wc -l <"$WORK/begun")
	while [ -e "$WORK/running" ]; do
		group=$(((i * 7 + 3) % 128))
		text="group $group write $i"
		printf '%-512s' "$text" >"$WORK/text"
		cat "$WORK/text" "$WORK/text" "$WORK/text" "$WORK/text" "$WORK/text" "$WORK/text" "$WORK/text" "$WORK/text" >"$WORK/block"
		echo "$group $i" >>"$WORK/begun"
		dd if="$WORK/block" of=/dev/mapper/r bs=4k seek=$group count=1 oflag=direct,dsync conv=notrunc status=none 2>/dev/null || return 0
		echo "$group $i" >>"$WORK/acked"
		i=$((i + 1))
	done
}

# Each group reads as its last acknowledged write, or as the one that was under way, sector by sector.
check() {
	dd if=/dev/mapper/r bs=1M count=4 iflag=direct status=none | tr '\0' '.' | fold -w 512 >"$WORK/sectors"
	awk -v acked="$WORK/acked" -v begun="$WORK/begun" '
		BEGIN {
			while ((getline line <acked) > 0) { split(line, f, " "); last[f[1]] = f[2] }
			while ((getline line <begun) > 0) { split(line, f, " "); newest[f[1]] = f[2] }
		}
		{
			group = int((NR - 1) / 8)
			if (!(group in newest)) next
			sub(/ +$/, "")
			if (group in last && $0 == "group " group " write " last[group]) { good++; next }
			if ($0 == "group " group " write " newest[group]) { good++; next }
			if (!(group in last)) next
			print "group " group " sector " (NR - 1) % 8 ": " $0 ", acknowledged was write " last[group]
			bad = 1
		}
		END { print good + 0 " sectors are right"; exit bad || good == 0 }' "$WORK/sectors"
}

# crash_and_check PAUSE: the pause after six writes moves the cut to another place of the next.
crash_and_check() {
	: >"$WORK/running"
	until_count=$(($(wc -l <"$WORK/acked") + 6))
	acknowledged &
	pid=$!
	tries=0
	while [ "$(wc -l <"$WORK/acked")" -lt $until_count ]; do
		sleep 0.1
		tries=$((tries + 1))
		[ $tries -lt 600 ]
	done
	sleep "$1"
	power_off
	rm "$WORK/running"
	wait $pid || true
	dmsetup status r
	remove_all
	power_on
	remap r /dev/mapper/m /dev/mapper/s
	dmsetup status r
	check
	[ "$(status r 3)" = 0 ]
	[ "$(status r 5)" = 5/5 ]
}

crashes() {
	: >"$WORK/acked"
	: >"$WORK/begun"
	dmsetup remove r
	remap r /dev/mapper/m /dev/mapper/s
	for wait in 0 0.02 0.04 0.06 0.09 0.12 0.15 0.2; do
		# The slots go on from where they were; only what was written counts from now on.
		crash_and_check $wait
	done
	[ "$(wc -l <"$WORK/acked")" -gt 40 ]
	[ "$(used r)" -gt 5 ]
}

start() {
	power_on
	remap r /dev/mapper/m /dev/mapper/s format
}

# With eight in flight, so that commits are shared and many slots are on their way. fio knows what it wrote.
crashes_under_load() {
	dd if=/dev/zero of=/dev/mapper/r bs=1M count=4 oflag=direct status=none
	for round in 1 2 3 4; do
		fio --name=w --filename=/dev/mapper/r --rw=randwrite --bs=4k --size=4m --ioengine=libaio --direct=1 --iodepth=8 \
			--verify=crc32c --do_verify=0 --randseed="$round" >"$WORK/fio.out" 2>&1 &
		pid=$!
		sleep 0.$((4 + round))
		power_off
		wait $pid || true
		remove_all
		power_on
		remap r /dev/mapper/m /dev/mapper/s
		dmsetup status r
		equal "$(status r 1) $(status r 3) $(status r 5)" 'rw 0 5/5'
		# Whole blocks of fio (each begins with its magic) or zeroes: nothing torn, nothing foreign, all of it readable.
		dd if=/dev/mapper/r of="$WORK/got" bs=1M count=4 iflag=direct status=none
		od -An -v -tx1 -w4096 "$WORK/got" | awk '
			$1 $2 == "caac" || $1 $2 == "acca" { fio++; next }
			/[1-9a-f]/ { other++ }
			END { print fio + 0, other + 0; exit other != 0 }'
	done
}

t start start
t s11_acknowledged_writes_survive_power_cuts crashes
t s11_power_cuts_under_load crashes_under_load
t kernel_log_is_clean clean_log
finish
