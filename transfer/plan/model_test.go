package plan

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/xferd/xferd/transfer"
)

type key struct {
	entry  uint64
	offset int64
}

// model remembers what a planner was told, extent by extent.
type model struct {
	p       *Planner
	max     int
	next    uint64
	sizes   map[uint64]int64
	want    map[key]int64 // length, of what is not acknowledged
	flying  map[key]int   // handed out and not settled
	acked   map[key]int
	dropped map[uint64]bool // not yet quiet
	chunks  []*Chunk
	ended   bool
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			max: rapid.IntRange(1, 6).Draw(t, "max"), sizes: map[uint64]int64{},
			want: map[key]int64{}, flying: map[key]int{}, acked: map[key]int{}, dropped: map[uint64]bool{},
		}
		m.p = newPlanner(m.max)
		t.Repeat(map[string]func(*rapid.T){
			"add":    m.add,
			"next":   m.takeNext,
			"settle": m.settle,
			"drop":   m.drop,
			"":       m.check,
		})
		m.finish(t)
	})
}

func (m *model) add(t *rapid.T) {
	if m.ended {
		t.Skip("ended")
	}
	size := rapid.OneOf(rapid.Int64Range(1, 25), rapid.Int64Range(90, 520)).Draw(t, "size")
	m.plan(t, m.next, size)
	m.next++
}

func (m *model) plan(t *rapid.T, entry uint64, size int64) {
	if complete, err := m.p.Add(entry, size, true, true, nil); complete || err != nil {
		t.Fatalf("Add(%d, %d) = %v, %v", entry, size, complete, err)
	}
	m.sizes[entry] = size
	for i := range transfer.Extents(size, chunk) {
		r := transfer.ExtentRange(i, size, chunk)
		m.want[key{entry, r.Offset}] = r.Length
	}
}

func (m *model) takeNext(t *rapid.T) {
	c := new(Chunk)
	if !m.p.Next(c) {
		if len(m.chunks) == 0 && len(m.want) > 0 {
			t.Fatalf("nothing to send, nothing on its way, and %v wanted", m.want)
		}
		return
	}
	var bytes int64
	for _, x := range c.Extents {
		k := key{x.Entry, x.Offset}
		if m.want[k] != x.Length || m.flying[k] > 0 || m.dropped[x.Entry] {
			t.Fatalf("extent %+v was planned: wanted %d, flying %d", x, m.want[k], m.flying[k])
		}
		m.flying[k]++
		bytes += x.Length
	}
	if len(c.Extents) == 0 || len(c.Extents) > 4 || bytes > chunk {
		t.Fatalf("chunk of %d extents and %d bytes", len(c.Extents), bytes)
	}
	m.chunks = append(m.chunks, c)
}

func (m *model) settle(t *rapid.T) {
	if len(m.chunks) == 0 {
		t.Skip("nothing outstanding")
	}
	n := rapid.IntRange(0, len(m.chunks)-1).Draw(t, "chunk")
	c := m.chunks[n]
	m.chunks = slices.Delete(m.chunks, n, n+1)
	for i := range c.Extents {
		m.settleOne(t, c, i, rapid.SampledFrom([]Outcome{Acked, Acked, Failed, Returned}).Draw(t, "outcome"))
	}
}

func (m *model) settleOne(t *rapid.T, c *Chunk, i int, o Outcome) {
	x := c.Extents[i]
	k := key{x.Entry, x.Offset}
	event, err := m.p.Settle(c, i, o)
	if err != nil {
		t.Fatal(err)
	}
	if delete(m.flying, k); m.dropped[x.Entry] {
		quiet := !slices.ContainsFunc(slices.Collect(maps.Keys(m.flying)), func(k key) bool { return k.entry == x.Entry })
		if quiet != (event == Quiet) {
			t.Fatalf("entry %d: event %v, quiet is %v", x.Entry, event, quiet)
		}
		if quiet {
			delete(m.dropped, x.Entry)
		}
		return
	}
	if o == Acked {
		delete(m.want, k)
		m.acked[k]++
	}
	left := slices.ContainsFunc(slices.Collect(maps.Keys(m.want)), func(k key) bool { return k.entry == x.Entry })
	if (event == Complete) == left {
		t.Fatalf("entry %d: event %v, extents left: %v", x.Entry, event, left)
	}
}

func (m *model) drop(t *rapid.T) {
	if m.next == 0 {
		t.Skip("no entries")
	}
	entry := rapid.Uint64Range(0, m.next-1).Draw(t, "entry")
	flying := false
	for k := range m.flying {
		flying = flying || k.entry == entry
	}
	wanted := false
	for k := range m.want {
		wanted = wanted || k.entry == entry
	}
	if !wanted {
		return // complete, dropped, or on its way to be quiet
	}
	if quiet := m.p.Drop(entry); quiet == flying {
		t.Fatalf("Drop(%d) = %v, on its way: %v", entry, quiet, flying)
	}
	maps.DeleteFunc(m.want, func(k key, _ int64) bool { return k.entry == entry })
	maps.DeleteFunc(m.acked, func(k key, _ int) bool { return k.entry == entry })
	if flying {
		m.dropped[entry] = true
	} else if rapid.Bool().Draw(t, "restart") {
		m.plan(t, entry, m.sizes[entry]+1)
	}
}

func (m *model) check(t *rapid.T) {
	if m.p.Outstanding() != len(m.chunks) || m.p.Outstanding() > m.max {
		t.Fatalf("%d outstanding of %d, planner says %d", len(m.chunks), m.max, m.p.Outstanding())
	}
	for k, n := range m.acked {
		if n != 1 {
			t.Fatalf("extent %v acknowledged %d times", k, n)
		}
	}
}

// finish acknowledges everything: nothing may be left over.
func (m *model) finish(t *rapid.T) {
	m.ended = true
	m.p.End()
	for range 10000 {
		before := len(m.chunks)
		if m.takeNext(t); len(m.chunks) > before {
			continue
		}
		if len(m.chunks) == 0 {
			break
		}
		c := m.chunks[0]
		m.chunks = m.chunks[1:]
		for i := range c.Extents {
			m.settleOne(t, c, i, Acked)
		}
	}
	if len(m.want) > 0 || m.p.Wanted() || m.p.Outstanding() > 0 {
		t.Fatalf("left over: %v, wanted %v, outstanding %d", m.want, m.p.Wanted(), m.p.Outstanding())
	}
	m.check(t)
}
