package sender

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// settlement is a chunk whose verdicts are in, or an entry of which nothing has
// to be sent, or one that the target asks for again.
type settlement struct {
	load     *load
	complete *entry
	again    *entry
}

// settleAll deals with what became of chunks until the edge ends. It is apart
// from the streams since it looks at sources again, which may block.
func (e *Edge) settleAll() error {
	var batch []settlement
	for {
		e.mu.Lock()
		for len(e.settled) == 0 && !e.ended {
			e.settle.Wait()
		}
		if e.ended {
			e.mu.Unlock()
			return nil
		}
		batch, e.settled = e.settled, batch[:0]
		e.mu.Unlock()
		for i, s := range batch {
			batch[i] = settlement{}
			if s.again != nil {
				if err := e.anew(s.again); err != nil {
					return err
				}
				continue
			}
			if s.complete != nil {
				e.completed(s.complete)
				continue
			}
			if err := e.settleLoad(s.load); err != nil {
				return err
			}
			e.recycle(s.load)
		}
	}
}

// settleLoad settles every extent of a chunk: first those that only the plan
// has to know of, then those whose source has to be looked at.
func (e *Edge) settleLoad(l *load) error {
	var problems []int
	var complete, quiet []*entry
	e.mu.Lock()
	for i := range l.want.Extents {
		x, v, n := &l.want.Extents[i], &l.verdicts[i], l.entries[i]
		var o plan.Outcome
		switch {
		case v.Code == transport.Placed:
			o = plan.Acked
			e.count(n, x.Length, l.moved[i])
			n.final = n.final || l.final
			e.keepDigest(n, x.Offset, v.Digest)
		case v.Code == transport.Unknown:
			o = plan.Failed
		case errors.Is(v.Err, errReturned):
			o = plan.Returned
		default:
			problems = append(problems, i)
			continue
		}
		switch event, _ := e.plan.Settle(&l.want, i, o); event {
		case plan.Complete:
			if !n.final {
				complete = append(complete, n)
			}
		case plan.Quiet:
			quiet = append(quiet, n)
		}
	}
	e.work.Broadcast()
	e.mu.Unlock()
	for _, n := range complete {
		e.completed(n)
	}
	for _, n := range quiet {
		e.quiet(n)
	}
	for _, i := range problems {
		if err := e.problem(l, i); err != nil {
			return err
		}
	}
	return nil
}

// problem settles an extent that did not land: its source is looked at, to
// tell a file that changed from a disk or a network that fails.
func (e *Edge) problem(l *load, i int) error {
	x, v, n := &l.want.Extents[i], &l.verdicts[i], l.entries[i]
	outcome, next := e.judge(n, x, v)
	e.mu.Lock()
	if outcome == plan.Corrupt {
		e.progress.Mismatches++
	}
	event, err := e.plan.Settle(&l.want, i, outcome)
	e.work.Broadcast()
	e.mu.Unlock()
	if err != nil && ofRegion(n) {
		return &transfer.Error{
			Reason: transfer.SourceChanged, Side: transfer.SideSource, Phase: transfer.PhaseRead, Node: e.cfg.Node, Path: n.found.Path(),
			Err:  fmt.Errorf("%w: %w: memory of a region is another one each time that it is read", err, transport.ErrMismatch),
			Hint: "let the program that has the region store nothing there while it is read; if none does, a node or the network corrupts data",
		}
	}
	if err != nil {
		return &transfer.Error{
			Reason: transfer.ChecksumMismatch, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Node: e.job.Spec.Target,
			Path: n.found.Path(), Err: fmt.Errorf("%w: %w", err, transport.ErrMismatch),
			Hint: "memory, network card or cable of one of the two nodes corrupts data; try another target or another transport",
		}
	}
	if next != nil {
		next()
	}
	if event == plan.Quiet {
		e.quiet(n)
	}
	return nil
}

// judge decides what follows from a verdict. next, if not nil, is done after the
// extent was settled.
func (e *Edge) judge(n *entry, x *plan.Extent, v *transport.Verdict) (o plan.Outcome, next func()) {
	e.mu.Lock()
	leaving := n.leaving()
	e.mu.Unlock()
	if leaving {
		return plan.Dropped, nil
	}
	if v.Code == transport.Refused {
		if x.Failures+1 < maxRefusals {
			return plan.Failed, nil
		}
		err := v.Err
		if err == nil {
			err = errors.New("the target refused it")
		}
		terr := transfer.DestError(fmt.Errorf("at offset %d: %w", x.Offset, err), transfer.PhaseWrite, e.job.Spec.Target, n.found.Path())
		return plan.Dropped, func() { e.giveUp(n, terr) }
	}
	if e.job.Spec.Prepared {
		return e.judgePost(n, v.Code == transport.Mismatch, fmt.Errorf("at offset %d: %w", x.Offset, cmp.Or(v.Err, transport.ErrSourceShort)))
	}
	now, err := e.fingerprint(n)
	switch {
	case err != nil:
		return plan.Dropped, func() { e.giveUpSource(n, err) }
	case now != n.found.Print, errors.Is(v.Err, errChanged):
		return plan.Dropped, func() { e.restart(n) }
	case v.Code == transport.Mismatch:
		return plan.Corrupt, nil
	}
	e.mu.Lock()
	n.failures++
	failures := n.failures
	e.mu.Unlock()
	if failures < maxReadFailures {
		return plan.Failed, nil
	}
	err = v.Err
	if err == nil {
		err = transport.ErrSourceShort
	}
	err = fmt.Errorf("at offset %d: %w", x.Offset, err)
	return plan.Dropped, func() { e.giveUpSource(n, err) }
}

