# Read by ./x: which Debian packages a command needs, and how they are installed. Packages are found by what the suite has, so
# that any suite will do whose compilers are new enough; nothing is asked of apt while nothing is missing.
# shellcheck shell=sh

# Packages of one name everywhere, each with a file that it brings.
BASE='gcc=/usr/bin/gcc libc6-dev=/usr/include/stdlib.h ca-certificates=/etc/ssl/certs/ca-certificates.crt'
MODULE='make=/usr/bin/make pahole=/usr/bin/pahole kmod=/sbin/depmod xz-utils=/usr/bin/xz'
GUEST='qemu-system-x86=/usr/bin/qemu-system-x86_64 busybox-static=/bin/busybox dmsetup=/sbin/dmsetup
	e2fsprogs=/sbin/mkfs.ext4'
LOAD='procps=/usr/bin/ps fio=/usr/bin/fio stress-ng=/usr/bin/stress-ng xfsprogs=/sbin/mkfs.xfs btrfs-progs=/sbin/mkfs.btrfs
	mdadm=/sbin/mdadm cryptsetup-bin=/sbin/cryptsetup lvm2=/sbin/lvm gdisk=/sbin/sgdisk'
# To build the kernel that looks for faults, which is asked for by name.
DEBUG='flex=/usr/bin/flex bison=/usr/bin/bison libelf-dev=/usr/include/gelf.h bc=/usr/bin/bc'
# Where apt and packages leave what is looked at here.
LISTS=/var/lib/apt/lists
DOC=/usr/share/doc
# The oldest of each that will do.
RUST_MINOR_MIN=85
CLANG_MIN=14
BINDGEN_MIN=0.71.1

# Sets `missing` to what the command lacks: names of packages, and words in angle brackets that the suite has a name for.
needs() {
	verb=$1
	shift
	missing=
	files "$BASE"
	cargo_is_there || missing="$missing <cargo>"
	module=y
	case $verb in
	sim | uninstall) module= ;;
	build) ! has --probe "$@" || module= ;;
	install) ! has --no-build "$@" || module= ;;
	test) if has --bare "$@"; then
		files 'debootstrap=/usr/sbin/debootstrap git=/usr/bin/git'
		module=
	elif has --fast "$@"; then
		module=
	fi ;;
	esac
	[ -n "$module" ] || return 0
	files "$MODULE"
	rust_is_there || missing="$missing <rust>"
	libclang_is_there || missing="$missing libclang1"
	bindgen_is_there || missing="$missing <bindgen>"
	compiler_of "$verb" "$@"
	case " $* " in *' --kernel debug '*) files "$DEBUG" ;; esac
	case $verb in
	demo | bench) files "$GUEST" ;;
	vm | test) files "$GUEST $LOAD" ;;
	lint)
		files 'shellcheck=/usr/bin/shellcheck'
		as_owner cargo fmt --version >/dev/null 2>&1 || missing="$missing <rustfmt>"
		[ -e /usr/bin/clippy-driver ] || as_owner cargo clippy --version >/dev/null 2>&1 || missing="$missing <clippy>"
		;;
	esac
}

