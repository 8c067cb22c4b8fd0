package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/xferd/xferd/transport"
)

const chunk = 100

func newPlanner(maxOutstanding int) *Planner {
	return New(Options{ChunkSize: chunk, PackLimit: 20, MaxExtents: 4, MaxOutstanding: maxOutstanding})
}

func add(t *testing.T, p *Planner, entry uint64, size int64) {
	t.Helper()
	if complete, err := p.Add(entry, size, true, true, nil); err != nil || complete {
		t.Fatalf("Add(%d, %d) = %v, %v", entry, size, complete, err)
	}
}

func describe(c *Chunk) string {
	var b strings.Builder
	for i, x := range c.Extents {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d:%d+%d", x.Entry, x.Offset, x.Length)
	}
	return b.String()
}

// drain takes n chunks, leaves them outstanding and returns them.
func drain(t *testing.T, p *Planner, n int) []*Chunk {
	t.Helper()
	var out []*Chunk
	for range n {
		c := new(Chunk)
		if !p.Next(c) {
			t.Fatalf("no chunk after %d", len(out))
		}
		out = append(out, c)
	}
	return out
}

func settle(t *testing.T, p *Planner, c *Chunk, o Outcome) (events []Event) {
	t.Helper()
	for i := range c.Extents {
		e, err := p.Settle(c, i, o)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func TestOrder(t *testing.T) {
	tests := []struct {
		name  string
		sizes []int64 // of entries 1, 2, ...
		want  []string
	}{
		{"one chunk", []int64{100}, []string{"1:0+100"}},
		{"chunk and a byte", []int64{101}, []string{"1:0+100", "1:100+1"}},
		{"largest first, then lowest offset", []int64{150, 250}, []string{"2:0+100", "2:100+100", "2:200+50", "1:0+100", "1:100+50"}},
		{"equal sizes in order of arrival", []int64{120, 120}, []string{"1:0+100", "1:100+20", "2:0+100", "2:100+20"}},
		{"packs by count", []int64{1, 2, 3, 4, 5}, []string{"1:0+1 2:0+2 3:0+3 4:0+4", "5:0+5"}},
		{"just above the limit is large", []int64{20, 21}, []string{"1:0+20", "2:0+21"}},
		{"packs and large ones take turns", []int64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 300},
			[]string{"1:0+5 2:0+5 3:0+5 4:0+5", "13:0+100", "5:0+5 6:0+5 7:0+5 8:0+5", "13:100+100", "9:0+5 10:0+5 11:0+5 12:0+5", "13:200+100"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlanner(100)
			for i, size := range tt.sizes {
				add(t, p, uint64(i+1), size)
			}
			p.End()
			var got []string
			for _, c := range drain(t, p, len(tt.want)) {
				got = append(got, describe(c))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if p.Next(new(Chunk)) {
				t.Error("one chunk too many")
			}
		})
	}
}

func TestPackBySize(t *testing.T) {
	p := New(Options{ChunkSize: 100, PackLimit: 50, MaxOutstanding: 10})
	for i := range uint64(3) {
		add(t, p, i, 40)
	}
	p.End()
	if got := describe(drain(t, p, 1)[0]); got != "0:0+40 1:0+40" {
		t.Errorf("first pack is %s", got)
	}
	if got := describe(drain(t, p, 1)[0]); got != "2:0+40" {
		t.Errorf("second pack is %s", got)
	}
}

func TestPartialPackWaitsForTheOneBefore(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 5)
	first := drain(t, p, 1)[0] // nothing is on its way: it goes as it is
	add(t, p, 2, 5)
	add(t, p, 3, 5)
	if p.Next(new(Chunk)) {
		t.Fatal("a pack that is not full went while another is on its way")
	}
	settle(t, p, first, Acked)
	if got := describe(drain(t, p, 1)[0]); got != "2:0+5 3:0+5" {
		t.Errorf("got %s", got)
	}
	add(t, p, 4, 5)
	p.End()
	if got := describe(drain(t, p, 1)[0]); got != "4:0+5" {
		t.Errorf("after the end got %s", got)
	}
}

func TestPackDoesNotWaitForLargeFiles(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 1000)
	drain(t, p, 3)
	add(t, p, 2, 5)
	if got := describe(drain(t, p, 1)[0]); got != "2:0+5" {
		t.Errorf("got %s", got)
	}
}

func TestFailedGoLast(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 300)
	cs := drain(t, p, 2)
	settle(t, p, cs[1], Failed) // 100
	settle(t, p, cs[0], Failed) // 0
	want := []string{"1:200+100", "1:0+100", "1:100+100"}
	for i, c := range drain(t, p, 3) {
		if describe(c) != want[i] {
			t.Errorf("chunk %d is %s, want %s", i, describe(c), want[i])
		}
		if wantFailures := min(i, 1); c.Extents[0].Failures != wantFailures {
			t.Errorf("chunk %d has %d failures", i, c.Extents[0].Failures)
		}
	}
}

