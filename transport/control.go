package transport

import "context"

// MaxControl is the largest message of a [Control], in bytes.
const MaxControl = 256 << 10

// Control carries what a transport has to say to its other half apart from the
// bytes: set-up, grants and answers of a data plane that has no connection of
// its own for them. It runs over the authenticated control stream of the edge,
// in order. One goroutine sends and one receives at a time.
type Control interface {
	// Send takes one message, which stays the caller's. It blocks for
	// back-pressure until ctx ends.
	Send(ctx context.Context, msg []byte) error
	// Receive blocks for the next message, which is the caller's. After the
	// other half closed, or the control stream ended, it is io.EOF.
	Receive(ctx context.Context) ([]byte, error)
	// Close tells the other half that nothing more comes. Idempotent.
	Close() error
}

// Joiner is an [Incoming] that is reached over a Control, as those of transports
// without a listener are.
type Joiner interface {
	// Join serves a Control that the source opened, until its session is over
	// or the edge is fenced, and closes it. Only one that proves to have the
	// grant gets a session.
	Join(c Control) error
}
