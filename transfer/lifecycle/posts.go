package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// posts are those of one prepared transfer that are not over. They belong to whoever
// posts, and are nowhere durable: what was not answered is posted again. The edge
// sends one at a time; where it ends, the next one begins with the same.
type posts struct {
	node transfer.NodeID

	mu     sync.Mutex
	edge   poster      // that runs; nil: none
	stream *PostStream // of who posts; nil: nobody
	queue  []post
	flying bool   // the first of queue is the edge's
	path   string // transport, once a data plane stood; then whoever posts need not wait
	finish bool   // no more will come
	closed bool   // the transfer is over
	err    error  // why, or nil

	status     transfer.Posts
	generation uint64
	window     time.Time // since when done are counted for the rate
	before     int64     // done at that time
}

type post struct {
	sequence uint64
	stream   *PostStream // nil: it went away
}

// rateWindow is how long posts are counted for their rate.
const rateWindow = time.Second

func newPosts(node transfer.NodeID, t *transfer.Transfer, finish bool) *posts {
	p := &posts{node: node, status: t.Posts, generation: t.Generation, finish: finish, before: t.Posts.Done}
	if t.State.Terminal() {
		p.closed = true
	}
	return p
}

func (p *posts) refuse(r transfer.Reason, format string, args ...any) *transfer.Error {
	return &transfer.Error{Reason: r, Side: transfer.SideOwner, Node: p.node, Err: fmt.Errorf(format, args...)}
}

func (p *posts) open() (*PostStream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.finish || p.closed:
		return nil, p.refuse(transfer.BadState, "the transfer is to finish")
	case p.stream != nil:
		return nil, p.refuse(transfer.PostsBusy, "another call posts this transfer")
	}
	s := &PostStream{p: p, ready: p.path != "", news: make(chan struct{}, 1)}
	s.wake()
	p.stream = s
	return s, nil
}

// attach gives posts the running edge, or takes it away.
func (p *posts) attach(edge poster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edge, p.flying = edge, false
	p.next()
}

// next gives the edge what is due. The mutex is held.
func (p *posts) next() {
	switch {
	case p.edge == nil || p.flying:
	case len(p.queue) > 0:
		p.flying = true
		p.edge.Post()
	case p.finish:
		p.edge.EndPosts()
	}
}

// end lets no more come.
func (p *posts) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish = true
	p.next()
}

// ready notes that a data plane stands.
func (p *posts) ready(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.path == "" && p.stream != nil {
		p.stream.ready = true
		p.stream.wake()
	}
	p.path = path
}

// over ends the post on its way.
func (p *posts) over(r *transfer.Result, path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.flying {
		return
	}
	done := p.queue[0]
	p.queue = append(p.queue[:0], p.queue[1:]...)
	p.flying = false
	p.next()
	p.status.Last = time.Now()
	if r.Err == nil {
		p.status.Done++
		p.generation = r.Generation
	} else {
		p.status.Failed++
	}
	if s := done.stream; s != nil {
		s.tell(transfer.Posted{Sequence: done.sequence, Generation: r.Generation, Digest: r.Digest, Bytes: r.Bytes, Transport: path, Err: r.Err})
	}
}

// close answers everything when the transfer is over.
func (p *posts) close(t *transfer.Transfer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	if t.State != transfer.StateSucceeded {
		why := t.Err
		if why == nil {
			why = p.refuse(transfer.AlreadyFinished, "the transfer is %s", t.State)
		}
		p.err = why
		for _, x := range p.queue {
			if x.stream != nil {
				x.stream.tell(transfer.Posted{Sequence: x.sequence, Err: why})
			}
		}
	}
	p.queue = nil
	if p.stream != nil {
		p.stream.wake()
	}
}

// waiting reports whether a post waits for its end.
func (p *posts) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// attended reports whether somebody may post at any time and waits for nothing now,
// and whether what is shown changed without a post.
func (p *posts) attended() (attended, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed = p.status.PerSecond > 0 && time.Since(p.status.Last) >= rateWindow
	return p.stream != nil && len(p.queue) == 0, changed
}

// show puts what is known into the transfer.
func (p *posts) show(t *transfer.Transfer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := time.Since(p.window); d >= rateWindow {
		p.status.PerSecond = float64(p.status.Done-p.before) / d.Seconds()
		p.window, p.before = time.Now(), p.status.Done
	}
	t.Posts, t.Generation = p.status, p.generation
}

// PostStream is who posts a prepared transfer. One goroutine posts and one takes the
// answers.
type PostStream struct {
	p    *posts
	news chan struct{} // of capacity 1

	// Guarded by p.mu.
	ready   bool // to be told
	told    bool // that it is ready
	answers []transfer.Posted
	owed    int // posts whose answer was not taken
	half    bool
	closed  bool
}

var errPostsClosed = errors.New("the stream of posts is closed")

// Post posts once more. It does not block. POSTS_LIMIT: transfer.MaxPosts have no
// answer that was taken.
func (s *PostStream) Post(sequence uint64) error {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.closed || s.half:
		return errPostsClosed
	case p.closed && p.err != nil:
		return p.err
	case p.finish || p.closed:
		return p.refuse(transfer.BadState, "the transfer is to finish")
	case s.owed >= transfer.MaxPosts:
		return p.refuse(transfer.PostsLimit, "%d posts are without an answer already", s.owed)
	}
	s.owed++
	p.queue = append(p.queue, post{sequence: sequence, stream: s})
	p.next()
	return nil
}

// End: nothing more is posted here.
func (s *PostStream) End() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.half = true
	s.wake()
}

// Next waits for the next news, in the order of the posts. When there is none any
// more it returns io.EOF: everything was answered after End, or the transfer
// succeeded; another end of the transfer is its error.
func (s *PostStream) Next(ctx context.Context) (transfer.PostNews, error) {
	for {
		if n, ok, err := s.take(); ok || err != nil {
			return n, err
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			return transfer.PostNews{}, ctx.Err()
		}
	}
}

func (s *PostStream) take() (n transfer.PostNews, ok bool, err error) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.ready && !s.told:
		s.told = true
		n.Ready, n.Posted.Transport = true, p.path
		return n, true, nil
	case len(s.answers) > 0:
		n.Posted = s.answers[0]
		s.answers = append(s.answers[:0], s.answers[1:]...)
		s.owed--
		return n, true, nil
	case p.closed && p.err != nil:
		return n, false, p.err
	case p.closed || s.closed, s.half && s.owed == 0 && !p.finish:
		return n, false, io.EOF
	}
	return n, false, nil
}

// tell gives it an answer. p.mu is held.
func (s *PostStream) tell(a transfer.Posted) {
	s.answers = append(s.answers, a)
	s.wake()
}

func (s *PostStream) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Close ends it: what was posted and has not begun is dropped. Idempotent.
func (s *PostStream) Close() error {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	s.closed = true
	s.wake()
	if p.stream != s {
		return nil
	}
	p.stream = nil
	if p.flying {
		p.queue[0].stream = nil
		p.queue = p.queue[:1]
	} else {
		p.queue = nil
	}
	p.next()
	return nil
}
