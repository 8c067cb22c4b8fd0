package fsroot

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// KernelPath asks the kernel where an open directory lies now, empty where it
// does not tell. Nothing is opened by it: it is for comparing and for people.
func (d *Dir) KernelPath() string {
	p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.Fd()))
	if err != nil || !strings.HasPrefix(p, "/") {
		return ""
	}
	return p
}

// IsMount says whether another file system, or a bind mount, begins at the
// directory. Where the kernel does not tell, it does not.
func (d *Dir) IsMount() bool {
	var st unix.Statx_t
	err := unix.Statx(d.Fd(), "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