func (e *Edge) sourceError(n *entry, err error) *transfer.Error {
	return scan.SourceError(err, transfer.PhaseRead, e.cfg.Node, n.found.Source())
}

// completed looks at a source whose bytes are all at the target, and tells the
// target that they are of one version.
func (e *Edge) completed(n *entry) {
	now, err := e.fingerprint(n)
	if err != nil {
		e.giveUpSource(n, err)
		return
	}
	if now != n.found.Print {
		e.restart(n)
		return
	}
	e.files.forget(n)
	e.mu.Lock()
	if n.leaving() {
		e.mu.Unlock()
		return
	}
	done := transfer.EntryDone{Entry: n.found.Number, Digest: e.fileDigest(n)}
	e.mu.Unlock()
	failpoint.Hit("sender/entry-done")
	e.out.postDone(done)
}

// restart voids what was sent of an entry, since its source changed. It is
// announced again when nothing of it is on its way any more, so that no byte of
// the old version can land after that.
func (e *Edge) restart(n *entry) {
	e.mu.Lock()
	if n.leaving() {
		e.mu.Unlock()
		return
	}
	if n.restarts++; n.restarts > maxRestarts {
		n.failing = &transfer.Error{
			Reason: transfer.SourceChanged, Side: transfer.SideSource, Phase: transfer.PhaseRead, Node: e.cfg.Node, Path: n.found.Source(),
			Err: fmt.Errorf("it changed while it was read, %d times", n.restarts), Hint: "copy it again when nobody writes to it",
		}
	} else {
		n.restarting = true
		e.progress.Restarts++
	}
	quiet := e.plan.Drop(n.found.Number)
	e.mu.Unlock()
	if quiet {
		e.quiet(n)
	}
}

// anew begins an entry again since the target could not keep what it had of it. It
// may ask for that once.
func (e *Edge) anew(n *entry) error {
	e.mu.Lock()
	if n.leaving() {
		e.mu.Unlock()
		return nil // it begins again, or ends, as it is
	}
	if n.anew {
		e.mu.Unlock()
		return broken(&e.job, "entry %d was asked for once more, again", n.found.Number)
	}
	n.anew, n.restarting = true, true
	quiet := e.plan.Drop(n.found.Number)
	e.mu.Unlock()
	e.log.Warn("the target could not write or sync a file: it is sent once more", "path", transfer.EscapePath(n.found.Path()))
	if quiet {
		e.quiet(n)
	}
	return nil
}

// giveUp ends an entry whose source cannot be sent.
func (e *Edge) giveUp(n *entry, err *transfer.Error) {
	e.mu.Lock()
	if n.leaving() {
		e.mu.Unlock()
		return
	}
	n.failing = err
	quiet := e.plan.Drop(n.found.Number)
	e.mu.Unlock()
	if quiet {
		e.quiet(n)
	}
}

// quiet goes on with an entry that was dropped, when nothing of it is on its
// way any more.
func (e *Edge) quiet(n *entry) {
	if !e.job.Spec.Prepared { // the next post is of the same
		e.files.forget(n)
	}
	e.mu.Lock()
	gone, failing := n.gone, n.failing
	e.mu.Unlock()
	switch {
	case gone && e.job.Spec.Prepared:
		e.postOver()
		return
	case gone:
		return
	}
	if failing != nil {
		e.out.post(&transfer.EntryGiveUp{Entry: n.found.Number, Err: failing})
		return
	}
	var again scan.Found
	err := e.patient(func() (err error) {
		again, err = e.scanner.Again(&n.found)
		return err
	})
	if noDescriptors(err) {
		e.noFiles(err)
		return
	}
	e.mu.Lock()
	if n.gone {
		e.mu.Unlock()
		return
	}
	n.restarting = false
	if err != nil {
		n.failing = e.sourceError(n, err)
		e.mu.Unlock()
		e.out.post(&transfer.EntryGiveUp{Entry: n.found.Number, Err: n.failing})
		return
	}
	e.progress.Bytes += again.Size - n.found.Size
	e.progress.BytesDone -= n.acked
	e.progress.BytesSame -= n.have
	n.found, n.digests, n.acked, n.have, n.final = again, nil, 0, 0, false
	e.mu.Unlock()
	e.out.post(&transfer.EntryRestart{Entry: again.Entry})
}
