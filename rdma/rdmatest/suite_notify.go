package rdmatest

import (
	"context"
	"runtime"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// suiteNotify: an event comes for a completion after it was asked for. (None that
// was not asked for is not promised.)
func suiteNotify(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	mustReceive(t, p.qb, receives(10)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wcs [4]rdma.WorkCompletion
	for i := range 3 {
		if err := p.b.cq.RequestNotify(false); err != nil {
			t.Fatal(err)
		}
		if n, err := p.b.cq.Poll(wcs[:]); n != 0 || err != nil {
			t.Fatalf("round %d: %d completions, %v", i, n, err)
		}
		mustPost(t, p.qa, nothing(1, uint32(i)))
		if err := p.b.ch.Wait(ctx); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		n := 0
		for n == 0 {
			var err error
			if n, err = p.b.cq.Poll(wcs[:]); err != nil {
				t.Fatal(err)
			}
		}
		if n != 1 || wcs[0].Imm != uint32(i) {
			t.Fatalf("round %d: %d completions, %+v", i, n, wcs[0])
		}
	}
}

// suiteNotifySolicited: somebody who waits for what is marked is woken by that.
func suiteNotifySolicited(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	mustReceive(t, p.qb, receives(10)...)
	if err := p.b.cq.RequestNotify(true); err != nil {
		t.Fatal(err)
	}
	mustPost(t, p.qa, nothing(1, 1))
	p.a.awaitOK(1)
	marked := nothing(2, 2)
	marked.Flags |= rdma.Solicited
	mustPost(t, p.qa, marked)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.b.ch.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	p.b.awaitOK(2)
}

// suiteWakeups is a game of ping-pong between two goroutines that ask, poll and
// wait: one wake-up that gets lost ends it.
func suiteWakeups(t *testing.T, r Rig) {
	const rounds = 2000
	p := connectEnds(t, r, usual())
	mustReceive(t, p.qa, receives(100)...)
	mustReceive(t, p.qb, receives(100)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	play := func(s *side, q *rdma.QueuePair, serve bool) error {
		ball := []rdma.SendRequest{nothing(1000, 0)}
		if serve {
			if _, err := q.PostSend(ball); err != nil {
				return err
			}
		}
		var wcs [8]rdma.WorkCompletion
		for got, sent := 0, 0; got < rounds || sent < rounds; {
			if err := s.cq.RequestNotify(false); err != nil {
				return err
			}
			n, err := s.cq.Poll(wcs[:])
			if err != nil {
				return err
			}
			for i := range n {
				if err := wcs[i].Err(); err != nil {
					return err
				}
				if wcs[i].Op != rdma.CompletedReceiveWithImm {
					sent++
					continue
				}
				got++
				if _, err := q.PostReceive(receives(1)); err != nil {
					return err
				}
				if serve && got == rounds {
					continue
				}
				if _, err := q.PostSend(ball); err != nil {
					return err
				}
			}
			if n == 0 {
				if err := s.ch.Wait(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	}
	ends := make(chan error, 2)
	go func() { ends <- play(p.a, p.qa, true) }()
	go func() { ends <- play(p.b, p.qb, false) }()
	for range 2 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

// suiteNoAllocation: posting and polling cost no memory.
func suiteNoAllocation(t *testing.T, r Rig) {
	p := connectEnds(t, r, usual())
	src, dst := p.a.memory(1<<16, 0), p.b.memory(1<<16, targetAccess)
	rs := make([]rdma.SendRequest, 8)
	for i := range rs {
		rs[i] = write(uint64(i), src, dst, 0, 1<<16)
		rs[i].Flags = 0
	}
	rs[7] = withImm(rs[7], 1)
	rs[7].Flags = rdma.Signaled
	one := receives(1)
	wcs := make([]rdma.WorkCompletion, 4)
	poll := func(q *rdma.CompletionQueue) {
		for {
			n, err := q.Poll(wcs)
			if err != nil || n > 0 && wcs[0].Status != rdma.Success {
				t.Errorf("%v, %+v", err, wcs[0])
				return
			}
			if n > 0 {
				return
			}
			runtime.Gosched()
		}
	}
	round := func() {
		if _, err := p.qb.PostReceive(one); err != nil {
			t.Error(err)
		}
		if n, err := p.qa.PostSend(rs); err != nil {
			t.Error(n, err)
		}
		poll(p.b.cq)
		poll(p.a.cq)
	}
	round()
	if n := testing.AllocsPerRun(50, round); n != 0 {
		t.Errorf("%v allocations for posting 8 requests and polling for them", n)
	}
}
