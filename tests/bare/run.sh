#!/bin/sh
# `./x test --bare`: the first commands of the README on machines on which nothing is installed, each a fresh tree by debootstrap.
# Arguments: names of trees. Needs root, debootstrap, git, the network, 12 GB of disk below $DM_REMAP_BARE
# (default ~/.cache/dm-remap/bare) and half an hour a tree. What is tried is HEAD of this checkout, by git clone.
# Where several checkouts share a machine: with $DM_REMAP_GUEST_LOCK the step that boots guests waits for that file's lock, and
# $DM_REMAP_BARE_STEPS has the steps in another order.
set -u
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd)
PLACE=${DM_REMAP_BARE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dm-remap/bare}
MIRROR=http://deb.debian.org
DISK_MIB=12000
LOGS=$CHECKOUT/target/dm-remap/bare
passed=0 failed=0

stop() {
	echo "./x test --bare: $*" >&2
	exit 1
}

# Runs a command in the tree with namespaces of its own: what is mounted, and what is left running, goes with them.
inside() {
	# shellcheck disable=SC2016 # the inner shell's variables
	unshare --mount --pid --fork --kill-child --propagation private sh -c '
		tree=$1
		mount -t proc proc "$tree/proc" && mount -t sysfs -o ro sys "$tree/sys" && mount --rbind /dev "$tree/dev" || exit 125
		exec chroot "$tree" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			LC_ALL=C.UTF-8 TERM=dumb sh -c "$2"' inside "$TREE" "$1" </dev/null
}

# The tree of a suite as debootstrap makes it, once.
base() {
	[ ! -f "$PLACE/$1.tar" ] || return 0
	echo "$1: debootstrap (once, usually two minutes)"
	rm -rf "${PLACE:?}/.$1"
	if debootstrap --variant=minbase --arch=amd64 "$1" "$PLACE/.$1" $MIRROR/debian >"$LOGS/debootstrap-$1.log" 2>&1 &&
		tar -C "$PLACE/.$1" -cf "$PLACE/.$1.tar" . && mv "$PLACE/.$1.tar" "$PLACE/$1.tar"; then
		rm -rf "${PLACE:?}/.$1"
	else
		echo "$1: debootstrap failed: see $LOGS/debootstrap-$1.log"
		return 1
	fi
}

sources() {
	echo "deb $MIRROR/debian $1 main"
	[ "$2" = no ] || {
		echo "deb $MIRROR/debian $1-updates main"
		echo "deb $MIRROR/debian-security $1-security main"
	}
}

# Makes tree $1 of suite $2, with the security suite or not ($3), and clones the checkout into it.
fresh() {
	TREE=$PLACE/$1
	base "$2" || return
	rm -rf "$TREE"
	mkdir -p "$TREE" && tar -C "$TREE" -xf "$PLACE/$2.tar" || return
	# What was fetched to make the tree is not what a machine has.
	rm -rf "$TREE"/var/lib/apt/lists/* "$TREE"/var/cache/apt/archives/*.deb
	sources "$2" "$3" >"$TREE/etc/apt/sources.list"
	cp -L /etc/resolv.conf "$TREE/etc/resolv.conf"
	# Behind a proxy with a certificate of its own, the tree trusts what the administrator of this machine has it trust.
	mkdir -p "$TREE/usr/local/share/ca-certificates"
	for file in /usr/local/share/ca-certificates/*.crt; do
		[ ! -f "$file" ] || cp -L "$file" "$TREE/usr/local/share/ca-certificates/"
	done
	printf '#!/bin/sh\nexit 101\n' >"$TREE/usr/sbin/policy-rc.d"
	chmod 755 "$TREE/usr/sbin/policy-rc.d"
	# Packages stay where they can be counted.
	echo 'Binary::apt::APT::Keep-Downloaded-Packages "true"; APT::Keep-Downloaded-Packages "true";' >"$TREE/etc/apt/apt.conf.d/99keep"
	git -c safe.directory='*' clone -q --no-hardlinks "$CHECKOUT" "$TREE/root/dm-remap"
}

mib() { du -sxm "$@" 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }

# One step: its name, and the command that a stranger types.
step() {
	name=$1 line=$2 log=$LOGS/$tree-$1.log
	lock=
	case $name in demo) lock=${DM_REMAP_GUEST_LOCK-} ;; esac
	before=$(mib "$TREE")
	if [ -n "$lock" ]; then
		exec 9>"$lock"
		flock 9 || stop "cannot lock $lock"
	fi
	began=$(date +%s)
	inside "cd /root/dm-remap && $line" >"$log" 2>&1 9>&-
	status=$?
	took=$(($(date +%s) - began))
	[ -z "$lock" ] || exec 9>&-
	after=$(mib "$TREE")
	size="$took s, disk $((after - before)) MiB more"
	if [ $status = 0 ]; then
		echo "$tree: ok $name: $size"
		passed=$((passed + 1))
	else
		echo "$tree: FAIL $name: status $status after $size; the end of $log:"
		tail -n 20 "$log" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

try() {
	tree=$1
	fresh "$1" "$2" "$3" || {
		echo "$1: FAIL the tree cannot be made"
		failed=$((failed + 1))
		return
	}
	for one in ${DM_REMAP_BARE_STEPS-demo fast build install}; do
		# shellcheck disable=SC2016 # the tree's shell expands them
		case $one in
		demo) step demo './x demo' ;;
		fast) step fast './x test --fast' ;;
		build) step build './x build' ;;
		install) step install 'apt-get install -q -y --no-install-recommends linux-headers-amd64 >/dev/null &&
			set -- /usr/src/linux-headers-*-amd64 && ./x install --destdir /root/staged --headers "$1" &&
			version=${1#/usr/src/linux-headers-} && cd /root/staged && test -f "lib/modules/$version/updates/dm_remap.ko" &&
			usr/local/sbin/dmremap help >/dev/null' ;;
		esac
	done
	echo "$tree: packages $(mib "$TREE"/var/cache/apt/archives) MiB and lists $(mib "$TREE"/var/lib/apt/lists) MiB downloaded," \
		"cache $(mib "$TREE"/root/.cache) MiB, crates $(mib "$TREE"/root/.cargo) MiB, checkout $(mib "$TREE"/root/dm-remap) MiB," \
		"tree $(mib "$TREE") MiB"
	[ "${DM_REMAP_KEEP-}" = y ] || rm -rf "$TREE"
}

[ "$(id -u)" = 0 ] || stop "chroot wants root: run it with sudo"
for program in debootstrap unshare git; do
	command -v $program >/dev/null || stop "$program is missing: install $program"
done
mkdir -p "$PLACE" "$LOGS" || stop "cannot make $PLACE and $LOGS"
free=$(df -Pm "$PLACE" | awk 'NR == 2 { print $4 }')
[ "$free" -ge $DISK_MIB ] || stop "$PLACE has $free MiB free and a tree takes up to $DISK_MIB"
[ $# -gt 0 ] || set -- deb12-nosec deb12 deb13
echo "$*: about half an hour each, up to $DISK_MIB MiB below $PLACE; logs: $LOGS"
for name; do
	case $name in
	deb12-nosec) try "$name" bookworm no ;;
	deb12) try "$name" bookworm yes ;;
	deb13) try "$name" trixie yes ;;
	*) stop "no bare tree $name: deb12-nosec, deb12, deb13" ;;
	esac
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
