package verbs

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
)

// railsOf says how many paths the next session has, which moves everything that
// is missing.
func railsOf(t *testing.T, r *rig) int {
	t.Helper()
	s, data := newStore(size), content(size)
	e := r.connect(t, s)
	n := len(e.out.s.domains)
	if e.out.Degraded() != (n < len(r.as)) {
		t.Errorf("%d rails of %d, degraded: %t", n, len(r.as), e.out.Degraded())
	}
	if err := <-e.start(t.Context(), data, s); err != nil {
		t.Error(err)
	}
	if resent := e.finish(t, data, s); resent != 0 {
		t.Errorf("%d chunks by another path", resent)
	}
	return n
}

// What is not acknowledged yet counts: chunks go to the rail with the least of it.
func TestRailsShareTheChunks(t *testing.T) {
	inBubble(t, setup{rails: 3, limits: Limits{QueuePairs: 2, Slots: 12}}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		for i := range r.as {
			r.fabric.Link(r.bs[i], r.as[i]).Hold()
		}
		var before []uint64
		for _, d := range r.bs {
			before = append(before, d.Counters().BytesLanded)
		}
		done := e.start(t.Context(), data, s)
		time.Sleep(5 * time.Millisecond)
		for i, d := range r.bs {
			if n := d.Counters().BytesLanded - before[i]; n < 2*chunkSize || n > 7*chunkSize {
				t.Errorf("%d bytes of 12 chunks by rail %d", n, i)
			}
		}
		for i := range r.as {
			r.fabric.Link(r.bs[i], r.as[i]).Release()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.finish(t, data, s)
	})
}

func TestB11BrokenRailRests(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		for round, rest := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
			if round == 0 {
				if n := railsOf(t, r); n != 2 {
					t.Fatalf("%d rails at first", n)
				}
			}
			resent, err := broken(t, r, func(*edge) { r.fabric.BlackHole(r.as[1], r.bs[1]) })
			if resent == 0 || !errors.As(err, new(*transport.PathError)) {
				t.Errorf("%v, %d chunks by another path, want the rail named", err, resent)
			}
			r.fabric.Join(r.as[1], r.bs[1])
			// It works again, and is not trusted yet.
			if n := railsOf(t, r); n != 1 {
				t.Errorf("round %d: %d rails just after it broke", round, n)
			}
			time.Sleep(rest - time.Second)
			if n := railsOf(t, r); n != 1 {
				t.Errorf("round %d: %d rails after %s", round, n, rest-time.Second)
			}
			time.Sleep(time.Second)
		}
		// With new queue pairs, and a probe. A session that went well is the end of
		// it: the next time it rests for as long as the first time.
		before := r.bs[1].Counters().Landed
		if n := railsOf(t, r); n != 2 {
			t.Errorf("%d rails after all rests", n)
		}
		if r.bs[1].Counters().Landed == before {
			t.Error("the rail that came back was not probed")
		}
		if resent, _ := broken(t, r, func(*edge) { r.fabric.BlackHole(r.as[1], r.bs[1]) }); resent == 0 {
			t.Error("nothing broke")
		}
		r.fabric.Join(r.as[1], r.bs[1])
		time.Sleep(6 * time.Second)
		if n := railsOf(t, r); n != 2 {
			t.Errorf("%d rails, want both after a short rest", n)
		}
	})
}

// A port that is down is none of the paths, and is missed all the same.
func TestPortThatIsDownIsMissed(t *testing.T) {
	for _, end := range []string{"source", "target"} {
		inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
			d := r.as[1]
			if end == "target" {
				d = r.bs[1]
			}
			if resent, _ := broken(t, r, func(*edge) { d.PortDown() }); resent == 0 {
				t.Error("nothing broke")
			}
			time.Sleep(time.Minute)
			if n := railsOf(t, r); n != 1 { // and says that it is degraded
				t.Errorf("%d rails", n)
			}
			d.PortUp()
			if n := railsOf(t, r); n != 2 {
				t.Errorf("%d rails", n)
			}
			if r.src.rests.missing("n2", nil) {
				t.Error("it is missed although it is back")
			}
		})
	}
}

