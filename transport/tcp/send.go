package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// window is the number of chunks of one stream that may be without an answer,
// the one that is being sent included. It hides the time that the target takes
// to answer.
const window = 4

// slot is a chunk on its way.
type slot struct {
	chunk *transport.Chunk
	seals []wire.Seal
	errs  []error // why an extent is not sound
	sent  bool    // all of it: nothing of the chunk is in use any more
}

// stream is one connection at the source. Its run is the writer; a second
// goroutine reads the answers.
type stream struct {
	o    *outgoing
	feed transport.Feed
	n    int
	sock *sock // nil until there is a chunk, except for stream 0

	following func() // starts the next stream; nil when it was, or there is none

	// Of the writer.
	hasher xxh3.Hasher
	framer chunkio.Framer
	head   []byte
	tail   []byte
	out    gather

	// Of the chunk that is being sent.
	files   bool  // it has file bodies
	total   int64 // bytes of content
	prepaid bool  // they were all waited for

	verdicts []transport.Verdict // of the reader: those that Done is called with

	mu     sync.Mutex
	moved  sync.Cond // a slot was sent or answered, or the stream is dead
	slots  [window]slot
	first  int
	count  int
	chunks uint64 // sent so far
	ending bool   // the End frame is out
	dead   bool
}

func newStream(o *outgoing, f transport.Feed, n int) *stream {
	s := &stream{o: o, feed: f, n: n}
	s.moved.L = &s.mu
	return s
}

// run sends chunks until the feed is at its end and all of them were answered.
// When it returns, Done was called for each.
func (s *stream) run(ctx context.Context) error {
	var c *transport.Chunk
	var err error
	if s.sock == nil {
		if c, err = s.next(ctx); err == nil {
			if s.sock, err = s.o.open(ctx, s.n); err != nil {
				s.feed.Done(c, make([]transport.Verdict, len(c.Extents)))
			}
		}
		if err != nil {
			return ignoreEOF(err)
		}
	}
	s.o.attach(s.sock)
	defer s.o.detach(s.sock)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.kill)
	var answers error
	var reader sync.WaitGroup
	reader.Go(func() {
		if answers = s.readAnswers(); answers != nil {
			cancel() // ends a writer that waits for the feed, the window or the wire
		}
	})
	err = s.sendAll(ctx, c)
	switch {
	case err == nil:
	case ofConnection(err):
		s.lastWords()
	default:
		s.kill()
	}
	reader.Wait()
	stop()
	if err == nil && answers == nil {
		s.sock.Close()
		return nil
	}
	s.kill()
	s.giveBack()
	return blame(err, answers)
}

// blame picks the error that tells most.
func blame(write, read error) error {
	var told *peerError
	var proto *transport.ProtocolError
	if write == nil || errors.As(read, &told) || errors.As(read, &proto) ||
		read != nil && (errors.Is(write, net.ErrClosed) || errors.Is(write, context.Canceled) && !errors.Is(read, net.ErrClosed)) {
		return read
	}
	return write
}

func ofConnection(err error) bool {
	var op *net.OpError
	var sys *os.SyscallError
	return errors.As(err, &op) || errors.As(err, &sys)
}

// next asks the feed for a chunk.
func (s *stream) next(ctx context.Context) (*transport.Chunk, error) {
	start := time.Now()
	c, err := s.feed.Next(ctx, s.n)
	if err != io.EOF { // what was waited for at the end is no longer the source
		s.o.stats.Reading.Since(start)
	}
	if err == nil && s.following != nil {
		s.following()
		s.following = nil
	}
	return c, err
}

// sendAll sends chunks, the one given first, and then the End frame.
func (s *stream) sendAll(ctx context.Context, c *transport.Chunk) error {
	for {
		if err := s.room(); err != nil {
			return err
		}
		if c == nil {
			var err error
			if c, err = s.next(ctx); err == io.EOF {
				return s.end()
			} else if err != nil {
				return err
			}
		}
		if err := s.prepare(c); err != nil {
			s.feed.Done(c, failAll(c, err))
			c = nil
			continue
		}
		if err := s.sendChunk(ctx, s.push(c)); err != nil {
			return err
		}
		s.mu.Lock()
		s.slots[(s.first+s.count-1)%window].sent = true
		s.moved.Broadcast()
		s.mu.Unlock()
		c = nil
	}
}

// room waits until another chunk may be on its way.
func (s *stream) room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == window {
		start := time.Now()
		for s.count == window && !s.dead {
			s.moved.Wait()
		}
		s.o.stats.Wiring.Since(start)
	}
	if s.dead {
		return net.ErrClosed
	}
	return nil
}

// push makes c the last of the chunks on their way.
func (s *stream) push(c *transport.Chunk) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := &s.slots[(s.first+s.count)%window]
	sl.chunk, sl.sent = c, false
	sl.seals = append(sl.seals[:0], make([]wire.Seal, len(c.Extents))...)
	sl.errs = append(sl.errs[:0], make([]error, len(c.Extents))...)
	s.count++
	s.chunks++
	if s.count == 1 {
		s.arm()
	}
	return sl
}

// arm sets the time by which the target has to be heard of. Called with mu held.
func (s *stream) arm() {
	switch {
	case s.dead:
	case s.count > 0 || s.ending:
		s.sock.SetReadDeadline(time.Now().Add(s.o.t.cfg.Limits.Stall))
	default:
		s.sock.SetReadDeadline(time.Time{})
	}
}

func (s *stream) end() error {
	s.mu.Lock()
	s.ending = true
	s.arm()
	s.mu.Unlock()
	s.head = wire.AppendEnd(s.head[:0], s.chunks)
	_, err := s.sock.Write(s.head)
	return err
}

// lastWords lets the reader find out a little longer why the target stopped
// taking bytes.
func (s *stream) lastWords() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	s.moved.Broadcast()
	s.sock.SetReadDeadline(time.Now().Add(time.Second))
}

// kill ends everything on the stream at once.
func (s *stream) kill() {
	s.mu.Lock()
	s.dead = true
	s.moved.Broadcast()
	s.mu.Unlock()
	s.sock.abort()
}

// giveBack answers Unknown for what is left, when nothing runs any more.
func (s *stream) giveBack() {
	for ; s.count > 0; s.count-- {
		c := s.slots[s.first].chunk
		s.slots[s.first].chunk = nil
		s.first = (s.first + 1) % window
		s.feed.Done(c, make([]transport.Verdict, len(c.Extents)))
	}
}

func failAll(c *transport.Chunk, err error) []transport.Verdict {
	v := make([]transport.Verdict, len(c.Extents))
	for i := range v {
		v[i] = transport.Verdict{Code: transport.SourceFailed, Err: err}
	}
	return v
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
