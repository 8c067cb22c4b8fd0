package fallback

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/verbs"
)

func TestByRDMA(t *testing.T) {
	r := newRig(t, verbs.Limits{})
	sum, err := r.copy(transfer.PolicyAuto)
	must(t, err)
	if want := []string{"rdma "}; !slices.Equal(r.paths, want) || sum.Transport != transport.RDMA {
		t.Errorf("paths %q, want %q", r.paths, want)
	}
	if n := r.b.Counters().BytesLanded; n < 31*chunkSize {
		t.Errorf("%d bytes landed by RDMA", n)
	}
}

// TestFaultInTheMiddle breaks RDMA while a tree is on its way: all of it arrives,
// and nothing is sent again that had landed.
func TestFaultInTheMiddle(t *testing.T) {
	patient := verbs.Limits{Stall: time.Second, Drain: 100 * time.Millisecond}
	status := func(s rdma.Status, land rdmatest.Landing) func(*rig) {
		return func(r *rig) {
			r.a.Inject(rdmatest.SendFault{Index: 4, Override: true, Status: s, Land: land})
		}
	}
	for name, fault := range map[string]func(r *rig){
		"acknowledgements are lost":      func(r *rig) { r.fabric.Link(r.b, r.a).Drop() },
		"everything is lost":             func(r *rig) { r.fabric.BlackHole(r.a, r.b) },
		"port of the source":             func(r *rig) { r.a.PortDown() },
		"port of the target":             func(r *rig) { r.b.PortDown() },
		"device of the source":           func(r *rig) { r.a.Remove() },
		"device of the target":           func(r *rig) { r.b.Remove() },
		"queue of the source":            func(r *rig) { r.a.BreakCompletionQueues() },
		"queue of the target":            func(r *rig) { r.b.BreakCompletionQueues() },
		"source stands still":            func(r *rig) { r.a.Freeze() },
		"target stands still":            func(r *rig) { r.b.Freeze() },
		"no receives":                    func(r *rig) { r.b.Fail(rdmatest.VerbPostReceive, 0, syscall.ENOMEM) },
		"access error":                   status(rdma.RemoteAccessError, rdmatest.LandNothing),
		"retries, and half landed":       status(rdma.RetryExceeded, rdmatest.LandHalf),
		"retries, and everything landed": status(rdma.RetryExceeded, rdmatest.LandAll),
		"no completions": func(r *rig) {
			for i := range 300 { // more requests than there are
				r.a.Inject(rdmatest.SendFault{Index: i, Silent: true})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, patient)
			t.Cleanup(func() { // so that devices can be closed
				r.a.Thaw()
				r.b.Thaw()
			})
			r.after = 9
			r.fault = func() { fault(r) }
			_, err := r.copy(transfer.PolicyAuto)
			must(t, err)
			// More chunks are left at the fault than slots could take after it.
			if !r.fellBack() || r.by[transport.TCP] == 0 {
				t.Errorf("paths %q, landed %v, want a fall-back with its reason", r.paths, r.by)
			}
		})
	}
}

// fellBack reports whether TCP took over from RDMA, and it was said why.
func (r *rig) fellBack() bool {
	return len(r.paths) >= 2 && r.paths[0] == "rdma " && strings.HasPrefix(r.paths[1], "tcp ") && r.paths[1] != "tcp "
}

// One completion is lost. That stops the slot of its chunk alone: the others may
// bring all the rest over before the session is found stalled, and then, since the
// target has answered for that chunk too, TCP has nothing left to do.
func TestOneCompletionLost(t *testing.T) {
	r := newRig(t, verbs.Limits{Stall: time.Second, Drain: 100 * time.Millisecond})
	r.after = 9
	r.fault = func() {
		for i := range 3 { // one of them is signaled
			r.a.Inject(rdmatest.SendFault{Index: 1 + i, Silent: true})
		}
	}
	_, err := r.copy(transfer.PolicyAuto)
	must(t, err)
	if r.fault != nil {
		t.Error("the completion was not lost")
	}
	byRDMA := slices.Equal(r.paths, []string{"rdma "}) && r.by[transport.TCP] == 0
	if !byRDMA && !r.fellBack() {
		t.Errorf("paths %q, landed %v, want all by RDMA or a fall-back with its reason", r.paths, r.by)
	}
}

