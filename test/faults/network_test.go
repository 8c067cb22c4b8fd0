package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/faults/proxy"
)

// network is an owner and a target with a proxy before the target's data plane and one
// before its control plane.
type network struct {
	*run
	t             *testing.T
	data, control *proxy.Proxy
}

// big is the size of the file that goes through the network, in chunks of 1 MiB.
const big = 12 << 20

func bigScenario() *scenario {
	s := &scenario{name: "big", source: tree{}, before: tree{}, adapt: func(s *xferv1.TransferSpec) {
		streams := int32(2)
		s.Streams = &streams
	}}
	s.source.file("big", big, 2)
	s.before.file("big", 100, 1)
	s.after = s.source
	return s
}

func newNetwork(t *testing.T, data, control proxy.Config, more ...string) *network {
	t.Helper()
	r, err := newRig(newDir(t))
	if err != nil {
		t.Fatal(err)
	}
	x := &network{run: newRun(r, bigScenario(), plan{}), t: t}
	n := r.nodes[target]
	n.behind = nextAddresses()[0]
	r.nodes[owner].more, n.more = more, more
	for _, p := range []struct {
		to   **proxy.Proxy
		cfg  proxy.Config
		port string
	}{{&x.data, data, ":7441"}, {&x.control, control, ":7440"}} {
		p.cfg.Listen, p.cfg.To, p.cfg.Data = n.address+p.port, n.behind+p.port, p.port == ":7441"
		if *p.to, err = proxy.New(p.cfg); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*p.to).Close() })
	}
	t.Cleanup(r.close)
	if err := x.prepare(); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{target, owner} {
		if err := x.begin(i); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// copies runs the transfer to its end.
func (x *network) copies(id string) *xferv1.Transfer {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 2*patience)
	defer cancel()
	tr, err := x.drive(ctx, id)
	if err != nil {
		x.t.Fatalf("%v\n%s\n%s", err, tail(x.nodes[owner].text()), tail(x.nodes[target].text()))
	}
	return tr
}

// succeeds runs the transfer, and judges all that is promised of one that succeeds. It
// returns how many bytes were moved.
func (x *network) succeeds() (*xferv1.Transfer, int64) {
	x.t.Helper()
	tr := x.copies("one")
	if err := x.judge(x.t.Context(), tr); err != nil {
		x.t.Fatalf("%v\n%s", err, tail(x.nodes[owner].text()))
	}
	x.settles()
	return tr, moved(tr)
}

func moved(tr *xferv1.Transfer) (n int64) {
	for _, b := range tr.GetCounters().GetBytesMoved() {
		n += b
	}
	return n
}

// fails runs the transfer, which has to fail for that reason and to leave the old file.
func (x *network) fails(reason string) *xferv1.Transfer {
	x.t.Helper()
	tr := x.copies("one")
	if tr.GetState() != xferv1.State_STATE_FAILED || tr.GetError().GetReason() != reason {
		x.t.Fatalf("it ended %v: %v", tr.GetState(), tr.GetError())
	}
	// Parts of the new one may be kept beside it.
	got, err := os.ReadFile(filepath.Join(x.dst, "big"))
	if err != nil || !bytes.Equal(got, x.s.before["big"].data) {
		x.t.Errorf("a failed transfer changed the file, which has %d bytes: %v", len(got), err)
	}
	return tr
}

// settles judges what is left at the end.
func (x *network) settles() {
	x.t.Helper()
	if err := x.judgeState(); err != nil {
		x.t.Error(err)
	}
}

// flip changes one bit.
func flip(p *proxy.Part) { p.Bytes[len(p.Bytes)/2] ^= 0x10 }

// TestP1PayloadIsDamaged: of every extent that arrives damaged only that one is sent
// again, and it is counted.
func TestP1PayloadIsDamaged(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			damaged := map[[2]int]bool{}
			x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
				mu.Lock()
				defer mu.Unlock()
				if p.Place == proxy.Payload && len(damaged) < n && !damaged[[2]int{p.Conn, p.Chunk}] {
					damaged[[2]int{p.Conn, p.Chunk}] = true
					flip(p)
				}
				return proxy.Pass
			}}, proxy.Config{})
			tr, sent := x.succeeds()
			if c := tr.GetCounters(); c.GetMismatches() != int64(n) {
				t.Errorf("%d extents were damaged, and %d counted", n, c.GetMismatches())
			}
			if want := int64(big + n<<20); sent != want {
				t.Errorf("%d bytes were moved, want %d", sent, want)
			}
		})
	}
}

