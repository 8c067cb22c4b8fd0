package fsroot

import (
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DirectIO reads and writes parts of large files past the page cache (O_DIRECT),
// where the file system can, and through it where it cannot. It is for those who
// move whole files once: the cache would cost them a copy and the pages that others
// use. It is safe for concurrent use.
//
// Only whole pages go directly, and all of the rest of a range goes through the
// cache, so that no page is written in both ways. That is what keeps the two
// coherent: before a direct read or write the kernel writes the cached pages of its
// range back, and it drops them around a direct write.
type DirectIO struct {
	from int64
	page int

	read, written atomic.Int64

	mu    sync.Mutex
	known map[uint64]ability // by device number
}

// ability says what is known of direct I/O on a file system.
type ability uint8

const (
	unable  ability = iota
	asTold          // with the alignment that the kernel tells of the file
	assumed         // as above; where it tells none, DirectUnit
)

// NewDirectIO returns a DirectIO for files of at least so many bytes; below 0 for
// none.
func NewDirectIO(from int64) *DirectIO {
	return &DirectIO{from: from, page: max(os.Getpagesize(), DirectUnit), known: map[uint64]ability{}}
}

// minDirect is how many bytes of a range have to be in whole pages for a direct
// call to pay, which opens the file once more.
const minDirect = 64 << 10

// Bytes returns how many bytes went past the page cache so far.
func (d *DirectIO) Bytes() (read, written int64) { return d.read.Load(), d.written.Load() }

// ReadAt is f.ReadAt. What is in the page cache is read from there.
func (d *DirectIO) ReadAt(f *os.File, b []byte, off int64) (n int, err error) {
	if p, ok := d.open(f, b, off, unix.O_RDONLY); ok {
		defer unix.Close(p.fd)
		if p.from > 0 {
			if n, err = f.ReadAt(b[:p.from], off); err != nil {
				return n, err
			}
		}
		m, err := d.each(&p, b[p.from:p.to], off+int64(p.from), unix.Pread)
		d.read.Add(int64(m))
		n = p.from + m
		if err != nil {
			return n, &fs.PathError{Op: "read directly from", Path: f.Name(), Err: err}
		}
		if n == len(b) {
			return n, nil
		}
	}
	m, err := f.ReadAt(b[n:], off+int64(n))
	return n + m, err
}

// WriteAt is f.WriteAt. b must not change meanwhile.
func (d *DirectIO) WriteAt(f *os.File, b []byte, off int64) (n int, err error) {
	if p, ok := d.open(f, b, off, unix.O_WRONLY); ok {
		defer unix.Close(p.fd)
		if p.from > 0 {
			if n, err = f.WriteAt(b[:p.from], off); err != nil {
				return n, err
			}
		}
		m, err := d.each(&p, b[p.from:p.to], off+int64(p.from), unix.Pwrite)
		d.written.Add(int64(m))
		n = p.from + m
		if err != nil {
			return n, &fs.PathError{Op: "write directly to", Path: f.Name(), Err: err}
		}
		if n == len(b) {
			return n, nil
		}
	}
	m, err := f.WriteAt(b[n:], off+int64(n))
	return n + m, err
}

// part is the part of a range that goes directly: [from, to) of its memory, in
// whole units, by a descriptor of its own.
type part struct {
	fd, from, to int
	unit         int
}

// each makes direct calls as long as they do whole units. What it did not do is
// for the page cache, which says why if it cannot either.
func (d *DirectIO) each(p *part, b []byte, off int64, call func(int, []byte, int64) (int, error)) (n int, err error) {
	for n < len(b) {
		m, err := call(p.fd, b[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL: // after all: larger units than it tells
			d.learn(p.fd)
			return n, nil
		case err != nil:
			return n, err
		}
		if n += m; m == 0 || m%p.unit != 0 {
			return n - n%p.unit, nil
		}
	}
	return n, nil
}

// open opens f once more for the part of b that can go directly; false where there
// is none, or where the page cache is better.
func (d *DirectIO) open(f *os.File, b []byte, off int64, access int) (p part, ok bool) {
	if d.from < 0 || len(b) < minDirect {
		return p, false
	}
	defer runtime.KeepAlive(f)
	old := int(f.Fd())
	unit, memory, ok := d.align(old)
	if !ok {
		return p, false
	}
	p.unit = int(unit)
	p.from = int((unit - off%unit) % unit)
	p.to = len(b) - int((off+int64(len(b)))%unit)
	if p.to-p.from < minDirect || uintptr(unsafe.Pointer(&b[p.from]))%memory != 0 {
		return p, false
	}
	if access == unix.O_RDONLY {
		if !cold(old, off, int64(len(b))) {
			return p, false
		}
		if flags, err := unix.FcntlInt(uintptr(old), unix.F_GETFL, 0); err == nil {
			access |= flags & unix.O_NOATIME
		}
	}
	var err error
	if p.fd, err = reopen(old, access|unix.O_DIRECT); err == unix.EINVAL {
		d.learn(old)
	}
	return p, err == nil
}

// align returns the unit of offsets and lengths of direct calls for a file, and
// that of memory addresses; false where it is not to have any.
func (d *DirectIO) align(fd int) (unit int64, memory uintptr, ok bool) {
	var st unix.Statx_t
	if err := statx(fd, unix.STATX_TYPE|unix.STATX_SIZE|unix.STATX_DIOALIGN, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < uint64(d.from) {
		return 0, 0, false
	}
	dev := unix.Mkdev(st.Dev_major, st.Dev_minor)
	d.mu.Lock()
	can, known := d.known[dev]
	d.mu.Unlock()
	if !known {
		can = abilityOf(fd)
		d.remember(dev, can)
	}
	told := st.Mask&unix.STATX_DIOALIGN != 0
	switch {
	case can == unable || told && (st.Dio_offset_align == 0 || st.Dio_mem_align == 0) || !told && can != assumed:
		return 0, 0, false
	case told:
		// All are powers of two.
		return int64(max(uint32(d.page), st.Dio_offset_align)), uintptr(st.Dio_mem_align), true
	default:
		return int64(d.page), DirectUnit, true
	}
}

// abilityOf looks at the kind of the file system.
func abilityOf(fd int) ability {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(fd, &st) }); err != nil {
		return unable
	}
	switch st.Type {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.HUGETLBFS_MAGIC:
		return unable // they are the page cache
	case unix.BTRFS_SUPER_MAGIC:
		return unable // its checksums need memory that nobody changes meanwhile, and a peer could
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
		return assumed
	default:
		return asTold
	}
}

// learn notes that direct I/O does not work on the file system of a file.
func (d *DirectIO) learn(fd int) {
	var st unix.Statx_t
	if statx(fd, unix.STATX_TYPE, &st) == nil {
		d.remember(unix.Mkdev(st.Dev_major, st.Dev_minor), unable)
	}
}

// maxKnown bounds what is remembered: file systems come and go.
const maxKnown = 256

func (d *DirectIO) remember(dev uint64, can ability) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[dev] = can
}

// cold reports whether a range is on the disk rather than in the page cache: less
// than a quarter of it is there, and nothing that has to be written first. Where
// the kernel cannot tell (before Linux 6.5) it is taken to be in the cache, for
// what is there is read faster from there.
func cold(fd int, off, n int64) bool {
	r := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	var st unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &r, &st, 0); err != nil {
		return false
	}
	return st.Dirty == 0 && st.Writeback == 0 && int64(st.Cache)*int64(os.Getpagesize())*4 < n
}

// reopen opens what a descriptor stands for once more, with flags of its own. It
// is the same file, whatever its name stands for by now.
func reopen(fd, flags int) (int, error) {
	var path [40]byte
	strconv.AppendInt(append(path[:0], "/proc/self/fd/"...), int64(fd), 10)
	cwd := unix.AT_FDCWD
	for {
		nfd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(cwd), uintptr(unsafe.Pointer(&path)), uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		switch e {
		case 0:
			return int(nfd), nil
		case unix.EINTR:
		default:
			return -1, e
		}
	}
}

func statx(fd int, mask int, st *unix.Statx_t) error {
	var empty cname
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty)), unix.AT_EMPTY_PATH, uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
		switch e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}
