package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/xferd/xferd/transport"
)

// maxDataBacklog bounds what a DataLink holds for a data plane that does not
// take it, in bytes. What is outstanding is bounded by the slots of a session,
// so only a peer that does not keep to the protocol gets there.
const maxDataBacklog = 16 << 20

// weight is what a message counts for: one without a byte takes memory too.
func weight(msg []byte) int { return len(msg) + 64 }

// DataLink is one end of the transport.Control of one session, over the control
// stream of an edge. Whoever reads the stream calls Deliver.
type DataLink struct {
	session uint32
	post    func(*DataControl)

	mu      sync.Mutex
	queue   [][]byte
	held    int           // bytes in queue, see weight
	ended   bool          // by the other end, or the stream
	closed  bool          // by this one
	changed chan struct{} // holds one
}

var _ transport.Control = (*DataLink)(nil)

// NewDataLink returns an end whose messages go to post, which must not block.
func NewDataLink(session uint32, post func(*DataControl)) *DataLink {
	return &DataLink{session: session, post: post, changed: make(chan struct{}, 1)}
}

// Deliver takes a message of the other end. It does not block. An error means
// that the peer does not keep to the protocol.
func (l *DataLink) Deliver(m *DataControl) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.ended:
		return nil // it crossed our end
	case m.End:
		l.ended = true
	case len(m.Body) > transport.MaxControl || l.held+weight(m.Body) > maxDataBacklog:
		return fmt.Errorf("a message of %d bytes of session %d on top of %d", len(m.Body), l.session, l.held)
	default:
		l.queue = append(l.queue, m.Body)
		l.held += weight(m.Body)
	}
	l.wake()
	return nil
}

// End is what the end of the stream is for the session.
func (l *DataLink) End() { _ = l.Deliver(&DataControl{End: true}) }

func (l *DataLink) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Send implements transport.Control.
func (l *DataLink) Send(ctx context.Context, msg []byte) error {
	l.mu.Lock()
	over := l.closed || l.ended
	l.mu.Unlock()
	switch {
	case over:
		return io.ErrClosedPipe
	case ctx.Err() != nil:
		return ctx.Err()
	case len(msg) > transport.MaxControl:
		return fmt.Errorf("a control message of %d bytes", len(msg))
	}
	l.post(&DataControl{Session: l.session, Body: append([]byte(nil), msg...)})
	return nil
}

// Receive implements transport.Control.
func (l *DataLink) Receive(ctx context.Context) ([]byte, error) {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, io.ErrClosedPipe
		}
		if len(l.queue) > 0 {
			msg := l.queue[0]
			l.queue = l.queue[1:]
			l.held -= weight(msg)
			l.mu.Unlock()
			return msg, nil
		}
		ended := l.ended
		l.mu.Unlock()
		if ended {
			return nil, io.EOF
		}
		select {
		case <-l.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements transport.Control.
func (l *DataLink) Close() error {
	l.mu.Lock()
	tell := !l.closed && !l.ended
	l.closed = true
	l.queue, l.held = nil, 0
	l.mu.Unlock()
	l.wake()
	if tell {
		l.post(&DataControl{Session: l.session, End: true})
	}
	return nil
}
