package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// giveToOwner gives a file that root made the owner and group of the state
// directory: the daemon that runs as that user must be able to open it.
func giveToOwner(dir, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var d, f unix.Stat_t
	if err := unix.Stat(dir, &d); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if err := unix.Lstat(path, &f); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if d.Uid == f.Uid && d.Gid == f.Gid {
		return nil
	}
	return os.Lchown(path, int(d.Uid), int(d.Gid))
}
