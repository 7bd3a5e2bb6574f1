#!/bin/sh
# `./x install` and `./x uninstall` on a running system: modprobe finds the module, the tool works, nothing is left behind.
. tests/vm/lib.sh

VERSION=$(uname -r)
MODULES=/lib/modules/$VERSION
UPDATES=$MODULES/updates/dm_remap.ko
TOOL=/usr/local/sbin/dmremap
PAGE=/usr/local/share/man/man8/dmremap.8
# `./x` itself would look for packages first.
XTASK=${DMREMAP%/*}/xtask

load_module
MAIN=$(disk main 16)
SPARE=$(disk spare 16)
rmmod dm_remap

# The kernel's modules are the host's, read-only; what depmod needs of them is copied.
mkdir "$WORK/modules"
for list in modules.builtin modules.builtin.modinfo modules.order; do
	cp "$MODULES/$list" "$WORK/modules/"
done
(cd "$MODULES" && find kernel/drivers/md -name 'dm-mod.ko*' -exec cp --parents {} "$WORK/modules" \;)
mount --bind "$WORK/modules" "$MODULES"
rm -f $TOOL $PAGE

installs() {
	"$XTASK" install --no-build >"$WORK/said"
	grep -q "$UPDATES" "$WORK/said"
	grep -q "$TOOL" "$WORK/said"
	[ -x $TOOL ]
	grep -q "$PAGE" "$WORK/said"
	grep -q '^\.TH dmremap 8' $PAGE
	modprobe dm_remap
	dmsetup targets | grep -q '^remap '
}

works() {
	dmremap format -q "$MAIN" "$SPARE"
	dmremap open "$MAIN" "$SPARE" r
	dmremap status r
}

stays_while_in_use() {
	fails "$XTASK" uninstall 2>"$WORK/said"
	grep -q 'in use' "$WORK/said"
	[ -e "$UPDATES" ] && [ -e $TOOL ] && [ -e $PAGE ]
	dmremap close r
}

uninstalls() {
	(cd "$MODULES" && find . -type f ! -name 'modules.*' ! -name dm_remap.ko | sort) >"$WORK/before"
	# One that an upgrade has left behind.
	other=/lib/modules/0.0.0-other/updates
	mkdir -p "$other"
	cp "$UPDATES" "$other/"
	"$XTASK" uninstall
	fails [ -e "$other/dm_remap.ko" ]
	rm -r /lib/modules/0.0.0-other
	fails grep -q '^dm_remap ' /proc/modules
	fails modprobe dm_remap
	fails [ -e $TOOL ]
	fails [ -e $PAGE ]
	(cd "$MODULES" && find . -type f ! -name 'modules.*' | sort) | cmp - "$WORK/before"
	fails "$XTASK" uninstall
}

below_a_directory() {
	"$XTASK" install --no-build --destdir "$WORK/root" --prefix /usr
	equal "$(cd "$WORK/root" && find . -type f | sort | tr '\n' ' ')" \
		"./lib/modules/$VERSION/updates/dm_remap.ko ./usr/sbin/dmremap ./usr/share/man/man8/dmremap.8 "
	fails [ -e "$UPDATES" ]
	"$XTASK" uninstall --destdir "$WORK/root" --prefix /usr
	equal "$(find "$WORK/root" -type f)" ''
}

t installs installs
t what_is_installed_works works
t stays_while_in_use stays_while_in_use
t uninstalls uninstalls
t below_a_directory below_a_directory
umount "$MODULES"
finish
