package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/pace"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// outgoing is an edge at the source. Its workers are the streams of both ends.
type outgoing struct {
	in      *incoming
	opt     transport.DialOptions
	streams int
	pacer   *pace.Pacer
	life    context.Context // until Close
	close   context.CancelFunc

	mu  sync.Mutex
	ran bool
	err error // the first of the workers'
}

// Run implements transport.Outgoing. It can be called once.
func (o *outgoing) Run(parent context.Context, f transport.Feed) error {
	o.mu.Lock()
	ran := o.ran
	o.ran = true
	o.mu.Unlock()
	switch {
	case o.life.Err() != nil:
		return net.ErrClosed
	case ran:
		return errors.New("the edge ran already")
	}
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	defer context.AfterFunc(o.life, cancel)()
	defer context.AfterFunc(o.in.ctx, func() {
		o.fail(errFenced)
		cancel()
	})()

	var wg sync.WaitGroup
	var start func(i int)
	start = func(i int) {
		w := newWorker(o, f, i)
		if i+1 < o.streams {
			w.following = func() { start(i + 1) }
		}
		wg.Go(func() {
			if err := w.run(ctx); err != nil {
				o.fail(err)
				cancel()
			}
		})
	}
	start(0)
	wg.Wait()

	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err == nil:
		return nil
	case o.life.Err() != nil:
		return net.ErrClosed
	case parent.Err() != nil:
		return parent.Err()
	}
	return o.err
}

func (o *outgoing) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

// SetMaxRate implements transport.Outgoing.
func (o *outgoing) SetMaxRate(bytesPerSecond int64) { o.pacer.Set(bytesPerSecond) }

// Stats implements transport.Outgoing.
func (o *outgoing) Stats() transport.Stats {
	s := o.in.Stats()
	s.PaceTime = o.pacer.Waited()
	return s
}

// Close implements transport.Outgoing.
func (o *outgoing) Close() error {
	o.close()
	return nil
}

// run moves chunks until the feed is at its end.
func (w *worker) run(ctx context.Context) error {
	for {
		start := time.Now()
		c, err := w.feed.Next(ctx, w.n)
		if err == io.EOF {
			return nil // what was waited for then is no longer the source
		}
		w.in.stats.Reading.Since(start)
		if err != nil {
			return err
		}
		if w.following != nil {
			w.following()
			w.following = nil
		}
		if !w.counted {
			w.in.stats.Streams.Add(1)
			w.counted = true
		}
		verdicts, err := w.chunk(ctx, c)
		if verdicts == nil {
			verdicts = make([]transport.Verdict, len(c.Extents))
		}
		w.feed.Done(c, verdicts)
		if err != nil {
			return err
		}
	}
}

// chunk hands one chunk to the sink. An error ends the session; without verdicts
// nothing is known of the chunk.
func (w *worker) chunk(ctx context.Context, c *transport.Chunk) ([]transport.Verdict, error) {
	if err := w.check(c); err != nil {
		v := make([]transport.Verdict, len(c.Extents))
		for i := range v {
			v[i] = transport.Verdict{Code: transport.SourceFailed, Err: err}
		}
		return v, nil
	}
	if err := w.in.enter(); err != nil {
		return nil, err
	}
	defer w.in.wg.Done()

	// The sink's context ends with either end of the edge.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.in.ctx, cancel)()
	w.headers = w.headers[:0]
	for i := range c.Extents {
		w.headers = append(w.headers, c.Extents[i].ExtentHeader)
	}
	landings, err := w.in.sink.Place(ctx, c.Seq, w.headers)
	if err != nil {
		return nil, fmt.Errorf("the target gave up: %w", err)
	}
	broken := w.land(ctx, c, landings)
	verdicts := w.in.sink.Landed(ctx, c.Seq, w.arrivals)
	w.release()
	switch {
	case broken != nil:
		return nil, broken
	case len(verdicts) != len(c.Extents):
		return nil, fmt.Errorf("sink gave %d verdicts for %d extents", len(verdicts), len(c.Extents))
	}
	w.in.stats.Chunks.Add(1)
	if w.in.ctx.Err() != nil {
		return verdicts, errFenced
	}
	return verdicts, nil
}

// check refuses a chunk that makes no sense, so that what follows can rely on
// it.
func (w *worker) check(c *transport.Chunk) error {
	if len(c.Extents) == 0 || len(c.Extents) > transport.MaxExtents {
		return fmt.Errorf("chunk of %d extents", len(c.Extents))
	}
	var total int64
	for i := range c.Extents {
		e := &c.Extents[i]
		if len(e.Bodies) != len(e.Segments) || len(e.Segments) > transport.MaxSegments || e.Offset < 0 || e.Length < 0 || e.End() < e.Offset {
			return errors.New("malformed extent")
		}
		at := e.Offset
		for j, seg := range e.Segments {
			b := &e.Bodies[j]
			if seg.Offset < at || seg.Length <= 0 || seg.End() < seg.Offset || seg.End() > e.End() || !chunkio.BodyFits(b, seg) {
				return errors.New("malformed segment")
			}
			at = seg.End()
			total += seg.Length
		}
	}
	if total > w.in.opt.ChunkSize {
		return fmt.Errorf("chunk of %d bytes, chunk_size is %d", total, w.in.opt.ChunkSize)
	}
	return nil
}
