package store

import (
	"errors"
	"os"
	"testing"
)

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, 64, 3, []byte("payload")), uint64(1), int64(64))
	f.Add([]byte{}, uint64(0), int64(0))
	f.Add(make([]byte, 64), uint64(0), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, salt uint64, off int64) {
		h, err := parseFrameHeader(b, salt, off)
		if err != nil {
			return
		}
		if n := FrameOverhead + h.length; n <= len(b) && h.check(b[FrameOverhead:n]) == nil {
			again := appendFrame(nil, salt, off, h.typ, b[FrameOverhead:n])
			if string(again) != string(b[:n]) {
				t.Fatal("two encodings of one frame")
			}
		}
	})
}

// FuzzLog opens whatever bytes as a log. Damage is an error of the known kinds;
// what opens can be read and goes on.
func FuzzLog(f *testing.F) {
	h := logHeader{salt: 7, node: "n1", uid: "u", name: "target/l"}
	image := h.append(nil)
	f.Add(image)
	image = appendFrame(image, 7, int64(len(image)), 1, []byte("one"))
	image = appendFrame(image, 7, int64(len(image)), frameMark, []byte{60, 0, 0, 0, 0, 0, 0, 0})
	image = appendFrame(image, 7, int64(len(image)), 2, []byte("two"))
	f.Add(image)
	f.Add(image[:len(image)-2])
	f.Add([]byte(logMagic))
	f.Add([]byte{})
	s := mustOpen(f, memDir(f))
	if _, err := s.LogDir(Target, "u"); err != nil {
		f.Fatal(err)
	}
	path, err := s.logPath(Target, "u", "l")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := s.OpenLog(Target, "u", "l")
		if err != nil {
			var de *DamagedError
			var fo *ForeignError
			var fe *FormatError
			if !errors.As(err, &de) && !errors.As(err, &fo) && !errors.As(err, &fe) {
				t.Fatal(err)
			}
			return
		}
		n := len(content(t, l))
		if _, err := l.Append(1, []byte("more")); err != nil {
			t.Fatal(err)
		}
		if got := len(content(t, l)); got != n+1 {
			t.Fatalf("%d frames after one more than %d", got, n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
