package verbs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// attempt moves data by RDMA as far as it goes, with a fault that was asked for
// before, and the rest by another path.
func attempt(t *testing.T, r *rig, data []byte, s *store) (resent int, err error) {
	t.Helper()
	e := newEdge()
	r.prepare(t, e, s)
	if err = r.dial(t.Context(), e); err == nil {
		err = <-e.start(t.Context(), data, s)
	} else {
		reason(t, err)
	}
	return e.finish(t, data, s), err
}

// Requests 0 to 2 are those of the probe; then a chunk is its payload, its header
// and its announcement.
func TestB8EveryStatusAtEveryRequest(t *testing.T) {
	const chunks = 3
	for status := rdma.LocalLengthError; status <= rdma.GeneralError; status++ {
		lands := []rdmatest.Landing{rdmatest.LandNothing}
		if status == rdma.RetryExceeded || status == rdma.GeneralError {
			lands = append(lands, rdmatest.LandHalf, rdmatest.LandAll)
		}
		t.Run(status.String(), func(t *testing.T) {
			for index := range 3 + 3*chunks {
				for _, land := range lands {
					inBubble(t, setup{}, func(t *testing.T, r *rig) {
						r.a.Inject(rdmatest.SendFault{Index: index, Override: true, Status: status, Land: land})
						s, data := newStore(chunks*chunkSize), content(chunks*chunkSize)
						resent, err := attempt(t, r, data, s)
						switch {
						case err == nil:
							t.Errorf("request %d: no error", index)
						case index < 3:
							if got := reason(t, err); got != transport.ProbeFailed || resent != chunks {
								t.Errorf("request %d: %s, %d chunks by another path: %v", index, got, resent, err)
							}
						case status != rdma.Flushed && statusOf(err) != status && !errors.As(err, new(*peerError)): // the target was faster
							t.Errorf("request %d: %v", index, err)
						}
					})
				}
			}
		})
	}
}

// Success that is none: the target did not get what it is said to have.
func TestB8SuccessWithoutTheData(t *testing.T) {
	for index := range 12 {
		for _, land := range []rdmatest.Landing{rdmatest.LandNothing, rdmatest.LandHalf, rdmatest.LandDamaged} {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				r.a.Inject(rdmatest.SendFault{Index: index, Override: true, Land: land})
				s, data := newStore(3*chunkSize), content(3*chunkSize)
				if resent, err := attempt(t, r, data, s); err == nil && resent == 0 && index%3 != 2 {
					t.Errorf("request %d, landing %d: nothing was seen", index, land)
				}
			})
		}
	}
}

func TestB8MissingCompletion(t *testing.T) {
	for _, index := range []int{2, 5, 8, 11} { // those that are signaled
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			r.a.Inject(rdmatest.SendFault{Index: index, Silent: true})
			s, data := newStore(3*chunkSize), content(3*chunkSize)
			start := time.Now()
			resent, err := attempt(t, r, data, s)
			if index > 2 && (!errors.Is(err, errStalled) || resent != 0) || err == nil {
				t.Errorf("request %d: %v, %d chunks by another path", index, err, resent)
			}
			if d := time.Since(start); d > 70*time.Second {
				t.Errorf("request %d: it took %s", index, d)
			}
		})
	}
}

// All requests are flushed and none says why, as after an error of the queue pair
// that only an event tells of.
func TestB8FlushAlone(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		resent, err := broken(t, r, func(e *edge) {
			if err := e.out.s.domains[0].pairs[0].qp.ToError(); err != nil {
				t.Error(err)
			}
		})
		// Not only once nothing was heard for long.
		if err == nil || resent == 0 || errors.Is(err, errStalled) {
			t.Errorf("%v, %d chunks by another path", err, resent)
		}
	})
}

// Every verb that can fail does so once, at each end.
func TestB8EveryVerbThatFails(t *testing.T) {
	verbs := map[rdmatest.Verb]string{
		rdmatest.VerbAllocPD: "alloc pd", rdmatest.VerbRegister: "register", rdmatest.VerbCreateChannel: "create channel",
		rdmatest.VerbCreateCQ: "create cq", rdmatest.VerbCreateQP: "create qp", rdmatest.VerbCheckAddress: "check address",
		rdmatest.VerbToInit: "to init", rdmatest.VerbToReadyToReceive: "to rtr", rdmatest.VerbToReadyToSend: "to rts",
		rdmatest.VerbPostSend: "post send", rdmatest.VerbDoorbell: "doorbell", rdmatest.VerbPostReceive: "post receive",
		rdmatest.VerbRequestNotify: "request notify", rdmatest.VerbPoll: "poll", rdmatest.VerbToError: "to error",
	}
	for v, name := range verbs {
		t.Run(name, func(t *testing.T) {
			for _, end := range []string{"source", "target"} {
				for _, nth := range []int{1, 2, 12} {
					inBubble(t, setup{}, func(t *testing.T, r *rig) {
						d := r.a
						if end == "target" {
							d = r.b
						}
						d.Fail(v, nth, errors.New("a fault of the test"))
						s, data := newStore(size), content(size)
						_, err := attempt(t, r, data, s)
						if v == rdmatest.VerbToError && err != nil {
							t.Errorf("%s, %d: %v", end, nth, err)
						}
						d.Heal()
					})
				}
			}
		})
	}
}

