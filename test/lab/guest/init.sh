#!/bin/busybox sh
# The first process of the guest, in the initramfs: loads what the kernel needs
# to see the host's root, lays a tmpfs over it and goes there. load-first and
# load-later are made when the initramfs is built; settings, when a job starts.
export PATH=/bin
. /lab/settings
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r m; do insmod "/modules/$m" || echo "lab: $m does not load"; done </lab/load-first
exec 4>/dev/vport0p1
tell() { printf '\001lab %s %s\n' "$lab_token" "$*" >&4; }
tell phase kernel
(while read -r m; do insmod "/modules/$m" || echo "lab: $m does not load"; done </lab/load-later; : >/lab/loaded) &
mkdir /ro /rw /new
p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,$p9,cache=loose root /ro &&
	mount -t tmpfs -o size=50% rw /rw && mkdir /rw/up /rw/work &&
	mount -t overlay -o lowerdir=/ro,upperdir=/rw/up,workdir=/rw/work root /new &&
	mount -t tmpfs -o size=50%,mode=755 run /new/run && mkdir -p /new/run/lab/out /new/run/lab/bin /new/run/lab/tmp /new/run/lock &&
	mount -t 9p -o $p9,cache=none out /new/run/lab/out || { tell broken "the host's root cannot be mounted"; sleep 9999; }
tell phase root
cp /bin/busybox /lab/settings /lab/job.sh /lab/stage2.sh /new/run/lab/
cp /lab/bin/* /new/run/lab/bin/
while [ ! -e /lab/loaded ]; do sleep 0.02; done
tell phase modules
exec 4>&-
mount --move /dev /new/dev
mount --move /proc /new/proc
mount --move /sys /new/sys
exec switch_root /new /run/lab/busybox sh /run/lab/stage2.sh
