package sender

import (
	"fmt"
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// synctestSleep lets the time of a bubble pass.
func synctestSleep(d time.Duration) { time.Sleep(d) }

func aborts(r *rig) (ends []transfer.End) {
	r.target.mu.Lock()
	defer r.target.mu.Unlock()
	for _, m := range r.target.got {
		if a, ok := m.(*transfer.Abort); ok {
			ends = append(ends, a.End)
		}
	}
	return ends
}

func TestStop(t *testing.T) {
	for _, end := range []transfer.End{transfer.EndPause, transfer.EndCancel, transfer.EndPurge} {
		r := newRig(t, map[string]int{"big": 60 * mib}, nil)
		onExtent(r, 3, func() {
			r.edge.Stop(end)
			r.edge.Stop(transfer.EndPurge) // the first counts
		})
		r.fails(transfer.Cancelled)
		if got := aborts(r); len(got) != 1 || got[0] != end {
			t.Errorf("aborts %v, want %v", got, end)
		}
		if n := len(r.target.sent); n > 6 {
			t.Errorf("%d extents were sent after the stop", n)
		}
		for key, n := range r.target.tries {
			if r.target.sent[key] != n && end == transfer.EndPause {
				t.Errorf("extent %v did not arrive: not a chunk boundary", key)
			}
		}
	}
}

// TestP6StopWhileExtentsCrawl: at a limited rate the extents under way may take long. A
// cancel does not wait for them, and a pause not much.
func TestP6StopWhileExtentsCrawl(t *testing.T) {
	for end, most := range map[transfer.End]time.Duration{transfer.EndPause: time.Second, transfer.EndCancel: 0, transfer.EndPurge: 0} {
		bubble.Test(t, func(t *testing.T) {
			told := make(chan struct{})
			r := newRig(t, map[string]int{"big": 60 * mib}, func(r *rig) {
				r.target.ending = func() { close(told) }
			})
			var asked time.Time
			onExtent(r, 3, func() {
				asked = time.Now()
				r.edge.Stop(end)
				<-told
				if d := time.Since(asked); d > most {
					t.Errorf("end %v is told after %v", end, d)
				}
			})
			r.fails(transfer.Cancelled)
			if got := aborts(r); len(got) != 1 || got[0] != end {
				t.Errorf("aborts %v, want %v", got, end)
			}
		})
	}
}

func TestStopBeforeAnything(t *testing.T) {
	r := newRig(t, map[string]int{"f": 10}, nil)
	r.edge.Stop(transfer.EndCancel)
	r.fails(transfer.Cancelled)
	if got := aborts(r); len(got) != 1 {
		t.Errorf("aborts %v", got)
	}
}

func TestStopWhileTheScanWaitsForCredits(t *testing.T) {
	r := newRig(t, map[string]int{"a": 10, "b": 10, "c": 10}, func(r *rig) {
		r.target.opened.Credits = 2
		r.target.held = func(en *transfer.Entry) bool {
			if en.Number == 1 {
				r.edge.Stop(transfer.EndPause)
			}
			return true
		}
	})
	defer close(r.target.release)
	r.fails(transfer.Cancelled)
}

// TestStopOfATargetThatTakesLong: it may, as long as it is there.
func TestStopOfATargetThatTakesLong(t *testing.T) {
	for _, tt := range []struct {
		takes       time.Duration
		unconfirmed bool
	}{{abortMost / 2, false}, {2 * abortMost, true}} {
		bubble.Test(t, func(t *testing.T) {
			r := newRig(t, map[string]int{"f": 10}, func(r *rig) {
				r.target.held = func(*transfer.Entry) bool { return true }
				r.target.ending = func() { synctestSleep(tt.takes) }
			})
			defer close(r.target.release)
			go func() {
				synctestSleep(time.Second)
				r.edge.Stop(transfer.EndPause)
			}()
			s, err := r.edge.Run(t.Context())
			if transfer.ReasonOf(err) != transfer.Cancelled || (s.Confirmed != transfer.EndPause) != tt.unconfirmed {
				t.Errorf("an end that takes %v: %v, confirmed %v", tt.takes, err, s.Confirmed)
			}
		})
	}
}

func TestStopOfATargetThatDoesNotAnswer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 10}, func(r *rig) { r.target.mute = true })
		go func() {
			synctestSleep(time.Second)
			r.edge.Stop(transfer.EndCancel)
		}()
		start := time.Now()
		r.fails(transfer.Cancelled)
		if d := time.Since(start); d > time.Second+abortGrace+abortPing {
			t.Errorf("took %v", d)
		}
	})
}

