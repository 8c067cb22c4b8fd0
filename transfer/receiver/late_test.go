package receiver

import (
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// A chunk can be long on its way. What was refused when it began is of a file that
// may be another one, and shorter, when it is over.
func TestExtentIsRefusedAndItsFileShrinks(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	long := regular(0, "f", pattern(testChunk, 1))
	long.Size = 100 * testChunk
	long.Print.Size = long.Size
	o.announce(dir(root, ""), long)
	o.answer(1)
	first := o.extent(1, 0)
	if _, err := o.sink().Place(t.Context(), 1, []transport.ExtentHeader{first.ExtentHeader}); err != nil {
		t.Fatal(err)
	}
	short := regular(0, "f", pattern(2*testChunk, 2))
	short.Number = 1
	o.send(&transfer.EntryRestart{Entry: short.Entry})
	o.announce(regular(0, "g", []byte("x"))) // answered after the restart was taken
	o.answer(2)

	late := transport.Arrival{ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: 80 * testChunk, Length: testChunk}, Code: transport.Refused}
	landings, err := o.sink().Place(t.Context(), 2, []transport.ExtentHeader{late.ExtentHeader})
	if err != nil || landings[0].Refuse == nil {
		t.Fatalf("%+v %v", landings, err)
	}
	late.Err = landings[0].Refuse
	first.Code, first.Err = transport.SourceFailed, transport.ErrSourceFailed
	o.sink().Landed(t.Context(), 1, []transport.Arrival{first}) // the last writer: the file begins again
	o.answer(1)
	o.sources[1] = short
	if v := o.land(o.extent(1, 0)); v[0].Code != transport.Placed {
		t.Errorf("%+v", v)
	}
	if v := o.sink().Landed(t.Context(), 2, []transport.Arrival{late}); v[0].Code != transport.Refused {
		t.Errorf("%+v", v)
	}
	o.sendRange(1, transport.Range{Offset: testChunk, Length: testChunk})
	o.sendRange(2, o.sources[2].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}, {Entry: 2}}})
	o.announce(endDir(0))
	for n := range uint64(3) {
		o.want(n, transfer.OutcomePublished)
	}
	o.finish()
	g.wantFile("d/f", short.data)
	g.wantClean()
}
