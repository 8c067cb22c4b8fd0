package region

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fsroot"
)

// attach maps what a program gets.
func TestAttach(t *testing.T) {
	r := newRegistry(t)
	info := mustCreate(t, r, Spec{ID: "x", Readers: []string{bob}})
	c := connect(t, r, ann)
	answer, files := c.ask(Greeting + " attach x rw\n")
	if want := fmt.Sprintf("ok %d 0 %s", 2*PageSize, hex.EncodeToString(info.UID[:])); answer != want || len(files) != 2 {
		t.Fatalf("answer %q with %d descriptors, want %q", answer, len(files), want)
	}
	mine := mapped(t, files[0], 2*PageSize, unix.PROT_READ|unix.PROT_WRITE)
	page := mapped(t, files[1], noticeSize, unix.PROT_READ)
	copy(mine, "from the program")

	other := connect(t, r, bob)
	_, theirs := other.ask(Greeting + " attach x r\n")
	if got := mapped(t, theirs[0], 2*PageSize, unix.PROT_READ); string(got[:16]) != "from the program" {
		t.Errorf("another program sees %q", got[:16])
	}
	// The seals and rights hold.
	for name, err := range map[string]error{
		"shrink":           files[0].Truncate(PageSize),
		"grow":             files[0].Truncate(3 * PageSize),
		"write the notice": second(files[1].WriteAt([]byte{1}, 0)),
		"map the notice":   tryMap(files[1], noticeSize),
		"map for reading":  tryMap(theirs[0], PageSize),
		"write by reading": second(theirs[0].WriteAt([]byte{1}, 0)),
	} {
		if err == nil {
			t.Errorf("%s: it was possible", name)
		}
	}
	w := mustWrite(t, r, "x", Range{0, 4})
	copy(w.Memory(), "done")
	if n := binary.LittleEndian.Uint32(page[noticeOpenWrites:]); n != 1 {
		t.Errorf("the page says %d open writes", n)
	}
	w.Touched()
	if _, err := w.Commit(Commit{}); err != nil {
		t.Fatal(err)
	}
	if string(mine[:4]) != "done" || binary.LittleEndian.Uint64(page[noticeGeneration:]) != 1 ||
		binary.LittleEndian.Uint32(page) != noticeMagic || binary.LittleEndian.Uint64(page[8:]) != 2*PageSize || page[noticeState] != byte(Ready) {
		t.Errorf("memory %q, page %v", mine[:4], page[:40])
	}
	_ = w.Close()
	if i, _ := r.Get(ann, "x"); i.Attached != 2 || !i.Expires.IsZero() {
		t.Errorf("%d attached, lease to %v", i.Attached, i.Expires)
	}
	other.close()
	c.close()
	if i, _ := r.Get(ann, "x"); i.Attached != 0 || i.Expires.IsZero() {
		t.Errorf("%d attached, lease to %v", i.Attached, i.Expires)
	}
}

func second(_ int, err error) error { return err }

func tryMap(f *os.File, size int) error {
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Munmap(b)
	}
	return err
}

// The one who is told first that the region is gone is who has it attached.
func TestAttachedProgramsAreToldOfTheEnd(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	c := connect(t, r, ann)
	_, files := c.ask(Greeting + " attach x rw\n")
	page := mapped(t, files[1], noticeSize, unix.PROT_READ)
	if err := r.Delete(t.Context(), ann, "x", false); err != nil {
		t.Fatal(err)
	}
	if err := c.wait(); err != nil {
		t.Error(err)
	}
	if State(page[noticeState]) != Deleting {
		t.Errorf("the page says %v", State(page[noticeState]))
	}
}

func TestAttachEndsWithItsContext(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	c := connect(t, r, ann)
	c.ask(Greeting + " attach x rw\n")
	c.end()
	_ = c.wait()
	silent := connect(t, r, ann)
	silent.end()
	_ = silent.wait()
}

// Lines that are no requests, and requests of those who may not.
func TestAttachRefuses(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x", Readers: []string{bob}})
	mustCreate(t, r, Spec{ID: "f", Foreign: true})
	for name, c := range map[string]struct{ who, line, want string }{
		"unknown":          {ann, "attach nothing rw\n", "REGION_NOT_FOUND"},
		"no right":         {eve, "attach x r\n", "REGION_NOT_FOUND"},
		"reader writes":    {bob, "attach x rw\n", "PERMISSION_DENIED"},
		"not offered yet":  {ann, "attach f rw\n", "REGION_DETACHED"},
		"other mode":       {ann, "attach x w\n", "INVALID_SPEC"},
		"no mode":          {ann, "attach x\n", "INVALID_SPEC"},
		"other verb":       {ann, "detach x\n", "INVALID_SPEC"},
		"empty":            {ann, "\n", "INVALID_SPEC"},
		"two lines":        {ann, "attach x r\nattach x r\n", "INVALID_SPEC"},
		"too long":         {ann, strings.Repeat("a", 300) + "\n", "INVALID_SPEC"},
		"offer of nothing": {ann, "offer f\n", "REGION_FD"},
		"no region":        {ann, "attach ../../etc/passwd r\n", "REGION_NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			s := connect(t, r, c.who)
			answer, files := s.ask(Greeting + " " + c.line)
			if !strings.HasPrefix(answer, "error "+c.want+" ") || len(files) > 0 {
				t.Errorf("answer %q with %d descriptors, want %s", answer, len(files), c.want)
			}
			if s.wait() == nil {
				t.Error("nothing for the log")
			}
		})
	}
}

