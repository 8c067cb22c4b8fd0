package fsroot

import (
	"math"

	"golang.org/x/sys/unix"
)

// Kind is the type of a file. The zero Kind is unknown.
type Kind uint8

const (
	Regular Kind = iota + 1
	Directory
	Symlink
	FIFO
	Socket
	CharDev
	BlockDev
)

func (k Kind) String() string {
	switch k {
	case Regular:
		return "file"
	case Directory:
		return "directory"
	case Symlink:
		return "symlink"
	case FIFO:
		return "fifo"
	case Socket:
		return "socket"
	case CharDev:
		return "character device"
	case BlockDev:
		return "block device"
	}
	return "unknown"
}

// mode gives the S_IFMT bits.
func (k Kind) mode() uint32 {
	switch k {
	case Regular:
		return unix.S_IFREG
	case Directory:
		return unix.S_IFDIR
	case Symlink:
		return unix.S_IFLNK
	case FIFO:
		return unix.S_IFIFO
	case Socket:
		return unix.S_IFSOCK
	case CharDev:
		return unix.S_IFCHR
	case BlockDev:
		return unix.S_IFBLK
	}
	return 0
}

func kindOf(mode uint32) Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return Regular
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFLNK:
		return Symlink
	case unix.S_IFIFO:
		return FIFO
	case unix.S_IFSOCK:
		return Socket
	case unix.S_IFCHR:
		return CharDev
	case unix.S_IFBLK:
		return BlockDev
	}
	return 0
}

// Info is what stat(2) says of one file.
type Info struct {
	Dev, Ino     uint64
	Kind         Kind
	Perm         uint32 // permission, setuid, setgid and sticky bits: 07777
	Nlink        uint32
	UID, GID     uint32
	Size         int64  // bytes
	Blocks       int64  // of 512 bytes
	Mtime, Ctime int64  // nanoseconds since 1970; clamped to the years 1677 to 2262
	Rdev         uint64 // devices only
}

// Sparse tells whether a file has fewer blocks than its size needs: it may have
// holes. A file system that compresses says so of files without holes too.
func (i Info) Sparse() bool { return i.Kind == Regular && i.Blocks*512 < i.Size }

func (i *Info) set(st *unix.Stat_t) {
	*i = Info{
		Dev: uint64(st.Dev), Ino: uint64(st.Ino),
		Kind: kindOf(uint32(st.Mode)), Perm: uint32(st.Mode) & 0o7777,
		Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid,
		Size: int64(st.Size), Blocks: int64(st.Blocks),
		Mtime: nanoseconds(st.Mtim), Ctime: nanoseconds(st.Ctim),
		Rdev: uint64(st.Rdev),
	}
}

func nanoseconds(t unix.Timespec) int64 {
	const limit = math.MaxInt64/1_000_000_000 - 1
	switch {
	case int64(t.Sec) > limit:
		return math.MaxInt64
	case int64(t.Sec) < -limit:
		return math.MinInt64
	}
	return int64(t.Sec)*1_000_000_000 + int64(t.Nsec)
}

// regular says whether a stat is of a regular file, as nil or ErrNotRegular.
func regular(st *unix.Stat_t) error {
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFLNK:
		return errIsSymlink
	case unix.S_IFDIR:
		return errIsDir
	}
	return errIsSpecial
}

// identity is a file as the kernel knows it.
type identity struct{ dev, ino uint64 }

func identityOf(st *unix.Stat_t) identity { return identity{uint64(st.Dev), uint64(st.Ino)} }
