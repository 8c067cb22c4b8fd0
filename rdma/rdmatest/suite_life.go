package rdmatest

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
)

// stuck posts n requests to a peer without receives, which stay outstanding for
// seconds: the peer is never ready.
func (p *pair) stuck(n int) {
	p.a.t.Helper()
	for i := range n {
		w := nothing(uint64(i), 0)
		if i > 0 {
			w.Flags = 0 // those in error complete all the same
		}
		mustPost(p.a.t, p.qa, w)
	}
}

func stalling() pairing {
	pl := usual()
	pl.timer = 0 // 655 ms
	return pl
}

// suiteFullQueues posts more than there is room for.
func suiteFullQueues(t *testing.T, r Rig) {
	pl := stalling()
	pl.config.MaxSend, pl.config.MaxReceive = 16, 16
	p := connectEnds(t, r, pl)
	room := p.qa.Limits().MaxSend
	rs := make([]rdma.SendRequest, room+64)
	for i := range rs {
		rs[i] = nothing(uint64(i), 0)
	}
	n, err := p.qa.PostSend(rs)
	if wantErr(t, "too many requests", err, syscall.ENOMEM); n < 16 || n >= len(rs) {
		t.Errorf("%d of %d posted, room for %d", n, len(rs), room)
	}
	k, err := p.qa.PostSend(rs[:1])
	if wantErr(t, "one more", err, syscall.ENOMEM); k != 0 {
		t.Errorf("%d posted", k)
	}
	if err := p.qa.ToError(); err != nil {
		t.Fatal(err)
	}
	if wcs := p.a.await(n); wcs[n-1].ID != uint64(n-1) {
		t.Errorf("%d posted, the last completion is of %d", n, wcs[n-1].ID)
	}
	m, err := p.qb.PostReceive(receives(p.qb.Limits().MaxReceive + 64))
	if wantErr(t, "too many receives", err, syscall.ENOMEM); m < 16 {
		t.Errorf("%d receives posted, room for %d", m, p.qb.Limits().MaxReceive)
	}
}

// suiteFlush stops a queue pair: each request that is outstanding completes,
// once, in order, as flushed.
func suiteFlush(t *testing.T, r Rig) {
	p := connectEnds(t, r, stalling())
	p.stuck(5)
	for i := range 7 {
		mustReceive(t, p.qa, rdma.ReceiveRequest{ID: uint64(200 + i)})
	}
	if err := p.qa.ToError(); err != nil {
		t.Fatal(err)
	}
	sent, received := uint64(0), uint64(200)
	for _, wc := range p.a.await(12) {
		if wc.Status != rdma.Flushed || wc.QueuePair != p.qa.Number() {
			t.Errorf("%+v", wc)
		}
		// The kind of request is not told, only its number.
		next := &sent
		if wc.ID >= 200 {
			next = &received
		}
		if wc.ID != *next {
			t.Errorf("request %d completed when %d was due", wc.ID, *next)
		}
		*next++
	}
	if sent != 5 || received != 207 {
		t.Errorf("%d requests and %d receives", sent, received-200)
	}
	var more [1]rdma.WorkCompletion
	if n, err := p.a.cq.Poll(more[:]); n != 0 || err != nil {
		t.Errorf("one more: %+v, %v", more, err)
	}
	// Also what is posted from now on. Of receives that is not certain: nothing
	// tells rxe about them, so it flushes them when something else wakes it.
	mustPost(t, p.qa, nothing(50, 0))
	p.a.awaitStatus(50, rdma.Flushed)
	// The peer knows nothing of it.
	if s, err := p.qb.State(); err != nil || s != rdma.StateReadyToSend {
		t.Errorf("the peer: %v, %v", s, err)
	}
}

