package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
)

// logImage makes a log and returns its bytes and frames, and how far it was
// synced and marked so.
func logImage(t *testing.T, s *Store) (path string, image []byte, frames []string, ends []int64, synced int64) {
	t.Helper()
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		// A payload that looks like a frame must not be taken for one.
		p := appendFrame([]byte{byte(i)}, l.salt, 77, 5, []byte("inner"))
		if _, err := l.Append(uint8(i+1), p); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, fmt.Sprintf("%d:%s", i+1, p))
		ends = append(ends, l.Size())
		if i == 3 || i == 7 {
			if err := l.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			synced = ends[i]
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if image, err = os.ReadFile(l.Path()); err != nil {
		t.Fatal(err)
	}
	return l.Path(), image, frames, ends, synced
}

// upTo returns the frames that end at or before size.
func upTo(frames []string, ends []int64, size int64) []string {
	n := 0
	for n < len(ends) && ends[n] <= size {
		n++
	}
	return frames[:n]
}

func openImage(t *testing.T, s *Store, path string, image []byte) ([]string, error) {
	t.Helper()
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := s.OpenLog(Target, "u", "l")
	if err != nil {
		return nil, err
	}
	got := content(t, l)
	// It goes on, and the cut is for good.
	if _, err := l.Append(99, []byte("next")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = s.OpenLog(Target, "u", "l"); err != nil {
		t.Fatal(err)
	}
	if again := content(t, l); !equal(again, append(got[:len(got):len(got)], "99:next")) {
		t.Fatalf("after an append: %q", again)
	}
	return got, l.Close()
}

func TestTornTailAtEveryByte(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path, image, frames, ends, _ := logImage(t, s)
	for n := range image {
		for _, tail := range [][]byte{nil, make([]byte, 40), []byte("garbage that was there before")} {
			torn := append(image[:n:n], tail...)
			got, err := openImage(t, s, path, torn)
			header := ends[0] - FrameOverhead - int64(len(frames[0])-2)
			if int64(n) < header && int64(len(torn)) > header {
				wantDamaged(t, err) // the header was synced before there was more
				continue
			}
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if want := upTo(frames, ends, int64(n)); !equal(got, want) {
				t.Fatalf("cut at %d: %d frames, want %d", n, len(got), len(want))
			}
		}
	}
}

// TestLogByteFlips: what was synced is there as it was, or it is damage; of the
// rest only a beginning is there.
func TestLogByteFlips(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path, image, frames, ends, synced := logImage(t, s)
	var cut, refused int
	for i := range image {
		bad := append([]byte(nil), image...)
		bad[i] ^= 1 << (i % 8)
		got, err := openImage(t, s, path, bad)
		if int64(i) < synced {
			if err == nil && int64(i) > ends[3] && int64(i) < ends[3]+FrameOverhead+8 {
				t.Fatalf("byte %d: a bad mark before a good one", i)
			}
			var fe *FormatError
			if !errors.As(err, &fe) {
				wantDamaged(t, err)
			}
			refused++
			continue
		}
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		want := frames[:8]
		if int64(i) >= synced+FrameOverhead+8 {
			want = upTo(frames, ends, int64(i))
		}
		if !equal(got, want) {
			t.Fatalf("byte %d: %d frames, want %d", i, len(got), len(want))
		}
		cut++
	}
	t.Logf("%d refused, %d cut", refused, cut)
}

// Blocks that were not synced reach the disk in any order: a hole there is a
// torn tail also when good frames follow.
func TestUnsyncedHole(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path, image, frames, ends, _ := logImage(t, s)
	bad := append([]byte(nil), image...)
	clear(bad[ends[8]:ends[9]])
	got, err := openImage(t, s, path, bad)
	if err != nil || !equal(got, frames[:9]) {
		t.Fatalf("%d frames, %v", len(got), err)
	}
}

func TestForeignLogs(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path, image, _, _, _ := logImage(t, s)
	for name, edit := range map[string]func(*logHeader){
		"node": func(h *logHeader) { h.node = "nX" },
		"uid":  func(h *logHeader) { h.uid = "v" },
		"name": func(h *logHeader) { h.name = "owner/l" },
	} {
		h, _, err := parseLogHeader(image)
		if err != nil {
			t.Fatal(err)
		}
		n := h.size()
		edit(&h)
		_, err = openImage(t, s, path, append(h.append(nil), image[n:]...))
		var fe *ForeignError
		if name == "node" && errors.As(err, &fe) {
			continue
		}
		wantDamaged(t, err)
	}
	// A newer format, of which we know only the frame of the header.
	newer := append([]byte(nil), image[:24]...)
	binary.LittleEndian.PutUint16(newer[8:], 2)
	binary.LittleEndian.PutUint16(newer[10:], 28)
	newer = binary.LittleEndian.AppendUint32(newer, checksum(newer))
	_, err := openImage(t, s, path, append(newer, image[28:]...))
	var fe *FormatError
	if !errors.As(err, &fe) || fe.Format != 2 {
		t.Errorf("got %v", err)
	}
}

func TestSweep(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	if _, err := s.CreateLog(Owner, "u", "l"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.transfersDir()+"/u/owner", s.transfersDir()+"/"+gonePrefix+"u.owner"); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if list, err := os.ReadDir(s.transfersDir()); err != nil || len(list) != 1 || list[0].Name() != "u" {
		t.Errorf("left: %v %v", list, err)
	}
}
