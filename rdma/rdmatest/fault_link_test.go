package rdmatest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/bubble"
)

// All acknowledgements of one direction are lost: the sender gives up, though
// everything landed and the target is well.
func TestLostAcknowledgement(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.f.Link(k.b, k.a).Drop()
	mustReceive(t, p.qb, receives(2)...)
	mustPost(t, p.qa, withImm(write(1, src, dst, 0, 300_000), 1), withImm(write(2, src, dst, 300_000, 100), 2))
	p.b.awaitOK(2)
	p.a.awaitStatus(1, rdma.RetryExceeded)
	p.a.awaitStatus(2, rdma.Flushed)
	if landed(dst) != 300_100 {
		t.Errorf("%d bytes landed", landed(dst))
	}
	if s, err := p.qb.State(); err != nil || s != rdma.StateReadyToSend {
		t.Errorf("target: %v, %v", s, err)
	}
	if c := k.b.Counters(); c.Duplicates == 0 || c.BytesLanded != 300_100 || c.Landed != 2 {
		t.Errorf("%+v", c)
	}
	if k.a.Counters().Retries != 1 {
		t.Errorf("%+v", k.a.Counters())
	}
}

// The sender gives up after the times that it was told, no sooner, no later.
func TestBlackHole(t *testing.T) {
	for name, cut := range map[string]func(k *bench){
		"both":  func(k *bench) { k.f.BlackHole(k.a, k.b) },
		"there": func(k *bench) { k.f.Link(k.a, k.b).Drop() },
		"back":  func(k *bench) { k.f.Link(k.b, k.a).Drop() },
		"dead":  func(k *bench) { k.b.Freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				pl := usual()
				pl.retries = 6
				k, p, src, dst := connected(t, Options{Timeout: AsAsked}, pl)
				cut(k)
				start := time.Now()
				mustPost(t, p.qa, write(1, src, dst, 0, 100_000))
				p.a.awaitStatus(1, rdma.RetryExceeded)
				if took, want := time.Since(start), 7*(4096*time.Nanosecond<<14); took != want {
					t.Errorf("took %v, want %v", took, want)
				}
				if got := landed(dst); (got > 0) != (name == "back") {
					t.Errorf("%d bytes landed", got)
				}
			})
		})
	}
}

// A cut that is shorter than the retries last is not noticed.
func TestShortCut(t *testing.T) {
	for name, cut := range map[string][2]func(k *bench){
		"link":   {func(k *bench) { k.f.BlackHole(k.a, k.b) }, func(k *bench) { k.f.Join(k.a, k.b) }},
		"port":   {func(k *bench) { k.b.PortDown() }, func(k *bench) { k.b.PortUp() }},
		"target": {func(k *bench) { k.b.Freeze() }, func(k *bench) { k.b.Thaw() }},
		"sender": {func(k *bench) { k.a.Freeze() }, func(k *bench) { k.a.Thaw() }},
		"acks":   {func(k *bench) { k.f.Link(k.b, k.a).Drop() }, func(k *bench) { k.f.Link(k.b, k.a).Pass() }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				pl := usual()
				pl.retries = 6
				k, p, src, dst := connected(t, Options{Timeout: AsAsked}, pl)
				mustReceive(t, p.qb, receives(40)...)
				k.a.Inject(SendFault{Index: 10, Before: func() { cut[0](k) }})
				for i := range 20 {
					mustPost(t, p.qa, withImm(write(uint64(i), src, dst, i*10_000, 10_000), uint32(i)))
				}
				time.Sleep(300 * time.Millisecond)
				if n := landed(dst); (n != 100_000) != (name == "acks") {
					t.Errorf("%d bytes landed", n)
				}
				cut[1](k)
				p.a.awaitOK(20)
				for i, wc := range p.b.awaitOK(20) {
					if wc.Imm != uint32(i) {
						t.Errorf("message %d: %+v", i, wc)
					}
				}
				if landed(dst) != 200_000 || k.b.Counters().BytesLanded != 200_000 {
					t.Errorf("%d bytes landed, counted %d", landed(dst), k.b.Counters().BytesLanded)
				}
			})
		})
	}
}

// Acknowledgements that come late, but not too late.
func TestLateAcknowledgement(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k, p, src, dst := connected(t, Options{Timeout: AsAsked}, usual())
		l := k.f.Link(k.b, k.a)
		l.Hold()
		mustPost(t, p.qa, write(1, src, dst, 0, 100_000), write(2, src, dst, 100_000, 100_000))
		synctest.Wait()
		var wcs [2]rdma.WorkCompletion
		if n, err := p.a.cq.Poll(wcs[:]); n != 0 || err != nil || landed(dst) != 200_000 || l.Held() == 0 {
			t.Fatalf("%d completions, %v, %d landed, %d held", n, err, landed(dst), l.Held())
		}
		time.Sleep(80 * time.Millisecond) // sent again once
		l.Release()
		p.a.awaitOK(2)
		if k.a.Counters().Retries != 1 || k.b.Counters().BytesLanded != 200_000 {
			t.Errorf("%+v", k.a.Counters())
		}
	})
}

