package receiver

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// A file system that does not answer holds up who goes there, and nobody else: others
// are opened, end, are abandoned, and make and remove their directories.
func TestHungFileSystemHoldsUpNobodyElse(t *testing.T) {
	at := t.TempDir()
	if err := os.Mkdir(at+"/hung", 0o755); err != nil {
		t.Fatal(err)
	}
	fs := needs.HungAt(t, at+"/hung")
	g := newRigAt(t, at, t.TempDir())

	held := g.dial(g.request("hung")) // it has its destination there
	fs.Hang()
	m := g.request("hung/new/d") // and this one is about to make its own
	stuck := make(chan transfer.ToOwner, 1)
	go func() {
		o, first := g.connect(m, Peer{Node: m.Owner})
		stuck <- first
		o.close()
	}()
	<-fs.Waiting()

	s := sharing{g, t}
	a, b := s.join("a", true), s.join("b", true)
	a.abort(transfer.EndPurge)
	if !exists(g.path("new/d")) {
		t.Error("the directory is gone from under the other one")
	}
	s.finish(b)
	g.wantFile("new/d/b", pattern(3*testChunk, 1))
	c := g.dial(g.request("gone/in"))
	s.abandoned(c)
	if exists(g.path("gone")) {
		t.Error("P6: directories of its making are left")
	}
	o, fin := g.copyAll(g.request("other"), dir(root, ""), regular(0, "f", []byte("x")), endDir(0))
	o.want(1, transfer.OutcomePublished)
	if fin.Err != nil {
		t.Error(fin.Err)
	}
	if n := len(g.Incoming()); n != 1 {
		t.Errorf("%d transfers come in", n)
	}
	// One sweep waits there, and the next does the rest.
	held.close()
	s.join("orphan", true).close()
	later := time.Now().Add(time.Hour)
	swept := make(chan error, 1)
	go func() { swept <- g.sweep(later) }()
	dev, _ := g.deviceOf(held.open.UID)
	unlock := g.opening.lock(dev)
	waiting := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.sweeping[dev]
	}
	for !waiting() {
		runtime.Gosched()
	}
	for len(g.Incoming()) > 1 {
		if err := g.sweep(later); err != nil {
			t.Error(err)
		}
	}
	select {
	case first := <-stuck:
		t.Errorf("the file system answered: %+v", first)
	default:
	}

	fs.Release()
	if r, ok := (<-stuck).(*transfer.Refused); !ok || r.Err.Reason != transfer.DestIOError {
		t.Errorf("%+v", r)
	}
	unlock()
	if err := <-swept; err != nil {
		t.Error(err)
	}
	g.wantClean()
}
