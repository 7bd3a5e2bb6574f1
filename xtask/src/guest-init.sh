#!/bin/busybox sh
# shellcheck shell=dash
# First process of a test guest: finds the host's root, lays a writable layer over it that is
# forgotten at the end, runs the command in it, and reports its exit status.
PATH=/bin
b() { /bin/busybox "$@"; }
fail() { echo "guest-init: $*"; b reboot -f; }

b mount -t proc proc /proc
b mount -t sysfs sysfs /sys
b mount -t devtmpfs devtmpfs /dev
# Sets these three.
version='' modules='' share=''
# shellcheck disable=SC1091
. /settings
while read -r module; do
	b insmod "/modules/$module" || fail "cannot load $module"
done </modules/order

port() {
	for entry in /sys/class/virtio-ports/*; do
		[ "$(b cat "$entry/name")" = "$1" ] && echo "/dev/${entry##*/}" && return
	done
	fail "no port $1"
}
out=$(port dm-remap.out)
status=$(port dm-remap.status)

options=trans=virtio,version=9p2000.L,msize=512000
b mount -t 9p -o "ro,cache=loose,$options" root /lower || fail "cannot mount the host's root"
b mount -t tmpfs -o size=75% tmpfs /upper
b mkdir /upper/data /upper/work
# A copy in memory is opened without a question to the host; without one the host's own file is.
# shellcheck disable=SC2046 # a list of words
[ ! -s /programs ] || b tar -C /lower -c -f - $(b cat /programs) | b tar -C /upper/data -x -f - ||
	echo 'guest-init: programs not copied'
b mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /newroot ||
	fail "cannot mount the overlay"
root=/newroot
b mkdir -p $root/proc $root/sys $root/dev $root/run $root/mnt/share "$root/lib/modules/$version"
b mount --bind /proc $root/proc
b mount --bind /sys $root/sys
b mount --bind /dev $root/dev
b mkdir -p $root/dev/pts $root/dev/shm
b mount -t devpts devpts $root/dev/pts
b mount -t tmpfs tmpfs $root/dev/shm
b mount -t tmpfs tmpfs $root/run
b mount -t debugfs debugfs $root/sys/kernel/debug
b mount -t configfs configfs $root/sys/kernel/config
[ -e $root/dev/fd ] || b ln -s /proc/self/fd $root/dev/fd
[ -e $root/dev/stdout ] || b ln -s /proc/self/fd/1 $root/dev/stdout
[ -e $root/dev/stderr ] || b ln -s /proc/self/fd/2 $root/dev/stderr
b mount --bind "/lower$modules" "$root/lib/modules/$version" || fail "cannot reach the kernel's modules"
if [ "$share" = 1 ]; then
	b mount -t 9p -o "rw,cache=none,$options" share $root/mnt/share || fail "cannot mount the share"
fi
# The kernel starts modprobe in this first root, where there is none.
printf '#!/bin/busybox sh\nexec /bin/busybox chroot /newroot /sbin/modprobe "$@"\n' >/bin/modprobe
b chmod 755 /bin/modprobe
echo /bin/modprobe >/proc/sys/kernel/modprobe
b hostname dm-remap
b ip link set lo up
b cp /script $root/run/dm-remap-script

# The command writes into a pipe: a port can be opened only once, which /dev/stdout would try again.
b mkfifo /out
b cat </out >"$out" &
copier=$!
b env -i HOME=/root USER=root LOGNAME=root TERM=dumb LANG=C.UTF-8 DM_DISABLE_UDEV=1 \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/bin/busybox chroot $root /bin/sh /run/dm-remap-script >/out 2>&1 </dev/null
code=$?
# What the command left running may hold the pipe open; it has a moment to finish.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	b kill -0 $copier 2>/dev/null || break
	b usleep 100000
done
echo "$code" >"$status"
b sync
b reboot -f
