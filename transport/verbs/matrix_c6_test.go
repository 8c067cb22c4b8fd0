package verbs

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma/rdmatest"
)

// What the device does not give back is not used again, not freed, and said.
func TestC6DestroyFails(t *testing.T) {
	for v, name := range map[rdmatest.Verb]string{rdmatest.VerbDestroyQP: "destroy qp", rdmatest.VerbDeregister: "dereg"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{kept: true}, func(t *testing.T, r *rig) {
				s, data := newStore(size), content(size)
				e := r.connect(t, s)
				held := r.dst.recv.InUse()
				r.b.Fail(v, 0, syscall.EBUSY)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				if err := e.close(t); err == nil || !strings.Contains(err.Error(), "device or resource busy") {
					t.Errorf("the fence: %v", err)
				}
				if n, now := r.dst.Quarantined(), r.dst.recv.InUse(); n != 1 || now != held {
					t.Errorf("%d sessions in quarantine, %d bytes kept of %d", n, now, held)
				}
				r.b.Heal()
				// The others go on, in other memory.
				s = newStore(size)
				e = r.connect(t, s)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				e.finish(t, data, s)
				if err := r.dst.Transport.Close(); err == nil {
					t.Error("closed without a word on what is kept")
				}
			})
		})
	}
}

func TestC6DestroyHangs(t *testing.T) {
	for v, name := range map[rdmatest.Verb]string{rdmatest.VerbDestroyQP: "destroy qp", rdmatest.VerbDeregister: "dereg"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				s, data := newStore(size), content(size)
				e := r.connect(t, s)
				held := r.dst.recv.InUse()
				gate := r.b.Hang(v, 1)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				start := time.Now()
				if err := e.close(t); err == nil {
					t.Error("the fence says that it is done")
				}
				if d := time.Since(start); d > 2*r.dst.cfg.Limits.Destroy {
					t.Errorf("it waited %s", d)
				}
				if n, now := r.dst.Quarantined(), r.dst.recv.InUse(); n != 1 || now != held {
					t.Errorf("%d sessions in quarantine, %d bytes kept of %d", n, now, held)
				}
				gate.Release(nil)
				for r.dst.recv.InUse() != 0 { // it was slow, no more
					time.Sleep(time.Millisecond)
				}
				if n := r.dst.Quarantined(); n != 0 {
					t.Errorf("%d sessions in quarantine", n)
				}
			})
		})
	}
}
