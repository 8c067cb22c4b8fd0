package transport

import "unsafe"

// Memory is mapped memory of a program that extents lie in, or land in at the
// places where they belong: anonymous memory, a memfd, tmpfs or hugetlbfs, never
// the mapping of another file. Whoever hands it to a transport keeps it mapped; see
// PrepareOptions.Memory and DialOptions.Memory.
type Memory struct {
	// Base is all of it, from the start of a page on. Offsets of Extent.Places
	// count from its first byte.
	Base []byte
	// Needed are the ranges of it that the edge is about, in any order. A
	// transport makes the pages of these known to its devices, and perhaps what
	// lies between them, but nothing before the first or after the last of their
	// pages. Nil is all of Base.
	Needed []Range
	// Pinned, if set, is told how many bytes devices have registered more, or
	// (negative) less: once for each device. It must not block.
	Pinned func(delta int64)
}

// Within reports whether the memory has all of b, and at which offset.
func (m *Memory) Within(b []byte) (offset int64, ok bool) {
	if m == nil || len(b) == 0 || len(m.Base) == 0 {
		return 0, false
	}
	base, at := address(m.Base), address(b)
	if at < base || at-base > uintptr(len(m.Base)) || uintptr(len(b)) > uintptr(len(m.Base))-(at-base) {
		return 0, false
	}
	return int64(at - base), true
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
