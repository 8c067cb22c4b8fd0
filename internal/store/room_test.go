package store

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Room follows the file system, without anybody writing.
func TestRoom(t *testing.T) {
	dir := smallFS(t, 16<<20)
	o := testOptions()
	o.Reserve = 1 << 20
	var log strings.Builder
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Room(); err != nil {
		t.Errorf("at the start: %v", err)
	}
	before := must1(os.ReadDir(dir))
	ballast := fillUp(t, dir, 64<<10)
	for range 2 {
		if err := s.Room(); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), dir) {
			t.Errorf("full: %v", err)
		}
	}
	if f := s.Full(); f == nil || !errors.Is(f.Err, ErrNoSpace) || f.Since.IsZero() {
		t.Errorf("full: %+v", f)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Room(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if s.Full() != nil || strings.Count(log.String(), "no room in state_dir") != 1 || strings.Count(log.String(), "there is room in state_dir again") != 1 {
		t.Errorf("%+v, log:\n%s", s.Full(), log.String())
	}
	if after := must1(os.ReadDir(dir)); len(after) != len(before) {
		t.Errorf("it left something: %v", after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Room(); err == nil {
		t.Error("a closed store has room")
	}
}

// What did not fit, as with a quota, is asked for again although the file system
// has room.
func TestRoomUnderQuota(t *testing.T) {
	s := mustOpen(t, memDir(t))
	t.Cleanup(func() { _ = s.Close() })
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	fallocate := s.ops.fallocate
	s.ops.fallocate = func(*os.File, uint32, int64, int64) error { return unix.EDQUOT }
	if _, err := l.Append(1, make([]byte, 8<<20)); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	if err := s.Room(); !errors.Is(err, ErrNoSpace) {
		t.Errorf("over quota: %v", err)
	}
	s.ops.fallocate = fallocate
	if err := s.Room(); err != nil {
		t.Errorf("under it again: %v", err)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