# Adds the packages of a list whose files are not there.
files() {
	for item in $1; do
		path=${item#*=}
		[ -e "$path" ] || [ -e "/usr$path" ] || command -v "${path##*/}" >/dev/null || missing="$missing ${item%%=*}"
	done
}

cargo_is_there() {
	minor=$(as_owner cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
	[ "${minor:-0}" -ge $RUST_MINOR_MIN ]
}

# A compiler for the module has the sources of its own library beside it.
rust_is_there() {
	for program in /usr/bin/rustc rustc; do
		minor=$(as_owner "$program" --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
		sysroot=$(as_owner "$program" --print sysroot 2>/dev/null) || continue
		[ "${minor:-0}" -lt $RUST_MINOR_MIN ] || [ ! -f "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ] || return 0
	done
	return 1
}

libclang_is_there() {
	for path in /usr/lib/llvm-*/lib/libclang.so.1 /usr/lib/llvm-*/lib/libclang-*.so.*; do
		major=${path#/usr/lib/llvm-}
		major=${major%%/*}
		[ ! -e "$path" ] || [ "$major" -lt $CLANG_MIN ] || return 0
	done
	return 1
}

# One that is too old, or none at all in the suite, is no reason to install anything: it is built then.
bindgen_is_there() {
	for path in "$(cache_place)"/bindgen-*/bin/bindgen; do
		[ ! -x "$path" ] || return 0
	done
	version=$(bindgen --version 2>/dev/null | sed -n 's/^bindgen //p')
	[ -n "$version" ] && dpkg --compare-versions "$version" ge $BINDGEN_MIN
}

# The compiler of a kernel whose headers are at hand, where it is not the suite's own.
compiler_of() {
	headers=/lib/modules/$(uname -r)/build
	case $1 in install) ;; *) has --running "$@" || headers= ;; esac
	while [ $# -gt 0 ]; do
		[ "$1" != --headers ] || headers=${2-}
		shift
	done
	text=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$headers/include/config/auto.conf" 2>/dev/null) || return 0
	name=gcc${text##*gcc}
	case $name in
	gcc-[0-9]*) command -v "$text" >/dev/null || command -v "$name" >/dev/null || missing="$missing <$name>" ;;
	esac
}

# The version of a package that apt would install; nothing if the lists do not know it.
# apt translates its labels.
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p'; }
offers() {
	version=$(candidate "$1")
	[ -n "$version" ] && dpkg --compare-versions "$version" ge "$2"
}

# The suite's Rust packages: its own if they are new enough, else those that its web browsers are built with.
family() {
	if [ ! -e $DOC/rustc-web ] && offers rustc 1.$RUST_MINOR_MIN; then
		echo ''
	elif offers rustc-web 1.$RUST_MINOR_MIN; then
		echo -web
	else
		stop "this machine's package lists have no Rust 1.$RUST_MINOR_MIN or newer: add Debian 12 (bookworm) or later to them, or install Rust with rust-src from rustup.rs"
	fi
}

# Replaces the words in angle brackets by names of packages.
resolve() {
	family=
	case $missing in
	*'<cargo>'* | *'<rust'* | *'<clippy>'*) family=$(family) || exit ;;
	esac
	packages=
	for word in $missing; do
		case $word in
		'<cargo>') word="cargo$family rustc$family" ;;
		'<rust>') word="rustc$family rust$family-src" ;;
		'<rustfmt>') word="rustfmt$family" ;;
		'<clippy>') word="rust$family-clippy" ;;
		'<bindgen>') offers bindgen $BINDGEN_MIN && word=bindgen || continue ;;
		'<gcc-'*)
			word=${word#<}
			word=${word%>}
			[ -n "$(candidate "$word")" ] || continue
			;;
		esac
		packages="$packages $word"
	done
	packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
	packages=${packages% }
}

# Where downloads are kept, and the mark that an update of the package lists leaves.
cache_place() {
	if [ -n "$home" ]; then
		echo "$home/.cache/dm-remap"
	else
		echo "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/dm-remap"
	fi
}

