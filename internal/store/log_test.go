package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// content is what a log holds.
func content(t testing.TB, l *Log) (frames []string) {
	t.Helper()
	err := l.Read(0, func(off int64, typ uint8, p []byte) error {
		frames = append(frames, fmt.Sprintf("%d:%s", typ, p))
		gotTyp, got, err := l.ReadAt(off, nil)
		if err != nil || gotTyp != typ || !bytes.Equal(got, p) {
			return fmt.Errorf("ReadAt(%d) gives %d %q, %w", off, gotTyp, got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

func TestLog(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	l, err := s.CreateLog(Target, "u1", "landed")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateLog(Target, "u1", "landed"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := s.OpenLog(Owner, "u1", "landed"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the owner's: %v", err)
	}
	big := strings.Repeat("b", 700_000)
	want := []string{"1:", "2:two", "255:" + big}
	offs := make([]int64, 3)
	for i, f := range []Frame{{1, nil}, {2, []byte("two")}, {255, []byte(big)}} {
		if offs[i], err = l.Append(f.Type, f.Payload); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	off, err := l.AppendBatch([]Frame{{3, []byte("x")}, {4, []byte("yz")}})
	if err != nil {
		t.Fatal(err)
	}
	if typ, p, err := l.ReadAt(off+FrameOverhead+1, make([]byte, 64)); err != nil || typ != 4 || string(p) != "yz" {
		t.Errorf("second of a batch: %d %q %v", typ, p, err)
	}
	want = append(want, "3:x", "4:yz")
	for range 3 {
		if got := content(t, l); !equal(got, want) {
			t.Fatalf("got %.80q", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
		if l, err = s.OpenLog(Target, "u1", "landed"); err != nil {
			t.Fatal(err)
		}
		word := fmt.Sprint("more", len(want))
		if _, err := l.Append(9, []byte(word)); err != nil {
			t.Fatal(err)
		}
		want = append(want, "9:"+word)
	}
	var some []string
	if err := l.Read(offs[1], func(_ int64, typ uint8, p []byte) error {
		some = append(some, string(p))
		if len(some) == 2 {
			return errMine
		}
		return nil
	}); !errors.Is(err, errMine) || some[0] != "two" {
		t.Errorf("from the second: %.40q %v", some, err)
	}
	for _, bad := range []int64{-1, 0, offs[1] + 1, 1 << 40} {
		if _, _, err := l.ReadAt(bad, nil); err == nil {
			t.Errorf("ReadAt(%d) found something", bad)
		}
	}
	if _, err := l.Append(0, nil); err == nil {
		t.Error("type 0 was taken")
	}
	if _, err := l.Append(1, make([]byte, MaxPayload+1)); err == nil {
		t.Error("too large a payload was taken")
	}
	if uids, err := s.LogUIDs(Target); err != nil || !equal(uids, []string{"u1"}) {
		t.Errorf("uids %q %v", uids, err)
	}
	if names, err := s.LogNames(Target, "u1"); err != nil || !equal(names, []string{"landed"}) {
		t.Errorf("names %q %v", names, err)
	}
}

func equal(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }

func TestLogNamesAreChecked(t *testing.T) {
	s := mustOpen(t, memDir(t))
	for _, c := range []struct {
		role      Role
		uid, name string
	}{
		{"", "u", "l"}, {"root", "u", "l"}, {Owner, "", "l"}, {Owner, "..", "l"}, {Owner, "a/b", "l"},
		{Owner, "u", ""}, {Owner, "u", "../x"}, {Owner, "u", ".x"}, {Owner, strings.Repeat("u", 65), "l"},
	} {
		if l, err := s.CreateLog(c.role, c.uid, c.name); err == nil {
			t.Errorf("%v made %s", c, l.Path())
		}
	}
}

func TestRemoveLogs(t *testing.T) {
	s := mustOpen(t, memDir(t))
	var logs []*Log
	for _, role := range []Role{Owner, Target} {
		l, err := s.CreateLog(role, "u", "l")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(1, nil); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	for range 2 { // the second finds nothing
		if err := s.RemoveLogs(Owner, "u"); err != nil {
			t.Fatal(err)
		}
	}
	if err := logs[0].Sync(t.Context()); !errors.Is(err, fs.ErrNotExist) || s.Err() != nil {
		t.Errorf("sync of a removed log: %v, store: %v", err, s.Err())
	}
	if uids, err := s.LogUIDs(Owner); err != nil || len(uids) != 0 {
		t.Errorf("owner: %q %v", uids, err)
	}
	if uids, err := s.LogUIDs(Target); err != nil || len(uids) != 1 {
		t.Errorf("target: %q %v", uids, err)
	}
	if err := errors.Join(s.RemoveLog(Target, "u", "l"), s.RemoveLog(Target, "u", "l"), s.RemoveLogs(Target, "u")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.transfersDir() + "/u"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory of the transfer: %v", err)
	}
}

func TestLogSyncGroups(t *testing.T) {
	s := mustOpen(t, memDir(t))
	l, err := s.CreateLog(Owner, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	var syncs atomic.Int64
	real := s.ops.syncData
	s.ops.syncData = func(f *os.File) error { syncs.Add(1); return real(f) }
	l.syncing <- struct{}{} // a sync runs: the others gather
	const n = 50
	var wg, appended sync.WaitGroup
	appended.Add(n)
	for i := range n {
		wg.Go(func() {
			_, err := l.Append(1, fmt.Append(nil, i))
			appended.Done()
			if err := errors.Join(err, l.Sync(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	appended.Wait()
	<-l.syncing
	wg.Wait()
	if got := syncs.Load(); got != 1 {
		t.Errorf("%d syncs for %d callers", got, n)
	}
	size := l.Size()
	if err := l.Sync(t.Context()); err != nil || syncs.Load() != 1 || l.Size() != size {
		t.Errorf("a sync of nothing: %v, %d syncs", err, syncs.Load())
	}
	if got := content(t, l); len(got) != n {
		t.Errorf("%d frames", len(got))
	}
}

func TestLogSyncFailureIsForGood(t *testing.T) {
	s := mustOpen(t, memDir(t))
	l, err := s.CreateLog(Owner, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(1, nil); err != nil {
		t.Fatal(err)
	}
	s.ops.syncData = func(*os.File) error { return unix.EIO }
	if err := l.Sync(t.Context()); !errors.Is(err, unix.EIO) {
		t.Errorf("got %v", err)
	}
	s.ops.syncData = func(*os.File) error { return nil }
	if err := l.Sync(t.Context()); !errors.Is(err, unix.EIO) {
		t.Errorf("a sync was tried again: %v", err)
	}
	<-s.Failed()
}

func TestLogWriteFailures(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	l, err := s.CreateLog(Owner, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1:first"}
	if _, err := l.Append(1, []byte("first")); err != nil {
		t.Fatal(err)
	}
	// A short write and then no space: taken back, and no failure.
	calls := 0
	s.ops.write = func(fd int, b []byte, off int64) (int, error) {
		if calls++; calls == 1 {
			return unix.Pwrite(fd, b[:5], off)
		}
		return -1, unix.ENOSPC
	}
	if _, err := l.Append(2, []byte("second")); !errors.Is(err, ErrNoSpace) || s.Err() != nil {
		t.Fatalf("got %v, store %v", err, s.Err())
	}
	s.ops.write = unix.Pwrite
	if _, err := l.Append(3, []byte("third")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "3:third")
	if got := content(t, l); !equal(got, want) {
		t.Fatalf("got %q", got)
	}
	// No blocks to be had: nothing is written.
	s.ops.fallocate = func(*os.File, uint32, int64, int64) error { return unix.EDQUOT }
	if _, err := l.Append(4, make([]byte, 1<<20)); !errors.Is(err, ErrNoSpace) || s.Err() != nil {
		t.Fatalf("got %v, store %v", err, s.Err())
	}
	s.ops.write = func(int, []byte, int64) (int, error) { return -1, unix.EIO }
	if _, err := l.Append(5, nil); !errors.Is(err, unix.EIO) || s.Err() == nil {
		t.Fatalf("got %v, store %v", err, s.Err())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if l, err = s.OpenLog(Owner, "u", "l"); err != nil {
		t.Fatal(err)
	}
	if got := content(t, l); !equal(got, want) {
		t.Fatalf("got %q", got)
	}
}
