package fsroot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// onDisks runs a test on file systems with direct I/O: images of ext4 and xfs, and
// the one of the test's directory if it is one.
func onDisks(t *testing.T, f func(t *testing.T, dir string)) {
	if dir := t.TempDir(); direct(dir) {
		t.Run("here", func(t *testing.T) { f(t, dir) })
	}
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) { f(t, needs.Disk(t, kind, 400)) })
	}
}

func direct(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "direct"), os.O_CREATE|os.O_RDWR|unix.O_DIRECT, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	d := NewDirectIO(0)
	_, _, ok := d.align(int(f.Fd()))
	return ok
}

// A disk that is full says so, at the write.
func TestDirectIOWithoutSpace(t *testing.T) {
	f := newFile(t, needs.Disk(t, "ext4", 16))
	d := NewDirectIO(0)
	mem := slab(t, 1<<20)
	for i := range 64 {
		n, err := d.WriteAt(f, mem, int64(i)<<20)
		if err == nil && n == len(mem) {
			continue
		}
		if _, w := d.Bytes(); w == 0 || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("after %d bytes: %v, want %v", w, err, unix.ENOSPC)
		}
		return
	}
	t.Error("64 MiB fit into 16")
}

// Where the file system is the page cache nothing is tried, and small files are left
// to it everywhere.
func TestDirectIOThatDoesNotPay(t *testing.T) {
	mem := slab(t, 1<<20)
	for name, tt := range map[string]struct {
		dir  string
		from int64
	}{"tmpfs": {"/dev/shm", 0}, "small": {t.TempDir(), 1<<20 + 1}, "off": {t.TempDir(), -1}} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp(tt.dir, "xferd-test-")
			if err != nil {
				needs.Missing(t, "%v", err)
			}
			defer os.RemoveAll(dir)
			f := newFile(t, dir)
			d := NewDirectIO(tt.from)
			for range 2 {
				if n, err := d.WriteAt(f, mem, 0); n != len(mem) || err != nil {
					t.Fatalf("wrote %d: %v", n, err)
				}
				chill(t, f)
				if n, err := d.ReadAt(f, mem, 0); n != len(mem) || err != nil {
					t.Fatalf("read %d: %v", n, err)
				}
			}
			if r, w := d.Bytes(); r+w != 0 {
				t.Errorf("%d and %d bytes went directly", r, w)
			}
			if got := testing.AllocsPerRun(10, func() { _, _ = d.WriteAt(f, mem, 0) }); got > 0 {
				t.Errorf("%v allocations of a write", got)
			}
		})
	}
}

// What is in the page cache is not read from the disk again.
func TestDirectIOReadsWhatIsCached(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		f := newFile(t, dir)
		mem := slab(t, 1<<20)
		if _, err := f.Write(mem); err != nil {
			t.Fatal(err)
		}
		d := NewDirectIO(0)
		for _, when := range []string{"dirty", "clean"} {
			if n, err := d.ReadAt(f, mem, 0); n != len(mem) || err != nil {
				t.Fatalf("%s: read %d: %v", when, n, err)
			}
			if r, _ := d.Bytes(); r != 0 {
				t.Errorf("%s: %d bytes from the disk", when, r)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The kernel does part of a call, is interrupted, or wants larger units than it
// told: the rest is for the page cache, and the file system is left alone then.
func TestDirectIOInParts(t *testing.T) {
	f := newFile(t, t.TempDir())
	for name, tt := range map[string]struct {
		does  []int // bytes of each call; below 0: an error
		want  int
		err   error
		learn bool
	}{
		"whole":         {[]int{256 << 10}, 256 << 10, nil, false},
		"in two":        {[]int{64 << 10, 192 << 10}, 256 << 10, nil, false},
		"interrupted":   {[]int{-int(unix.EINTR), 256 << 10}, 256 << 10, nil, false},
		"half a page":   {[]int{64<<10 + 512}, 64 << 10, nil, false},
		"the end":       {[]int{64 << 10, 0}, 64 << 10, nil, false},
		"no such unit":  {[]int{-int(unix.EINVAL)}, 0, nil, true},
		"after a part":  {[]int{64 << 10, -int(unix.EINVAL)}, 64 << 10, nil, true},
		"a broken disk": {[]int{64 << 10, -int(unix.EIO)}, 64 << 10, unix.EIO, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDirectIO(0)
			n, err := d.each(&part{fd: int(f.Fd()), unit: DirectUnit}, make([]byte, 256<<10), 0, func(int, []byte, int64) (int, error) {
				x := tt.does[0]
				tt.does = tt.does[1:]
				if x < 0 {
					return -1, unix.Errno(-x)
				}
				return x, nil
			})
			if _, _, ok := d.align(int(f.Fd())); n != tt.want || err != tt.err || tt.learn && ok {
				t.Errorf("%d, %v, used again: %v", n, err, ok)
			}
		})
	}
}
