package receiver

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
)

// maxPerMessage bounds the answers or results of one message.
const maxPerMessage = 1024

// outbox sends messages to the owner without holding up whoever has one. What
// gathers while a message is on its way goes into the next, so that the number
// of messages falls as the load rises. Its size is bounded by the credits.
type outbox struct {
	send  func(context.Context, transfer.ToOwner) error
	wake  chan struct{}
	taken chan struct{} // something was taken from the queue
	done  chan struct{}

	mu      sync.Mutex
	answers []transfer.Answer
	results []transfer.Result
	rest    []transfer.ToOwner
	closed  bool
}

func newOutbox(send func(context.Context, transfer.ToOwner) error) *outbox {
	return &outbox{send: send, wake: make(chan struct{}, 1), taken: make(chan struct{}, 1), done: make(chan struct{})}
}

// run sends until close was called and all is sent, or a send fails.
func (o *outbox) run(ctx context.Context) error {
	defer close(o.done)
	for {
		o.mu.Lock()
		answers, results, rest, closed := o.answers, o.results, o.rest, o.closed
		o.answers, o.results, o.rest = nil, nil, nil
		o.mu.Unlock()
		if len(answers)+len(results)+len(rest) == 0 {
			if closed {
				return nil
			}
			select {
			case <-o.wake:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			continue
		}
		select {
		case o.taken <- struct{}{}:
		default:
		}
		if err := o.sendAll(ctx, answers, results, rest); err != nil {
			return err
		}
	}
}

// sendAll keeps the order that matters: an entry's answer before its result,
// and results before DataFenced and Finished.
func (o *outbox) sendAll(ctx context.Context, answers []transfer.Answer, results []transfer.Result, rest []transfer.ToOwner) error {
	for len(answers) > 0 {
		n := min(len(answers), maxPerMessage)
		if err := o.send(ctx, &transfer.Answers{Answers: answers[:n:n]}); err != nil {
			return err
		}
		answers = answers[n:]
	}
	for len(results) > 0 {
		n := min(len(results), maxPerMessage)
		if err := o.send(ctx, &transfer.Results{Results: results[:n:n]}); err != nil {
			return err
		}
		results = results[n:]
	}
	for _, m := range rest {
		if err := o.send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (o *outbox) answer(a ...transfer.Answer) {
	o.mu.Lock()
	o.answers = append(o.answers, a...)
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) result(r ...transfer.Result) {
	if len(r) == 0 {
		return
	}
	o.mu.Lock()
	o.results = append(o.results, r...)
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) post(m transfer.ToOwner) {
	o.mu.Lock()
	o.rest = append(o.rest, m)
	o.mu.Unlock()
	o.poke()
}

// maxWaiting is how many results may wait before wait does.
const maxWaiting = 4 * maxPerMessage

// wait returns when few results wait to be sent. It is for results that no
// credit bounds.
func (o *outbox) wait(ctx context.Context) error {
	for {
		o.mu.Lock()
		n := len(o.results)
		o.mu.Unlock()
		if n < maxWaiting {
			return nil
		}
		select {
		case <-o.taken:
		case <-o.done:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close lets run end once everything is sent.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
