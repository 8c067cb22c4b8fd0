package fsroot

import "testing"

func TestInnerPath(t *testing.T) {
	const mounts = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /dev/shm rw - tmpfs tmpfs rw
41 22 254:0 /srv/a\040b /mnt/x\134y\011z rw - ext4 /dev/vda rw
42 22 0:30 /sub\1 /odd rw - btrfs /dev/vdb rw
`
	for _, tt := range []struct {
		id       uint64
		at, want string
	}{
		{22, "/", "/"},
		{22, "/srv/a b", "/srv/a b"},
		{30, "/dev/shm", "/"},
		{30, "/dev/shm/d", "/d"},
		{30, "/dev/shmem", ""},
		{41, "/mnt/x\\y\tz", "/srv/a b"},
		{41, "/mnt/x\\y\tz/in", "/srv/a b/in"},
		{41, "/elsewhere", ""},
		{42, "/odd/f", `/sub\1/f`},
		{2, "/", ""},
	} {
		if got := innerPath(mounts, tt.id, tt.at); got != tt.want {
			t.Errorf("%d %q: %q, want %q", tt.id, tt.at, got, tt.want)
		}
	}
}