func TestB9RetriesForEver(t *testing.T) {
	for _, l := range []Limits{{Retries: 7}, {AckTimeout: 32}} {
		if err := l.fill(); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	var l Limits
	if err := l.fill(); err != nil || l.Retries != 6 || l.ackTimeout(false) != 17 {
		t.Errorf("%+v, %v", l, err)
	}
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		e := r.connect(t, newStore(0))
		for _, a := range []rdma.ReadyToSendAttr{{Timeout: 14, RetryCount: 7}, {Timeout: 14, RNRRetry: 7}, {}} {
			if err := e.out.s.domains[0].pairs[0].qp.ToReadyToSend(a); err == nil || errors.As(err, new(*rdma.Error)) {
				t.Errorf("%+v: %v, want it refused before the device sees it", a, err)
			}
		}
		_ = e.close(t)
	})
}

func TestB10DeviceRemoved(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		for _, end := range []string{"source", "target"} {
			t.Run(fmt.Sprintf("%s, deaf %t", end, deaf), func(t *testing.T) {
				inBubble(t, setup{deaf: deaf}, func(t *testing.T, r *rig) {
					resent, err := broken(t, r, func(*edge) {
						if end == "source" {
							r.a.Remove()
						} else {
							r.b.Remove()
						}
					})
					if err == nil || resent == 0 {
						t.Errorf("%v, %d chunks by another path", err, resent)
					}
				})
			})
		}
	}
}

func TestB11DeviceReturns(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		if _, err := broken(t, r, func(*edge) { r.b.Remove() }); err == nil {
			t.Error("no error")
		}
		r.b.Restore()
		n := len(r.dst.devices)
		r.dst.open(t, r.b.Name()) // what was opened before stays broken
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		if got := e.in.rails[0].Device; got != r.dst.devices[n] {
			t.Errorf("by %v", got)
		}
		if err := <-e.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		if n := e.finish(t, data, s); n != 0 {
			t.Errorf("%d chunks by another path", n)
		}
	})
}

// The path that takes over breaks as well, and so on: what landed once is never
// sent again.
func TestB12FailureWhileTheRestIsSent(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		for i := range 6 {
			e := r.connect(t, s)
			land := []rdmatest.Landing{rdmatest.LandAll, rdmatest.LandHalf, rdmatest.LandNothing}[i%3]
			r.a.Inject(rdmatest.SendFault{Index: 3*i + i%3, Override: true, Status: rdma.RetryExceeded, Land: land})
			before := s.count()
			if err := <-e.start(t.Context(), data, s); err == nil {
				t.Error("no error")
			}
			if err := e.close(t); err != nil {
				t.Error(err)
			}
			e.feed.Settled(t)
			if s.count() < before {
				t.Error("the record shrank")
			}
			r.a.Heal()
		}
		other(t, data, s)
	})
}

// The target finds its queue pair in error and says so, before this end's device has
// given up: the error is what the device says, and not what followed from it. A device
// that says nothing is not waited for.
func TestB8OwnCauseComesFirst(t *testing.T) {
	for name, own := range map[string]bool{"soon": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				s, data := newStore(size), content(size)
				e := r.connect(t, s)
				stuck := make(chan struct{})
				var once sync.Once
				s.place = func(ctx context.Context, _ int64) error {
					once.Do(func() { close(stuck) })
					<-ctx.Done()
					return ctx.Err()
				}
				e.feed = transporttest.NewFeed(chunks(data, nil)...)
				if own {
					r.fabric.Link(r.b, r.a).Drop() // no answer, which the device finds out by its retries
				}
				for i := 3; i < 100 && !own; i++ {
					r.a.Inject(rdmatest.SendFault{Index: i, Silent: true})
				}
				done := e.startFeed(t.Context())
				<-stuck
				r.dst.Transport.mu.Lock()
				for s := range r.dst.sessions {
					if err := s.domains[0].pairs[0].qp.ToError(); err != nil {
						t.Error(err)
					}
				}
				r.dst.Transport.mu.Unlock()
				err := <-done
				_, peers := errors.AsType[*peerError](err)
				if wc, ok := errors.AsType[*rdma.CompletionError](err); own != ok || own == peers {
					t.Errorf("%v (%v)", err, wc)
				}
				r.fabric.Join(r.a, r.b)
				r.a.Heal()
				e.finish(t, data, s)
			})
		})
	}
}
