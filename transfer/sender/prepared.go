package sender

import (
	"context"
	"errors"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transfer/scan"
)

// A prepared edge has no manifest. Its data plane stands before there is anything to
// send, and each post is an entry of its own: all the ranges once. A post is over when
// the target's result is here and nothing of its bytes is on its way any more: only
// then the program may change them, and the next post begins.

// posting is what a prepared edge is at. Guarded by Edge.mu.
type posting struct {
	found  *scan.Found // what each post is of; nil until the edge is ready
	entry  *entry      // of all posts, one after the other
	due    bool        // one was asked for, and has not begun
	flying bool
	ending bool             // no more will come
	result *transfer.Result // of the post on its way, where that came before the last acknowledgement
}

// Post posts all ranges of a prepared transfer once. It does not block, and may be
// called before Run; what becomes of the post is told by Observer.Result, unless the
// edge ends before. There is one at a time, and one more may be asked for meanwhile.
func (e *Edge) Post() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts.due = true
	e.beginPost()
}

// EndPosts lets Run come to its end, once the post on its way is over. It does not
// block.
func (e *Edge) EndPosts() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts.ending = true
	e.endPosts()
}

// readyPosts finds what posts are of.
func (e *Edge) readyPosts(ctx context.Context) error {
	var one oneEntry
	if _, err := e.scanner.Run(ctx, &one); err != nil {
		return err
	}
	switch {
	case one.failed != nil:
		return one.failed
	case one.found == nil || one.found.Size == 0:
		return &transfer.Error{Reason: transfer.InvalidSpec, Side: transfer.SideSource, Phase: transfer.PhaseScan, Node: e.cfg.Node, Err: errors.New("there is not a byte to post")}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts.found = one.found
	e.beginPost()
	e.endPosts()
	return nil
}

// oneEntry is a scan.Sink for the one entry.
type oneEntry struct {
	found  *scan.Found
	failed *transfer.Error
}

func (o *oneEntry) Entry(f *scan.Found) error {
	found := *f
	o.found = &found
	return nil
}

func (o *oneEntry) NoEntry(r transfer.Result) { o.failed = r.Err }

// beginPost makes the bytes of a post wanted. Called with mu held.
func (e *Edge) beginPost() {
	p := &e.posts
	if !p.due || p.flying || p.found == nil || e.noMore || e.ended {
		return
	}
	if p.entry == nil {
		p.entry = new(entry)
	}
	// Nothing refers to it any more but the sources that it keeps open.
	n := p.entry
	*n = entry{found: *p.found, final: true} // no EntryDone follows
	n.found.Number = e.next
	p.due, p.flying, p.result = false, true, nil
	e.entries[e.next] = n
	e.next++
	e.progress.Bytes += n.found.Size
	e.plan.Forgive()                                                  // a cable that is bad now and then ends no post
	_, _ = e.plan.Add(n.found.Number, n.found.Size, false, true, nil) // it is new, and all of it is wanted
	e.work.Signal()
}

// endPosts ends the feed when there is nothing more to post. Called with mu held.
func (e *Edge) endPosts() {
	p := &e.posts
	if p.ending && !p.due && !p.flying && p.found != nil && !e.scanned {
		e.scanned, e.progress.ScanDone = true, true
		e.plan.End()
		e.checkAllIn()
	}
}

// postResult takes the target's result of a post.
func (e *Edge) postResult(r *transfer.Result) {
	e.mu.Lock()
	n := e.entries[r.Entry]
	if n == nil {
		e.mu.Unlock()
		return // the target says it twice
	}
	delete(e.entries, r.Entry)
	n.gone = true
	r.Kind = transfer.KindRegion
	if r.Err != nil && r.Err.Side == transfer.SideTarget {
		r.Err.Path = e.job.Spec.Dest
	}
	if r.Outcome == transfer.OutcomePublished { // the result may overtake the acknowledgement of the last bytes
		n.same = n.found.Size - n.acked
		e.progress.BytesSame += n.same
	}
	e.posts.result = r
	over := e.plan.Drop(r.Entry)
	e.mu.Unlock()
	if over {
		e.postOver()
	}
}

// postOver ends a post of which nothing is on its way any more.
func (e *Edge) postOver() {
	e.mu.Lock()
	p := &e.posts
	r := p.result
	if !p.flying || r == nil {
		e.mu.Unlock()
		return // its result is still to come
	}
	p.flying, p.result = false, nil
	e.mu.Unlock()
	e.obs.Result(*r) // which may post
	e.mu.Lock()
	defer e.mu.Unlock()
	e.beginPost()
	e.endPosts()
}

// judgePost decides what follows from an extent of a post that did not land. Its
// source is not looked at: others may write to other ranges of it meanwhile.
func (e *Edge) judgePost(n *entry, mismatch bool, why error) (plan.Outcome, func()) {
	if mismatch {
		return plan.Corrupt, nil
	}
	e.mu.Lock()
	n.failures++
	failures := n.failures
	e.mu.Unlock()
	if failures < maxReadFailures {
		return plan.Failed, nil
	}
	return plan.Dropped, func() { e.giveUpSource(n, why) }
}
