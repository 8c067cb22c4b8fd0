package verbs

import (
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
)

// With the limits that a node has, and the times that a device in software keeps,
// silence is found out early enough for the rest to go by another path within five
// seconds; and a network that is gone for a second breaks nothing.
func TestPatienceOfADeviceInSoftware(t *testing.T) {
	for _, tt := range []struct {
		gone   time.Duration
		breaks bool
	}{{time.Second, false}, {time.Minute, true}} {
		inBubble(t, setup{timeout: rdmatest.AsAsked, hidden: true}, func(t *testing.T, r *rig) {
			var start time.Time
			back := make(chan struct{})
			_, err := broken(t, r, func(*edge) {
				start = time.Now()
				r.fabric.BlackHole(r.a, r.b)
				time.AfterFunc(tt.gone, func() {
					r.fabric.Join(r.a, r.b)
					close(back)
				})
			})
			after := time.Since(start)
			if got := statusOf(err); tt.breaks != (got == rdma.RetryExceeded) || !tt.breaks && err != nil {
				t.Errorf("gone for %s: %v after %s", tt.gone, err, after)
			}
			if after > 3*time.Second {
				t.Errorf("gone for %s: it took %s, and the rest has to be asked for yet", tt.gone, after)
			}
			<-back
		})
	}
}

func TestAckTimeout(t *testing.T) {
	for _, tt := range []struct {
		limits   Limits
		software bool
		want     uint8
	}{
		{Limits{}, false, 17},
		{Limits{}, true, 16},
		{Limits{AckTimeout: 14}, false, 14},
		{Limits{AckTimeout: 14}, true, 14},
		{Limits{AckTimeout: 20}, true, 20},
	} {
		if err := tt.limits.fill(); err != nil {
			t.Fatal(err)
		}
		if got := tt.limits.ackTimeout(tt.software); got != tt.want {
			t.Errorf("%d for %d asked, software %t; want %d", got, tt.limits.AckTimeout, tt.software, tt.want)
		}
	}
	if err := (&Limits{AckTimeout: 32}).fill(); err == nil {
		t.Error("32 was taken")
	}
}
