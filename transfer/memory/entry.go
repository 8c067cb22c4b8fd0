package memory

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// phase is where the one entry of an edge is.
type phase uint8

const (
	phaseNone      phase = iota // not announced
	phaseWanted                 // its extents may land
	phaseCommitted              // all of it landed; its commit is under way, or done
	phaseOver                   // it has its result, without a commit
)

// entry is the one entry of an edge, or that of the post which is due. The edge's
// mutex guards it.
type entry struct {
	phase     phase
	prepared  bool   // it is followed by others; see round.go
	number    uint64 // 0 but for posts
	size      int64
	chunkSize int64
	digests   []transport.Digest // of extents that landed
	landed    []bool
	flying    []bool // extents that a stream writes now
	count     int    // of landed
	writers   int    // of flying
	done      bool   // the source was unchanged after its last byte
	digest    transport.Digest
	published bool
}

func (n *entry) init(size, chunkSize int64) {
	extents := transfer.Extents(size, chunkSize)
	*n = entry{size: size, chunkSize: chunkSize, digests: make([]transport.Digest, extents), landed: make([]bool, extents), flying: make([]bool, extents)}
}

// index returns which extent of the grid h is, and false where it is none.
func (n *entry) index(h *transport.ExtentHeader) (int, bool) {
	if h.Entry != n.number || n.phase == phaseNone || h.Offset < 0 || h.Offset >= n.size || h.Offset%n.chunkSize != 0 {
		return 0, false
	}
	i := h.Offset / n.chunkSize
	return int(i), h.Length == transfer.ExtentRange(i, n.size, n.chunkSize).Length
}

// complete says that nothing is missing for the commit.
func (n *entry) complete() bool {
	return n.phase == phaseWanted && (n.done || n.prepared) && n.count == len(n.landed) && n.writers == 0
}

// addEntry takes the entry that the owner announces.
func (e *edge) addEntry(list []transfer.Entry) error {
	if len(list) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &list[0]
	switch {
	case len(list) > 1 || e.entry.phase != phaseNone || e.entry.prepared:
		return errors.New("more than one entry for a region")
	case x.Number != 0 || x.Kind != transfer.KindRegion || x.Name != "" || x.Parent != transfer.NoParent:
		return fmt.Errorf("entry %d of kind %d for a region", x.Number, x.Kind)
	case x.Size != e.entry.size:
		return fmt.Errorf("an entry of %d bytes, and the ranges have %d", x.Size, e.entry.size)
	}
	e.entry.phase = phaseWanted
	switch {
	case e.m.Options.DryRun:
		e.resultLocked(transfer.Result{Outcome: transfer.OutcomePublished, Change: transfer.ChangeContent, Bytes: x.Size})
	case x.Size == 0: // there is nothing to be written, and no generation for it
		e.resultLocked(transfer.Result{Outcome: transfer.OutcomeSame})
	default:
		e.out.post(&transfer.Answers{Answers: []transfer.Answer{{Want: transfer.WantAll, Change: transfer.ChangeContent}}})
	}
	return nil
}

// resultLocked ends the entry. The mutex is held.
func (e *edge) resultLocked(r transfer.Result) {
	e.entry.phase = phaseOver
	r.Kind = transfer.KindRegion
	e.out.post(&transfer.Results{Results: []transfer.Result{r}})
}

func (e *edge) fail(err *transfer.Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.entry.phase == phaseWanted {
		e.resultLocked(transfer.Result{Outcome: transfer.OutcomeFailed, Err: err})
	}
}

// entryDone takes the owner's word that the source did not change.
func (e *edge) entryDone(d *transfer.EntryDone) error {
	e.mu.Lock()
	if d.Entry != 0 || e.entry.prepared {
		e.mu.Unlock()
		return fmt.Errorf("the end of entry %d", d.Entry)
	}
	e.entry.done, e.entry.digest = true, d.Digest
	commit := e.takeCommit()
	e.mu.Unlock()
	commit()
	return nil
}

