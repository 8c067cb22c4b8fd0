package fsroot

import (
	"fmt"
	"os"
	"strconv"
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

// InnerPath is where an open directory lies within its file system, whichever
// mount it was reached by, empty where the kernel does not tell. Nothing is
// opened by it but the list of mounts: it is for comparing.
func (d *Dir) InnerPath() string {
	var st unix.Statx_t
	if err := unix.Statx(d.Fd(), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return ""
	}
	at := d.KernelPath()
	if at == "" {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return innerPath(string(mounts), st.Mnt_id, at)
}

// innerPath looks up a mount in the lines of proc(5), which have its number, that
// of its parent, the device, the root within the file system and the mount point.
func innerPath(mounts string, id uint64, at string) string {
	for line := range strings.Lines(mounts) {
		f := strings.SplitN(line, " ", 6)
		if len(f) < 6 || f[0] != strconv.FormatUint(id, 10) {
			continue
		}
		root, point := strings.TrimSuffix(unescapeMount(f[3]), "/"), strings.TrimSuffix(unescapeMount(f[4]), "/")
		rest, ok := strings.CutPrefix(at, point)
		if !ok || rest != "" && rest[0] != '/' {
			return ""
		}
		if rest = strings.TrimSuffix(rest, "/"); root+rest == "" {
			return "/"
		}
		return root + rest
	}
	return ""
}

// unescapeMount undoes the \ooo that stand for blanks and the like.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
