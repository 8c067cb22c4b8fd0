package sender

import (
	"strings"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// entry is what is known of an entry that has no result yet. Its fields are
// guarded by Edge.mu; found changes only while nothing of the entry is on its
// way, so that a load may read it without the lock.
type entry struct {
	found scan.Found
	// digests of its extents, as far as this attempt knows them: nil for
	// entries that need none.
	digests  []transport.Digest
	acked    int64 // bytes acknowledged, holes included
	moved    int64 // bytes sent and acknowledged
	have     int64 // bytes that the target said it has, of those it does not want
	same     int64 // bytes beyond them counted as at the target already, when it is gone
	restarts int8
	failures int8 // of reading
	final    bool // the only extent went as Final: no EntryDone follows
	// restarting: the source changed, or the target lost it; it is announced again when nothing is on
	// its way. failing, when set, is why it is given up then instead.
	restarting bool
	failing    *transfer.Error
	gone       bool // it got its result
	anew       bool // the target asked for it once more
}

// leaving reports whether the entry is on its way out of the plan.
func (n *entry) leaving() bool { return n.gone || n.restarting || n.failing != nil }

// count notes an extent that was acknowledged. Called with mu held.
func (e *Edge) count(n *entry, length, moved int64) {
	e.landed++
	switch {
	case !n.leaving():
		n.acked += length
		n.moved += moved
		e.progress.BytesDone += length
	case n.same > 0:
		length = min(length, n.same)
		n.same -= length
		e.progress.BytesSame -= length
		e.progress.BytesDone += length
	}
}

// countLanded notes what was acknowledged of a load that is not settled any more.
func (e *Edge) countLanded(l *load) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range l.want.Extents {
		if l.verdicts[i].Code == transport.Placed {
			e.count(l.entries[i], l.want.Extents[i].Length, l.moved[i])
		}
	}
}

// keepDigest notes the digest of the extent at offset.
func (e *Edge) keepDigest(n *entry, offset int64, d transport.Digest) {
	if !e.hash || n.final || n.leaving() {
		return
	}
	if n.digests == nil {
		n.digests = make([]transport.Digest, transfer.Extents(n.found.Size, e.chunkSize))
	}
	n.digests[offset/e.chunkSize] = d
}

// fileDigest returns the digest of the whole file, or zero when not all of it is
// known.
func (e *Edge) fileDigest(n *entry) transport.Digest {
	if !e.hash || int64(len(n.digests)) != transfer.Extents(n.found.Size, e.chunkSize) {
		return transport.Digest{}
	}
	return transfer.FileDigest(e.chunkSize, n.found.Size, n.digests)
}

// note counts a result. Called with mu held.
func (e *Edge) note(r *transfer.Result) {
	if r.Outcome != transfer.OutcomeFailed {
		return
	}
	e.summary.Failed++
	if e.summary.FirstFailure == nil {
		e.summary.FirstFailure = r.Err
	}
}

// result takes the end of an entry from the target.
func (e *Edge) result(r *transfer.Result) {
	if e.job.Spec.Prepared {
		e.postResult(r)
		return
	}
	e.mu.Lock()
	n := e.entries[r.Entry]
	if n == nil { // a directory's second one
		e.note(r)
		e.mu.Unlock()
		if r.Err != nil && r.Path == "" {
			// The first result named it. Here only the target's words do.
			r.Path = strings.TrimPrefix(strings.TrimPrefix(r.Err.Path, e.job.Spec.Dest), "/")
		}
		e.obs.Result(*r)
		return
	}
	delete(e.entries, r.Entry)
	n.gone = true
	e.plan.Drop(r.Entry)
	f := &n.found
	r.Path, r.Kind, r.LinkTarget = f.Path(), f.Kind, f.LinkTarget()
	if r.Err != nil && r.Err.Side == transfer.SideTarget {
		// The target knows names, and its temp's; people want the file's own path.
		r.Err.Path = e.destPath(r.Path)
	}
	r.Lost |= f.Lost
	if r.Bytes == 0 {
		r.Bytes = n.moved
	}
	if f.Kind.HasBytes() {
		switch r.Outcome {
		case transfer.OutcomePublished, transfer.OutcomeSame:
			// The result may overtake the acknowledgement of the last bytes.
			n.same = f.Size - n.acked - n.have
			e.progress.BytesSame += n.same
		default:
			e.progress.BytesSame -= n.have // it is not there under its name
		}
	}
	e.note(r)
	e.checkAllIn()
	e.credit.Signal()
	e.work.Broadcast() // what of it waited in the plan is no reason to wait
	e.mu.Unlock()
	e.files.forget(n)
	e.obs.Result(*r)
}

// destPath returns the absolute path at the target of an entry's own.
func (e *Edge) destPath(rel string) string {
	if rel == "" {
		return e.job.Spec.Dest
	}
	return strings.TrimSuffix(e.job.Spec.Dest, "/") + "/" + rel
}

// checkAllIn ends the feed when nothing can be wanted any more. Called with mu
// held.
func (e *Edge) checkAllIn() {
	if !e.scanned || len(e.entries) > 0 || e.allInDone {
		return
	}
	e.allInDone = true
	e.noMore = true
	close(e.allIn)
	e.work.Broadcast()
}
