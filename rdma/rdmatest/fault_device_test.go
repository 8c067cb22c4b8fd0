package rdmatest

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/xferd/xferd/rdma"
)

func TestPortEvents(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.b.PortDown()
	if e := nextEvent(t, p.b.dev); e != (rdma.AsyncEvent{Type: rdma.EventPortError, Port: 1}) {
		t.Error(e)
	}
	if a, err := p.b.dev.Port(1); err != nil || a.State != rdma.PortDown {
		t.Errorf("%+v, %v", a, err)
	}
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitStatus(1, rdma.RetryExceeded)
	k.b.PortUp()
	if e := nextEvent(t, p.b.dev); e != (rdma.AsyncEvent{Type: rdma.EventPortActive, Port: 1}) {
		t.Error(e)
	}
	p = connect(t, p.a, p.b, usual())
	mustPost(t, p.qa, write(2, src, dst, 0, 100))
	p.a.awaitOK(1)
}

// Indices move, values stay; who remembered an index is wrong, who is connected
// goes on.
func TestShuffledGIDs(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	was := p.a.gid
	for range 3 {
		k.a.ShuffleGIDs()
		if e := nextEvent(t, p.a.dev); e.Type != rdma.EventGIDChange {
			t.Error(e)
		}
		wantErr(t, "the old index", p.a.pd.CheckAddress(p.a.addressOf(p.b)), syscall.ENODATA)
		mustPost(t, p.qa, write(1, src, dst, 0, 100))
		p.a.awaitOK(1)
		gids, err := p.a.dev.GIDs()
		if err != nil || len(gids) != 4 {
			t.Fatalf("%+v, %v", gids, err)
		}
		for _, g := range gids {
			if g.Index == p.a.gid.Index {
				t.Errorf("index %d is used again", g.Index)
			}
			if g.GID == was.GID && g.Type == was.Type {
				p.a.gid = g
			}
		}
		if err := p.a.pd.CheckAddress(p.a.addressOf(p.b)); err != nil {
			t.Error(err)
		}
	}
	// An address that is gone takes its connections along.
	k.b.SetAddrs("10.0.0.9")
	mustPost(t, p.qa, write(2, src, dst, 0, 100))
	p.a.awaitStatus(2, rdma.RetryExceeded)
	wantErr(t, "the old address", p.a.pd.CheckAddress(p.a.addressOf(p.b)), syscall.ETIMEDOUT)
}

// A completion queue that is too small is lost, with its queue pairs, and says
// nothing of it where one would look.
func TestOverrun(t *testing.T) {
	k := newBench(t, Options{})
	a, b := newSide(t, k.rig.A), newSide(t, k.rig.B)
	pl := usual()
	pl.cqB = b.queue(2)
	p := connect(t, a, b, pl)
	mustReceive(t, p.qb, receives(5)...)
	mustPost(t, p.qa, nothing(0, 0), nothing(1, 1))
	a.awaitOK(2)
	mustPost(t, p.qa, nothing(2, 2))
	if e := nextEvent(t, b.dev); e.Type != rdma.EventCompletionQueueError {
		t.Error(e)
	}
	if e := nextEvent(t, b.dev); e != (rdma.AsyncEvent{Type: rdma.EventQueuePairFatal, QueuePair: p.qb.Number()}) {
		t.Error(e)
	}
	if s, err := p.qb.State(); err != nil || s != rdma.StateError {
		t.Errorf("%v, %v", s, err)
	}
	b.awaitOn(pl.cqB, 2)
	var wcs [4]rdma.WorkCompletion
	if n, err := pl.cqB.Poll(wcs[:]); n != 0 || err != nil {
		t.Errorf("%d completions, %v", n, err)
	}
}

func TestBrokenCompletionQueues(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.a.BreakCompletionQueues()
	k.a.BreakCompletionQueues() // once is enough
	if e := nextEvent(t, p.a.dev); e.Type != rdma.EventCompletionQueueError {
		t.Error(e)
	}
	if e := nextEvent(t, p.a.dev); e.Type != rdma.EventQueuePairFatal {
		t.Error(e)
	}
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	if err := p.qa.Close(); err != nil {
		t.Error(err)
	}
	var wcs [4]rdma.WorkCompletion
	if n, err := p.a.cq.Poll(wcs[:]); n != 0 || err != nil || landed(dst) != 0 {
		t.Errorf("%d completions, %v, %d bytes", n, err, landed(dst))
	}
	// A new one is fine.
	p.a.cq = p.a.queue(16)
	p = connect(t, p.a, p.b, usual())
	mustPost(t, p.qa, write(1, src, dst, 0, 100))
	p.a.awaitOK(1)
}