// restart voids what landed: the source is another one.
func (e *edge) restart(x *transfer.Entry) error {
	e.mu.Lock()
	n := &e.entry
	if x.Number != 0 || x.Kind != transfer.KindRegion || n.phase == phaseNone || n.writers > 0 || n.prepared {
		e.mu.Unlock()
		return fmt.Errorf("entry %d of kind %d begins anew, with %d writers", x.Number, x.Kind, n.writers)
	}
	defer e.mu.Unlock()
	switch {
	case n.phase != phaseWanted: // it crossed the result
		return nil
	case x.Size != n.size:
		e.resultLocked(transfer.Result{Outcome: transfer.OutcomeFailed, Err: &transfer.Error{
			Reason: transfer.SourceChanged, Side: transfer.SideSource, Phase: transfer.PhaseMove, Node: e.m.Owner,
			Err: fmt.Errorf("its size changed from %d to %d", n.size, x.Size), Hint: "copy it again when nobody writes to it",
		}})
		return nil
	}
	n.init(n.size, n.chunkSize)
	n.phase = phaseWanted
	e.out.post(&transfer.Answers{Answers: []transfer.Answer{{Want: transfer.WantAll, Change: transfer.ChangeContent}}})
	return nil
}

// landed says which of the extents that were asked for are here. It is asked after
// the fence.
func (e *edge) landed(asked []transfer.ExtentID) []transfer.LandedExtent {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.entry
	var list []transfer.LandedExtent
	for k, x := range asked {
		if n.prepared && x.Entry < n.number { // its result came before this
			list = append(list, transfer.LandedExtent{Asked: uint32(k)})
			continue
		}
		h := transport.ExtentHeader{Entry: x.Entry, Offset: x.Offset}
		if x.Offset >= 0 && x.Offset < n.size {
			h.Length = transfer.ExtentRange(x.Offset/n.chunkSize, n.size, n.chunkSize).Length
		}
		if i, ok := n.index(&h); ok && n.landed[i] && n.phase != phaseOver {
			list = append(list, transfer.LandedExtent{Asked: uint32(k), Digest: n.digests[i]})
		}
	}
	return list
}

// takeCommit returns what commits the entry where nothing is missing any more, and
// nothing otherwise. The mutex is held; the function is called without it.
func (e *edge) takeCommit() func() {
	n := &e.entry
	if !n.complete() {
		return func() {}
	}
	n.phase = phaseCommitted
	if n.prepared {
		return e.commitRound
	}
	return func() { e.work.Go(e.commit) }
}

// commit makes the ranges whole and tells the owner. Nothing writes to them: the
// extents have landed, and others are refused.
func (e *edge) commit() {
	n := &e.entry // of which nothing changes any more
	r := transfer.Result{Kind: transfer.KindRegion, Bytes: n.size, Digest: transfer.FileDigest(n.chunkSize, n.size, n.digests)}
	err := e.check(&r)
	if err == nil {
		r.Generation, err = e.w.Commit(Commit{Digest: r.Digest, Bytes: n.size})
	}
	if err != nil {
		r = transfer.Result{Kind: transfer.KindRegion, Outcome: transfer.OutcomeFailed, Err: e.publishError(err)}
	} else {
		r.Outcome, r.Change = transfer.OutcomePublished, transfer.ChangeContent
	}
	e.mu.Lock()
	n.published = err == nil
	if err != nil {
		n.phase = phaseOver
	}
	e.mu.Unlock()
	e.out.post(&transfer.Results{Results: []transfer.Result{r}})
}

// check compares the digests, and computes the one that was asked for.
func (e *edge) check(r *transfer.Result) error {
	mismatch := func(format string, args ...any) error {
		err := e.t.refuse(transfer.ChecksumMismatch, e.m.Dest, fmt.Errorf(format, args...))
		err.Phase = transfer.PhaseVerify
		return err
	}
	if d := e.entry.digest; !d.IsZero() && !r.Digest.IsZero() && d != r.Digest {
		return mismatch("the whole has the digest %x here, and %x at the source", r.Digest, d)
	}
	kind := e.m.Options.Digest
	if kind == "" {
		return nil
	}
	sum, err := e.content(e.busy, kind)
	if err != nil {
		return err
	}
	if want := e.m.Options.Expected; len(want) > 0 && subtle.ConstantTimeCompare(want, sum) == 0 {
		return mismatch("the %s digest is %x, and %x was expected", kind, sum, want)
	}
	r.Content = string(sum)
	return nil
}

// content hashes the packed bytes as they are in the region.
func (e *edge) content(ctx context.Context, kind transfer.DigestKind) ([]byte, error) {
	const block = 1 << 20
	h := kind.New()
	memory := e.w.Memory()
	for _, r := range e.layout.Ranges() {
		for at := r.Offset; at < r.End(); at += block {
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			if err := fault.Guard(func() error {
				_, err := h.Write(memory[at:min(at+block, r.End())])
				return err
			}); err != nil {
				return nil, err
			}
		}
	}
	return h.Sum(nil), nil
}
