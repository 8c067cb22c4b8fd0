package fsroot

import (
	"fmt"
	"os"
)

// ReopenReadOnly returns a second descriptor of an open file, which has a position of its
// own and can only be read: dup(2) would keep the rights of the first. The caller
// closes it. It asks for the right to read the file anew.
func ReopenReadOnly(f *os.File) (*os.File, error) {
	// A link of the kernel's to the file itself: no name is looked up.
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY, 0)
}
