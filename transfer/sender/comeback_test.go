package sender

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// slowly makes a chunk take 3 s, of 1 MiB.
func slowly(r *rig) {
	r.job.Spec.Streams = 1
	r.target.opened.Transports = []string{transport.RDMA, transport.TCP}
	r.config.Dialers[transport.RDMA] = r.target
	r.target.verdict = func(*transport.Extent, int) transport.Verdict {
		time.Sleep(3 * time.Second)
		return transport.Verdict{}
	}
}

// landedOnce checks that nothing was sent again that had landed.
func (r *rig) landedOnce() {
	r.t.Helper()
	for key, n := range r.target.sent {
		if n != 1 {
			r.t.Errorf("extent %v landed %d times", key, n)
		}
	}
}

func TestBackToRDMA(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dial    func(n int) error
		breakAt func(session, chunk int) bool
		size    int
		want    []string
	}{
		{
			name:    "it breaks once",
			breakAt: func(session, chunk int) bool { return session == 1 && chunk == 3 },
			size:    20, want: []string{"rdma ", "tcp QP_ERROR", "rdma "},
		},
		{
			name: "it cannot be had at first",
			dial: func(n int) error {
				if n == 1 {
					return &transport.UnavailableError{Transport: transport.RDMA, Reason: transport.PortDown, Err: errors.New("down")}
				}
				return nil
			},
			size: 20, want: []string{"rdma ", "tcp PORT_DOWN", "rdma "},
		},
		{ // tried after 30 s, and 60 s after that
			name: "it goes wrong again",
			dial: func(n int) error {
				if n == 3 {
					return &transport.UnavailableError{Transport: transport.RDMA, Reason: transport.ProbeFailed, Err: errors.New("lost")}
				}
				return nil
			},
			breakAt: func(session, _ int) bool { return session == 1 },
			size:    50, want: []string{"rdma ", "tcp QP_ERROR", "rdma ", "tcp PROBE_FAILED", "rdma "},
		},
		{
			name:    "the transfer is over before",
			breakAt: func(session, _ int) bool { return session == 1 },
			size:    8, want: []string{"rdma ", "tcp QP_ERROR"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				r := newRig(t, map[string]int{"big": tt.size * mib}, func(r *rig) {
					slowly(r)
					r.target.dial, r.target.breakAfter = tt.dial, tt.breakAt
				})
				r.run()
				r.target.wantContent("big", content("big", tt.size*mib))
				if got := r.obs.paths; !slices.Equal(got, tt.want) {
					t.Errorf("paths %q, want %q", got, tt.want)
				}
				r.landedOnce()
			})
		})
	}
}

// A path of several that broke is the transport's to leave.
func TestPathOfSeveralBreaks(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"big": 10 * mib}, func(r *rig) {
			slowly(r)
			r.target.dial = func(n int) error {
				if n == 1 {
					return &transport.UnavailableError{Transport: transport.RDMA, Reason: transport.ProbeFailed,
						Err: &transport.PathError{Path: "fake0", Err: errors.New("lost")}}
				}
				return nil
			}
		})
		if r.run(); fmt.Sprint(r.obs.paths) != "[rdma ]" {
			t.Errorf("paths %q", r.obs.paths)
		}
	})
}

// The target takes another transport by itself, and RDMA later.
func TestBackToRDMAOfTheTarget(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"big": 20 * mib}, func(r *rig) {
			slowly(r)
			r.target.prepare = func(n int, m *transfer.PrepareData) *transfer.DataReady {
				if n == 1 {
					return &transfer.DataReady{Grant: transport.Grant{Transport: transport.TCP}, Why: transport.NoBuffers}
				}
				return &transfer.DataReady{Grant: transport.Grant{Transport: m.Transports[0]}}
			}
		})
		r.run()
		r.target.wantContent("big", content("big", 20*mib))
		if want := []string{"tcp NO_BUFFERS", "rdma "}; !slices.Equal(r.obs.paths, want) {
			t.Errorf("paths %q, want %q", r.obs.paths, want)
		}
		r.landedOnce()
	})
}
