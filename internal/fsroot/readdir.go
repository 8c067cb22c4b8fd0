package fsroot

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// direntBuf is what one getdents64(2) fills: about a thousand names.
const direntBuf = 32 << 10

var direntPool = sync.Pool{New: func() any { return new([direntBuf]byte) }}

// ReadDir gives every name of the directory but "." and "..", in the file
// system's order, as the bytes that are stored. k is 0 where the file system
// does not tell it. An error of yield ends it and is returned as it is.
//
// It needs the same memory for any number of names. Names that are made or
// removed meanwhile may or may not be given. Several may run at once.
func (d *Dir) ReadDir(yield func(name string, k Kind) error) error {
	return d.ReadDirBytes(func(name []byte, k Kind) error { return yield(string(name), k) })
}

// ReadDirBytes is ReadDir without a string per name: name is valid until yield
// returns.
func (d *Dir) ReadDirBytes(yield func(name []byte, k Kind) error) error {
	fd := d.fd
	if d.reading.CompareAndSwap(false, true) {
		defer d.reading.Store(false)
		if _, err := unix.Seek(fd, 0, 0); err != nil {
			return d.at("").fail("read", err)
		}
	} else {
		// The position belongs to the descriptor: another reader needs its own.
		own, err := unix.Openat(fd, ".", dirFlags|unix.O_CLOEXEC, 0)
		if err != nil {
			return d.at("").fail("read", err)
		}
		defer unix.Close(own)
		fd = own
	}
	buf := direntPool.Get().(*[direntBuf]byte)
	defer direntPool.Put(buf)
	for {
		n, err := getdents(fd, buf[:])
		if err != nil {
			return d.at("").fail("read", err)
		}
		if n == 0 {
			return nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			name, k, next := dirent(rest)
			if next == nil {
				return d.at("").fail("read", unix.EIO)
			}
			rest = rest[len(next):]
			if name == nil {
				continue
			}
			if err := yield(name, k); err != nil {
				return err
			}
		}
	}
}

func getdents(fd int, buf []byte) (n int, err error) {
	for {
		if n, err = unix.Getdents(fd, buf); err != unix.EINTR {
			return n, err
		}
	}
}

// dirent takes the first record of struct linux_dirent64: inode (8 bytes),
// position (8), length of the record (2), type (1), name ending in NUL. record
// is nil if it is damaged; name is nil for "." and "..", and for what cannot be
// a name.
func dirent(b []byte) (name []byte, k Kind, record []byte) {
	const header = 19
	if len(b) < header {
		return nil, 0, nil
	}
	size := int(binary.NativeEndian.Uint16(b[16:]))
	if size <= header || size > len(b) {
		return nil, 0, nil
	}
	record = b[:size]
	name = record[header:]
	end := bytes.IndexByte(name, 0)
	if end < 0 {
		return nil, 0, nil
	}
	name = name[:end]
	if len(name) == 0 || string(name) == "." || string(name) == ".." || bytes.IndexByte(name, '/') >= 0 {
		return nil, 0, record
	}
	return name, kindOf(uint32(b[18]) << 12), record // DT_* are the S_IFMT bits moved
}
