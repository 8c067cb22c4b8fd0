package rdmatest

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/bubble"
)

// What only the fabric promises: the suite cannot ask it of every driver.

// A doorbell that fails leaves requests posted: the device comes to them with
// the next one.
func TestDoorbellThatFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k, p, src, dst := connected(t, Options{}, usual())
		synctest.Wait()
		k.a.Fail(VerbDoorbell, 1, syscall.EIO)
		n, err := p.qa.PostSend([]rdma.SendRequest{write(1, src, dst, 0, 100), write(2, src, dst, 100, 100)})
		if wantErr(t, "PostSend", err, syscall.EIO); n != 2 {
			t.Errorf("%d posted", n)
		}
		synctest.Wait()
		if landed(dst) != 0 {
			t.Errorf("%d bytes landed", landed(dst))
		}
		mustPost(t, p.qa, write(3, src, dst, 200, 100))
		p.a.awaitOK(3)
		if landed(dst) != 300 {
			t.Errorf("%d bytes landed", landed(dst))
		}
	})
}

func TestReceivesInErrorAreFlushed(t *testing.T) {
	_, p, _, _ := connected(t, Options{}, usual())
	if err := p.qb.ToError(); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, p.qb, rdma.ReceiveRequest{ID: 51})
	p.b.awaitStatus(51, rdma.Flushed)
}

// A request that cannot be read fails in its turn.
func TestLocalErrorInOrder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k, p, src, dst := connected(t, Options{}, usual())
		bad := write(1, src, dst, 0, 100)
		bad.SGE[0].Key++
		l := k.f.Link(k.b, k.a)
		l.Hold()
		mustPost(t, p.qa, write(0, src, dst, 0, 100), bad, write(2, src, dst, 0, 100))
		synctest.Wait()
		var wcs [4]rdma.WorkCompletion
		if n, err := p.a.cq.Poll(wcs[:]); n != 0 || err != nil {
			t.Errorf("before the first was acknowledged: %+v, %v", wcs[:n], err)
		}
		l.Release()
		p.a.awaitStatus(0, rdma.Success)
		p.a.awaitStatus(1, rdma.LocalProtectionError)
		p.a.awaitStatus(2, rdma.Flushed)
	})
}

// Completions of a queue pair that is closed are gone, those of others are not.
func TestCloseDropsCompletions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, p, _, _ := connected(t, Options{}, usual())
		other := connect(t, p.a, p.b, usual())
		mustReceive(t, p.qb, receives(3)...)
		mustReceive(t, other.qb, receives(3)...)
		for range 3 {
			mustPost(t, p.qa, nothing(1, 1))
			mustPost(t, other.qa, nothing(2, 2))
		}
		synctest.Wait()
		if err := p.qa.Close(); err != nil {
			t.Fatal(err)
		}
		var wcs [8]rdma.WorkCompletion
		if n, err := p.a.cq.Poll(wcs[:]); n != 3 || err != nil || wcs[0].ID != 2 || wcs[2].ID != 2 {
			t.Errorf("%+v, %v", wcs[:n], err)
		}
		p.b.awaitOK(6)
	})
}

// Nobody is woken who did not ask, or asked for something else, or asked after
// the completion was there.
func TestNoEventWithoutRequest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, p, _, _ := connected(t, Options{}, usual())
		mustReceive(t, p.qb, receives(10)...)
		woken := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.b.ch.Wait(ctx) == nil
		}
		send := func(flags rdma.SendFlags) {
			w := nothing(1, 1)
			w.Flags |= flags
			mustPost(t, p.qa, w)
			synctest.Wait()
		}
		ask := func(solicited bool) {
			if err := p.b.cq.RequestNotify(solicited); err != nil {
				t.Fatal(err)
			}
		}
		if send(rdma.Solicited); woken() {
			t.Error("nobody asked")
		}
		if ask(false); woken() {
			t.Error("it was there before")
		}
		if send(0); !woken() {
			t.Error("asked, and not woken")
		}
		if send(0); woken() {
			t.Error("asked once, woken twice")
		}
		if ask(true); woken() {
			t.Error("nothing came")
		}
		if send(0); woken() {
			t.Error("what came was not marked")
		}
		if send(rdma.Solicited); !woken() {
			t.Error("what came was marked")
		}
		ask(true)
		ask(false)
		ask(true)
		if send(0); !woken() {
			t.Error("asked for all as well")
		}
		ask(true)
		if err := p.qb.ToError(); err != nil {
			t.Fatal(err)
		}
		if !woken() {
			t.Error("a failure wakes everybody")
		}
	})
}

// Once Freeze, Drop or PortDown returned nothing lands.
func TestChangesHoldAtOnce(t *testing.T) {
	for name, stop := range map[string]func(k *bench){
		"frozen sender": func(k *bench) { k.a.Freeze() },
		"frozen target": func(k *bench) { k.b.Freeze() },
		"link":          func(k *bench) { k.f.Link(k.a, k.b).Drop() },
		"held":          func(k *bench) { k.f.Link(k.a, k.b).Hold() },
		"port":          func(k *bench) { k.a.PortDown() },
		"address":       func(k *bench) { k.b.SetAddrs() },
		"fatal":         func(k *bench) { k.b.Fatal() },
	} {
		t.Run(name, func(t *testing.T) {
			k, p, src, dst := connected(t, Options{}, usual())
			for i := range 100 {
				mustPost(t, p.qa, write(uint64(i), src, dst, 0, 1<<20))
			}
			for k.b.Counters().BytesLanded == 0 {
				if t.Context().Err() != nil {
					t.Fatal("nothing landed")
				}
			}
			stop(k)
			clear(dst.Bytes())
			if name == "frozen sender" {
				// Others are not stopped by it.
				q := connect(t, p.b, newSide(t, End{System: k.rig.B.System, Device: "fake0"}), usual())
				mustPost(t, q.qa, write(1, dst, dst, 0, 0))
				p.b.awaitOK(1)
			} else {
				// Where all were through already this one is not.
				mustPost(t, p.qa, write(100, src, dst, 0, 1<<20))
				if wcs := p.a.await(101); wcs[100].Status == rdma.Success {
					t.Error("the last one got through")
				}
			}
			if n := landed(dst); n != 0 {
				t.Errorf("%d bytes landed afterwards", n)
			}
		})
	}
}

// More than may be under way at a time, with the acknowledgements held back.
func TestWindow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := New(t, Options{Timeout: AsAsked})
		a := f.Device("n1", DeviceConfig{Addrs: []string{"10.0.0.1"}, MTU: rdma.MTU256})
		b := f.Device("n2", DeviceConfig{Addrs: []string{"10.0.0.2"}, MTU: rdma.MTU256})
		p := connect(t, newSide(t, End{System: rdma.New(f.Driver("n1")), Device: "fake0"}),
			newSide(t, End{System: rdma.New(f.Driver("n2")), Device: "fake0"}), usual())
		src, dst := p.a.memory(1<<20, 0), p.b.memory(1<<20, targetAccess)
		l := f.Link(b, a)
		l.Hold()
		for i := range 5 {
			mustPost(t, p.qa, write(uint64(i), src, dst, 0, 1<<20))
		}
		synctest.Wait()
		if n := b.Counters().BytesLanded; n != window*256 {
			t.Errorf("%d bytes are under way", n)
		}
		l.Release()
		p.a.awaitOK(5)
		if n := b.Counters().BytesLanded; n != 5<<20 || a.Counters().Retries != 0 {
			t.Errorf("%d bytes landed", n)
		}
	})
}