func TestWantedRanges(t *testing.T) {
	p := newPlanner(10)
	complete, err := p.Add(7, 450, true, false, []transport.Range{{Offset: 0, Length: 200}, {Offset: 400, Length: 50}})
	if err != nil || complete {
		t.Fatal(complete, err)
	}
	var events []Event
	for i, want := range []string{"7:0+100", "7:100+100", "7:400+50"} {
		c := drain(t, p, 1)[0]
		if describe(c) != want {
			t.Errorf("chunk %d is %s, want %s", i, describe(c), want)
		}
		events = append(events, settle(t, p, c, Acked)...)
	}
	if !slices.Equal(events, []Event{NoEvent, NoEvent, Complete}) || p.Wanted() {
		t.Errorf("events %v, wanted %v", events, p.Wanted())
	}
	for _, bad := range [][]transport.Range{
		{{Offset: 50, Length: 50}}, {{Offset: 0, Length: 50}}, {{Offset: 0, Length: 500}}, {{Offset: 0, Length: 0}},
		{{Offset: 100, Length: 100}, {Offset: 0, Length: 100}}, {{Offset: 0, Length: 200}, {Offset: 100, Length: 100}},
		{{Offset: -100, Length: 100}}, {{Offset: 400, Length: 1 << 62}}, {{Offset: 500, Length: 100}},
	} {
		if _, err := p.Add(8, 450, true, false, bad); err == nil {
			t.Errorf("Add took %v", bad)
		}
	}
	if _, err := p.Add(9, 10, true, true, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(9, 10, true, true, nil); err == nil {
		t.Error("an entry was taken twice")
	}
}

func TestNothingWanted(t *testing.T) {
	p := newPlanner(10)
	for _, all := range []bool{true, false} {
		if complete, err := p.Add(1, 0, true, all, nil); err != nil || !complete {
			t.Errorf("empty file: %v, %v", complete, err)
		}
	}
	if complete, err := p.Add(1, 500, true, false, nil); err != nil || !complete {
		t.Errorf("no ranges: %v, %v", complete, err)
	}
	if p.Next(new(Chunk)) || p.Wanted() {
		t.Error("something is wanted")
	}
}

func TestCorruption(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 100)
	for i := 1; i <= MaxMismatches; i++ {
		c := drain(t, p, 1)[0]
		if c.Extents[0].Plain != (i > 1) {
			t.Errorf("try %d: plain is %v", i, c.Extents[0].Plain)
		}
		_, err := p.Settle(c, 0, Corrupt)
		if errors.Is(err, ErrCorruption) != (i == MaxMismatches) {
			t.Errorf("mismatch %d: error %v", i, err)
		}
	}
	if p.Mismatches() != MaxMismatches {
		t.Errorf("%d mismatches", p.Mismatches())
	}
}

func TestDropAndRestart(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 400)
	add(t, p, 2, 10)
	cs := drain(t, p, 3) // the pack of 2, then two of 1
	if p.Drop(1) {
		t.Fatal("quiet with extents on their way")
	}
	if _, err := p.Add(1, 100, true, true, nil); err == nil {
		t.Fatal("restarted before it was quiet")
	}
	if p.Next(new(Chunk)) {
		t.Fatal("a dropped entry was planned")
	}
	if ev := settle(t, p, cs[1], Acked); ev[0] != NoEvent {
		t.Errorf("event %v", ev)
	}
	if ev := settle(t, p, cs[2], Failed); ev[0] != Quiet {
		t.Errorf("event %v, want quiet", ev)
	}
	add(t, p, 1, 100)
	c := drain(t, p, 1)[0]
	if ev := settle(t, p, c, Acked); describe(c) != "1:0+100" || ev[0] != Complete {
		t.Errorf("%s gave %v", describe(c), ev)
	}
	add(t, p, 3, 10)
	for _, entry := range []uint64{3, 3, 99} { // twice, and one that never was
		if !p.Drop(entry) {
			t.Errorf("entry %d, of which nothing is on its way, is not quiet", entry)
		}
	}
	settle(t, p, cs[0], Acked)
	if p.Next(new(Chunk)) || p.Wanted() || p.Outstanding() != 0 {
		t.Error("something is left")
	}
}

func TestBound(t *testing.T) {
	p := newPlanner(2)
	add(t, p, 1, 1000)
	cs := drain(t, p, 2)
	if p.Next(new(Chunk)) {
		t.Fatal("more chunks than the bound")
	}
	settle(t, p, cs[0], Acked)
	drain(t, p, 1)
}

func TestPackBound(t *testing.T) {
	p := New(Options{ChunkSize: chunk, PackLimit: 20, MaxExtents: 2, MaxOutstanding: 10, MaxPacks: 2})
	for i := range uint64(6) {
		add(t, p, i, 5)
	}
	p.End()
	cs := drain(t, p, 2)
	if p.Next(new(Chunk)) {
		t.Fatal("more packs than the bound")
	}
	add(t, p, 10, 100)
	if got := describe(drain(t, p, 1)[0]); got != "10:0+100" {
		t.Errorf("got %s", got)
	}
	if ev := settle(t, p, cs[0], Returned); ev[0] != NoEvent {
		t.Errorf("event %v", ev)
	}
	settle(t, p, cs[1], Acked)
	drain(t, p, 1)
	c := drain(t, p, 1)[0]
	if describe(c) != "0:0+5 1:0+5" || c.Extents[0].Failures != 0 {
		t.Errorf("got %s with %d failures", describe(c), c.Extents[0].Failures)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	p := newPlanner(10)
	add(t, p, 1, 1<<40)
	c := &Chunk{Extents: make([]Extent, 0, 4)}
	if n := testing.AllocsPerRun(100, func() {
		if !p.Next(c) {
			t.Fatal("no chunk")
		}
		_, _ = p.Settle(c, 0, Acked)
	}); n != 0 {
		t.Errorf("%v allocations per chunk", n)
	}
}
