package fsroot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/bufpool"
)

// slab is page-aligned memory, as transports have it.
func slab(t testing.TB, n int) []byte {
	t.Helper()
	p := bufpool.New(int64(4 * n))
	b, ok := p.TryGet(n)
	if !ok {
		t.Fatal("no buffer")
	}
	t.Cleanup(func() {
		b.Release()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.Bytes()
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n), 9}).Read(b)
	return b
}

func newFile(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// chill takes a file out of the page cache.
func chill(t testing.TB, f *os.File) {
	t.Helper()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
}

// same compares a file with what should be in it, through the page cache, and from
// the disk.
func same(t testing.TB, f *os.File, want []byte) {
	t.Helper()
	for _, from := range []string{"page cache", "disk"} {
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the bytes by the %s are not what was written (%d, want %d)", from, len(got), len(want))
		}
		chill(t, f)
	}
}

// Whatever is written and read in both ways, in any order, is as if it was one.
func TestDirectIOMixesWithThePageCache(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		const size = 3<<20 + 4711
		d := NewDirectIO(1)
		f := newFile(t, dir)
		if err := f.Truncate(size); err != nil { // all holes at first
			t.Fatal(err)
		}
		want, fresh := make([]byte, size), noise(1<<20)
		mem := slab(t, 1<<20)
		rnd := rand.New(rand.NewPCG(3, 4))
		for i := range 400 {
			off := rnd.IntN(size)
			if rnd.IntN(2) == 0 {
				off &^= DirectUnit - 1
			}
			n := min(rnd.IntN(len(mem))+1, size-off)
			at := 0
			if rnd.IntN(2) == 0 && n < len(mem)-DirectUnit {
				at = off % DirectUnit // memory in step with the file
			}
			b := mem[at:min(at+n, len(mem))]
			n = len(b)
			switch rnd.IntN(5) {
			case 0, 1:
				copy(b, fresh[rnd.IntN(1000):])
				write := d.WriteAt
				if rnd.IntN(3) == 0 {
					write = func(f *os.File, b []byte, off int64) (int, error) { return f.WriteAt(b, off) }
				}
				if m, err := write(f, b, int64(off)); m != n || err != nil {
					t.Fatalf("%d: wrote %d of %d: %v", i, m, n, err)
				}
				copy(want[off:], b)
			case 2:
				chill(t, f)
				fallthrough
			default:
				clear(b)
				if m, err := d.ReadAt(f, b, int64(off)); m != n || err != nil {
					t.Fatalf("%d: read %d of %d: %v", i, m, n, err)
				}
				if !bytes.Equal(b, want[off:off+n]) {
					t.Fatalf("%d: [%d,+%d) has other bytes", i, off, n)
				}
			}
		}
		same(t, f, want)
		if r, w := d.Bytes(); r == 0 || w == 0 {
			t.Errorf("%d and %d bytes went directly: this tests less than it should", r, w)
		}
	})
}

// Extents of one file land at once, each with pages at its ends that it does not
// fill, while somebody reads the file.
func TestDirectIOOfNeighbours(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		const part, parts = 300<<10 + 123, 16
		d := NewDirectIO(1)
		f := newFile(t, dir)
		if err := f.Truncate(part * parts); err != nil {
			t.Fatal(err)
		}
		want := noise(part * parts)
		var writers, readers sync.WaitGroup
		over := make(chan struct{})
		readers.Go(func() {
			b := make([]byte, 1<<20)
			for {
				select {
				case <-over:
					return
				default:
					if _, err := f.ReadAt(b, rand.Int64N(part*parts-int64(len(b)))); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for i := range parts {
			off := i * part
			mem := slab(t, part+DirectUnit)
			b := mem[off%DirectUnit:][:part]
			copy(b, want[off:])
			writers.Go(func() {
				if n, err := d.WriteAt(f, b, int64(off)); n != part || err != nil {
					t.Errorf("%d: wrote %d: %v", i, n, err)
				}
			})
		}
		writers.Wait()
		close(over)
		readers.Wait()
		same(t, f, want)
	})
}

// The end of a file is where it is, also where it moves, and holes stay holes.
func TestDirectIOAtTheEnd(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		d := NewDirectIO(1)
		f := newFile(t, dir)
		mem := slab(t, 1<<20)
		for _, size := range []int{1<<20 - 1, 128 << 10, 128<<10 + 1, 200<<10 - 513, minDirect, minDirect + 1} {
			want := noise(size)
			if err := f.Truncate(0); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(want[:1]); err != nil { // the file grows by what comes
				t.Fatal(err)
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			copy(mem, want)
			if n, err := d.WriteAt(f, mem[:size], 0); n != size || err != nil {
				t.Fatalf("%d: wrote %d: %v", size, n, err)
			}
			same(t, f, want)
			if n, err := d.ReadAt(f, mem, 0); n != size || err != io.EOF || !bytes.Equal(mem[:n], want) {
				t.Fatalf("read %d of %d: %v", n, size, err)
			}
			if n, err := d.ReadAt(f, mem, int64(size)); n != 0 || err != io.EOF {
				t.Fatalf("read %d after the end: %v", n, err)
			}
			if err := f.Truncate(int64(size) + 1<<20); err != nil {
				t.Fatal(err)
			}
			chill(t, f)
			if n, err := d.ReadAt(f, mem, 0); n != len(mem) || err != nil || !bytes.Equal(mem[:size], want) || len(bytes.Trim(mem[size:], "\x00")) != 0 {
				t.Fatalf("read %d of %d that grew: %v", n, size, err)
			}
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Blocks*512 > 256<<10 {
			t.Errorf("%d blocks, %v: a hole was filled", st.Blocks, err)
		}
	})
}
