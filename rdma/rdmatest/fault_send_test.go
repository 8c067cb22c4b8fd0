package rdmatest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// bench is two devices on two hosts, and an end of each.
type bench struct {
	f    *Fabric
	a, b *Device
	rig  Rig
}

func newBench(t *testing.T, o Options) *bench {
	f := New(t, o)
	k := &bench{f: f, a: f.Device("n1", DeviceConfig{Addrs: []string{"10.0.0.1"}}), b: f.Device("n2", DeviceConfig{Addrs: []string{"10.0.0.2"}})}
	k.rig = Rig{A: End{System: rdma.New(f.Driver("n1")), Device: "fake0"}, B: End{System: rdma.New(f.Driver("n2")), Device: "fake0"}}
	CheckLive(t, k.rig.A.System)
	CheckLive(t, k.rig.B.System)
	return k
}

// connected is a bench with one pair on it, memory of A full of ones, and memory
// of B.
func connected(t *testing.T, o Options, pl pairing) (*bench, *pair, *rdma.MemoryRegion, *rdma.MemoryRegion) {
	k := newBench(t, o)
	p := connectEnds(t, k.rig, pl)
	src, dst := p.a.memory(1<<20, 0), p.b.memory(1<<20, targetAccess)
	for i := range src.Bytes() {
		src.Bytes()[i] = 0xff
	}
	return k, p, src, dst
}

func landed(m *rdma.MemoryRegion) int { return bytes.Count(m.Bytes(), []byte{0xff}) }

var failures = []rdma.Status{
	rdma.LocalLengthError, rdma.LocalQueuePairError, rdma.LocalEEContextError, rdma.LocalProtectionError, rdma.Flushed,
	rdma.MemoryWindowBindError, rdma.BadResponseError, rdma.LocalAccessError, rdma.RemoteInvalidRequest, rdma.RemoteAccessError,
	rdma.RemoteOperationError, rdma.RetryExceeded, rdma.ReceiverNotReadyRetries, rdma.LocalRDDViolation, rdma.RemoteInvalidRDRequest,
	rdma.RemoteAborted, rdma.InvalidEEContextNumber, rdma.InvalidEEContextState, rdma.FatalError, rdma.ResponseTimeout, rdma.GeneralError,
}

// Each status at each place of a chain: what is before succeeds, what is after is
// flushed, and the target has what was said to land.
func TestEveryStatusAtEveryRequest(t *testing.T) {
	const chain, size = 5, 100_000
	for _, status := range failures {
		for at := range chain {
			for land, bytes := range map[Landing]int{LandNothing: 0, LandHalf: size / 2, LandAll: size, LandDamaged: size - 1} {
				t.Run(fmt.Sprint(status, at, land), func(t *testing.T) {
					k, p, src, dst := connected(t, Options{}, usual())
					k.a.Inject(SendFault{Index: at, Override: true, Status: status, Land: land})
					mustReceive(t, p.qb, receives(chain)...)
					for i := range chain {
						mustPost(t, p.qa, withImm(write(uint64(i), src, dst, i*size, size), uint32(i)))
					}
					for i, wc := range p.a.await(chain) {
						want := rdma.Success
						switch {
						case i == at:
							want = status
						case i > at:
							want = rdma.Flushed
						}
						if wc.ID != uint64(i) || wc.Status != want {
							t.Errorf("completion %d: request %d, %v, want %v", i, wc.ID, wc.Status, want)
						}
					}
					if got := landed(dst); got != at*size+bytes {
						t.Errorf("%d bytes landed, want %d", got, at*size+bytes)
					}
					told := at
					if land >= LandAll {
						told++
					}
					for i, wc := range p.b.await(told) {
						if wc.Status != rdma.Success || wc.Imm != uint32(i) {
							t.Errorf("message %d: %+v", i, wc)
						}
					}
					want := rdma.StateReadyToSend
					switch status {
					case rdma.RemoteInvalidRequest, rdma.RemoteAccessError, rdma.RemoteOperationError:
						want = rdma.StateError
					}
					if s, err := p.qb.State(); err != nil || s != want {
						t.Errorf("the target is in %v, %v; want %v", s, err, want)
					}
				})
			}
		}
	}
}

