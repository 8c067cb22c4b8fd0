package sender

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestBrokenDataPlaneResendsOnlyTheUnknown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		files := map[string]int{"big": 20 * mib, "mid": 700_000}
		for i := range 50 {
			files[fmt.Sprintf("f%d", i)] = 100 + i
		}
		r := newRig(t, files, func(r *rig) {
			r.target.breakAfter = func(session, chunk int) bool { return session < 4 && chunk%5 == 0 }
		})
		s := r.run()
		for name, size := range files {
			r.target.wantContent(name, content(name, size))
		}
		for key, n := range r.target.sent {
			if n != 1 {
				t.Errorf("extent %v landed %d times", key, n)
			}
		}
		if r.target.sessions != 4 || s.Progress.BytesDone != s.Progress.Bytes {
			t.Errorf("%d sessions, progress %+v", r.target.sessions, s.Progress)
		}
		// Each data plane is fenced before the next one is asked for.
		prepared, fenced := 0, 0
		for _, m := range r.target.got {
			switch m.(type) {
			case *transfer.PrepareData:
				if prepared++; fenced != prepared-1 {
					t.Errorf("data plane %d was asked for after %d fences", prepared, fenced)
				}
			case *transfer.FenceData:
				fenced++
			}
		}
		if prepared != 4 {
			t.Errorf("%d data planes were asked for", prepared)
		}
	})
}

func TestDataPlaneThatNeverWorks(t *testing.T) {
	protocol := &transport.ProtocolError{Addr: "x", What: "nonsense"}
	tests := []struct {
		name string
		hook func(*rig)
		want transfer.Reason
	}{
		{"cannot be dialled", func(r *rig) {
			r.target.dial = func(int) error {
				return &transport.UnavailableError{Transport: "tcp", Err: errors.New("no route")}
			}
		}, transfer.PeerLost},
		{"breaks at once", func(r *rig) { r.target.breakAfter = func(int, int) bool { return true } }, transfer.PeerLost},
		{"speaks nonsense", func(r *rig) { r.target.dial = func(int) error { return protocol } }, transfer.ProtocolError},
		{"is refused", func(r *rig) {
			r.target.prepare = func(int, *transfer.PrepareData) *transfer.DataReady {
				return &transfer.DataReady{Err: &transfer.Error{Reason: transfer.Unsupported}}
			}
		}, transfer.Unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := newRig(t, map[string]int{"f": 3 * mib}, tt.hook)
				r.fails(tt.want)
				if n := count[*transfer.PrepareData](r.target); n != maxTries {
					t.Errorf("%d tries, want %d", n, maxTries)
				}
				if n := count[*transfer.Abort](r.target); (n == 0) != tt.want.Transient() {
					t.Errorf("%d aborts after %s", n, tt.want)
				}
			})
		})
	}
}

func TestTriesAreCountedWithoutProgress(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"big": 90 * mib}, func(r *rig) {
			r.job.Spec.Streams = 1
			// Chunks are numbered over all sessions: a session is to break at its own
			// seventh one: by then the first ones are acknowledged, whatever is in flight.
			var mu sync.Mutex
			seen := map[int]int{}
			r.target.breakAfter = func(session, _ int) bool {
				mu.Lock()
				defer mu.Unlock()
				seen[session]++
				return seen[session] == 7
			}
		})
		r.run() // some 15 sessions, each of which moves something
		r.target.wantContent("big", content("big", 90*mib))
		if r.target.sessions < 10 {
			t.Errorf("%d sessions", r.target.sessions)
		}
	})
}

func TestWorseTransportAfterFailures(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"big": 3 * mib}, func(r *rig) {
			r.target.opened.Transports = []string{transport.RDMA, transport.TCP}
			r.config.Dialers[transport.RDMA] = r.target
			r.target.dial = func(n int) error {
				if n <= demoteAfter {
					return errors.New("queue pair failed")
				}
				return nil
			}
		})
		s := r.run()
		if got := r.obs.paths; len(got) != 2 || got[0] != "rdma " || got[1] != "tcp QP_ERROR" || r.obs.details[1] == "" || s.Transport != transport.TCP {
			t.Errorf("paths %q", got)
		}
	})
}

func TestSilentTargetIsLost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 10}, func(r *rig) { r.target.mute = true })
		r.fails(transfer.PeerLost)
		if n := count[*transfer.Ping](r.target); n == 0 {
			t.Error("the target was not pinged")
		}
	})
}

