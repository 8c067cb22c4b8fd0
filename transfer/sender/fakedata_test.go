package sender

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// Dial implements transport.Dialer.
func (f *fakeTarget) Dial(_ context.Context, edge transport.Edge, _ transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	f.mu.Lock()
	f.sessions++
	n := f.sessions
	f.mu.Unlock()
	if f.dial != nil {
		if err := f.dial(n); err != nil {
			return nil, err
		}
	}
	return &fakeOutgoing{target: f, session: n, o: o}, nil
}

type fakeOutgoing struct {
	target  *fakeTarget
	session int
	o       transport.DialOptions
	mu      sync.Mutex
	stats   transport.Stats
}

func (o *fakeOutgoing) Close() error     { return nil }
func (o *fakeOutgoing) SetMaxRate(int64) {}
func (o *fakeOutgoing) Stats() transport.Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

var errCut = errors.New("connection was cut")

func (o *fakeOutgoing) Run(ctx context.Context, feed transport.Feed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for i := range o.o.Streams {
		wg.Go(func() {
			for {
				c, err := feed.Next(ctx, i)
				if err == io.EOF {
					return
				}
				if err == nil {
					err = o.chunk(c, feed)
				}
				if err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

func (o *fakeOutgoing) chunk(c *transport.Chunk, feed transport.Feed) error {
	f := o.target
	f.mu.Lock()
	f.chunks++
	cut := f.breakAfter != nil && f.breakAfter(o.session, f.chunks)
	f.mu.Unlock()
	verdicts := make([]transport.Verdict, len(c.Extents))
	if cut {
		feed.Done(c, verdicts)
		return errCut
	}
	var finals []uint64
	for i := range c.Extents {
		verdicts[i] = f.land(&c.Extents[i], o.o.Verify)
		if verdicts[i].Code == transport.Placed && c.Extents[i].Final {
			finals = append(finals, c.Extents[i].Entry)
		}
		o.mu.Lock()
		o.stats.Bytes += c.Extents[i].DataLength()
		o.mu.Unlock()
	}
	if c.Seq%2 == 0 { // a result may overtake the acknowledgement
		for _, n := range finals {
			f.landedFinal(n)
		}
		finals = nil
	}
	feed.Done(c, verdicts)
	for _, n := range finals {
		f.landedFinal(n)
	}
	return nil
}

// landedFinal ends an entry whose only extent came as Final.
func (f *fakeTarget) landedFinal(n uint64) {
	if f.onDone == nil || !f.onDone(n) {
		f.result(transfer.Result{Entry: n, Outcome: transfer.OutcomePublished})
	}
}

// land reads, checks and stores an extent, as transport and sink would.
func (f *fakeTarget) land(x *transport.Extent, verify bool) transport.Verdict {
	key := [2]int64{int64(x.Entry), x.Offset}
	f.mu.Lock()
	f.tries[key]++
	try := f.tries[key]
	f.mu.Unlock()
	if f.verdict != nil {
		if v := f.verdict(x, try); v.Code != 0 {
			return v
		}
	}
	b := make([]byte, x.Length)
	for i, s := range x.Segments {
		part := b[s.Offset-x.Offset : s.End()-x.Offset]
		if body := x.Bodies[i]; body.File != nil {
			if n, err := body.File.ReadAt(part, body.FileOffset); n < len(part) {
				if err == io.EOF {
					return transport.Verdict{Code: transport.SourceShort, Err: transport.ErrSourceShort}
				}
				return transport.Verdict{Code: transport.SourceFailed, Err: err}
			}
		} else if copy(part, body.Mem) != len(part) || len(body.Mem) != len(part) {
			f.t.Errorf("entry %d: a body of %d bytes for a segment of %d", x.Entry, len(body.Mem), len(part))
		}
	}
	v := transport.Verdict{Code: transport.Placed}
	if verify {
		v.Digest = xxh3.Hash128(b).Bytes()
		if !x.Digest.IsZero() && x.Digest != v.Digest {
			f.t.Errorf("entry %d at %d: the digest is not of the bytes", x.Entry, x.Offset)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	content := f.content[x.Entry]
	if x.Offset+x.Length > int64(len(content)) {
		f.t.Errorf("entry %d: %d+%d of %d bytes", x.Entry, x.Offset, x.Length, len(content))
		return transport.Verdict{Code: transport.Refused, Err: errors.New("outside")}
	}
	copy(content[x.Offset:], b)
	f.sent[key]++
	if x.Final {
		f.finals++
	}
	return v
}

func digestOf(b []byte) transport.Digest { return xxh3.Hash128(b).Bytes() }