// TestP1EveryPayloadIsDamaged: five damaged extents are the end of a transfer.
func TestP1EveryPayloadIsDamaged(t *testing.T) {
	t.Parallel()
	x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
		if p.Place == proxy.Payload {
			flip(p)
		}
		return proxy.Pass
	}}, proxy.Config{})
	tr := x.fails("CHECKSUM_MISMATCH")
	if n := tr.GetCounters().GetMismatches(); n < 5 {
		t.Errorf("it ended after %d damaged extents", n)
	}
}

// TestP1FramesAreDamaged: what is around the bytes has checksums of its own, and the
// connection ends. Nothing is taken for a damaged extent.
func TestP1FramesAreDamaged(t *testing.T) {
	for name, place := range map[string]proxy.Place{
		"hello": proxy.Hello, "token": proxy.Token, "length": proxy.Length, "header": proxy.Header,
		"chunk": proxy.Chunk, "trailer": proxy.Trailer, "answer": proxy.Answer, "end": proxy.Frame,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var done atomic.Int32
			x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
				if p.Place == place && done.CompareAndSwap(0, 1) {
					flip(p)
				}
				return proxy.Pass
			}}, proxy.Config{})
			tr, _ := x.succeeds()
			if done.Load() == 0 {
				t.Error("nothing was damaged")
			}
			if n := tr.GetCounters().GetMismatches(); n != 0 {
				t.Errorf("%d extents were taken for damaged", n)
			}
		})
	}
}

// TestP1StreamsAreCut: a stream that ends anywhere, in any way, is never taken for a
// whole one, and what landed is not sent again.
func TestP1StreamsAreCut(t *testing.T) {
	for how, v := range map[string]proxy.Verdict{"truncated": proxy.Truncate, "half closed": proxy.HalfClose, "reset": proxy.Reset} {
		for where, place := range map[string]proxy.Place{"hello": proxy.Hello, "header": proxy.Header, "payload": proxy.Payload, "trailer": proxy.Trailer, "answer": proxy.Answer} {
			t.Run(how+" in "+where, func(t *testing.T) {
				t.Parallel()
				var cuts atomic.Int32
				x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
					late := p.Chunk >= 2 || place == proxy.Hello || place == proxy.Answer
					if p.Place == place && late && cuts.Add(1) <= 2 {
						p.Bytes = p.Bytes[:len(p.Bytes)/2]
						return v
					}
					return proxy.Pass
				}}, proxy.Config{})
				tr, sent := x.succeeds()
				if cuts.Load() < 2 {
					t.Error("nothing was cut")
				}
				// With each stream what was on its way is lost, twelve chunks at most.
				if n := tr.GetCounters().GetMismatches(); n != 0 || sent > big+2*12<<20 {
					t.Errorf("%d damaged extents, %d bytes moved", n, sent)
				}
			})
		}
	}
}

// TestP1EveryStreamIsCut: where no stream ever gets through, a transfer never
// succeeds, and ends when its patience does.
func TestP1EveryStreamIsCut(t *testing.T) {
	t.Parallel()
	x := newNetwork(t, proxy.Config{Judge: func(p *proxy.Part) proxy.Verdict {
		if p.Place == proxy.Payload {
			p.Bytes = p.Bytes[:len(p.Bytes)/2]
			return proxy.Truncate
		}
		return proxy.Pass
	}}, proxy.Config{}, "--times-stall=2s")
	x.fails("STALLED")
}

// TestSlowNetwork: bytes that come late and in small pieces are as good as others.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	slow := proxy.Config{Slice: 1400, Delay: 20 * time.Microsecond}
	x := newNetwork(t, slow, proxy.Config{Slice: 3})
	if _, sent := x.succeeds(); sent != big {
		t.Errorf("%d bytes were moved, want %d", sent, big)
	}
}
