package rdmatest

import (
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
)

// A sender that stood still goes on when its target has long gone another way.
// Without the fence its writes land; with it they do not.
func TestStaleWrite(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		k, p, src, dst := connected(t, Options{}, usual())
		k.a.Freeze()
		mustPost(t, p.qa, write(1, src, dst, 0, 100_000), write(2, src, dst, 100_000, 100_000))
		if fenced {
			if err := p.qb.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// The memory is somebody else's now.
		clear(dst.Bytes())
		k.a.Thaw()
		want := 200_000
		if fenced {
			p.a.awaitStatus(1, rdma.RetryExceeded)
			want = 0
		} else {
			p.a.awaitOK(2)
		}
		if got := landed(dst); got != want {
			t.Errorf("fenced %v: %d stale bytes, want %d", fenced, got, want)
		}
	}
}

// The sender is gone, with its queue pair and memory; its packets are not. A key
// that is handed out again lets them in nowhere but where their queue pair lives.
func TestLateWriteAfterTeardown(t *testing.T) {
	for _, c := range []struct {
		name  string
		fence func(p *pair, dst *rdma.MemoryRegion) error
		lands bool
	}{
		{"nothing was done", func(*pair, *rdma.MemoryRegion) error { return nil }, true},
		{"stopped", func(p *pair, _ *rdma.MemoryRegion) error { return p.qb.ToError() }, false},
		{"closed", func(p *pair, _ *rdma.MemoryRegion) error { return p.qb.Close() }, false},
		{"registered anew in its domain", func(p *pair, dst *rdma.MemoryRegion) error {
			return reregister(t, p.b, p.b.pd, dst)
		}, true},
		{"registered anew in another domain", func(p *pair, dst *rdma.MemoryRegion) error {
			return reregister(t, p.b, p.b.domain(), dst)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, p, src, dst := connected(t, Options{}, usual())
			l := k.f.Link(k.a, k.b)
			l.Hold()
			mustPost(t, p.qa, write(1, src, dst, 0, 200_000))
			p.a.awaitStatus(1, rdma.RetryExceeded)
			if err := p.qa.Close(); err != nil {
				t.Fatal(err)
			}
			clear(src.Bytes())
			if err := src.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.fence(p, dst); err != nil {
				t.Fatal(err)
			}
			clear(dst.Bytes())
			if l.Held() < 8 {
				t.Errorf("%d held", l.Held())
			}
			l.Release()
			if got := landed(dst); got != 0 && got != 200_000 || (got > 0) != c.lands {
				t.Errorf("%d bytes landed", got)
			}
		})
	}
}

// reregister closes a region and registers its memory again. The key is the same.
func reregister(t *testing.T, s *side, pd *rdma.ProtectionDomain, m *rdma.MemoryRegion) error {
	key := m.RemoteKey()
	if err := m.Close(); err != nil {
		return err
	}
	again, err := pd.Register(m.Bytes(), targetAccess)
	if err == nil && again.RemoteKey() != key {
		t.Errorf("key %#x became %#x", key, again.RemoteKey())
	}
	s.t.Cleanup(func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
	return err
}

func TestKeys(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		k := newBench(t, Options{FreshKeys: fresh})
		s := newSide(t, k.rig.A)
		one, two := s.memory(4096, 0), s.memory(4096, 0)
		keys := []uint32{one.RemoteKey(), two.RemoteKey()}
		for _, m := range []*rdma.MemoryRegion{one, two} {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		// Last in, first out.
		if got := s.memory(8192, targetAccess).RemoteKey(); (got == keys[1]) == fresh {
			t.Errorf("fresh %v: %#x after %#x", fresh, got, keys)
		}
		if got := s.memory(8192, targetAccess).RemoteKey(); (got == keys[0]) == fresh {
			t.Errorf("fresh %v: %#x after %#x", fresh, got, keys)
		}
	}
}

// Destruction that fails has done nothing: the memory is written to as before.
func TestDestroyThatFails(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.b.Fail(VerbDestroyQP, 1, syscall.EIO)
	k.b.Fail(VerbDeregister, 1, syscall.EBUSY)
	wantErr(t, "queue pair", p.qb.Close(), syscall.EIO)
	wantErr(t, "region", dst.Close(), syscall.EBUSY)
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitOK(1)
	if landed(dst) != 100 {
		t.Errorf("%d bytes landed", landed(dst))
	}
	for _, c := range []closer{p.qb, dst} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Destruction that hangs has done nothing either, until it goes on.
func TestDestroyThatHangs(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	g := k.b.Hang(VerbDestroyQP, 1)
	done := make(chan error)
	go func() { done <- p.qb.Close() }()
	<-g.Entered()
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitOK(1)
	if landed(dst) != 100 {
		t.Errorf("%d bytes landed", landed(dst))
	}
	g.Release(nil)
	g.Release(syscall.EIO) // the first counts
	if err := <-done; err != nil {
		t.Error(err)
	}
	mustPost(t, p.qa, write(2, src, dst, 100, 100))
	p.a.awaitStatus(2, rdma.RetryExceeded)
	if landed(dst) != 100 {
		t.Errorf("%d bytes landed after the end", landed(dst))
	}
	g = k.b.Hang(VerbDeregister, 1)
	go func() { done <- dst.Close() }()
	<-g.Entered()
	g.Release(syscall.EIO)
	wantErr(t, "region", <-done, syscall.EIO)
}

// A frozen device flushes nothing, so that a drain needs a deadline; its queue
// pair can be destroyed, and gives no completions then.
func TestDrainThatNeverEnds(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.a.Freeze()
	mustPost(t, p.qa, write(1, src, dst, 0, 100), write(2, src, dst, 0, 100))
	if err := p.qa.ToError(); err != nil {
		t.Fatal(err)
	}
	var wcs [4]rdma.WorkCompletion
	if n, err := p.a.cq.Poll(wcs[:]); n != 0 || err != nil {
		t.Errorf("%d completions, %v", n, err)
	}
	if err := p.qa.Close(); err != nil {
		t.Fatal(err)
	}
	k.a.Thaw()
	if n, err := p.a.cq.Poll(wcs[:]); n != 0 || err != nil || landed(dst) != 0 {
		t.Errorf("%d completions, %v, %d bytes landed", n, err, landed(dst))
	}
}

// A user who writes into memory that a peer still writes to sees a changed
// canary; under the race detector too, which sees nothing of the device.
func TestCanary(t *testing.T) {
	_, p, src, dst := connected(t, Options{}, usual())
	for i := range 50 {
		mustPost(t, p.qa, write(uint64(i), src, dst, 0, 1<<20))
	}
	clear(dst.Bytes())
	mustPost(t, p.qa, write(50, src, dst, 0, 1<<20)) // the others may have been done before
	deadline := time.Now().Add(patience)
	for landed(dst) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing landed")
		}
	}
	p.a.awaitOK(51)
}