# Whether the package lists are missing, or no update of the last day is known to have worked. `partial` tells nothing: an update
# that fails changes it too. One that works renews the releases that are new; that all are old leaves a mark only here, or with
# apt's timer.
lists_are_old() {
	set -- "$LISTS"/*_Packages*
	[ -e "$1" ] || return 0
	fresh=$(
		find "$LISTS" -maxdepth 1 -name '*Release' -ctime -1 2>/dev/null
		find "$LISTS/../periodic/update-success-stamp" "$(cache_place)/lists-updated" -maxdepth 0 -mtime -1 2>/dev/null
	) || :
	[ -z "$fresh" ]
}

# By itself apt-get takes lists that cannot be had for no failure.
update_lists() {
	updated=y
	say "bringing the package lists up to date (usually some seconds)"
	if $sudo env LC_ALL=C apt-get update -q -o APT::Update::Error-Mode=any >"$log" 2>&1; then
		# Without the mark the lists are only brought up to date again.
		as_owner mkdir -p "$(cache_place)" && as_owner touch "$(cache_place)/lists-updated" || :
	else
		say "not all of that worked, and old lists are used in part: $(grep '^[EW]:' "$log" | head -n 1)"
	fi
}

install_missing() {
	command -v apt-get >/dev/null || stop "this machine has no apt-get; install by hand:$(printf '%s' "$missing" | tr -d '<>')"
	sudo=
	if [ "$(id -u)" != 0 ]; then
		sudo=sudo
		command -v sudo >/dev/null || {
			resolve
			[ -n "$packages" ] || return 0
			stop "packages are missing and there is neither root nor sudo: have them installed by 'apt-get update && apt-get install --no-install-recommends $packages'"
		}
	fi
	# Only bindgen may be missing for good where the suite's is too old, and that has to be asked no twice.
	[ "$missing" != ' <bindgen>' ] || lists_are_old || {
		resolve
		[ -n "$packages" ] || return 0
	}
	log=$(mktemp -t dm-remap-apt.XXXXXX)
	! lists_are_old || update_lists
	resolve
	[ -z "$packages" ] || install_packages
	rm -f "$log"
}

has_terminal() { [ -t 0 ] && [ -t 2 ]; }

# The machine may be used for what would go, so that its user is asked. Where there is none to ask, apt's own rule for scripts holds.
may_remove() {
	has_terminal || {
		say "apt removes $removed, which cannot be there beside $packages"
		return 0
	}
	printf '%s' "./x: to install $packages, apt removes $removed. Go on? [y/N] " >&2
	read -r answer || answer=
	case $answer in
	[yY] | [yY][eE][sS]) ;;
	*) stop "nothing was installed and nothing removed" ;;
	esac
}

install_packages() {
	# The list is one of words.
	# shellcheck disable=SC2086
	plan=$($sudo env LC_ALL=C apt-get install --assume-no --no-install-recommends $packages 2>&1) || :
	count=$(printf '%s\n' "$plan" | sed -n 's/^\([0-9]*\) upgraded, \([0-9]*\) newly installed, \([0-9]*\) to remove.*/\1 \2 \3/p')
	[ -n "$count" ] || stop "apt cannot install $packages: $(printf '%s\n' "$plan" | grep '^E:' | head -n 1)"
	# shellcheck disable=SC2086
	set -- $count
	download=$(printf '%s\n' "$plan" | sed -n 's/^Need to get \(.*\) of archives.*/\1/p')
	disk=$(printf '%s\n' "$plan" | sed -n 's/^After this operation, \(.*\) of additional disk space.*/\1/p')
	removed=$(printf '%s\n' "$plan" | sed -n '/^The following packages will be REMOVED/,/^[^ ]/ { s/^  //p }' | tr '\n' ' ')
	removed=${removed% }
	keep=--no-remove
	[ "$3" = 0 ] || { may_remove && keep=; }
	say "installing $(($1 + $2)) Debian packages: ${download:-0 B} to download, ${disk:-0 B} on disk (usually some minutes; log: $log)"
	say "they are $packages and what these depend on"
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y $keep --no-install-recommends $packages >"$log" 2>&1 </dev/null &&
		return 0
	# Lists that look fresh may be of a system that was copied here: what they name can be gone.
	[ -n "${updated-}" ] ||
		{ say "not all packages could be had" && update_lists && resolve && install_packages && return 0; }
	stop "packages could not be installed: see the end of $log, then run 'apt-get update && apt-get install --no-install-recommends $packages' as root"
}