// suiteCloseIsAFence closes the target's queue pair: memory that stays registered
// cannot be written to by it any more.
func suiteCloseIsAFence(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(4096, 0), p.b.memory(4096, targetAccess)
	fill(src.Bytes(), 1)
	mustPost(t, p.qa, write(0, src, dst, 0, 4096))
	p.a.awaitOK(1)
	if err := p.qb.Close(); err != nil {
		t.Fatal(err)
	}
	clear(dst.Bytes())
	mustPost(t, p.qa, write(1, src, dst, 0, 4096), write(2, src, dst, 0, 4096))
	p.a.awaitStatus(1, rdma.RetryExceeded)
	p.a.awaitStatus(2, rdma.Flushed)
	if !bytes.Equal(dst.Bytes(), make([]byte, 4096)) {
		t.Error("memory was changed")
	}
}

// suiteCloseUnderFire closes it in the middle of many writes.
func suiteCloseUnderFire(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	const size, n = 128 << 10, 16
	src, dst := a.memory(size, 0), b.memory(size, targetAccess)
	for i := range src.Bytes() {
		src.Bytes()[i] = 0xff
	}
	for range 3 {
		p := connect(t, a, b, usual())
		rs := make([]rdma.SendRequest, n)
		for i := range rs {
			rs[i] = write(uint64(i), src, dst, 0, size)
		}
		mustPost(t, p.qa, rs...)
		a.awaitOK(1)
		if err := p.qb.Close(); err != nil {
			t.Fatal(err)
		}
		clear(dst.Bytes())
		failed := false
		for _, wc := range a.await(n - 1) {
			failed = failed || wc.Status != rdma.Success
		}
		if failed {
			if s, err := p.qa.State(); err != nil || s != rdma.StateError {
				t.Errorf("sender is in %v, %v", s, err)
			}
		}
		if i := bytes.IndexByte(dst.Bytes(), 0xff); i >= 0 {
			t.Fatalf("byte %d was written after Close", i)
		}
	}
}

// suiteCloseForgets: what is outstanding on a queue pair that is closed gives no
// completion.
func suiteCloseForgets(t *testing.T, r Rig) {
	a, b := newSide(t, r.A), newSide(t, r.B)
	p := connect(t, a, b, stalling())
	mustReceive(t, p.qa, receives(3)...)
	p.stuck(3)
	if err := p.qa.Close(); err != nil {
		t.Fatal(err)
	}
	p = connect(t, a, b, usual())
	mustReceive(t, p.qb, receives(1)...)
	mustPost(t, p.qa, nothing(77, 7))
	if wc := a.awaitOK(1)[0]; wc.ID != 77 || wc.QueuePair != p.qa.Number() {
		t.Errorf("%+v", wc)
	}
	b.awaitOK(1)
}

func suiteCloseOrder(t *testing.T, r Rig) {
	dev := openDevice(t, r.A)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pd, err := dev.AllocProtectionDomain()
	must(err)
	ch, err := dev.CreateCompletionChannel()
	must(err)
	cq, err := dev.CreateCompletionQueue(16, ch)
	must(err)
	mr, err := pd.Register(Memory(t, 4096), 0)
	must(err)
	qp, err := pd.CreateQueuePair(rdma.QueuePairConfig{MaxSend: 4, MaxReceive: 4}, cq, cq)
	must(err)
	wantErr(t, "device", dev.Close(), rdma.ErrBusy)
	wantErr(t, "domain with two children", pd.Close(), rdma.ErrBusy)
	wantErr(t, "completion queue", cq.Close(), rdma.ErrBusy)
	wantErr(t, "channel", ch.Close(), rdma.ErrBusy)
	must(qp.Close())
	must(qp.Close())
	wantErr(t, "domain with a region", pd.Close(), rdma.ErrBusy)
	must(mr.Close())
	must(pd.Close())
	wantErr(t, "channel with a queue", ch.Close(), rdma.ErrBusy)
	must(cq.Close())
	wantErr(t, "device with a channel", dev.Close(), rdma.ErrBusy)
	must(ch.Close())
	must(dev.Close())
	must(dev.Close())
}

