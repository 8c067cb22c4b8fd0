package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// receiver is one stream at the target: it takes one chunk after the other.
type receiver struct {
	in   *incoming
	ctx  context.Context
	conn *net.TCPConn

	hasher   xxh3.Hasher
	payload  []byte
	headers  chunkio.Headers
	arrivals []transport.Arrival
	seals    []wire.Seal
	answers  []wire.Answer

	// Of the chunk that is being read.
	seq     uint64
	extents []transport.ExtentHeader

	// Of the body that is being read; see land.go.
	lease *bufpool.Buffer
	block []byte // where bytes for files pass through
	have  []byte // of block: read and not landed
	left  int64  // bytes of the body that were not read
	into  scatter

	busy  atomic.Bool // something is owed to the source
	write sync.Mutex  // on conn: answers and signs of life
	out   []byte
}

// tellError marks errors that are told to the peer before the stream ends.
type tellError struct{ error }

func (e tellError) Unwrap() error { return e.error }

// receive runs a stream that joined, until its end or that of the edge. It
// closes the connection.
func (in *incoming) receive(conn *net.TCPConn, stream int) error {
	stop := context.AfterFunc(in.ctx, func() {
		conn.SetLinger(0)
		conn.Close()
	})
	defer stop()
	defer conn.Close()
	in.stats.Streams.Add(1)
	r := &receiver{in: in, ctx: in.ctx, conn: conn}
	if err := r.into.open(conn); err != nil {
		return err
	}

	over := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() { r.beat(over) })
	err := r.chunks()
	close(over)
	conn.SetWriteDeadline(time.Now().Add(time.Second)) // for a beat that is stuck
	beat.Wait()

	if errors.Is(err, os.ErrDeadlineExceeded) {
		// An orderly end waits behind what the source did not acknowledge; its
		// acknowledgements do not come where the network is cut towards this end alone.
		conn.SetLinger(0)
	}
	var tell tellError
	if errors.As(err, &tell) {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		conn.Write(wire.AppendFail(nil, err.Error()))
	}
	if errors.Is(err, wire.ErrBroken) {
		err = &transport.ProtocolError{Addr: conn.RemoteAddr().String(), What: err.Error()}
	}
	return err
}

// chunks reads frames until the source is at its end.
func (r *receiver) chunks() error {
	for n := uint64(0); ; {
		p, err := r.prefix()
		if err != nil {
			return err
		}
		if err := r.read(p.Length); err != nil {
			return err
		}
		if err := p.Check(r.payload); err != nil {
			return tellError{err}
		}
		switch p.Type {
		case wire.TypeChunk:
			if err := r.chunk(); err != nil {
				return err
			}
			n++
		case wire.TypeEnd:
			return r.end(n)
		default:
			if p.Type&wire.Critical != 0 {
				return tellError{fmt.Errorf("%w: frame type %#x from a source", wire.ErrBroken, uint16(p.Type))}
			}
		}
	}
}

// prefix waits for the next frame for as long as it takes: nothing is owed
// between frames. TCP keepalive finds a peer that is gone.
func (r *receiver) prefix() (p wire.Prefix, err error) {
	var b [wire.PrefixSize]byte
	start := time.Now()
	defer r.in.stats.Wiring.Since(start)
	if err = r.conn.SetReadDeadline(time.Time{}); err != nil {
		return p, err
	}
	n, err := r.conn.Read(b[:])
	if err == io.EOF {
		return p, errors.New("the source closed the connection")
	}
	if err == nil && n < len(b) {
		err = r.fill(b[n:])
	}
	if err != nil {
		return p, err
	}
	if p, err = wire.DecodePrefix(b[:]); err != nil {
		err = tellError{err}
	}
	return p, err
}

// read fills payload with n bytes.
func (r *receiver) read(n int) error {
	r.payload = slices.Grow(r.payload[:0], n)[:n]
	start := time.Now()
	defer r.in.stats.Wiring.Since(start)
	return r.fill(r.payload)
}

