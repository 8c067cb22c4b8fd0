package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// how an edge ends.
type how uint8

const (
	endFinished how = iota + 1 // after Finish
	endPaused
	endCancelled
	endPurged
	endLost // the link broke, the node stops, state cannot be kept
)

func (h how) String() string {
	// A transfer that failed at its owner ends here like one that was cancelled.
	return [...]string{"", "finished", "paused", "given up", "given up, nothing kept", "lost"}[h]
}

// ending says how an edge ends, and why where it ends early.
type ending struct {
	how      how
	err      error
	finished *transfer.Finished // with endFinished
}

// loop handles the owner's messages, one after the other. Nothing in it waits
// for the owner, so that it answers pings.
type loop struct {
	*edge
	inbox <-chan transfer.ToTarget

	session uint32 // the highest of the data planes that are set up over this stream

	finishing  chan *transfer.Finished // not nil while the finish runs
	stopFinish context.CancelFunc

	heard time.Time // when the latest message came
}

const (
	// silence is how long the owner may say nothing at all: it pings every 10 s.
	silence   = 30 * time.Second
	listening = 5 * time.Second // how often that is looked at
)

func (l *loop) run() ending {
	tick := time.NewTicker(listening)
	defer tick.Stop()
	l.heard = time.Now()
	for {
		var m transfer.ToTarget
		select {
		case <-tick.C:
			if time.Since(l.heard) <= silence {
				continue
			}
			// Whatever took so long here, the owner may have spoken meanwhile.
			select {
			case m = <-l.inbox:
			default:
				l.awaitFinish()
				return l.lost(ownerLost(fmt.Errorf("nothing was heard of the owner for %v", time.Since(l.heard).Round(time.Second))))
			}
		case m = <-l.inbox:
		case done := <-l.finishing:
			l.finishing = nil
			l.stopFinish()
			return ending{how: endFinished, finished: done}
		case <-l.ctx.Done():
			l.awaitFinish()
			return l.lost(context.Cause(l.ctx))
		}
		l.heard = time.Now()
		if end := l.handle(m); end != nil {
			if fin := l.awaitFinish(); fin != nil && fin.Complete && end.how != endLost {
				// The abort came when nothing was left to stop.
				return ending{how: endFinished, finished: fin}
			}
			return *end
		}
	}
}

// awaitFinish stops a finish that runs, waits for it, and returns what it came
// to; nil where there was none.
func (l *loop) awaitFinish() *transfer.Finished {
	if l.finishing == nil {
		return nil
	}
	l.stopFinish()
	fin := <-l.finishing
	l.finishing = nil
	return fin
}

// lost is the end of an edge that nobody asked for.
func (l *loop) lost(err error) ending {
	if errors.Is(err, errAbandoned) {
		return ending{how: endPurged, err: err}
	}
	return ending{how: endLost, err: err}
}

// broken ends the edge because the owner does not keep to the protocol.
func (l *loop) broken(format string, args ...any) *ending {
	err := &transfer.Error{Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Node: l.r.cfg.Node, Err: fmt.Errorf(format, args...)}
	return &ending{how: endLost, err: err}
}

// fatal ends the edge because this node cannot go on.
func (l *loop) fatal(err error) *ending {
	return &ending{how: endLost, err: err}
}

func (l *loop) handle(m transfer.ToTarget) *ending {
	switch m := m.(type) {
	case *transfer.Entries:
		if l.scanned != nil {
			return l.broken("entries after the end of the manifest")
		}
		if err := l.addEntries(m.Entries); err != nil {
			return l.refused(err)
		}
	case *transfer.EntriesDone:
		for i := range m.Done {
			l.entryDone(&m.Done[i])
		}
	case *transfer.EntryDigests:
		l.entryDigests(m)
	case *transfer.EntryRestart:
		l.restart(&m.Entry)
	case *transfer.EntryGiveUp:
		l.giveUp(m.Entry, m.Err)
	case *transfer.ScanDone:
		if m.Entries != l.manifest.Len() {
			return l.broken("the manifest ends with %d entries, and %d came", m.Entries, l.manifest.Len())
		}
		l.scanned = m
	case *transfer.PrepareData:
		l.prepareData(m)
	case *transfer.FenceData:
		l.fence()
		l.out.post(&transfer.DataFenced{Landed: l.landed(m.Asked)})
	case *transfer.DataControl:
		if j, ok := l.incoming.(*transfer.Joined); ok {
			last, err := j.Take(m)
			l.session = last
			if err != nil {
				return l.broken("data plane: %w", err)
			}
		} // else it crossed the end of its session
	case *transfer.Finish:
		return l.startFinish()
	case *transfer.Abort:
		l.log.Info("owner ends the edge", "end", m.End)
		if l.finishing != nil && m.End != transfer.EndPause && l.allUnder() {
			return nil // it comes too late: the end is under way
		}
		switch m.End {
		case transfer.EndPause:
			return &ending{how: endPaused}
		case transfer.EndCancel:
			return &ending{how: endCancelled}
		case transfer.EndPurge:
			return &ending{how: endPurged}
		}
		return l.broken("unknown end %d", m.End)
	case *transfer.Ping:
		l.pong(m.Seq)
	default:
		return l.broken("unexpected %T", m)
	}
	return nil
}

