package memory_test

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// writer is a data plane at whose first preparations another transfer writes the
// region that is read.
type writer struct {
	transport.Acceptor
	r     *rig
	times int32
	done  atomic.Int32
	one   sync.Mutex // extents land beside each other, and a range has one writer
}

func (w *writer) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	return w.Acceptor.Prepare(ctx, e, writtenSink{s, w}, o)
}

type writtenSink struct {
	transport.Sink
	w *writer
}

func (s writtenSink) Landed(ctx context.Context, seq uint64, a []transport.Arrival) []transport.Verdict {
	if w := s.w; w.done.Add(1) <= w.times {
		w.one.Lock()
		defer w.one.Unlock()
		x, err := w.r.src.Write(ctx, region.WriteRequest{Principal: ann, ID: "a", Ranges: []region.Range{{Length: 1}}})
		if err != nil {
			w.r.t.Error(err)
			return s.Sink.Landed(ctx, seq, a)
		}
		x.Touched()
		x.Memory()[0]++
		if _, err := x.Commit(region.Commit{Bytes: 1}); err != nil {
			w.r.t.Error(err)
		}
		if err := x.Close(); err != nil {
			w.r.t.Error(err)
		}
	}
	return s.Sink.Landed(ctx, seq, a)
}

// A region that is written while it is read is a source that changed: all of it goes
// again, and it is given up where that does not end.
func TestSourceIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times int32
		want  transfer.Outcome
	}{
		{"once", 1, transfer.OutcomePublished},
		{"always", 1 << 30, transfer.OutcomeFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.acceptor = &writer{Acceptor: r.tcp, r: r, times: tt.times}
			r.create(r.src, "a", pattern(3*mib, 1))
			r.create(r.dst, "d", make([]byte, 3*mib))
			res, sum, err := r.run(spec("@d", transfer.Piece{Path: "@a", Length: -1}))
			if err != nil || res.Outcome != tt.want {
				t.Fatalf("%+v, %v", res, err)
			}
			if tt.want == transfer.OutcomeFailed {
				if res.Err.Reason != transfer.SourceChanged || len(r.info(r.dst, "d").Torn) != 1 {
					t.Errorf("%v, torn %v", res.Err, r.info(r.dst, "d").Torn)
				}
				return
			}
			if sum.Progress.Restarts == 0 || sum.Progress.BytesDone != 3*mib {
				t.Errorf("progress %+v", sum.Progress)
			}
			r.look(r.src, "a", func(a []byte) {
				r.look(r.dst, "d", func(d []byte) {
					if !bytes.Equal(a, d) {
						t.Errorf("they differ at %d", difference(a, d))
					}
				})
			})
		})
	}
}

// spoiled is a data plane whose bytes never have their digest.
type spoiled struct{ transport.Acceptor }

func (a spoiled) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	return a.Acceptor.Prepare(ctx, e, spoiledSink{s}, o)
}

type spoiledSink struct{ transport.Sink }

func (s spoiledSink) Landed(ctx context.Context, seq uint64, a []transport.Arrival) []transport.Verdict {
	for i := range a {
		a[i].Code, a[i].Err = transport.Mismatch, transport.ErrMismatch
	}
	return s.Sink.Landed(ctx, seq, a)
}

// Bytes that are never those that were hashed: of a file it is a node or the network,
// of a region it is most likely a program that stores there.
func TestBytesAreNeverTheSame(t *testing.T) {
	for path, want := range map[string]transfer.Reason{"@a": transfer.SourceChanged, "f": transfer.ChecksumMismatch} {
		r := newRig(t)
		r.acceptor = spoiled{r.tcp}
		r.create(r.src, "a", pattern(3*mib, 1))
		r.create(r.dst, "d", make([]byte, 3*mib))
		if path == "f" {
			path = r.file("f", pattern(3*mib, 1))
		}
		_, _, err := r.run(spec("@d", transfer.Piece{Path: path, Length: -1}))
		if transfer.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if info := r.info(r.dst, "d"); len(info.Torn) != 1 || info.OpenWrites != 0 {
			t.Errorf("%s: %+v", path, info)
		}
	}
}

// breaking is a dialer whose first data planes break after so many chunks.
type breaking struct {
	transport.Dialer
	sessions, chunks int
}

func (b *breaking) Dial(ctx context.Context, e transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	out, err := b.Dialer.Dial(ctx, e, g, o)
	if err != nil || b.sessions == 0 {
		return out, err
	}
	b.sessions--
	return &breakingOut{Outgoing: out, chunks: int32(b.chunks)}, nil
}

type breakingOut struct {
	transport.Outgoing
	chunks int32
	given  atomic.Int32
}

func (b *breakingOut) Run(ctx context.Context, f transport.Feed) error {
	return b.Outgoing.Run(ctx, &breakingFeed{f, b})
}

type breakingFeed struct {
	transport.Feed
	b *breakingOut
}

func (f *breakingFeed) Next(ctx context.Context, stream int) (*transport.Chunk, error) {
	if f.b.given.Add(1) > f.b.chunks {
		_ = f.b.Close()
		return nil, context.Canceled
	}
	return f.Feed.Next(ctx, stream)
}

// A data plane that breaks is fenced; what landed is not sent again, and the region
// is whole in the end.
func TestDataPlanesBreak(t *testing.T) {
	r := newRig(t)
	r.dialer = &breaking{Dialer: r.tcp, sessions: 4, chunks: 2}
	a := pattern(9*mib+5, 1)
	r.create(r.src, "a", a)
	r.create(r.dst, "d", make([]byte, len(a)))
	res, sum, err := r.run(spec("@d", transfer.Piece{Path: "@a", Length: int64(len(a))}))
	if err != nil || res.Outcome != transfer.OutcomePublished || sum.Progress.BytesDone != int64(len(a)) {
		t.Fatalf("%+v, %+v, %v", res, sum.Progress, err)
	}
	r.look(r.dst, "d", func(d []byte) {
		if !bytes.Equal(d[:len(a)], a) {
			t.Errorf("they differ at %d", difference(d, a))
		}
	})
	if info := r.info(r.dst, "d"); len(info.Torn) != 0 || info.OpenWrites != 0 {
		t.Errorf("%+v", info)
	}
}
