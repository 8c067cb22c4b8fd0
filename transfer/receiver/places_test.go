package receiver

import (
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// One more edge than the node takes is told to come back; what has a claim to go
// on is not held up.
func TestPlaces(t *testing.T) {
	g := newRig(t, func(c *Config) { c.MaxIncoming = 2 })
	n := 0
	request := func(change ...func(*transfer.Open)) *transfer.Open {
		n++
		return g.request("d"+string(rune('a'+n)), change...)
	}
	again := func(m *transfer.Open) *transfer.Open {
		newer := *m
		newer.Epoch += 1000 * uint64(n+1)
		n++
		return &newer
	}
	busy := func(m *transfer.Open) {
		t.Helper()
		err := g.refused(m, Peer{Node: m.Owner})
		if err.Reason != transfer.NodeBusy || !err.Reason.Transient() || err.Side != transfer.SideTarget || err.Node != "n2" || !strings.Contains(err.Error(), "limits.incoming") {
			t.Errorf("%v", err)
		}
	}
	first, second, late := request(), request(), request()
	a, b := g.dial(first), g.dial(second)
	busy(late)
	busy(request(func(m *transfer.Open) { m.Options.DryRun = true }))
	if in := g.Incoming(); len(in) != 2 {
		t.Errorf("a refusal left something: %+v", in)
	}

	// A question moves nothing, and copies inside the node are bounded by their
	// owner, which is the same node.
	g.dial(request(func(m *transfer.Open) { m.ValidateOnly = true })).close()
	for range 3 {
		o, m := g.connect(request(func(m *transfer.Open) { m.Owner = "n2" }), Peer{Node: "n2", SameNode: true})
		if _, ok := m.(*transfer.Opened); !ok {
			t.Fatalf("inside the node: %v", m)
		}
		defer o.close()
	}

	// An attempt that overtakes another needs no second place.
	first = again(first)
	a2 := g.dial(first)
	a.close()
	busy(late)

	// A pause gives the place back; the resume gets one though others took it.
	b.abort(transfer.EndPause)
	c := g.dial(late)
	b2 := g.dial(again(second))
	busy(request())
	b2.abort(transfer.EndCancel)
	busy(request())
	c.abort(transfer.EndCancel)
	d := g.dial(request())
	busy(request())
	d.abort(transfer.EndCancel)
	a2.abort(transfer.EndCancel)
}

// The limit can be changed while edges are open.
func TestSetMaxIncoming(t *testing.T) {
	g := newRig(t, func(c *Config) { c.MaxIncoming = 1 })
	g.dial(g.request("a"))
	late := g.request("b")
	if err := g.refused(late, Peer{Node: late.Owner}); err.Reason != transfer.NodeBusy {
		t.Errorf("%v", err)
	}
	g.SetMaxIncoming(2)
	g.dial(late)
	if err := g.refused(g.request("c"), Peer{Node: late.Owner}); err.Reason != transfer.NodeBusy {
		t.Errorf("%v", err)
	}
}