// A rail that cannot be brought up does not take the others with it.
func TestRailThatDoesNotComeUp(t *testing.T) {
	for name, fault := range map[string]func(r *rig){
		"probe":           func(r *rig) { r.fabric.BlackHole(r.as[1], r.bs[1]) },
		"answers lost":    func(r *rig) { r.fabric.Link(r.bs[1], r.as[1]).Drop() },
		"source, address": func(r *rig) { r.as[1].Fail(rdmatest.VerbCheckAddress, 1, syscall.EINVAL) },
		"source, connect": func(r *rig) { r.as[1].Fail(rdmatest.VerbToReadyToReceive, 1, syscall.ETIMEDOUT) },
		"target, connect": func(r *rig) { r.bs[1].Fail(rdmatest.VerbToReadyToReceive, 1, syscall.ETIMEDOUT) },
		"target, receive": func(r *rig) { r.bs[1].Fail(rdmatest.VerbPostReceive, 2, syscall.ENOMEM) },
		"target, success without the data": func(r *rig) {
			r.as[1].Inject(rdmatest.SendFault{Index: 1, Override: true, Land: rdmatest.LandNothing})
		},
		"source, status": func(r *rig) {
			r.as[1].Inject(rdmatest.SendFault{Index: 1, Override: true, Status: rdma.RetryExceeded})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
				fault(r)
				e := newEdge()
				r.prepare(t, e, newStore(0))
				err := r.dial(t.Context(), e)
				reason(t, err)
				if p, ok := errors.AsType[*transport.PathError](err); !ok || p.Path != "fake1 port 1" {
					t.Fatalf("%v, want the rail named", err)
				}
				_ = e.close(t)
				if n := railsOf(t, r); n != 1 {
					t.Errorf("%d rails", n)
				}
			})
		})
	}
}

// Where all paths broke, all are tried: who asks for RDMA finds out.
func TestAllRailsRest(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		for i := range 2 {
			if resent, _ := broken(t, r, func(*edge) { r.fabric.BlackHole(r.as[i], r.bs[i]) }); resent == 0 {
				t.Error("nothing broke")
			}
		}
		for i := range 2 {
			r.fabric.Join(r.as[i], r.bs[i])
		}
		if n := railsOf(t, r); n != 2 {
			t.Errorf("%d rails", n)
		}
	})
}

// The end of a session that nobody is to blame for costs no rail its place.
func TestEndsThatBlameNobody(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		for _, happens := range []func(e *edge){
			func(e *edge) { _ = e.out.Close() },
			func(e *edge) { _ = e.in.Close() },
			func(e *edge) { _ = e.out.control.Close() },
		} {
			_, err := broken(t, r, func(e *edge) { go happens(e) })
			if errors.As(err, new(*transport.PathError)) {
				t.Errorf("%v blames a rail", err)
			}
			if n := railsOf(t, r); n != 2 {
				t.Errorf("%d rails after %v", n, err)
			}
		}
	})
}

func TestRestsAreForgotten(t *testing.T) {
	r := rests{first: time.Nanosecond, longest: time.Nanosecond}
	for i := range 3 * maxRests {
		p := path{rail: &Rail{Device: new(rdma.Device)}}
		p.remote[0], p.remote[1] = byte(i), byte(i>>8)
		r.begin("n2", &p)
	}
	if n := len(r.paths); n > maxRests {
		t.Errorf("%d are remembered", n)
	}
}

func TestFailureNamesTheRail(t *testing.T) {
	d := &domain{path: path{rail: &Rail{Device: new(rdma.Device)}, peer: 3}}
	for _, tt := range []struct {
		err  error
		rail int
	}{{d.blame(errProbe), 3}, {errProbe, -1}} {
		got := parseFailure(failure(tt.err)[1:])
		if got.rail != tt.rail || got.reason != transport.ProbeFailed {
			t.Errorf("%+v of %v", got, tt.err)
		}
	}
	for _, odd := range []string{"", "X@", "X@-1\n", "x@1\n", "@@\n", "A@99999999999999999999\n"} {
		if got := parseFailure([]byte(odd)); got.rail < -1 {
			t.Errorf("%q: %+v", odd, got)
		}
	}
}
