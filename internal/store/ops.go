package store

import (
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/failpoint"
)

// ops are the calls whose failure the store must survive or die of; tests put
// failures in their place.
type ops struct {
	commit    func(*bolt.Tx) error
	write     func(fd int, b []byte, off int64) (int, error)
	syncData  func(f *os.File) error
	syncFile  func(f *os.File) error
	fallocate func(f *os.File, mode uint32, off, n int64) error
}

func realOps(noSync bool) ops {
	o := ops{
		commit: (*bolt.Tx).Commit,
		write:  unix.Pwrite,
		syncData: func(f *os.File) error {
			return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
		},
		syncFile: (*os.File).Sync,
		fallocate: func(f *os.File, mode uint32, off, n int64) error {
			return retry(func() error { return unix.Fallocate(int(f.Fd()), mode, off, n) })
		},
	}
	if noSync {
		none := func(*os.File) error { return nil }
		o.syncData, o.syncFile = none, none
	}
	return o
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(path string) error { return s.ops.syncPath(path) }

func (o *ops) syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = o.syncFile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// publish gives a file that was made under another name its own, durably.
func (o *ops) publish(temp, path string) error {
	if err := o.syncPath(temp); err != nil {
		return err
	}
	failpoint.Hit("store/file-synced")
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	failpoint.Hit("store/file-renamed")
	return o.syncPath(filepath.Dir(path))
}