func TestSetMaxRate(t *testing.T) {
	r := newRig(t, map[string]int{"f": 10}, nil)
	r.edge.SetMaxRate(1000)
	r.edge.SetMaxRate(0)
	r.run()
}

func TestValidate(t *testing.T) {
	r := newRig(t, nil, func(r *rig) {
		r.target.opened.ResolvedTo = "/real/dst"
		r.target.opened.FreeBytes = 77
	})
	p, err := Validate(t.Context(), r.config, r.job, r.edge.link)
	want := transfer.Plan{Transport: transport.TCP, Reason: string(transport.NotBuilt), Resolved: "/real/dst", FreeBytes: 77, Streams: 3, Verify: "wire"}
	if err != nil || p != want {
		t.Errorf("plan %+v, %v; want %+v", p, err, want)
	}
	if m := r.target.got[0].(*transfer.Open); !m.ValidateOnly {
		t.Error("it was no validation")
	}
	r = newRig(t, nil, func(r *rig) { r.target.refuse = &transfer.Error{Reason: transfer.DestNoSpace} })
	if _, err := Validate(t.Context(), r.config, r.job, r.edge.link); transfer.ReasonOf(err) != transfer.DestNoSpace {
		t.Errorf("error %v", err)
	}
	r = newRig(t, nil, func(r *rig) { r.job.Spec.Policy = transfer.PolicyRDMA })
	if _, err := Validate(t.Context(), r.config, r.job, r.edge.link); transfer.ReasonOf(err) != transfer.RDMAUnavailable {
		t.Errorf("error %v", err)
	}
}

func TestRelease(t *testing.T) {
	r := newRig(t, nil, nil)
	if err := Release(t.Context(), r.job, r.edge.link, transfer.EndPurge); err != nil {
		t.Fatal(err)
	}
	if got := aborts(r); len(got) != 1 || got[0] != transfer.EndPurge {
		t.Errorf("aborts %v", got)
	}
	r.target.close()
	if err := Release(t.Context(), r.job, r.edge.link, transfer.EndPurge); transfer.ReasonOf(err) != transfer.PeerLost {
		t.Errorf("error %v", err)
	}
}

