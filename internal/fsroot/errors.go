package fsroot

import (
	"errors"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What errors.Is finds in the errors of this package, besides the errno.
var (
	// ErrEscapes: resolving the path would leave the export.
	ErrEscapes = errors.New("path leaves its export")
	// ErrBadPath: the path or name breaks the rules of Exports.Resolve, or of a
	// single name. Nothing was touched.
	ErrBadPath = errors.New("bad path")
	// ErrNotExported: no export holds the path.
	ErrNotExported = errors.New("path is in no export")
	// ErrNotRegular: a regular file was expected. The errno beside it is ELOOP
	// for a symbolic link, EISDIR for a directory and ENXIO for the rest.
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnsupported: the file system cannot do it.
	ErrUnsupported = errors.ErrUnsupported
	// ErrReadOnly: the export is read-only. It matches EROFS as well.
	ErrReadOnly error = &refusal{what: "export is read-only", errno: unix.EROFS}
	// ErrNoInodes: the file system has room, but none for one more file. It
	// matches ENOSPC as well.
	ErrNoInodes error = &refusal{what: "no inodes left on the file system", errno: unix.ENOSPC}
	// ErrTimeRange: the file system keeps no such time, or the source had one out
	// of our own range. The nearest one was set.
	ErrTimeRange error = &refusal{what: "the time is out of the range that can be kept", errno: unix.EINVAL}
	// ErrXattrName: the attribute is neither user.* nor a POSIX ACL.
	ErrXattrName error = &refusal{what: "attribute is neither user.* nor a POSIX ACL", errno: unix.EPERM}
	// ErrNoOpenat2: this kernel or its system call filter has no openat2(2).
	ErrNoOpenat2 error = &refusal{what: "openat2(2) is missing: xferd needs Linux 5.6 and a system call filter that allows openat2", errno: unix.ENOSYS}
)

// refusal is an error of our own beside an errno of the same meaning, so that
// callers that sort errors by errno need not know this package.
type refusal struct {
	what  string
	is    error // the sentinel it is also, or nil
	errno syscall.Errno
}

func (e *refusal) Error() string        { return e.what }
func (e *refusal) Unwrap() error        { return e.errno }
func (e *refusal) Is(target error) bool { return e.is != nil && target == e.is }

func badPath(why string, errno syscall.Errno) error {
	return &refusal{what: "bad path: " + why, is: ErrBadPath, errno: errno}
}

var (
	errEmpty    = badPath("it is empty", unix.EINVAL)
	errRelative = badPath("it is not absolute", unix.EINVAL)
	errNotRel   = badPath("it is absolute", unix.EINVAL)
	errNUL      = badPath("it has a NUL byte", unix.EINVAL)
	errDot      = badPath("it has a . or .. component", unix.EINVAL)
	errComp     = badPath("it has an empty component (a double or trailing slash)", unix.EINVAL)
	errSlash    = badPath("a name has no slash", unix.EINVAL)
	errLongName = badPath("a component is longer than 255 bytes", unix.ENAMETOOLONG)
	errLongPath = badPath("it is longer than 4096 bytes", unix.ENAMETOOLONG)
	errDeep     = badPath("it has more than 256 components", unix.ENAMETOOLONG)

	errIsSymlink = &refusal{what: "not a regular file: a symbolic link", is: ErrNotRegular, errno: unix.ELOOP}
	errIsDir     = &refusal{what: "not a regular file: a directory", is: ErrNotRegular, errno: unix.EISDIR}
	errIsSpecial = &refusal{what: "not a regular file: a FIFO, socket or device", is: ErrNotRegular, errno: unix.ENXIO}
)

// PathError says which operation failed on what. Path is the absolute path in
// the daemon's view, as bytes; Error quotes it, because names come from
// strangers.
type PathError struct {
	Op   string
	Path string
	Err  error
}

func (e *PathError) Error() string { return e.Op + " " + strconv.Quote(e.Path) + ": " + e.Err.Error() }
func (e *PathError) Unwrap() error { return e.Err }

// place names something under a root for messages. The string is only joined
// when there is an error to tell.
type place struct {
	root string // absolute
	rel  string // of the directory
	name string
}

func (p place) String() string { return absPath(p.root, join(p.rel, p.name)) }

func (p place) fail(op string, err error) error {
	return &PathError{Op: op, Path: p.String(), Err: err}
}

// wrap is fail for operations on an fd, and keeps nil.
func (p place) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return p.fail(op, err)
}
