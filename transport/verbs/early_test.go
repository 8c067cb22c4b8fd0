package verbs

import (
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// A session can break between its set-up and its first chunk. Why is told as it is
// later on, and the path rests.
func TestBrokenBeforeItRuns(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		e := r.connect(t, newStore(0))
		r.src.Event(r.src.devices[0], rdma.AsyncEvent{Type: rdma.EventDeviceFatal})
		err := <-e.start(t.Context(), nil, newStore(0))
		if _, ok := errors.AsType[*railError](err); !ok || errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, which is not the cause", err)
		}
		rests, falls := int64(0), int64(0)
		for _, a := range r.src.Accounts() {
			rests, falls = rests+a.Rests, falls+a.FallBacks[transport.QPError]
		}
		if rests != 1 || falls != 1 {
			t.Errorf("%d rests, %d fall-backs", rests, falls)
		}
		_ = e.close(t)
	})
}

// Whoever closes an edge that never ran waits for its fence, the second one too.
func TestClosedTwiceBeforeItRuns(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		e := r.connect(t, newStore(0))
		var closing sync.WaitGroup
		for range 2 {
			closing.Go(func() {
				if err := e.out.Close(); err != nil {
					t.Error(err)
				}
				if n := r.a.Counters().QueuePairs; n != 0 {
					t.Errorf("closed with %d queue pairs", n)
				}
			})
		}
		closing.Wait()
		if err := e.out.Run(t.Context(), nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("run: %v", err)
		}
		_ = e.close(t)
	})
}
