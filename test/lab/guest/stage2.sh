# The first process of the guest once it is on the host's root: network, RDMA
# devices, the job, and its exit code for the host, which then ends the machine.
. /run/lab/settings
# busybox's shell takes its own applets for programs, so what must be the host's
# is called by its path, and the job has the host's shell.
bb=/run/lab/busybox
export PATH=/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$bb mkfifo -m 622 /run/lab/console
# Everything that goes to the host passes the fifo, in order: output, and lines
# that begin with the token.
$bb cat </run/lab/console >/dev/vport0p1 &
exec 3>/run/lab/console
tell() { printf '\001lab %s %s\n' "$lab_token" "$*" >&3; }
$bb mkdir -p /dev/shm /dev/pts
for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
	$bb ln -s "${link#*:}" "/dev/${link%%:*}"
done
$bb mount -t tmpfs -o size=50%,mode=1777 shm /dev/shm
$bb mount -t devpts -o ptmxmode=666 pts /dev/pts
$bb mount -t cgroup2 cgroup /sys/fs/cgroup
$bb chmod 1777 /run/lab/tmp
# What is not loaded yet, the kernel and modprobe find here.
version=$($bb uname -r)
[ -e "/lib/modules/$version" ] || { $bb mkdir -p /lib/modules; $bb ln -s "$lab_modules" "/lib/modules/$version"; }
$bb hostname "lab-$lab_role"
$lab_ip link set lo up
n=0
while [ $n -lt "$lab_links" ]; do
	if [ "$lab_machines" = 1 ]; then
		dev=v$n
		$lab_ip link add v$n mtu "$lab_mtu" type veth peer name w$n mtu "$lab_mtu" && $lab_ip link set w$n up
	else
		dev=eth$n
	fi
	lab-rxe rxe$n $dev "10.99.$n.$lab_own" "$lab_mtu" || tell broken "rxe$n on $dev cannot be made"
	n=$((n + 1))
done
tell phase devices
[ "$lab_machines" = 1 ] && netdev=v0 || netdev=eth0
(
	export HOME=/root TMPDIR=/run/lab/tmp LANG=C.UTF-8 XFER_LAB=1 XFER_LAB_ROLE="$lab_role"
	export XFER_LAB_DEVICE=rxe0 XFER_LAB_NETDEV=$netdev XFER_LAB_OUT=/run/lab/out
	export XFER_LAB_ADDR="10.99.0.$lab_own" XFER_LAB_PEER="10.99.0.$lab_peer"
	exec /bin/sh /run/lab/job.sh </dev/null >&3 2>&1 3>&-
)
code=$?
$bb dmesg >"/run/lab/out/.lab/kernel-$lab_role"
tell exit $code
while :; do $bb sleep 9999; done