// testMemfd makes one of a size with seals.
func testMemfd(t *testing.T, size int64, seals int) *os.File {
	t.Helper()
	f, err := memfd("test", unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if seals != 0 {
		if err := addSeals(f, seals); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// What is offered has to be memory whose size is for good.
func TestOfferRefusesWrongDescriptors(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "f", Foreign: true, Writers: []string{bob}})
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_ = file.Truncate(2 * PageSize)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	good := testMemfd(t, 2*PageSize, sizeSeals)
	readOnly, err := fsroot.ReopenReadOnly(good)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	shrinks := testMemfd(t, 2*PageSize, unix.F_SEAL_GROW) // could be cut after it was looked at
	before := openFiles(t)
	for name, c := range map[string]struct {
		who string
		fds []*os.File
	}{
		"pipe":                 {ann, []*os.File{pr}},
		"directory":            {ann, []*os.File{dir}},
		"file":                 {ann, []*os.File{file}},
		"unsealed memfd":       {ann, []*os.File{testMemfd(t, 2*PageSize, 0)}},
		"can shrink":           {ann, []*os.File{shrinks}},
		"can grow":             {ann, []*os.File{testMemfd(t, 2*PageSize, unix.F_SEAL_SHRINK)}},
		"sealed for writes":    {ann, []*os.File{testMemfd(t, 2*PageSize, sizeSeals|unix.F_SEAL_FUTURE_WRITE)}},
		"open for reading":     {ann, []*os.File{readOnly}},
		"too small":            {ann, []*os.File{testMemfd(t, PageSize, sizeSeals)}},
		"too large":            {ann, []*os.File{testMemfd(t, 3*PageSize, sizeSeals)}},
		"two descriptors":      {ann, []*os.File{good, good}},
		"more than are read":   {ann, []*os.File{good, good, good, good, good, good, good, good, good, good}},
		"of a writer at first": {bob, []*os.File{good}},
	} {
		t.Run(name, func(t *testing.T) {
			var fds []int
			for _, f := range c.fds {
				fds = append(fds, int(f.Fd()))
			}
			s := connect(t, r, c.who)
			answer, _ := s.ask(Greeting+" offer f\n", fds...)
			want := "REGION_FD"
			if c.who != ann {
				want = "PERMISSION_DENIED"
			}
			if !strings.HasPrefix(answer, "error "+want+" ") {
				t.Errorf("answer %q, want %s", answer, want)
			}
			s.close()
		})
	}
	t.Run("descriptor with attach", func(t *testing.T) {
		s := connect(t, r, ann)
		if answer, _ := s.ask(Greeting+" attach f rw\n", int(good.Fd())); !strings.HasPrefix(answer, "error REGION_FD ") {
			t.Errorf("answer %q", answer)
		}
	})
	t.Run("one that is closed", func(t *testing.T) {
		s := connect(t, r, ann)
		f := testMemfd(t, 2*PageSize, sizeSeals)
		fd := int(f.Fd())
		_ = f.Close()
		if _, _, err := s.conn.WriteMsgUnix([]byte(Greeting+" offer f\n"), unix.UnixRights(fd), nil); err == nil {
			t.Error("it could be sent")
		}
	})
	// The three unsealed and small ones are the test's own, until its end.
	if n := openFiles(t); n > before+8 {
		t.Errorf("%d descriptors, %d before: refused ones are open still", n, before)
	}
	if info, _ := r.Get(ann, "f"); info.State != Detached {
		t.Errorf("state %v", info.State)
	}
}

// A program's own memory, once offered, is the region's; its seals are complete then.
func TestOfferForeign(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "f", Foreign: true})
	f := testMemfd(t, 2*PageSize, sizeSeals)
	_, _ = f.WriteAt([]byte("mine"), 0)
	c := connect(t, r, ann)
	answer, files := c.ask(Greeting+" offer f\n", int(f.Fd()))
	if !strings.HasPrefix(answer, "ok 8192 ") || len(files) != 1 {
		t.Fatalf("answer %q with %d descriptors", answer, len(files))
	}
	if seals, _ := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); seals&unix.F_SEAL_SEAL == 0 {
		t.Errorf("seals %#x", seals)
	}
	w := mustWrite(t, r, "f", Range{0, 4})
	if string(w.Memory()[:4]) != "mine" {
		t.Errorf("memory is %q", w.Memory()[:4])
	}
	copy(w.Memory(), "ours")
	got := make([]byte, 4)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "ours" {
		t.Errorf("the program sees %q, %v", got, err)
	}
	again := connect(t, r, ann)
	if answer, _ := again.ask(Greeting+" offer f\n", int(testMemfd(t, 2*PageSize, sizeSeals).Fd())); !strings.HasPrefix(answer, "error REGION_FD ") {
		t.Errorf("other memory of the same size: %q", answer)
	}
	same := connect(t, r, ann)
	if answer, _ := same.ask(Greeting+" offer f\n", int(f.Fd())); !strings.HasPrefix(answer, "ok ") {
		t.Errorf("the same memory once more: %q", answer)
	}
}
