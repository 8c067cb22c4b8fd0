package transporttest

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transport"
)

// canary is what memory has where nothing may land.
const canary = 0xa5

// Region is a memfd and its mapping, full of canaries.
type Region struct {
	File *os.File
	Mem  []byte
}

// NewRegion maps n bytes, which are given back with the test: it has to be made
// before the edge.
func NewRegion(t testing.TB, n int) *Region {
	t.Helper()
	fd, err := unix.MemfdCreate("region", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	r := &Region{File: os.NewFile(uintptr(fd), "region")}
	t.Cleanup(func() { r.File.Close() })
	if err := r.File.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	if r.Mem, err = unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(r.Mem); err != nil {
			t.Error(err)
		}
	})
	r.Fill(canary)
	return r
}

// Fill has every byte be b.
func (r *Region) Fill(b byte) {
	r.Mem[0] = b
	for n := 1; n < len(r.Mem); n *= 2 {
		copy(r.Mem[n:], r.Mem[:n])
	}
}

// stray returns the first byte of memory that is no canary, -1 where all are.
func stray(mem []byte) int {
	if bytes.Count(mem, []byte{canary}) == len(mem) {
		return -1
	}
	i := 0
	for mem[i] == canary {
		i++
	}
	return i
}

// Layout says where packed bytes belong in memory, in order.
type Layout []transport.Range

// Size is the number of packed bytes.
func (l Layout) Size() (n int64) {
	for _, r := range l {
		n += r.Length
	}
	return n
}

// Places returns where the packed bytes of a range belong.
func (l Layout) Places(off, n int64) (places []transport.Range) {
	for _, r := range l {
		if n == 0 {
			break
		}
		if off >= r.Length {
			off -= r.Length
			continue
		}
		part := min(n, r.Length-off)
		places = append(places, transport.Range{Offset: r.Offset + off, Length: part})
		off, n = 0, n-part
	}
	return places
}

// Pieces is Places as memory.
func (l Layout) Pieces(mem []byte, off, n int64) (pieces [][]byte) {
	for _, r := range l.Places(off, n) {
		pieces = append(pieces, mem[r.Offset:r.End():r.End()])
	}
	return pieces
}

// index answers Places for extents on the grid of ChunkSize, without a walk from
// the start each time.
func (l Layout) index() func(off, n int64) []transport.Range {
	all := map[int64][]transport.Range{}
	for off, total := int64(0), l.Size(); off < total; off += ChunkSize {
		n := min(ChunkSize, total-off)
		all[off] = l.Places(off, n)
	}
	return func(off, n int64) []transport.Range {
		if p := all[off]; p != nil && off+n == min(off+ChunkSize, l.Size()) {
			return p
		}
		return l.Places(off, n)
	}
}

// Check compares memory with what was sent; what lies between has to be canaries.
func (l Layout) Check(t *testing.T, mem, packed []byte) {
	t.Helper()
	want := bytes.Repeat([]byte{canary}, len(mem))
	for _, r := range l {
		packed = packed[copy(want[r.Offset:r.End()], packed):]
	}
	if bytes.Equal(mem, want) {
		return
	}
	for i := range mem {
		if mem[i] != want[i] {
			t.Fatalf("byte %d of %d of the memory is not what it has to be", i, len(mem))
		}
	}
}
