package receiver

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// entryDone notes that the source of an entry did not change while it was read.
func (e *edge) entryDone(m *transfer.EntryDone) {
	e.mu.Lock()
	f := e.files[m.Entry]
	if f == nil || f.phase != phaseWanted {
		e.mu.Unlock()
		return // it failed meanwhile
	}
	f.done, f.digest = true, m.Digest
	next := e.settle(f)
	e.mu.Unlock()
	next()
}

// settle decides what happens to a file now that something about it changed; the
// edge's mutex is held. What it returns is to be called without the mutex.
func (e *edge) settle(f *file) (next func()) {
	nothing := func() {}
	if f.phase != phaseWanted || f.writers > 0 {
		return nothing
	}
	switch {
	case f.giveUp != nil:
		f.phase = phasePublish // nobody else's any more
		return func() { e.fail(f, f.giveUp) }
	case f.restart != nil:
		ent := f.restart
		f.restart = nil
		f.phase = phaseWork
		return func() { e.again(f, ent) }
	case f.done && f.whole():
		f.phase = phasePublish
		return func() { e.commit(f) }
	}
	return nothing
}

// commit checks the digest of a whole file and hands it to the publisher.
func (e *edge) commit(f *file) {
	if !f.digest.IsZero() {
		own := transfer.FileDigest(e.opt.ChunkSize, f.e.Size, f.digests)
		if !own.IsZero() && own != f.digest {
			e.fail(f, &transfer.Error{Reason: transfer.ChecksumMismatch, Side: transfer.SideTarget, Phase: transfer.PhaseVerify, Node: e.r.cfg.Node, Path: f.name,
				Err: errors.New("the file that arrived is not the one that the source read")})
			return
		}
	}
	e.pub.add(f)
}

// fail ends an entry, or begins it anew, and removes what was landed of it. Nobody else uses f.
func (e *edge) fail(f *file, err *transfer.Error) {
	if e.anew(f, err) {
		return
	}
	e.dropTemp(f)
	e.report(e.failure(f.e.Number, f.e.Kind, err))
}

// giveUp drops an entry whose source cannot be sent.
func (e *edge) giveUp(n uint64, err *transfer.Error) {
	if err == nil {
		err = &transfer.Error{Reason: transfer.SourceIOError, Side: transfer.SideSource, Phase: transfer.PhaseRead, Err: errors.New("the owner gave it up")}
	}
	e.mu.Lock()
	f := e.files[n]
	if f == nil {
		e.mu.Unlock()
		return // it has its result
	}
	f.giveUp, f.left = err, true
	if f.phase == phaseDigests {
		f.phase = phaseWanted
	}
	next := e.settle(f)
	e.mu.Unlock()
	next()
}

// restart drops what landed of an entry whose source changed, and answers anew.
// The owner sends it when no extent of the entry is on its way.
func (e *edge) restart(ent *transfer.Entry) {
	e.mu.Lock()
	f := e.files[ent.Number]
	if f == nil || f.e.Kind != transfer.KindFile || ent.Kind != transfer.KindFile {
		e.mu.Unlock()
		return
	}
	f.restart = ent
	if f.phase == phaseDigests {
		f.phase = phaseWanted
	}
	next := e.settle(f)
	e.mu.Unlock()
	next()
}

// again decides about a file anew, with the entry that its source has now.
func (e *edge) again(f *file, ent *transfer.Entry) {
	e.dropTemp(f)
	e.mu.Lock()
	f.reset()
	// Number, parent and name are those of the manifest.
	number, parent, name := f.e.Number, f.e.Parent, f.e.Name
	f.e = *ent
	f.e.Number, f.e.Parent, f.e.Name = number, parent, name
	f.change, f.task = 0, taskFile
	e.mu.Unlock()
	if ent.Size < 0 || ent.Size > manifest.MaxSize {
		e.fail(f, e.entryError(transfer.BadPath, name, fmt.Errorf("size %d", ent.Size)))
		return
	}
	res, done, err := e.decide(f)
	switch {
	case err != nil:
		e.fail(f, e.entryFailure(err, transfer.PhaseCompare, &f.e))
	case done:
		e.report(res)
	}
}