func TestQuietTargetThatAnswersPings(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 10}, func(r *rig) {
			r.target.held = func(en *transfer.Entry) bool { return en.Name == "f" }
		})
		done := make(chan Summary)
		go func() {
			s, err := r.edge.Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- s
		}()
		for count[*transfer.Ping](r.target) < 30 { // five minutes
			synctestSleep(pingEvery)
		}
		close(r.target.release)
		<-done
		r.outcome("f", transfer.OutcomeSame, "")
	})
}

func TestSilentOpen(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		owner, target := transfer.Pipe()
		defer target.Close()
		r := newRig(t, map[string]int{"f": 10}, nil)
		r.edge.link = owner
		r.fails(transfer.PeerLost)
	})
}

func TestEndOfTheControlStream(t *testing.T) {
	r := newRig(t, map[string]int{"f": 3 * mib}, nil)
	onExtent(r, 2, func() { r.target.link.Close() })
	r.fails(transfer.PeerLost)
}

func TestProtocolErrors(t *testing.T) {
	answers := func(a ...transfer.Answer) transfer.ToOwner { return &transfer.Answers{Answers: a} }
	results := func(x ...transfer.Result) transfer.ToOwner { return &transfer.Results{Results: x} }
	tests := map[string]transfer.ToOwner{
		"answer for no entry":       answers(transfer.Answer{Entry: 99, Want: transfer.WantAll}),
		"answer for a directory":    answers(transfer.Answer{Entry: 0, Want: transfer.WantAll}),
		"unknown want":              answers(transfer.Answer{Entry: 1, Want: 9}),
		"range off the grid":        answers(transfer.Answer{Entry: 1, Want: transfer.WantRanges, Ranges: []transport.Range{{Offset: 1, Length: 5}}}),
		"wanted twice":              answers(transfer.Answer{Entry: 1, Want: transfer.WantAll}, transfer.Answer{Entry: 1, Want: transfer.WantAll}),
		"digests twice":             answers(transfer.Answer{Entry: 1, Want: transfer.WantDigests}, transfer.Answer{Entry: 1, Want: transfer.WantDigests}),
		"wanted before its digests": answers(transfer.Answer{Entry: 1, Want: transfer.WantDigests}, transfer.Answer{Entry: 1, Want: transfer.WantAll}),
		"result of no entry":        results(transfer.Result{Entry: 99, Outcome: transfer.OutcomeSame}),
		"result without outcome":    results(transfer.Result{Entry: 1}),
		"failure without reason":    results(transfer.Result{Entry: 1, Outcome: transfer.OutcomeFailed}),
		"refusal without reason":    &transfer.Refused{},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, map[string]int{"f": 3 * mib}, func(r *rig) {
				r.target.held = func(en *transfer.Entry) bool {
					if en.Kind == transfer.KindEndDir { // the last one
						r.target.send(m)
					}
					return true
				}
			})
			defer close(r.target.release)
			r.fails(transfer.ProtocolError)
		})
	}
}

func TestAnswersOfTheFence(t *testing.T) {
	landed := func(at ...uint32) []transfer.LandedExtent {
		list := make([]transfer.LandedExtent, len(at))
		for i := range at {
			list[i].Asked = at[i]
		}
		return list
	}
	for name, list := range map[string][]transfer.LandedExtent{
		"more than was asked": landed(1 << 20), "twice": landed(0, 0), "out of order": landed(1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := newRig(t, map[string]int{"big": 9 * mib}, func(r *rig) {
					r.target.breakAfter = func(session, chunk int) bool { return chunk == 3 }
					r.target.landed = func(*transfer.FenceData) []transfer.LandedExtent { return list }
				})
				r.fails(transfer.ProtocolError)
			})
		})
	}
	t.Run("landed without a digest", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			asked := 0
			r := newRig(t, map[string]int{"big": 9 * mib}, func(r *rig) {
				r.target.breakAfter = func(session, chunk int) bool { return chunk == 3 }
				r.target.landed = func(m *transfer.FenceData) []transfer.LandedExtent {
					asked += len(m.Asked)
					return landed(0)
				}
			})
			r.run() // it is sent again: the digest of the file needs that of each extent
			r.target.wantContent("big", content("big", 9*mib))
			if asked == 0 {
				t.Error("nothing was asked")
			}
		})
	})
}
