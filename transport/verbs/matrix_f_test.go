package verbs

import (
	"bytes"
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// soakFaults are what can happen to a session, and what ends all of it.
func soakFaults(r *rig, rnd *rand.Rand) (faults []func(e *edge), heal func()) {
	faults = []func(e *edge){
		func(*edge) {},
		func(e *edge) { _ = e.out.Close() },
		func(e *edge) { _ = e.in.Close() },
		func(e *edge) { _ = e.out.control.Close() },
		func(*edge) { r.fabric.BlackHole(r.a, r.b) },
		func(*edge) { r.as[1].PortDown() },
		func(*edge) { r.bs[1].PortDown() },
		func(*edge) { r.fabric.Link(r.b, r.a).Drop() },
		func(*edge) { r.a.ShuffleGIDs() },
		func(*edge) { r.b.Fail(rdmatest.VerbPostReceive, 3, syscall.EIO) },
		func(*edge) { r.a.Fail(rdmatest.VerbPostSend, 2, syscall.EIO) },
		func(*edge) { r.b.Fail(rdmatest.VerbRegister, 4, syscall.ENOMEM) },
		func(*edge) {
			r.a.Inject(rdmatest.SendFault{Index: rnd.IntN(30), Override: true, Status: rdma.RetryExceeded, Land: rdmatest.Landing(rnd.IntN(3))})
		},
		func(*edge) { r.a.Inject(rdmatest.SendFault{Index: rnd.IntN(30), Silent: true}) },
	}
	heal = func() {
		r.a.Heal()
		r.b.Heal()
		r.fabric.Join(r.a, r.b)
		r.as[1].PortUp()
		r.bs[1].PortUp()
	}
	return faults, heal
}

// Sessions come, break in any way, and go: after each the devices and the pools
// have what they had before.
func TestF1Soak(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	inBubble(t, setup{rails: 2, hidden: true}, func(t *testing.T, r *rig) {
		rnd := rand.New(rand.NewPCG(7, 11))
		data := content(size)
		faults, heal := soakFaults(r, rnd)
		clean := 0
		for i := range rounds {
			s, e := newStore(size), newEdge()
			fault := faults[i%len(faults)]
			early := rnd.IntN(4) == 0
			if early && i%len(faults) > 3 {
				fault(e)
			}
			faulty := make(chan struct{}) // nothing lands before it, so that the fault meets chunks on their way
			s.place = func(ctx context.Context, _ int64) error {
				select {
				case <-faulty:
				case <-ctx.Done():
				}
				return ctx.Err()
			}
			r.prepare(t, e, s)
			if err := r.dial(t.Context(), e); err == nil {
				ctx, cancel := context.WithCancel(t.Context())
				done := e.start(ctx, data, s)
				time.Sleep(time.Duration(rnd.IntN(50)) * time.Microsecond)
				if !early {
					fault(e)
				}
				close(faulty)
				if rnd.IntN(10) == 0 {
					cancel()
				}
				if err := <-done; err == nil {
					clean++
				}
				cancel()
			}
			heal()
			e.finish(t, data, s)
			for _, d := range append(r.as, r.bs...) {
				if c := d.Counters(); c.ProtectionDomains+c.MemoryRegions+c.Channels+c.CompletionQueues+c.QueuePairs != 0 || c.Memory != 0 {
					t.Fatalf("round %d left %+v", i, c)
				}
			}
			if n := r.src.send.InUse() + r.dst.recv.InUse(); n != 0 {
				t.Fatalf("round %d left %d bytes", i, n)
			}
		}
		t.Logf("%d of %d sessions ended well", clean, rounds)
		if clean == 0 || clean == rounds {
			t.Errorf("%d of %d sessions ended well: this tests less than it should", clean, rounds)
		}
	})
}

// The same with memory of programs: what breaks leaves nothing registered, and once
// it is fenced the memory stays as it is, whatever comes to life again.
func TestF1SoakInPlace(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	inBubble(t, setup{rails: 2, hidden: true}, func(t *testing.T, r *rig) {
		rnd := rand.New(rand.NewPCG(5, 3))
		faults, heal := soakFaults(r, rnd)
		var layout []transport.Range
		for i := range int64(300) {
			layout = append(layout, transport.Range{Offset: i * 9000, Length: 1 + i*19%5000})
		}
		p := newPlaced(t, 300*9000, layout...)
		clean := 0
		for i := range rounds {
			e := p.edge()
			fault, early := faults[i%len(faults)], rnd.IntN(4) == 0 && i%len(faults) > 3
			if early {
				fault(e)
			}
			p.dst.Fill(0xa5)
			p.gate = make(chan struct{}) // nothing lands before the fault
			r.prepare(t, e, p)
			if err := r.dial(t.Context(), e); err == nil {
				ctx, cancel := context.WithCancel(t.Context())
				e.feed = transporttest.NewFeed(p.chunks(3)...)
				done := e.startFeed(ctx)
				time.Sleep(time.Duration(rnd.IntN(50)) * time.Microsecond)
				if !early {
					fault(e)
				}
				close(p.gate)
				if rnd.IntN(10) == 0 {
					cancel()
				}
				if err := <-done; err == nil {
					clean++
					p.layout.Check(t, p.dst.Mem, p.src.Mem)
				}
				cancel()
				e.feed.Settled(t)
			}
			if err := e.close(t); err != nil {
				t.Errorf("round %d: the fence: %v", i, err)
			}
			p.dst.Fill(0xca)
			heal()
			time.Sleep(100 * time.Millisecond)
			if n := bytes.Count(p.dst.Mem, []byte{0xca}); n != len(p.dst.Mem) {
				t.Fatalf("round %d: %d bytes landed after the fence", i, len(p.dst.Mem)-n)
			}
			for _, d := range append(r.as, r.bs...) {
				if c := d.Counters(); c.MemoryRegions+c.QueuePairs != 0 || c.Memory != 0 {
					t.Fatalf("round %d left %+v", i, c)
				}
			}
			if n := r.src.Pinned().Bytes + r.dst.Pinned().Bytes; n != 0 {
				t.Fatalf("round %d left %d bytes pinned", i, n)
			}
		}
		t.Logf("%d of %d sessions ended well", clean, rounds)
		if clean == 0 || clean == rounds {
			t.Errorf("%d of %d sessions ended well: this tests less than it should", clean, rounds)
		}
	})
}
