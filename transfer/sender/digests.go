package sender

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

const (
	digestWorkers = 2
	digestBuffer  = 1 << 20
)

// digestQueue holds the entries whose digests the target asked for.
type digestQueue struct {
	mu     sync.Mutex
	more   sync.Cond
	queue  []*entry
	asked  map[*entry]bool // in the queue or being worked on
	closed bool
}

func (q *digestQueue) init() {
	q.more.L = &q.mu
	q.asked = make(map[*entry]bool)
}

// push reports false for an entry that is there already.
func (q *digestQueue) push(n *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked[n] {
		return false
	}
	q.asked[n] = true
	q.queue = append(q.queue, n)
	q.more.Signal()
	return true
}

func (q *digestQueue) pending(n *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asked[n]
}

func (q *digestQueue) pop() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return nil
	}
	n := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	return n
}

func (q *digestQueue) done(n *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asked, n)
}

func (q *digestQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}

// makeDigests works on the queue until it is closed.
func (e *Edge) makeDigests(ctx context.Context) error {
	buf := make([]byte, digestBuffer)
	for {
		n := e.digests.pop()
		if n == nil {
			return nil
		}
		digests, err := e.digestEntry(ctx, n, buf)
		if err == nil {
			now, e2 := e.fingerprint(n)
			if err = e2; err == nil && now != n.found.Print {
				err = errChanged
			}
		}
		e.digests.done(n)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errChanged):
			e.restart(n)
			continue
		case err != nil:
			e.giveUpSource(n, err)
			continue
		}
		e.mu.Lock()
		if n.leaving() {
			e.mu.Unlock()
			continue
		}
		n.digests = digests
		e.mu.Unlock()
		e.out.post(&transfer.EntryDigests{Entry: n.found.Number, Digests: slices.Clone(digests)})
	}
}

// digestEntry reads all of an entry.
func (e *Edge) digestEntry(ctx context.Context, n *entry, buf []byte) ([]transport.Digest, error) {
	size := n.found.Size
	all := make([]transport.Digest, transfer.Extents(size, e.chunkSize))
	hole := make(map[int64]transport.Digest) // of an extent that is one hole, by length
	var h xxh3.Hasher
	for i := range all {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r := transfer.ExtentRange(int64(i), size, e.chunkSize)
		data, err := e.dataRanges(n, r)
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			if d, ok := hole[r.Length]; ok {
				all[i] = d
				continue
			}
		}
		h.Reset()
		at := r.Offset
		for _, d := range data {
			hashZeros(&h, d.Offset-at)
			for at = d.Offset; at < d.End(); {
				b := buf[:min(int64(len(buf)), d.End()-at)]
				clear(b)
				if err := e.readExtent(n, at, b); err != nil {
					return nil, err
				}
				_, _ = h.Write(b)
				at += int64(len(b))
			}
		}
		hashZeros(&h, r.End()-at)
		all[i] = h.Sum128().Bytes()
		if len(data) == 0 {
			hole[r.Length] = all[i]
		}
	}
	return all, nil
}

// dataRanges returns where an extent has data.
func (e *Edge) dataRanges(n *entry, r transport.Range) (data []transport.Range, err error) {
	if n.found.Assembly != nil || n.found.Flags&transfer.EntrySparse == 0 {
		return []transport.Range{r}, nil
	}
	file, err := e.files.get(n, 0)
	if err != nil {
		return nil, err
	}
	defer e.files.put(file)
	err = file.DataRanges(r.Offset, r.End(), func(off, length int64) error {
		data = append(data, transport.Range{Offset: off, Length: length})
		return nil
	})
	return data, err
}

func hashZeros(h *xxh3.Hasher, n int64) {
	for n > 0 {
		b := zeros[:min(n, int64(len(zeros)))]
		_, _ = h.Write(b)
		n -= int64(len(b))
	}
}
