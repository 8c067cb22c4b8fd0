package receiver

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// media is an Open that asks for reading back from the device.
func media(m *transfer.Open) { m.Options.Verify = transfer.VerifyMedia }

// TestP9MediaThatIsNone: in memory there is no device to read back from, and the
// transfer says so, at its start and at its end.
func TestP9MediaThatIsNone(t *testing.T) {
	g := newRigAt(t, smallFS(t, "size=16m"), t.TempDir())
	want := transfer.Checked{Verify: transfer.VerifyStore, Reason: transfer.MemoryFileSystem}
	o, first := g.connect(g.request("d", media), Peer{Node: "n1"})
	if opened, ok := first.(*transfer.Opened); !ok || opened.Checked != want {
		t.Errorf("%T %+v", first, first)
	}
	o.send(&transfer.PrepareData{Transports: []string{transport.TCP}, Streams: 1})
	o.next()
	o.announce(dir(root, ""), regular(0, "a", pattern(100, 1)), regular(0, "b", pattern(2*testChunk, 2)))
	o.serve()
	if fin := o.finish(); fin.Err != nil || fin.Checked != want {
		t.Errorf("%+v", fin)
	}
	g.wantFile("d/b", pattern(2*testChunk, 2))
}

// TestP9Media: where a device is below, it is read.
func TestP9Media(t *testing.T) {
	dirPath := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dirPath, &fs); err != nil {
		t.Fatal(err)
	}
	want := transfer.Checked{}
	if why := whyNoMedia(int64(fs.Type)); why != "" {
		want = transfer.Checked{Verify: transfer.VerifyStore, Reason: why}
	}
	g := newRigAt(t, dirPath, t.TempDir())
	o := g.dial(g.request("d", media))
	sizes := []int64{1, 4095, 4096, 4097, readBuffer - 1, readBuffer, readBuffer + 1, testChunk, 2*testChunk + 5}
	list := []source{dir(root, "")}
	for i, n := range sizes {
		list = append(list, regular(0, strings.Repeat("x", i+1), pattern(n, byte(i))))
	}
	o.announce(list...)
	o.serve()
	for n := range list {
		o.want(uint64(n), transfer.OutcomePublished)
	}
	if fin := o.finish(); fin.Err != nil || fin.Checked != want {
		t.Errorf("%+v, want %+v", fin, want)
	}
	g.wantClean()
}

// TestMediaFindsOtherBytes: what is read back is compared, too.
func TestMediaFindsOtherBytes(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f", media))
	o.announce(regular(root, "", pattern(2*testChunk, 1)))
	o.answer(0)
	o.sendRange(0, transport.Range{Length: 2 * testChunk})
	temps := g.temps()
	if len(temps) != 1 {
		t.Fatal(temps)
	}
	f, err := os.OpenFile(temps[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1, 2, 3}, testChunk+77); err != nil {
		t.Fatal(err)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.fails(0, transfer.ChecksumMismatch)
	o.finish()
	g.wantClean()
}

func TestWhichFileSystemsHaveMedia(t *testing.T) {
	for magic, want := range map[int64]transfer.VerifyReason{
		extMagic: "", xfsMagic: "", btrfsMagic: "", f2fsMagic: "",
		tmpfsMagic: transfer.MemoryFileSystem, int64(int32(-2054924042)): transfer.MemoryFileSystem, // ramfs, as 32-bit kernels sign it
		0x6969: transfer.UnprovedFileSystem, 0x794c7630: transfer.UnprovedFileSystem,
	} {
		if got := whyNoMedia(magic); got != want {
			t.Errorf("%#x: %q, want %q", magic, got, want)
		}
	}
}

// TestDirectReads: whole units and the end of the file.
func TestDirectReads(t *testing.T) {
	at := t.TempDir()
	data := pattern(2*fsroot.DirectUnit+100, 3)
	if err := os.WriteFile(at+"/f", data, 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := fsroot.OpenExports([]fsroot.Export{{Path: at, Mode: fsroot.ReadWrite}})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	r, _, err := x.Resolve(at, true)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f, err := d.OpenWrite("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), f.Direct()); err != nil {
		if errors.Is(err, fsroot.ErrUnsupported) {
			needs.Missing(t, "this file system has no direct reads")
		}
		t.Fatal(err)
	}
	buf := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	for _, c := range []struct {
		off  int64
		n    int
		want int
	}{{0, 4096, 4096}, {0, 5000, 5000}, {4096, 4196, 4196}, {8192, 100, 100}, {8192, 200, 100}, {12288, 10, 0}} {
		n, err := directFile{f}.Pread(buf[:c.n], c.off)
		if err != nil || n != c.want || string(buf[:n]) != string(data[min(c.off, int64(len(data))):min(c.off+int64(n), int64(len(data)))]) {
			t.Errorf("%+v: %d, %v", c, n, err)
		}
	}
}
