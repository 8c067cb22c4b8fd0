package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxSocketPath is the longest path of a unix socket in bytes: 108 with the NUL.
const MaxSocketPath = 107

// ErrSocketInUse says that another process answers at the socket.
var ErrSocketInUse = errors.New("another process answers at the socket")

const (
	socketMode = 0o660
	dirMode    = 0o750
	dialTime   = 2 * time.Second
)

// SocketListener is a listening unix socket. Close removes the socket.
type SocketListener struct {
	*net.UnixListener
	lock *os.File
	once sync.Once
	err  error
}

// ListenUnix makes the socket at path with mode 0660, owned by group (a name or
// a number; empty: as the process). A missing directory is made with 0750 and the
// same group; one that is there stays as it is, but must not be open to writing
// by everybody. A socket that is left over is replaced if nobody answers at it;
// "<path>.lock" keeps two processes from doing that at once.
func ListenUnix(path, group string) (*SocketListener, error) {
	l, err := listenUnix(path, group)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, nil
}

func listenUnix(path, group string) (l *SocketListener, err error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path must be absolute")
	}
	if n := len(path); n > MaxSocketPath {
		return nil, fmt.Errorf("the path has %d bytes, the system's limit is %d: choose a shorter one", n, MaxSocketPath)
	}
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	if err := makeSocketDir(filepath.Dir(path), gid); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode of the unbound socket is the one that bind gives to the file: for
	// no moment is it open to others.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	ul := ln.(*net.UnixListener)
	if gid >= 0 {
		err = os.Chown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, socketMode)
	}
	if err != nil {
		_ = ul.Close()
		return nil, err
	}
	return &SocketListener{UnixListener: ul, lock: lock}, nil
}

// Close stops listening, removes the socket and gives up the lock. The lock file
// stays: removing it would let two processes hold it.
func (l *SocketListener) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.UnixListener.Close(), l.lock.Close()) })
	return l.err
}

// groupID returns -1 for the empty name.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", group, err)
	}
	return strconv.Atoi(g.Gid)
}

func makeSocketDir(dir string, gid int) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Stat(dir)
		switch {
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a directory", dir)
		case info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
			return fmt.Errorf("directory %s can be written by everybody: anybody could replace the socket", dir)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if gid >= 0 {
		if err := os.Chown(dir, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(dir, dirMode) // whatever the umask was
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrSocketInUse
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// removeStale removes a socket that nobody listens at any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something else than a socket")
	}
	conn, err := net.DialTimeout("unix", path, dialTime)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrSocketInUse
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.EAGAIN): // alive, with a full queue
		return ErrSocketInUse
	}
	return fmt.Errorf("is somebody there? %w", err)
}
