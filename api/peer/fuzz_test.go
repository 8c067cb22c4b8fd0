package peer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// Whatever a peer sends is refused, or it is a message that can be sent on and
// comes out the same.

func FuzzDecodeToTarget(f *testing.F) {
	for _, m := range toTargetSamples() {
		_, _ = wireToTarget(m, func(p *peerv1.ToTarget, _ int) { addSeed(f, p) })
	}
	addSeed(f, entriesMessage([]byte{1, 2}, 1<<31))
	addSeed(f, digestsMessage(1, 32, true))
	addSeed(f, abortMessage(257))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p peerv1.ToTarget
		if proto.Unmarshal(b, &p) != nil {
			return
		}
		m, err := decodeToTarget(&p)
		if err != nil {
			return
		}
		if r, ok := m.(*transfer.EntryRestart); ok {
			if err := manifest.CheckEntry(&r.Entry); err != nil {
				t.Fatal(err)
			}
		}
		again, err := wireToTarget(m, func(*peerv1.ToTarget, int) {})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]transfer.ToTarget{m}, again, same); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeToOwner(f *testing.F) {
	for _, m := range toOwnerSamples() {
		_, _ = wireToOwner(m, func(p *peerv1.ToOwner, _ int) { addSeed(f, p) })
	}
	addSeed(f, answersMessage(&peerv1.Answer{Want: 257}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p peerv1.ToOwner
		if proto.Unmarshal(b, &p) != nil {
			return
		}
		m, err := decodeToOwner(&p)
		if err != nil {
			return
		}
		again, err := wireToOwner(m, func(*peerv1.ToOwner, int) {})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]transfer.ToOwner{m}, again, same); d != "" {
			t.Fatal(d)
		}
	})
}

func addSeed(f *testing.F, p proto.Message) {
	b, err := proto.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

// FuzzParts feeds streams of messages, each as a byte of length and its bytes,
// to what puts parts together.
func FuzzParts(f *testing.F) {
	part := func(list ...*peerv1.ToTarget) (all []byte) {
		for _, p := range list {
			b, err := proto.Marshal(p)
			if err != nil {
				f.Fatal(err)
			}
			all = append(append(all, byte(len(b))), b...)
		}
		return all
	}
	f.Add(part(digestsMessage(1, 32, true), digestsMessage(1, 16, false)))
	f.Add(part(digestsMessage(1, 32, true), digestsMessage(2, 16, true)))
	f.Add(part(digestsMessage(1, 32, true), abortMessage(1)))
	f.Add(part(openMessage(1, true), openMessage(2, false)))
	f.Add(part(openMessage(1, true), openMessage(4, true)))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 4
		j := targetJoin{digests: limit, ranges: limit}
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			var p peerv1.ToTarget
			err := proto.Unmarshal(b[1:1+n], &p)
			b = b[1+n:]
			if err != nil {
				return
			}
			one := len(p.GetEntryDigests().GetDigests()) / 16
			m, err := j.add(&p)
			if err != nil {
				return // the edge ends
			}
			if d, ok := m.(*transfer.EntryDigests); ok && len(d.Digests) > max(limit, one) {
				t.Fatalf("%d digests", len(d.Digests))
			}
			if o, ok := m.(*transfer.Open); ok && len(o.Ranges) > max(limit, len(p.GetOpen().GetRangeGap())) {
				t.Fatalf("%d ranges", len(o.Ranges))
			}
			if (m == nil) != (p.GetEntryDigests().GetMore() || p.GetOpen().GetMoreRanges()) {
				t.Fatalf("%#v after %v", m, &p)
			}
		}
	})
}
