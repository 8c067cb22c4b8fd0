package tcp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// peerError is a peer that gave up and told why.
type peerError struct{ text string }

func (e *peerError) Error() string { return fmt.Sprintf("the target gave up: %q", e.text) }

// readAnswers reads what the target sends until its End frame. With any error
// the stream is over.
func (s *stream) readAnswers() error {
	r := bufio.NewReaderSize(s.sock.TCPConn, 4<<10)
	var payload []byte
	var answers []wire.Answer
	for {
		p, err := readPrefix(r)
		if err != nil {
			return s.broken(err)
		}
		payload = slices.Grow(payload[:0], p.Length)[:p.Length]
		if _, err = io.ReadFull(r, payload); err == nil {
			err = p.Check(payload)
		}
		if err != nil {
			return s.broken(err)
		}
		switch p.Type {
		case wire.TypeAck:
			var seq uint64
			if seq, answers, err = wire.DecodeAck(payload, answers); err == nil {
				err = s.answered(seq, answers)
			}
		case wire.TypeEnd:
			var n uint64
			if n, err = wire.DecodeEnd(payload); err == nil {
				if err = s.ended(n); err == nil {
					return nil
				}
			}
		case wire.TypeFail:
			var text string
			if text, err = wire.DecodeFail(payload); err == nil {
				return &peerError{text}
			}
		default:
			if p.Type&wire.Critical != 0 {
				err = fmt.Errorf("%w: frame type %#x from a target", wire.ErrBroken, uint16(p.Type))
			}
		}
		if err != nil {
			return s.broken(err)
		}
		s.mu.Lock()
		s.arm()
		s.mu.Unlock()
	}
}

func readPrefix(r io.Reader) (wire.Prefix, error) {
	var b [wire.PrefixSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return wire.Prefix{}, err
	}
	return wire.DecodePrefix(b[:])
}

// broken says what an error of the reader means.
func (s *stream) broken(err error) error {
	switch {
	case errors.Is(err, wire.ErrBroken):
		return &transport.ProtocolError{Addr: s.o.grant.Addr, What: err.Error()}
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return errors.New("the target closed the connection")
	}
	return err
}

// answered hands the verdicts on the oldest chunk to the feed.
func (s *stream) answered(seq uint64, answers []wire.Answer) error {
	if slices.ContainsFunc(answers, func(a wire.Answer) bool { return transport.Code(a.Code) == transport.Unknown }) {
		// It could not keep its record, and only that would tell: the session ends,
		// as it does with no answer at all.
		return errors.New("the target does not know what became of a chunk")
	}
	s.mu.Lock()
	sl := &s.slots[s.first]
	if s.count == 0 || sl.chunk.Seq != seq || len(sl.chunk.Extents) != len(answers) {
		s.mu.Unlock()
		return fmt.Errorf("%w: answer for chunk %d with %d extents", wire.ErrBroken, seq, len(answers))
	}
	// The answer can be faster than our own return from the last write. A peer
	// that answers what it cannot have waits here too, so that no memory of the
	// chunk is given up while it is being sent.
	for !sl.sent && !s.dead {
		s.moved.Wait()
	}
	if !sl.sent {
		s.mu.Unlock()
		return errors.New("the stream ended")
	}
	c := sl.chunk
	var mismatches int64
	s.verdicts, mismatches = chunkio.Verdicts(s.verdicts[:0], answers, sl.seals, sl.errs)
	sl.chunk = nil
	s.first = (s.first + 1) % window
	s.count--
	s.moved.Broadcast()
	s.mu.Unlock()
	s.o.stats.Mismatches.Add(mismatches)
	s.feed.Done(c, s.verdicts)
	return nil
}

// ended judges the End frame of the target.
func (s *stream) ended(chunks uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending || s.count > 0 || chunks != s.chunks {
		return fmt.Errorf("%w: end after %d chunks, %d sent, %d not answered", wire.ErrBroken, chunks, s.chunks, s.count)
	}
	return nil
}