// Success that is none: the sender and the target are told that all is well.
func TestSuccessWithoutTheData(t *testing.T) {
	const size = 200_000
	for land, want := range map[Landing]int{LandNothing: 0, LandHalf: size / 2, LandAll: size, LandDamaged: size - 1} {
		k, p, src, dst := connected(t, Options{}, usual())
		k.a.Inject(SendFault{Index: 1, Override: true, Land: land})
		mustReceive(t, p.qb, receives(3)...)
		mustPost(t, p.qa, nothing(0, 0), withImm(write(1, src, dst, 0, size), 1), nothing(2, 2))
		p.a.awaitOK(3)
		p.b.awaitOK(3)
		if got := landed(dst); got != want {
			t.Errorf("landing %d: %d bytes, want %d", land, got, want)
		}
	}
}

func TestMissingCompletion(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.a.Inject(SendFault{QueuePair: p.qa.Number() + 1, Silent: true}) // not meant
	k.a.Inject(SendFault{QueuePair: p.qa.Number(), Index: 1, Silent: true})
	mustPost(t, p.qa, write(0, src, dst, 0, 10), write(1, src, dst, 10, 10), write(2, src, dst, 20, 10))
	if wcs := p.a.awaitOK(2); wcs[0].ID != 0 || wcs[1].ID != 2 {
		t.Errorf("%+v", wcs)
	}
	if landed(dst) != 30 {
		t.Errorf("%d bytes landed", landed(dst))
	}
	// An error of which only the consequences are seen.
	k.a.Inject(SendFault{Override: true, Status: rdma.RetryExceeded, Silent: true})
	mustPost(t, p.qa, write(3, src, dst, 30, 10), write(4, src, dst, 40, 10))
	p.a.awaitStatus(4, rdma.Flushed)
	if landed(dst) != 30 {
		t.Errorf("%d bytes landed", landed(dst))
	}
}

// A queue of requests that nobody asked completions for fills up, since nothing
// gives back their places.
func TestUnsignaledFillsTheQueue(t *testing.T) {
	pl := usual()
	pl.config.MaxSend = 8
	k, p, _, _ := connected(t, Options{}, pl)
	quiet := nothing(1, 0)
	quiet.Op, quiet.Flags = rdma.OpWrite, 0
	last := quiet
	last.Flags = rdma.Signaled
	mustPost(t, p.qa, quiet, quiet, quiet, quiet, quiet, quiet, quiet, last)
	// Done, but not polled.
	for k.a.Counters().Completions == 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("no completion")
		default:
		}
	}
	if n, err := p.qa.PostSend([]rdma.SendRequest{quiet}); n != 0 || err == nil {
		t.Errorf("posted %d, %v", n, err)
	}
	p.a.awaitOK(1)
	mustPost(t, p.qa, quiet, quiet, quiet, quiet, quiet, quiet, quiet, last)
	p.a.awaitOK(1)
}

// What happens right before one request, of any queue pair.
func TestBefore(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	frozen := make(chan struct{})
	k.a.Inject(SendFault{Index: 2, Before: func() { k.a.Freeze(); close(frozen) }})
	k.a.Inject(SendFault{Index: 4, Before: k.f.Link(k.b, k.a).Drop})
	var rs []rdma.SendRequest
	for i := range 6 {
		rs = append(rs, write(uint64(i), src, dst, i*100, 100))
	}
	mustPost(t, p.qa, rs...)
	p.a.awaitOK(2)
	<-frozen
	if n := landed(dst); n != 200 {
		t.Errorf("%d bytes landed before it froze", n)
	}
	k.a.Thaw()
	p.a.awaitOK(2)
	// Its acknowledgement is lost, as are those of all that follow.
	p.a.awaitStatus(4, rdma.RetryExceeded)
	p.a.awaitStatus(5, rdma.Flushed)
	if n := landed(dst); n != 600 {
		t.Errorf("%d bytes landed", n)
	}
}

// Fields that are not valid say so.
func TestFailedCompletionsHoldNonsense(t *testing.T) {
	k, p, src, dst := connected(t, Options{}, usual())
	k.a.Inject(SendFault{Override: true, Status: rdma.RetryExceeded})
	mustPost(t, p.qa, write(5, src, dst, 0, 1))
	wc := p.a.await(1)[0]
	if wc.ID != 5 || wc.QueuePair != p.qa.Number() || wc.VendorError == 0 || wc.Op == rdma.CompletedWrite || wc.Bytes == 0 {
		t.Errorf("%+v", wc)
	}
}