func TestChoose(t *testing.T) {
	type names = []string
	l, tcp, rdma := transport.Local, transport.TCP, transport.RDMA
	tests := []struct {
		name         string
		policy       transfer.Policy
		encrypt      string
		distinct     bool
		mine, theirs names
		tls          bool
		want         names
		why          transport.Reason
		err          transfer.Reason
	}{
		{"one node", transfer.PolicyAuto, "auto", false, names{l, tcp}, names{l, tcp}, false, names{l, tcp}, transport.SameNode, ""},
		{"one node, tcp asked for", transfer.PolicyTCP, "auto", false, names{l, tcp}, names{l, tcp}, false, names{tcp}, transport.PolicyTCP, ""},
		{"local is for one node", transfer.PolicyAuto, "auto", true, names{l, tcp}, names{l, tcp}, false, names{tcp}, transport.NotBuilt, ""},
		{"rdma first", transfer.PolicyAuto, "auto", true, names{tcp, rdma}, names{rdma, tcp}, false, names{rdma, tcp}, "", ""},
		{"no rdma here", transfer.PolicyAuto, "", true, names{tcp}, names{rdma, tcp}, false, names{tcp}, transport.NotBuilt, ""},
		{"no rdma there", transfer.PolicyAuto, "", true, names{tcp, rdma}, names{tcp}, false, names{tcp}, transport.PeerHasNone, ""},
		{"rdma required", transfer.PolicyRDMA, "", true, names{tcp, rdma}, names{rdma, tcp}, false, names{rdma}, "", ""},
		{"rdma required, none here", transfer.PolicyRDMA, "", true, names{tcp}, names{rdma, tcp}, false, nil, "", transfer.RDMAUnavailable},
		{"rdma required, none there", transfer.PolicyRDMA, "", true, names{tcp, rdma}, names{tcp}, false, nil, "", transfer.RDMAUnavailable},
		{"rdma and secrecy required", transfer.PolicyRDMA, "required", true, names{tcp, rdma}, names{rdma, tcp}, true, nil, "", transfer.EncryptUnavailable},
		{"secrecy leaves rdma out", transfer.PolicyAuto, "required", true, names{tcp, rdma}, names{rdma, tcp}, true, names{tcp}, transport.EncryptionRequired, ""},
		{"secrecy without tls", transfer.PolicyAuto, "required", true, names{tcp}, names{tcp}, false, nil, "", transfer.EncryptUnavailable},
		{"secrecy on one node", transfer.PolicyAuto, "required", false, names{l, tcp}, names{l, tcp}, false, names{l}, transport.SameNode, ""},
		{"nothing in common", transfer.PolicyAuto, "", true, names{tcp}, names{"other"}, false, nil, "", transfer.Unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job := &Job{TargetDistinct: tt.distinct}
			job.Spec.Policy, job.Spec.Encrypt = tt.policy, tt.encrypt
			has := func(list names) func(string) bool {
				return func(name string) bool {
					for _, x := range list {
						if x == name {
							return true
						}
					}
					return false
				}
			}
			c, err := choose(job, transport.NotBuilt, has(tt.mine), func(string) bool { return tt.tls }, tt.theirs)
			if err != nil || tt.err != "" {
				if err == nil || err.Reason != tt.err {
					t.Fatalf("error %v, want %s", err, tt.err)
				}
				return
			}
			if c.why != tt.why || len(c.names) != len(tt.want) {
				t.Fatalf("got %v, want %v %s", c, tt.want, tt.why)
			}
			for i := range tt.want {
				if c.names[i] != tt.want[i] {
					t.Errorf("got %v, want %v", c.names, tt.want)
				}
			}
		})
	}
}

// TestStopAfterEverythingIsDone: where the target says that it had done all before the
// stop reached it, the edge came to its end.
func TestStopAfterEverythingIsDone(t *testing.T) {
	for _, done := range []bool{true, false} {
		r := newRig(t, map[string]int{"f": 10}, func(r *rig) {
			r.target.finished = transfer.Finished{Complete: done, Deleted: 3}
			r.target.onFinish = func() { r.edge.Stop(transfer.EndCancel) } // and the Abort is answered
		})
		s, err := r.edge.Run(t.Context())
		if done && (err != nil || s.Deleted != 3) || !done && (transfer.ReasonOf(err) != transfer.Cancelled || s.Confirmed != transfer.EndCancel) {
			t.Errorf("all done %v: %+v, %v", done, s, err)
		}
	}
}

// TestTargetThatWaits: what it waits for is told once, and its end once.
func TestTargetThatWaits(t *testing.T) {
	full := &transfer.Error{Reason: transfer.StateNoSpace, Side: transfer.SideTarget, Node: "n2"}
	r := newRig(t, map[string]int{"f": 10}, func(r *rig) {
		r.target.onFinish = func() {
			for _, p := range []transfer.Pong{{}, {Waiting: full}, {Seq: 3, Waiting: full}, {}, {Seq: 4}} {
				r.target.send(&p)
			}
			r.target.send(&transfer.Finished{})
		}
	})
	r.run()
	if got := fmt.Sprint(r.obs.waited); got != "[STATE_NO_SPACE ]" {
		t.Errorf("the waits are %s", got)
	}
}