// RDMA breaks, is there again, and is used again: the data plane over TCP ends in
// good order for it.
func TestBackToRDMA(t *testing.T) {
	r := newRig(t, verbs.Limits{AckTimeout: 15})
	r.senders.Comeback = 3 * time.Second // far more than it takes to ask for TCP
	r.files["more"] = 32 * chunkSize     // and for TCP it is far more than that
	r.after = 5
	r.fault = func() { r.fabric.Link(r.b, r.a).Drop() }
	watch := make(chan struct{})
	r.changed = func(name string) {
		if name == transport.RDMA {
			r.edge.SetMaxRate(0)
			return
		}
		r.fabric.Link(r.b, r.a).Pass()
		r.edge.SetMaxRate(2 << 20)
		close(watch)
	}
	sum, err := r.copy(transfer.PolicyAuto)
	must(t, err)
	<-watch
	if want := []string{"rdma ", "tcp QP_ERROR", "rdma "}; !slices.Equal(r.paths, want) || sum.Transport != transport.RDMA {
		t.Errorf("paths %q, want %q", r.paths, want)
	}
}

// One chunk that arrives damaged is sent again alone.
func TestDamagedChunk(t *testing.T) {
	r := newRig(t, verbs.Limits{})
	r.after = 3
	r.fault = func() {
		for i := range 3 { // one of them is a payload
			r.a.Inject(rdmatest.SendFault{Index: 12 + i, Override: true, Land: rdmatest.LandDamaged})
		}
	}
	sum, err := r.copy(transfer.PolicyAuto)
	must(t, err)
	if sum.Progress.Mismatches+int64(len(r.paths)) < 2 {
		t.Errorf("%d mismatches, paths %q: the damage was not seen", sum.Progress.Mismatches, r.paths)
	}
}

// Where RDMA is asked for and cannot be had, nothing is copied by another way.
func TestRDMARequired(t *testing.T) {
	r := newRig(t, verbs.Limits{})
	r.fabric.BlackHole(r.a, r.b)
	_, err := r.copy(transfer.PolicyRDMA)
	e, ok := errors.AsType[*transfer.Error](err)
	if !ok || e.Reason != transfer.RDMAUnavailable || !strings.Contains(fmt.Sprint(e), string(transport.ProbeFailed)) {
		t.Errorf("%v, want %s with the reason", err, transfer.RDMAUnavailable)
	}
	if len(r.landed) != 0 {
		t.Errorf("%d extents landed", len(r.landed))
	}
}

// Everything is said to be there at once, and is not.
func TestRDMAThatNeverComesUp(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(r *rig)
		want  string
	}{
		"memlock":    {func(r *rig) { r.a.Fail(rdmatest.VerbRegister, 0, syscall.ENOMEM) }, "tcp MEMLOCK"},
		"at target":  {func(r *rig) { r.b.Fail(rdmatest.VerbRegister, 0, syscall.EPERM) }, "tcp MEMLOCK"},
		"probe":      {func(r *rig) { r.fabric.BlackHole(r.a, r.b) }, "tcp PROBE_FAILED"},
		"port":       {func(r *rig) { r.a.PortDown() }, "tcp PORT_DOWN"},
		"queue pair": {func(r *rig) { r.b.Fail(rdmatest.VerbCreateQP, 0, syscall.ENOMEM) }, "tcp QP_ERROR"},
		"address":    {func(r *rig) { r.a.Fail(rdmatest.VerbCheckAddress, 0, syscall.EINVAL) }, "tcp NO_GID"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, verbs.Limits{})
			tt.fault(r)
			_, err := r.copy(transfer.PolicyAuto)
			must(t, err)
			if want := []string{"rdma ", tt.want}; !slices.Equal(r.paths, want) {
				t.Errorf("paths %q, want %q", r.paths, want)
			}
		})
	}
}