func suiteUseAfterClose(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	mr := p.a.memory(4096, 0)
	pd := p.a.domain()
	for _, c := range []closer{p.qa, mr, pd} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.qa.PostSend([]rdma.SendRequest{nothing(1, 1)})
	wantErr(t, "PostSend", err, rdma.ErrClosed)
	_, err = p.qa.PostReceive(receives(1))
	wantErr(t, "PostReceive", err, rdma.ErrClosed)
	wantErr(t, "ToError", p.qa.ToError(), rdma.ErrClosed)
	_, err = p.qa.State()
	wantErr(t, "State", err, rdma.ErrClosed)
	_, err = pd.Register(Memory(t, 4096), 0)
	wantErr(t, "Register", err, rdma.ErrClosed)
	_, err = pd.CreateQueuePair(usual().config, p.a.cq, p.a.cq)
	wantErr(t, "CreateQueuePair", err, rdma.ErrClosed)
	dev := openDevice(t, r.A)
	ch, err := dev.CreateCompletionChannel()
	ch = closing(t, ch, err)
	cq, err := dev.CreateCompletionQueue(4, ch)
	cq = closing(t, cq, err)
	for _, c := range []closer{cq, ch, dev} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = cq.Poll(make([]rdma.WorkCompletion, 1))
	wantErr(t, "Poll", err, rdma.ErrClosed)
	wantErr(t, "RequestNotify", cq.RequestNotify(false), rdma.ErrClosed)
	wantErr(t, "Wait", ch.Wait(t.Context()), rdma.ErrClosed)
	_, err = dev.NextEvent(t.Context())
	wantErr(t, "NextEvent", err, rdma.ErrClosed)
	_, err = dev.AllocProtectionDomain()
	wantErr(t, "AllocProtectionDomain", err, rdma.ErrClosed)
}

// suiteCloseWhileWaiting closes under those who wait, now and when they began to.
func suiteCloseWhileWaiting(t *testing.T, r Rig) {
	for range 20 {
		dev := openDevice(t, r.A)
		ch, err := dev.CreateCompletionChannel()
		ch = closing(t, ch, err)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		waits, events := make(chan error, 1), make(chan error, 1)
		go func() { waits <- ch.Wait(ctx) }()
		go func() {
			for {
				// Events that have nothing to do with it may come.
				if _, err := dev.NextEvent(ctx); err != nil {
					events <- err
					return
				}
			}
		}()
		if err := ch.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, "Wait", <-waits, rdma.ErrClosed)
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, "NextEvent", <-events, rdma.ErrClosed)
		cancel()
	}
}

func suiteWaitEndsWithContext(t *testing.T, r Rig) {
	a := newSide(t, r.A)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	wantErr(t, "Wait", a.ch.Wait(ctx), context.DeadlineExceeded)
	for {
		_, err := a.dev.NextEvent(ctx)
		if err == nil {
			continue
		}
		wantErr(t, "NextEvent", err, context.DeadlineExceeded)
		break
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	wantErr(t, "Wait", a.ch.Wait(over), context.Canceled)
	// And goes on to work.
	p := connect(t, a, newSide(t, r.B), usual())
	mustReceive(t, p.qb, receives(1)...)
	mustPost(t, p.qa, nothing(1, 1))
	p.a.awaitOK(1)
	p.b.awaitOK(1)
}

// suiteRegisterAgain registers the same memory many times, in several domains at
// once, and refuses what cannot be.
func suiteRegisterAgain(t *testing.T, r Rig) {
	a := newSide(t, r.A)
	other := a.domain()
	mem := Memory(t, 1<<20)
	first, err := a.pd.Register(mem, targetAccess)
	first = closing(t, first, err)
	for range 50 {
		m, err := other.Register(mem, targetAccess)
		if err != nil {
			t.Fatal(err)
		}
		if m.RemoteKey() == first.RemoteKey() || m.Addr() != first.Addr() {
			t.Fatalf("two regions at a time with key %#x", m.RemoteKey())
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.pd.Register(nil, 0); err == nil {
		t.Error("nothing was registered")
	}
	if _, err := a.pd.Register(mem, rdma.RemoteWrite); err == nil {
		t.Error("remote without local write")
	}
	var bad *rdma.Error
	if _, err := a.dev.CreateCompletionQueue(1<<30, nil); !errors.As(err, &bad) {
		t.Errorf("a completion queue for 2^30: %v", err)
	}
}
