package fsroot

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

func TestReadDir(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		d := openTop(t, export(t, dir))
		want := map[string]Kind{"dir": Directory, "link": Symlink, "fifo": FIFO, "socket": Socket}
		must(t, d.Mkdir("dir", 0o700))
		must(t, d.Symlink("x", "link"))
		must(t, d.Mknod("fifo", FIFO, 0o600, 0))
		must(t, d.Mknod("socket", Socket, 0o600, 0))
		for _, name := range oddNames {
			f, err := d.Create(name, 0o600)
			must(t, err)
			f.Close()
			want[name] = Regular
		}
		for range 2 { // it starts from the beginning each time
			got := map[string]Kind{}
			must(t, d.ReadDir(func(name string, k Kind) error {
				if _, twice := got[name]; twice {
					t.Errorf("%q twice", name)
				}
				got[name] = k
				return nil
			}))
			if len(got) != len(want) {
				t.Errorf("%d names, want %d", len(got), len(want))
			}
			for name, k := range want {
				if got[name] != k {
					t.Errorf("%q is %v, want %v", name, got[name], k)
				}
			}
		}
		// One inside the other.
		outer := 0
		must(t, d.ReadDir(func(string, Kind) error {
			outer++
			inner := 0
			err := d.ReadDir(func(string, Kind) error { inner++; return nil })
			if inner != len(want) {
				t.Errorf("inner reader: %d names", inner)
			}
			return err
		}))
		if outer != len(want) {
			t.Errorf("outer reader: %d names", outer)
		}
		stop := errors.New("stop")
		if err := d.ReadDir(func(string, Kind) error { return stop }); err != stop {
			t.Errorf("error of yield: %v", err)
		}
		must(t, d.Mkdir("gone", 0o700))
		gone, err := d.OpenDir("gone")
		must(t, err)
		defer gone.Close()
		must(t, d.Rmdir("gone"))
		if err := gone.ReadDir(func(string, Kind) error { return nil }); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Errorf("ReadDir of a removed directory: %v", err)
		}
	})
}

func TestReadDirConstantMemory(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "fsroot-test-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := openTop(t, export(t, dir))
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	must(t, d.Mkdir("big", 0o700))
	big, err := d.OpenDir("big")
	must(t, err)
	defer big.Close()
	for i := range n {
		if err := big.Mknod(strconv.Itoa(i), Regular, 0o600, 0); err == nil {
			t.Fatal("Mknod of a file")
		}
		f, err := big.Create(strconv.Itoa(i), 0o600)
		must(t, err)
		f.Close()
	}
	read := func() (count int) {
		must(t, big.ReadDirBytes(func([]byte, Kind) error { count++; return nil }))
		return count
	}
	read()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := read(); got != n {
		t.Errorf("%d names, want %d", got, n)
	}
	runtime.ReadMemStats(&after)
	// The buffer may come from the pool or be a new one. Other than that nothing
	// is allocated for 100,000 names.
	if used := after.TotalAlloc - before.TotalAlloc; used > 2*direntBuf {
		t.Errorf("%d bytes allocated for %d names", used, n)
	}
	must(t, d.RemoveAll("big"))
	if exists(dir + "/big") {
		t.Error("still there")
	}
}

func FuzzDirent(f *testing.F) {
	f.Add([]byte{})
	f.Add(record("name", 8, 24))
	f.Add(record(".", 4, 24))
	f.Add(record("a/b", 8, 24))
	f.Add(record("", 8, 24))
	f.Add(append(record("x", 8, 24), record("..", 4, 24)...))
	f.Add(record("too long", 8, 4000))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			name, _, record := dirent(b)
			if record == nil {
				return
			}
			if len(record) > len(b) || len(record) == 0 {
				t.Fatalf("a record of %d bytes in %d", len(record), len(b))
			}
			if name != nil && len(name) <= MaxName && CheckName(string(name)) != nil {
				t.Fatalf("name %q", name)
			}
			b = b[len(record):]
		}
	})
}

func record(name string, typ byte, size uint16) []byte {
	b := make([]byte, 24)
	b[16], b[17], b[18] = byte(size), byte(size>>8), typ
	copy(b[19:], name)
	return b
}

func TestRemoveAll(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		must(t, os.Mkdir(dir+"/in", 0o755))
		write(t, dir+"/outside/kept", "x")
		d := openTop(t, export(t, dir+"/in"))
		must(t, d.RemoveAll("none"))
		write(t, dir+"/in/file", "x")
		must(t, d.RemoveAll("file"))
		must(t, os.Symlink("../outside", dir+"/in/link"))
		must(t, d.RemoveAll("link"))
		// A tree of everything, wider than one batch.
		for i := range 40 {
			for j := range 40 {
				write(t, fmt.Sprintf("%s/in/tree/%d/%d/file", dir, i, j), "x")
			}
			must(t, os.Symlink(dir+"/outside", fmt.Sprintf("%s/in/tree/%d/link", dir, i)))
			must(t, unix.Mkfifo(fmt.Sprintf("%s/in/tree/%d/fifo", dir, i), 0o600))
		}
		for i := range 2000 {
			must(t, os.Mkdir(fmt.Sprintf("%s/in/tree/a directory with a longer name %d", dir, i), 0o700))
		}
		before := openFDs(t)
		must(t, d.RemoveAll("tree"))
		// Far deeper than the descriptors that it keeps open, and than PATH_MAX.
		at := d.Retain()
		for range 300 {
			must(t, at.Mkdir("a level of a deep tree", 0o755))
			must(t, at.Mkdir("z beside", 0o755))
			f, err := at.Create("file", 0o600)
			must(t, err)
			f.Close()
			next, err := at.OpenDir("a level of a deep tree")
			must(t, err)
			at.Close()
			at = next
		}
		at.Close()
		must(t, d.RemoveAll("a level of a deep tree"))
		if after := openFDs(t); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
		if !exists(dir+"/outside/kept") || exists(dir+"/in/tree") || exists(dir+"/in/a level of a deep tree") {
			t.Error("removed too much or too little")
		}
	})
}

func TestRemoveAllStopsAtMounts(t *testing.T) {
	d, dir := top(t)
	must(t, os.MkdirAll(dir+"/tree/mnt", 0o755))
	needs.TmpfsAt(t, dir+"/tree/mnt", "size=1m")
	write(t, dir+"/tree/mnt/kept", "x")
	wantErr(t, "RemoveAll", d.RemoveAll("tree"), unix.EBUSY)
	if !exists(dir + "/tree/mnt/kept") {
		t.Error("removed what is mounted")
	}
}