// minProgress is what has to arrive in each Limits.Stall while the source owes
// bytes.
const minProgress = 64 << 10

// fill reads len(b) bytes that the source owes.
func (r *receiver) fill(b []byte) error {
	for len(b) > 0 {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.in.t.cfg.Limits.Stall)); err != nil {
			return err
		}
		n, err := io.ReadAtLeast(r.conn, b, min(len(b), minProgress))
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("source stalled or went away within a chunk: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// chunk takes the chunk whose header is in payload: its bytes, its trailer, and
// the sink's verdicts.
func (r *receiver) chunk() error {
	r.busy.Store(true)
	defer r.busy.Store(false)
	if err := r.header(); err != nil {
		return tellError{err}
	}
	landings, err := r.in.sink.Place(r.ctx, r.seq, r.extents)
	if err == nil && len(landings) != len(r.extents) {
		err = fmt.Errorf("sink gave %d landings for %d extents", len(landings), len(r.extents))
	}
	if err != nil {
		return tellError{err}
	}
	// From here on Landed is called, whatever happens.
	broken := r.take(landings)
	verdicts := r.in.sink.Landed(r.ctx, r.seq, r.arrivals)
	r.release()
	if broken != nil {
		return broken
	}
	if len(verdicts) != len(r.arrivals) {
		return tellError{fmt.Errorf("sink gave %d verdicts for %d extents", len(verdicts), len(r.arrivals))}
	}
	r.in.stats.Chunks.Add(1)
	return r.answer(verdicts)
}

// header decodes the chunk header and checks it against what was agreed for the
// edge.
func (r *receiver) header() (err error) {
	r.seq, r.extents, r.left, err = r.headers.Decode(r.payload, &r.in.opt)
	return err
}

// answer sends the verdicts on the chunk.
func (r *receiver) answer(verdicts []transport.Verdict) error {
	r.answers = chunkio.Answers(r.answers[:0], r.arrivals, verdicts)
	r.write.Lock()
	defer r.write.Unlock()
	r.out = wire.AppendAck(r.out[:0], r.seq, r.answers)
	return r.sendLocked(r.out)
}

// end answers the End frame and waits for the source to close.
func (r *receiver) end(chunks uint64) error {
	sent, err := wire.DecodeEnd(r.payload)
	if err == nil && sent != chunks {
		err = fmt.Errorf("%w: end after %d chunks, %d came", wire.ErrBroken, sent, chunks)
	}
	if err != nil {
		return tellError{err}
	}
	if err := r.send(wire.AppendEnd(nil, chunks)); err != nil {
		return err
	}
	r.conn.SetReadDeadline(time.Now().Add(r.in.t.cfg.Limits.Stall))
	var b [1]byte
	if n, _ := r.conn.Read(b[:]); n > 0 {
		return fmt.Errorf("%w: bytes after the end", wire.ErrBroken)
	}
	return nil
}

// beat sends a sign of life now and then while the source waits for an answer,
// so that it can tell a target that is slow from one that is gone.
func (r *receiver) beat(over <-chan struct{}) {
	t := time.NewTicker(r.in.t.cfg.Limits.Stall / 3)
	defer t.Stop()
	alive := wire.AppendAlive(nil)
	for {
		select {
		case <-over:
			return
		case <-t.C:
			if r.busy.Load() && r.send(alive) != nil {
				return // the reading side finds out too
			}
		}
	}
}

func (r *receiver) send(b []byte) error {
	r.write.Lock()
	defer r.write.Unlock()
	return r.sendLocked(b)
}

func (r *receiver) sendLocked(b []byte) error {
	if err := r.conn.SetWriteDeadline(time.Now().Add(r.in.t.cfg.Limits.Stall)); err != nil {
		return err
	}
	_, err := r.conn.Write(b)
	return err
}
