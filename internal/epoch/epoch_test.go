package epoch

import (
	"encoding/binary"
	"testing"
)

func uid(n int) (u [16]byte) {
	binary.BigEndian.PutUint64(u[:], uint64(n))
	return u
}

func TestBook(t *testing.T) {
	var b Book
	for _, c := range []struct {
		uid    int
		epoch  uint64
		newest uint64
		ok     bool
	}{{1, 5, 5, true}, {1, 4, 5, false}, {1, 5, 5, true}, {1, 9, 9, true}, {2, 1, 1, true}, {1, 8, 9, false}} {
		if newest, ok := b.Open(uid(c.uid), c.epoch); newest != c.newest || ok != c.ok {
			t.Errorf("Open(%d, %d) = %d, %t", c.uid, c.epoch, newest, ok)
		}
	}
	if b.Newest(uid(1), 5) || !b.Newest(uid(1), 9) || !b.Newest(uid(3), 0) {
		t.Error("Newest is wrong")
	}
	for range 3 {
		b.Close(uid(1))
	}
	if _, ok := b.Open(uid(1), 8); ok {
		t.Error("a closed edge is forgotten at once")
	}
}

// TestForgets: memory is bounded, and open edges are kept whatever happens.
func TestForgets(t *testing.T) {
	var b Book
	b.Open(uid(0), 7)
	b.Close(uid(0))
	b.Open(uid(0), 7)
	for i := 1; i <= 3*remembered; i++ {
		b.Open(uid(i), 7)
		b.Close(uid(i))
	}
	if len(b.seen) > remembered+1 || len(b.old) > remembered {
		t.Errorf("%d transfers known, %d listed", len(b.seen), len(b.old))
	}
	if b.Newest(uid(0), 6) {
		t.Error("an open edge was forgotten")
	}
	b.Close(uid(0))
	if !b.Newest(uid(1), 6) || b.Newest(uid(3*remembered), 6) {
		t.Error("the wrong ones were forgotten")
	}
}
