package verbs

import (
	"testing"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
)

// The first byte of a probe that is lost is seen even where it is like memory that
// nobody wrote to.
func TestProbeOfAZero(t *testing.T) {
	for _, land := range []rdmatest.Landing{rdmatest.LandNothing, rdmatest.LandAll} {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			r.a.Inject(rdmatest.SendFault{Index: 0, Override: true, Land: land})
			e := newEdge()
			r.prepare(t, e, newStore(0))
			for pattern(&e.in.token, 0, rdma.MTU4096)[0] != 0 {
				e.in.token[31]++
				if e.in.token[31] == 0 {
					e.in.token[30]++
				}
			}
			switch err := r.dial(t.Context(), e); {
			case land == rdmatest.LandAll && err != nil:
				t.Error(err)
			case land == rdmatest.LandNothing && (err == nil || reason(t, err) != transport.ProbeFailed):
				t.Errorf("the byte that was lost was not missed: %v", err)
			}
			_ = e.close(t)
		})
	}
}