// A device that dies or is pulled out fails its work and every verb, lets go of
// everything, and can come back.
func TestDeviceThatDies(t *testing.T) {
	for _, remove := range []bool{false, true} {
		t.Run(fmt.Sprint("removed ", remove), func(t *testing.T) {
			k, p, src, dst := connected(t, Options{}, stalling())
			p.stuck(2)
			if remove {
				k.a.Remove()
			} else {
				k.a.Fatal()
			}
			if e := nextEvent(t, p.a.dev); e.Type != rdma.EventDeviceFatal {
				t.Error(e)
			}
			p.a.awaitFlushed(2)
			_, err := p.qa.PostSend([]rdma.SendRequest{write(1, src, dst, 0, 1)})
			wantErr(t, "PostSend", err, syscall.EIO)
			_, err = p.a.dev.AllocProtectionDomain()
			wantErr(t, "AllocProtectionDomain", err, syscall.EIO)
			if _, err := k.rig.A.System.Devices(); (err != nil) != remove {
				t.Error(err)
			}
			k.a.Restore()
			_, err = p.a.dev.AllocProtectionDomain()
			wantErr(t, "on what was open", err, syscall.EIO)
			p = connectEnds(t, k.rig, usual())
			src, dst = p.a.memory(100, 0), p.b.memory(100, targetAccess)
			mustPost(t, p.qa, write(1, src, dst, 0, 100))
			p.a.awaitOK(1)
		})
	}
}

// awaitFlushed takes n completions that are all flushed, where the queue cannot
// be asked for events any more.
func (s *side) awaitFlushed(n int) {
	s.t.Helper()
	wcs := make([]rdma.WorkCompletion, n)
	for got := 0; got < n; {
		k, err := s.cq.Poll(wcs[got:])
		if err != nil {
			s.t.Fatal(err)
		}
		got += k
	}
	for _, wc := range wcs {
		if wc.Status != rdma.Flushed {
			s.t.Errorf("%+v", wc)
		}
	}
}

// Refusal is told at both ends.
func TestAccessErrorEvent(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	w := write(1, src, dst, 0, 100)
	w.RemoteKey++
	mustPost(t, p.qa, w)
	p.a.awaitStatus(1, rdma.RemoteAccessError)
	if e := nextEvent(t, p.b.dev); e != (rdma.AsyncEvent{Type: rdma.EventQueuePairAccessError, QueuePair: p.qb.Number()}) {
		t.Error(e)
	}
	if k.b.Counters().AccessErrors != 1 {
		t.Errorf("%+v", k.b.Counters())
	}
}

// recorder is a test that notes what it is told.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   int
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.errors++ }

func TestCheckLive(t *testing.T) {
	k := newBench(t, Options{})
	for _, leak := range []bool{false, true} {
		dev := openDevice(t, k.rig.A)
		r := &recorder{TB: t}
		CheckLive(r, k.rig.A.System)
		if !leak {
			if err := dev.Close(); err != nil {
				t.Fatal(err)
			}
		}
		r.cleanups[0]()
		if (r.errors == 1) != leak {
			t.Errorf("leak %v: %d errors", leak, r.errors)
		}
	}
}

// The fabric ends with its test, whatever is open, posted or hanging.
func TestEndOfTheTest(t *testing.T) {
	t.Run("part", func(t *testing.T) {
		f := New(t, Options{})
		d := f.Device("n1", DeviceConfig{Addrs: []string{"10.0.0.1"}})
		dev, err := rdma.New(f.Driver("n1")).OpenDevice(d.Name())
		if err != nil {
			t.Fatal(err)
		}
		pd, err := dev.AllocProtectionDomain()
		if err != nil {
			t.Fatal(err)
		}
		cq, err := dev.CreateCompletionQueue(4, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pd.CreateQueuePair(usual().config, cq, cq); err != nil {
			t.Fatal(err)
		}
		hangs := make(chan error, 1)
		g := d.Hang(VerbRegister, 1)
		go func() {
			_, err := pd.Register(make([]byte, 1), 0)
			hangs <- err
		}()
		<-g.Entered()
		t.Cleanup(func() {
			// Before the fabric ends: it still hangs.
			select {
			case err := <-hangs:
				t.Error(err)
			default:
			}
		})
	})
}