// Too late: the queue pair is in error by then, and stays there.
func TestAcknowledgementAfterTheEnd(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	l := k.f.Link(k.b, k.a)
	l.Hold()
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitStatus(1, rdma.RetryExceeded)
	l.Release()
	mustPost(t, p.qa, write(2, src, dst, 0, 100))
	p.a.awaitStatus(2, rdma.Flushed)
}

// What is sent again is read again.
func TestSourceIsReadAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k, p, src, dst := connected(t, Options{Timeout: AsAsked}, usual())
		l := k.f.Link(k.a, k.b)
		l.Drop()
		mustPost(t, p.qa, write(1, src, dst, 0, 100))
		synctest.Wait()
		clear(src.Bytes()) // too early
		l.Pass()
		p.a.awaitOK(1)
		if landed(dst) != 0 {
			t.Errorf("%d bytes as they were when they were posted", landed(dst))
		}
	})
}

// Packets that are larger than the network takes vanish; small ones pass.
func TestMTUOfTheNetwork(t *testing.T) {
	f := New(t, Options{})
	f.Device("n1", DeviceConfig{Addrs: []string{"10.0.0.1"}, MTU: rdma.MTU4096})
	f.Device("n2", DeviceConfig{Addrs: []string{"10.0.0.2"}, MTU: rdma.MTU1024})
	a, b := newSide(t, End{System: rdma.New(f.Driver("n1")), Device: "fake0"}), newSide(t, End{System: rdma.New(f.Driver("n2")), Device: "fake0"})
	pl := usual()
	pl.mtuA, pl.mtuB = rdma.MTU4096, rdma.MTU4096
	p := connect(t, a, b, pl)
	src, dst := a.memory(8192, 0), b.memory(8192, targetAccess)
	mustPost(t, p.qa, write(1, src, dst, 0, 1024))
	a.awaitOK(1)
	mustPost(t, p.qa, write(2, src, dst, 0, 1025))
	a.awaitStatus(2, rdma.RetryExceeded)
}

// A PSN that is behind is the worst: success, and nothing written.
func TestSequenceNumberBehind(t *testing.T) {
	pl := usual()
	pl.shiftPSN = 3
	k, p, src, dst := connected(t, Options{}, pl)
	for i := range 3 {
		mustPost(t, p.qa, write(uint64(i), src, dst, 0, 100))
		p.a.awaitStatus(uint64(i), rdma.Success)
	}
	if landed(dst) != 0 || k.b.Counters().Duplicates != 3 {
		t.Errorf("%d bytes landed, %+v", landed(dst), k.b.Counters())
	}
	mustPost(t, p.qa, write(3, src, dst, 0, 100))
	p.a.awaitOK(1)
	if landed(dst) != 100 {
		t.Errorf("%d bytes landed once it had caught up", landed(dst))
	}
	// One that reaches over the place where the target stands is refused.
	pl.shiftPSN = 1
	p = connect(t, p.a, p.b, pl)
	mustPost(t, p.qa, write(4, src, dst, 0, 8192))
	p.a.awaitStatus(4, rdma.RemoteInvalidRequest)
}

func TestSequenceNumbersWrap(t *testing.T) {
	for _, c := range []struct {
		a, b uint32
		want int32
	}{{0, 0, 0}, {0, 1, 1}, {1, 0, -1}, {0xffffff, 0, 1}, {0, 0xffffff, -1}, {0xfffff0, 0x10, 0x20}, {0, 0x7fffff, 0x7fffff}, {0, 0x800001, -0x7fffff}} {
		if got := before(c.a, c.b); got != c.want {
			t.Errorf("from %#x to %#x: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if psnAdd(0xffffff, 2) != 1 {
		t.Error(psnAdd(0xffffff, 2))
	}
}

// Another device that has found out a number is not heard.
func TestStranger(t *testing.T) {
	k := newBench(t, Options{})
	k.f.Device("n3", DeviceConfig{Addrs: []string{"10.0.0.3"}})
	p := connectEnds(t, k.rig, usual())
	src, dst := p.a.memory(100, 0), p.b.memory(100, targetAccess)
	c := newSide(t, End{System: rdma.New(k.f.Driver("n3")), Device: "fake0"})
	qc, err := c.pd.CreateQueuePair(usual().config, c.cq, c.cq)
	qc = closing(t, qc, err)
	mem := c.memory(100, 0)
	if err := qc.ToInit(rdma.InitAttr{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if err := qc.ToReadyToReceive(rdma.ReadyToReceiveAttr{Address: c.addressOf(p.b), PathMTU: rdma.MTU4096, DestNumber: p.qb.Number()}); err != nil {
		t.Fatal(err)
	}
	if err := qc.ToReadyToSend(rdma.ReadyToSendAttr{Timeout: 14, RetryCount: 1}); err != nil {
		t.Fatal(err)
	}
	mustPost(t, qc, write(1, mem, dst, 0, 100))
	c.awaitStatus(1, rdma.RetryExceeded)
	if k.b.Counters().Unwanted == 0 {
		t.Errorf("%+v", k.b.Counters())
	}
	mustPost(t, p.qa, write(2, src, dst, 0, 100))
	p.a.awaitOK(1)
}
