package plan

import (
	"container/heap"

	"github.com/xferd/xferd/transport"
)

// haveLarge reports whether an extent of a large file can go. It forgets
// dropped files on its way.
func (p *Planner) haveLarge() bool {
	for len(p.fresh) > 0 && p.fresh[0].dropped {
		heap.Pop(&p.fresh)
	}
	for len(p.again) > 0 && p.again[0].file.dropped {
		heap.Pop(&p.again)
	}
	return len(p.fresh) > 0 || len(p.again) > 0
}

// takeLarge returns the next extent of a large file. There is one.
func (p *Planner) takeLarge() Extent {
	if len(p.fresh) == 0 {
		x := heap.Pop(&p.again).(Extent)
		x.file.inFlight++
		return x
	}
	f := p.fresh[0]
	r := &f.want[0]
	x := Extent{Entry: f.entry, Offset: r.Offset, Length: min(p.o.ChunkSize, r.Length), file: f}
	*r = transport.Range{Offset: r.Offset + x.Length, Length: r.Length - x.Length}
	if r.Length == 0 {
		f.want = f.want[1:]
	}
	if len(f.want) == 0 {
		f.want = nil
		heap.Pop(&p.fresh)
	}
	f.inFlight++
	return x
}

// fileHeap has the largest file first, and the earliest of equal ones.
type fileHeap []*file

func (h fileHeap) Len() int { return len(h) }
func (h fileHeap) Less(i, j int) bool {
	if h[i].size != h[j].size {
		return h[i].size > h[j].size
	}
	return h[i].entry < h[j].entry
}
func (h fileHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *fileHeap) Push(x any)   { *h = append(*h, x.(*file)) }
func (h *fileHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return f
}

// extentHeap has the fewest failures first, then the largest file, then the
// lowest offset.
type extentHeap []Extent

func (h extentHeap) Len() int { return len(h) }
func (h extentHeap) Less(i, j int) bool {
	a, b := &h[i], &h[j]
	switch {
	case a.Failures != b.Failures:
		return a.Failures < b.Failures
	case a.file.size != b.file.size:
		return a.file.size > b.file.size
	case a.Entry != b.Entry:
		return a.Entry < b.Entry
	}
	return a.Offset < b.Offset
}
func (h extentHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *extentHeap) Push(x any)   { *h = append(*h, x.(Extent)) }
func (h *extentHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = Extent{}
	*h = (*h)[:last]
	return x
}

// packQueue holds the extents of small files in the order they came. Those of
// dropped files stay in it uncounted until they are passed.
type packQueue struct {
	waiting []Extent
	head    int // of waiting
	count   int // not dropped
	bytes   int64
}

func (q *packQueue) push(x Extent) {
	if q.head > len(q.waiting)/2 && q.head > 64 {
		n := copy(q.waiting, q.waiting[q.head:])
		clear(q.waiting[n:])
		q.waiting, q.head = q.waiting[:n], 0
	}
	q.waiting = append(q.waiting, x)
	q.count++
	q.bytes += x.Length
	x.file.queued = true
}

func (q *packQueue) forget(f *file) {
	f.queued = false
	q.count--
	q.bytes -= f.size
}

// take moves up to n extents and size bytes to c, at least one.
func (q *packQueue) take(c *Chunk, n int, size int64) {
	for q.head < len(q.waiting) && len(c.Extents) < n {
		x := q.waiting[q.head]
		if !x.file.dropped && len(c.Extents) > 0 && x.Length > size {
			return
		}
		q.waiting[q.head] = Extent{}
		q.head++
		if x.file.dropped {
			continue
		}
		q.forget(x.file)
		x.file.inFlight++
		size -= x.Length
		c.Extents = append(c.Extents, x)
	}
	if q.head == len(q.waiting) {
		q.waiting, q.head = q.waiting[:0], 0
	}
}
