#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs and that are not there:
#   deps.sh test     what the tests use beside Go, gcc, make and git
#   deps.sh bench    the peers that the benchmark compares with
#   deps.sh lab      what boots the lab of docs/lab.md
#   deps.sh          all of it
# Without root, or on another distribution, it names what is missing. Tests and
# benchmarks then leave those parts out, each with a line that says so; with
# XFER_REQUIRE_RIGS=1 a missing one is an error.
set -euo pipefail

declare -A package=(
	[rsync]=rsync [strace]=strace [getfattr]=attr [setfacl]=acl [ip]=iproute2 [ss]=iproute2 [tc]=iproute2
	[rclone]=rclone [nc]=netcat-openbsd [ssh]=openssh-client [sshd]=openssh-server
	[time]=time [qemu-system-x86_64]=qemu-system-x86 [ib_write_bw]=perftest
	[ibv_devinfo]=ibverbs-utils [rdma]=iproute2 [nft]=nftables [modprobe]=kmod
	[python3]=python3 [mkfs.xfs]=xfsprogs [mkfs.btrfs]=btrfs-progs [xz]=xz-utils [zstd]=zstd [/etc/libibverbs.d/rxe.driver]=ibverbs-providers
	[/etc/rdma/modules]=rdma-core
)
lab=(qemu-system-x86_64 ib_write_bw ibv_devinfo ip rdma nft modprobe xz zstd
	/etc/libibverbs.d/rxe.driver /etc/rdma/modules)
need=()
case "${1:-all}" in
test) need=(rsync strace getfattr setfacl mkfs.xfs mkfs.btrfs ip ss tc nft python3) ;;
bench) need=(rsync strace rclone nc ssh sshd) ;;
lab) need=("${lab[@]}") ;;
all) need=(rsync strace getfattr setfacl mkfs.xfs mkfs.btrfs ss tc python3 rclone nc ssh sshd "${lab[@]}") ;;
*)
	echo "usage: deps.sh [test|bench|lab]" >&2
	exit 2
	;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=()
for tool in "${need[@]}"; do
	command -v "$tool" >/dev/null || [ -e "$tool" ] || missing+=("${package[$tool]}")
done
case "${1:-all}" in
lab | all) # the guest starts with a busybox that needs no library
	busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1 || missing+=(busybox-static)
	;;
esac
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
