package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/transfer"
)

// poster is an Edge of a prepared transfer; see sender.Edge.
type poster interface {
	Post()
	EndPosts()
}

// OpenPosts lets somebody post a prepared transfer; see server.Engine. The caller
// closes it.
func (e *Engine) OpenPosts(_ context.Context, id string) (*PostStream, error) {
	j, err := e.job(id)
	if err != nil {
		return nil, err
	}
	t := j.current()
	if err := j.posted(&t); err != nil {
		return nil, err
	}
	return j.posts.open()
}

// posted refuses a transfer that cannot be posted.
func (j *job) posted(t *transfer.Transfer) *transfer.Error {
	refuse := func(r transfer.Reason, format string, args ...any) *transfer.Error {
		return &transfer.Error{Reason: r, Side: transfer.SideOwner, Node: j.e.cfg.Node, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case j.posts == nil:
		return refuse(transfer.BadState, "the transfer is not a prepared one")
	case t.State.Terminal():
		return refuse(transfer.AlreadyFinished, "the transfer is %s", t.State)
	}
	return nil
}

// FinishPosts asks for the end of a prepared transfer, after what was posted; see
// server.Engine.
func (e *Engine) FinishPosts(ctx context.Context, id string) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	t := j.current()
	if err := j.posted(&t); err != nil {
		if err.Reason == transfer.AlreadyFinished && t.State == transfer.StateSucceeded {
			return t, nil
		}
		return t, err
	}
	switch t.State {
	case transfer.StatePausing, transfer.StatePaused, transfer.StateCancelling:
		return t, &transfer.Error{
			Reason: transfer.BadState, Side: transfer.SideOwner, Node: e.cfg.Node, Err: fmt.Errorf("cannot finish a transfer that is %s", t.State),
			Hint: "resume it first, or cancel it",
		}
	}
	// Whoever asked may go: it survives a restart.
	if err := j.note(ctx, func(*transfer.Transfer) { j.finish = true }); err != nil {
		return t, err
	}
	j.posts.end()
	return j.current(), nil
}

// idle reports whether nothing holds a prepared transfer up but that nobody posts.
func (j *job) idle() bool {
	if j.posts == nil {
		return false
	}
	t := j.current()
	return t.WaitingReason == "" && !j.posts.waiting()
}

func idleFor(t *transfer.Transfer, d time.Duration) *transfer.Error {
	return &transfer.Error{
		Reason: transfer.PostsIdle, Side: transfer.SideOwner, Node: t.Owner,
		Err:  fmt.Errorf("nobody posted for %v, and nobody was there to", d),
		Hint: "prepare it again; a program that keeps its stream of posts open keeps the transfer",
	}
}

// Ready implements sender.Observer: posts need no set-up any more.
func (o *observer) Ready(name string) {
	o.dog.feed()
	o.mu.Lock()
	o.gained, o.dirty = true, true
	o.mu.Unlock()
	o.j.posts.ready(name)
}

// post takes what became of a post.
func (o *observer) post(r *transfer.Result) {
	o.dog.feed()
	o.mu.Lock()
	o.gained, o.dirty = true, true
	name := o.path.Transport
	o.mu.Unlock()
	if r.Outcome != transfer.OutcomePublished && r.Err == nil {
		r.Err = &transfer.Error{Reason: transfer.ProtocolError, Side: transfer.SideTarget, Err: errors.New("a post that is neither committed nor failed")}
	}
	o.j.posts.over(r, name)
}

// attend keeps a prepared transfer that somebody may post at any time from being
// taken for one that is stuck, and lets its rate fall when nobody does.
func (o *observer) attend() {
	p := o.j.posts
	if p == nil {
		return
	}
	attended, changed := p.attended()
	if attended {
		o.dog.feed()
	}
	if changed {
		o.mu.Lock()
		o.dirty = true
		o.mu.Unlock()
	}
}
