package manifest

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openStore(t testing.TB) *store.Store {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "xferd-manifest-*")
	if err != nil {
		dir = t.TempDir()
	}
	s, err := store.Open(t.Context(), dir, store.Options{NodeID: "n1", Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(s.Close(), os.RemoveAll(dir)) })
	return s
}

// makeEntries returns entries numbered from first: a root, and then
// directories of nine files each.
func makeEntries(first uint64, n int) []transfer.Entry {
	list := make([]transfer.Entry, n)
	for i := range list {
		num := first + uint64(i)
		e := &list[i]
		*e = transfer.Entry{Number: num, Name: fmt.Sprintf("file-%07d.dat", num), Kind: transfer.KindFile, Size: int64(num), Print: samplePrint,
			Meta: transfer.Meta{Perm: 0o644, UID: 1000, GID: 1000, Mtime: 1_700_000_000_000_000_000 + int64(num)}}
		switch {
		case num == 0:
			*e = transfer.Entry{Parent: transfer.NoParent, Kind: transfer.KindDir}
		case num%10 == 0:
			*e = transfer.Entry{Number: num, Name: fmt.Sprint("dir", num), Kind: transfer.KindDir}
		default:
			e.Parent = num / 10 * 10
		}
	}
	return list
}

func collect(t *testing.T, m *Log, from, to uint64) []transfer.Entry {
	t.Helper()
	var got []transfer.Entry
	if err := m.Range(from, to, func(e *transfer.Entry) error { got = append(got, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLog(t *testing.T) {
	s := openStore(t)
	m, err := Create(s, store.Owner, "u1", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	want := makeEntries(0, 2500)
	// One big attribute set per entry: what is written at once stays bounded.
	for i := 100; i < 130; i++ {
		want[i].Meta.Xattrs = []transfer.Xattr{{Name: "user.big", Value: make([]byte, 60_000)}}
	}
	if err := m.Append(want[:1]); err != nil {
		t.Fatal(err)
	}
	if err := m.Append(want[1:]); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m.Len() != 2500 || m.Dirs() != 250 {
			t.Fatalf("%d entries, %d directories", m.Len(), m.Dirs())
		}
		if got := collect(t, m, 0, 9999); !reflect.DeepEqual(got, want) {
			t.Fatal("entries differ")
		}
		if got := collect(t, m, 1000, 1003); !reflect.DeepEqual(got, want[1000:1003]) {
			t.Fatal("some entries differ")
		}
		if got := collect(t, m, 7, 7); got != nil {
			t.Fatal("an empty range has entries")
		}
		for _, n := range []uint64{2499, 0, 129, 100, 10} {
			if e, err := m.Entry(n); err != nil || !reflect.DeepEqual(e, want[n]) {
				t.Fatalf("entry %d: %+v %v", n, e, err)
			}
		}
		if _, err := m.Entry(2500); err == nil {
			t.Fatal("there is an entry 2500")
		}
		next := uint64(2490)
		if err := m.DirsBackward(func(e *transfer.Entry) error {
			if e.Number != next {
				return fmt.Errorf("directory %d, want %d", e.Number, next)
			}
			next -= 10
			return nil
		}); err != nil || next != ^uint64(9) {
			t.Fatalf("next %d, %v", next, err)
		}
		boom := errors.New("boom")
		if err := m.Range(0, 10, func(*transfer.Entry) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if err := m.DirsBackward(func(*transfer.Entry) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Fatal(err)
		}
		if m, err = Open(s, store.Owner, "u1", "manifest"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Append(makeEntries(2500, 10)); err != nil || m.Len() != 2510 {
		t.Fatalf("%d entries, %v", m.Len(), err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveLogs(store.Owner, "u1"); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(s.Dir() + "/transfers"); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	m, err := Create(openStore(t), store.Owner, "u1", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Append(makeEntries(1, 1)); !errors.Is(err, ErrEntry) {
		t.Errorf("number 1 first: %v", err)
	}
	bad := makeEntries(0, 3)
	bad[2].Name = "../x"
	if err := m.Append(bad); !errors.Is(err, ErrName) {
		t.Errorf("bad name: %v", err)
	}
	if err := m.Append(makeEntries(0, 3)); err != nil || m.Len() != 3 {
		t.Errorf("after refusals: %v, %d entries", err, m.Len())
	}
}

// A log whose frames are whole but whose entries are not a manifest.
func TestOpenForeignFrames(t *testing.T) {
	s := openStore(t)
	second := makeEntries(0, 2)[1]
	for name, f := range map[string]store.Frame{
		"type":     {Type: 9, Payload: AppendEntry(nil, &makeEntries(0, 1)[0])},
		"number":   {Type: frameEntry, Payload: AppendEntry(nil, &second)},
		"trailing": {Type: frameEntry, Payload: append(AppendEntry(nil, &makeEntries(0, 1)[0]), 0)},
		"garbage":  {Type: frameEntry, Payload: []byte("garbage")},
	} {
		l, err := s.CreateLog(store.Owner, "u", name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AppendBatch([]store.Frame{f}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Open(s, store.Owner, "u", name)
		var de *store.DamagedError
		if !errors.As(err, &de) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMillion writes a million entries: memory must not grow with them.
func TestMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: a million entries take seconds")
	}
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err == nil && int64(st.Bavail)*int64(st.Bsize) < 1<<30 {
		t.Skip("SKIP: less than 1 GiB in /dev/shm")
	}
	m, err := Create(openStore(t), store.Target, "u1", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const n, batch = 1_000_000, 1000
	for at := 0; at < n; at += batch {
		if err := m.Append(makeEntries(uint64(at), batch)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	count := uint64(0)
	if err := m.Range(0, m.Len(), func(e *transfer.Entry) error {
		if e.Number != count {
			return fmt.Errorf("entry %d, want %d", e.Number, count)
		}
		count++
		return nil
	}); err != nil || count != n {
		t.Fatalf("%d entries, %v", count, err)
	}
	dirs := 0
	if err := m.DirsBackward(func(e *transfer.Entry) error { dirs++; return nil }); err != nil || dirs != n/10 {
		t.Fatalf("%d directories, %v", dirs, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for what, held := range map[string]uint64{"after writing": before.HeapAlloc, "after reading": after.HeapAlloc} {
		if held > 16<<20 {
			t.Errorf("%s: %d MiB in use", what, held>>20)
		}
	}
}

func TestNamesOfIndexDoNotClash(t *testing.T) {
	s := openStore(t)
	a, err := Create(s, store.Owner, "u", "a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	names, err := s.LogNames(store.Owner, "u")
	if err != nil || strings.Join(names, " ") != "a" {
		t.Errorf("names %q, %v", names, err)
	}
}

func BenchmarkEntry(b *testing.B) {
	e := makeEntries(0, 13)[12]
	buf := AppendEntry(nil, &e)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendEntry(buf[:0], &e)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := DecodeEntry(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLog(b *testing.B) {
	m, err := Create(openStore(b), store.Owner, "u1", "manifest")
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	b.Run("append", func(b *testing.B) {
		list := makeEntries(m.Len(), 500)
		for i := 0; b.Loop(); i++ {
			if i%len(list) == 0 {
				for j := range list {
					list[j].Number = m.Len() + uint64(j)
				}
				if err := m.Append(list); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if _, err := m.Entry(uint64(n) % m.Len()); err != nil {
				b.Fatal(err)
			}
			n++
		}
	})
	b.Run("range", func(b *testing.B) {
		b.ReportAllocs()
		left := 0
		for b.Loop() {
			if left == 0 {
				if err := m.Range(0, 1000, func(*transfer.Entry) error { left++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			left--
		}
	})
}
