#!/bin/sh
# Makes on the host what the demonstration needs, in DIRECTORY: two equal images of a disk with a
# filesystem full of files, an empty spare, files to be written later, and where the disk is bad.
#
#   bare.img adopted.img   the same bytes: one disk for each act
#   spare.img              zeros
#   new/, new.sha256       what the work writes
#   old.sha256             what is on the disk from the start
#   bad                    sectors that take no writes once the disk begins to fail: START COUNT
#   unreadable             sectors that cannot be read, from the start: START COUNT
#   DISK.conf              the latter, for QEMU
set -eu
cd "$1"
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
OLD=24 NEW=48 SPOTS=120

# fill DIRECTORY COUNT: files of random bytes, of 40 to 520 KiB.
fill() {
	mkdir -p "$1"
	for i in $(seq "$2"); do
		head -c $(((i * 37 % 60 + 5) * 8192 + i)) /dev/urandom >"$1/$(printf %02d "$i")"
	done
}

fill tree/old $OLD
fill new $NEW
(cd tree && sha256sum old/*) >old.sha256
sha256sum new/* >new.sha256

truncate -s 64M bare.img
truncate -s 16M spare.img
mkfs.ext4 -q -F -b 4096 -N 2048 -J size=4 -d tree bare.img

# Eleven sectors of one file, in two places, cannot be read.
VICTIM=07
debugfs -R "blocks /old/$VICTIM" bare.img 2>/dev/null | tr ' ' '\n' |
	awk 'NR == 20 { print $1 * 8 + 5, 3 } NR == 41 { print $1 * 8, 8 }' >unreadable
echo "old/$VICTIM" >victim
for disk in bare adopted; do
	awk '{ for (i = 0; i < $2; i++)
		printf "[inject-error]\nevent = \"none\"\niotype = \"read\"\nerrno = \"61\"\nsector = \"%d\"\n\n", $1 + i
	}' unreadable >$disk.conf
done

# Bad for writing: places of 1 to 24 sectors scattered over what is free now, and a piece of the
# journal. The numbers are drawn in the same way each time.
journal=$(debugfs -R "blocks <8>" bare.img 2>/dev/null | cut -d' ' -f120)
dumpe2fs bare.img 2>/dev/null | sed -n 's/^  Free blocks: //p' | tr -d ' ' | tr ',' '\n' |
	awk -F- -v spots=$SPOTS '
		function draw(n) { seed = (seed * 1103515245 + 12345) % 2147483648; return int(seed / 65536) % n }
		{ first[NR] = $1; count[NR] = (NF > 1 ? $2 : $1) - $1 + 1; all += count[NR] }
		END {
			seed = 42
			for (i = 0; i < spots; i++) {
				block = int(i * all / spots) + draw(int(all / spots) - 4)
				for (r = 1; block >= count[r]; r++) block -= count[r]
				if (count[r] - block > 4) print (first[r] + block) * 8 + draw(8), 1 + draw(24)
			}
		}' >spots
{ cat spots; echo $((journal * 8)) 24; } | sort -n >bad
cp --sparse=always bare.img adopted.img
