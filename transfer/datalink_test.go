package transfer

import (
	"bytes"
	"testing"

	"github.com/xferd/xferd/transport"
)

// Whatever a peer sends that nobody takes, there is an end to it.
func TestBacklogOfADataLinkIsBounded(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "short": 1, "longest": transport.MaxControl} {
		t.Run(name, func(t *testing.T) {
			l := NewDataLink(1, func(*DataControl) {})
			m := &DataControl{Session: 1, Body: bytes.Repeat([]byte{1}, size)}
			n := 0
			for ; l.Deliver(m) == nil; n++ {
				if n > 1<<20 {
					t.Fatal("no end")
				}
			}
			for range n { // what was taken makes room
				if msg, err := l.Receive(t.Context()); err != nil || len(msg) != size {
					t.Fatal(len(msg), err)
				}
			}
			for i := range n {
				if err := l.Deliver(m); err != nil {
					t.Fatalf("%d of %d: %v", i, n, err)
				}
			}
		})
	}
}
