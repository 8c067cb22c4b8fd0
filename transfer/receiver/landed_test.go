package receiver

import (
	"slices"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// TestWhatLanded: after the fence the target names what it has of what was on
// its way, and nothing else.
func TestWhatLanded(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "big", pattern(4*testChunk+5, 1)), regular(0, "small", pattern(100, 2)), regular(0, "wanted", pattern(200, 3)), regular(0, "empty", nil))
	for n := range uint64(3) {
		o.answer(n + 1)
	}
	o.land(o.extent(1, testChunk), o.extent(1, 4*testChunk))
	o.land(o.extent(2, 0))
	o.want(2, transfer.OutcomePublished)
	o.want(4, transfer.OutcomePublished)
	// On its way when the data plane ends.
	lost := o.extent(1, 2*testChunk)
	if _, err := o.sink().Place(t.Context(), 9, []transport.ExtentHeader{lost.ExtentHeader}); err != nil {
		t.Fatal(err)
	}

	asked := []transfer.ExtentID{
		{Entry: 1}, {Entry: 1, Offset: testChunk}, {Entry: 1, Offset: 2 * testChunk}, {Entry: 2}, {Entry: 3}, {Entry: 1, Offset: 4 * testChunk},
		// A bad owner.
		{Entry: 1, Offset: -testChunk}, {Entry: 1, Offset: 1}, {Entry: 1, Offset: 1 << 62}, {Entry: 99}, {Entry: transfer.NoEntry}, {Entry: 4}, {Entry: 4, Offset: testChunk},
	}
	o.send(&transfer.FenceData{Asked: asked})
	m, ok := o.next().(*transfer.DataFenced)
	if !ok {
		t.Fatalf("%T", m)
	}
	digests := o.digests(1)
	want := []transfer.LandedExtent{{Asked: 1, Digest: digests[1]}, {Asked: 3}, {Asked: 5, Digest: digests[4]}, {Asked: 11}, {Asked: 12}}
	if !slices.Equal(m.Landed, want) {
		t.Errorf("landed %+v, want %+v", m.Landed, want)
	}

	o.send(&transfer.PrepareData{Transports: []string{transport.TCP}, Streams: 2})
	o.next()
	for _, i := range []int64{0, 2, 3} {
		if v := o.land(o.extent(1, i*testChunk)); v[0].Code != transport.Placed {
			t.Errorf("extent %d: %+v", i, v)
		}
	}
	o.land(o.extent(3, 0))
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1, Digest: transfer.FileDigest(testChunk, o.sources[1].Size, digests)}}})
	o.serve()
	o.finish()
	g.wantFile("d/big", o.sources[1].data)
	g.wantClean()
}