// protocolError is an error of addEntries that is the owner's fault.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return e.what }

func (l *loop) refused(err error) *ending {
	if p, ok := errors.AsType[*protocolError](err); ok {
		return l.broken("%s", p.what)
	}
	return l.fatal(err)
}

// startFinish runs the end of the transfer beside the loop, which goes on
// answering pings and may be told to abort.
func (l *loop) startFinish() *ending {
	l.mu.Lock()
	left := l.outstanding
	l.mu.Unlock()
	switch {
	case l.finishing != nil:
		return l.broken("finish twice")
	case l.scanned == nil:
		return l.broken("finish before the end of the manifest")
	case left > 0:
		return l.broken("finish with %d entries without a result", left)
	}
	l.fence()
	var ctx context.Context
	ctx, l.stopFinish = context.WithCancel(l.ctx)
	done := make(chan *transfer.Finished, 1)
	l.finishing = done
	go func() {
		fin := l.finish(ctx)
		fin.Complete = ctx.Err() == nil
		failpoint.Hit("receiver/complete")
		done <- fin
	}()
	return nil
}

// prepareData brings up a data plane by the first of the transports named that
// works here.
func (l *loop) prepareData(m *transfer.PrepareData) {
	l.fence()
	fail := func(reason transfer.Reason, err error) {
		l.out.post(&transfer.DataReady{Err: &transfer.Error{Reason: reason, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: l.r.cfg.Node, Err: err}})
	}
	if l.opt.DryRun {
		fail(transfer.BadState, errors.New("a dry run moves no data"))
		return
	}
	var why transport.Reason
	for _, name := range m.Transports {
		a := l.r.cfg.Acceptors[name]
		if a == nil || name == transport.Local && !l.peer.SameNode {
			continue
		}
		in, err := a.Prepare(l.ctx, transport.Edge{UID: l.m.UID, Epoch: l.m.Epoch, Peer: string(l.m.Owner)}, &sink{edge: l.edge},
			transport.PrepareOptions{Streams: min(max(m.Streams, 1), l.opt.Streams), ChunkSize: l.opt.ChunkSize, Verify: l.opt.digests()})
		u, ok := errors.AsType[*transport.UnavailableError](err)
		if ok && len(m.Transports) > 1 && name != m.Transports[len(m.Transports)-1] {
			l.log.Info("transport cannot be used now", "transport", name, "reason", u.Reason, "error", err)
			if why = u.Reason; why == transport.NoReason {
				why = transport.SessionFailed
			}
			continue
		}
		if err != nil {
			l.log.Warn("prepare data plane", "transport", name, "error", err)
			reason := transfer.Internal
			if ok && name == transport.RDMA {
				reason = transfer.RDMAUnavailable // nothing else was asked for
			}
			fail(reason, fmt.Errorf("prepare %s: %w", name, err))
			return
		}
		in = transfer.Join(in, l.session, func(m *transfer.DataControl) { l.out.post(m) })
		l.incoming = in
		l.out.post(&transfer.DataReady{Grant: in.Grant(), Why: why})
		return
	}
	fail(transfer.Unsupported, fmt.Errorf("none of the transports %q works here", m.Transports))
}

// fence ends the data plane: when it returns no byte of it can land any more.
func (e *edge) fence() {
	if e.incoming == nil {
		return
	}
	if err := e.incoming.Close(); err != nil {
		e.log.Warn("close data plane", "error", err)
	}
	e.stats.Add(e.incoming.Stats())
	e.incoming = nil
	e.dropLeases()
}
