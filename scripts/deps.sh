#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs and that are not there:
#   deps.sh test     what the tests use beside Go, gcc, make and git
#   deps.sh bench    the peers that the benchmark compares with
#   deps.sh          both
# Without root, or on another distribution, it names what is missing. Tests and
# benchmarks then leave those parts out, each with a line that says so; with
# XFER_REQUIRE_RIGS=1 a missing one is an error.
set -euo pipefail

declare -A package=(
	[rsync]=rsync [strace]=strace [getfattr]=attr [setfacl]=acl [ip]=iproute2
	[rclone]=rclone [nc]=netcat-openbsd [ssh]=openssh-client [sshd]=openssh-server
	[time]=time
)
need=()
case "${1:-all}" in
test) need=(rsync strace getfattr setfacl) ;;
bench) need=(rsync strace rclone nc ssh sshd) ;;
all) need=(rsync strace getfattr setfacl rclone nc ssh sshd) ;;
*)
	echo "usage: deps.sh [test|bench]" >&2
	exit 2
	;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=()
for tool in "${need[@]}"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get install -qq -y --no-install-recommends "${missing[@]}" ||
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}"; }; } >/dev/null 2>&1 && exit 0
	echo "apt-get could not install: ${missing[*]}" >&2
fi
echo "missing (Debian's names): ${missing[*]}; install them for the parts that use them" >&2
[ "${XFER_REQUIRE_RIGS:-}" = 1 ] && exit 1
exit 0
