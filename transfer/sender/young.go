package sender

import (
	"context"
	"slices"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
)

// minAge is how old the times of a source have to be when its first byte is
// read. A fingerprint that is the same afterwards means that nothing was written
// only then: write(2) sets the times when it starts, by a clock that moves every
// few milliseconds (10 at most), and copies the bytes later. So a write that set
// the times just before may be under way still, or another one may set the same
// times again. What stays unseen is a single write that takes longer than this,
// and stores to a mapping, which need not change the times at all.
const minAge = 50 * time.Millisecond

// heldAnswer is an answer for a source that is too young to be read.
type heldAnswer struct {
	entry  *entry
	answer transfer.Answer
	due    time.Time
}

// tooYoung reports whether a source was changed less than minAge before now, by
// the wall clock of this node. A time to come is young as well.
func tooYoung(f *scan.Found, now time.Time) bool {
	last := max(f.Print.Mtime, f.Print.Ctime)
	if a := f.Assembly; a != nil { // its fingerprint has no ctime
		last = a.Files[0].Print.Ctime
		for i := range a.Files {
			last = max(last, a.Files[i].Print.Mtime, a.Files[i].Print.Ctime)
		}
	}
	return last > now.Add(-minAge).UnixNano()
}

// hold keeps an answer back for minAge. That is enough whatever the clock of the
// file system says: a write that set the times that were found began before the
// source was looked at, or in the same tick of the clock. All wait equally long,
// so those of one message come of age together. Called with mu held.
func (e *Edge) hold(n *entry, a *transfer.Answer) {
	h := heldAnswer{entry: n, answer: *a, due: time.Now().Add(minAge)}
	h.answer.Ranges = slices.Clone(a.Ranges)
	e.young = append(e.young, h)
	if len(e.young) == 1 {
		select {
		case e.aging <- struct{}{}:
		default:
		}
	}
}

// ripen takes up what was held as soon as it is due, until ctx ends.
func (e *Edge) ripen(ctx context.Context) error {
	for {
		select {
		case <-e.aging:
		case <-ctx.Done():
			return nil
		}
		for {
			wait, err := e.takeRipe(time.Now())
			if err != nil {
				return err
			}
			if wait == 0 {
				break
			}
			if _, err := awaitFor(ctx, (chan struct{})(nil), wait); err != nil {
				return nil // the edge ends, and why is told elsewhere
			}
		}
	}
}

// takeRipe takes up what is due. It returns how long to wait for the next one,
// 0 when there is none.
func (e *Edge) takeRipe(now time.Time) (wait time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for n < len(e.young) && !e.young[n].due.After(now) {
		h := &e.young[n]
		n++
		if h.entry.leaving() {
			continue
		}
		if err := e.admit(h.entry, &h.answer); err != nil {
			return 0, err
		}
	}
	e.young = slices.Delete(e.young, 0, n)
	if len(e.young) == 0 {
		return 0, nil
	}
	return e.young[0].due.Sub(now), nil
}
