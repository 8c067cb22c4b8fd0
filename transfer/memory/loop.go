package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// run handles the owner's messages, one after the other. Nothing in it waits for the
// owner, so that it answers pings.
func (e *edge) run(inbox <-chan transfer.ToTarget) ending {
	tick := time.NewTicker(listening)
	defer tick.Stop()
	var revoked <-chan struct{}
	if e.w != nil {
		revoked = e.w.Revoked()
	}
	heard := time.Now()
	for {
		var m transfer.ToTarget
		select {
		case <-tick.C:
			if time.Since(heard) <= silence {
				continue
			}
			select { // whatever took so long here, the owner may have spoken meanwhile
			case m = <-inbox:
			default:
				return ending{err: ownerLost(fmt.Errorf("nothing was heard of the owner for %v", time.Since(heard).Round(time.Second)))}
			}
		case m = <-inbox:
		case <-revoked:
			terr := e.t.refuse(transfer.RegionGone, e.m.Dest, errRevoked)
			terr.Phase = transfer.PhaseMove
			return ending{err: terr}
		case <-e.ctx.Done():
			return ending{err: context.Cause(e.ctx)}
		}
		heard = time.Now()
		if end := e.handle(m); end != nil {
			return *end
		}
	}
}

func (e *edge) handle(m transfer.ToTarget) *ending {
	wrong := func(err error) *ending {
		if err != nil {
			return e.broken("%w", err)
		}
		return nil
	}
	switch m := m.(type) {
	case *transfer.Entries:
		if e.scanned {
			return e.broken("entries after the end of the manifest")
		}
		return wrong(e.addEntry(m.Entries))
	case *transfer.EntriesDone:
		for i := range m.Done {
			if err := e.entryDone(&m.Done[i]); err != nil {
				return wrong(err)
			}
		}
	case *transfer.EntryRestart:
		return wrong(e.restart(&m.Entry))
	case *transfer.EntryGiveUp:
		if m.Err != nil && e.m.Options.Prepared {
			return wrong(e.giveUpRound(m))
		}
		if m.Entry != 0 || m.Err == nil {
			return e.broken("entry %d is given up", m.Entry)
		}
		e.fail(m.Err)
	case *transfer.ScanDone:
		e.scanned = true
	case *transfer.PrepareData:
		return e.prepareData(m)
	case *transfer.FenceData:
		if err := e.fence(len(m.Asked) == 0); err != nil {
			return &ending{err: e.unfenced(err)}
		}
		e.out.post(&transfer.DataFenced{Landed: e.landed(m.Asked)})
	case *transfer.DataControl:
		if j, ok := e.incoming.(*transfer.Joined); ok {
			last, err := j.Take(m)
			e.session = last
			if err != nil {
				return e.broken("data plane: %w", err)
			}
		} // else it crossed the end of its session
	case *transfer.Finish:
		return e.finish()
	case *transfer.Abort:
		e.log.Info("owner ends the edge", "end", m.End)
		return &ending{finished: &transfer.Finished{}}
	case *transfer.Ping:
		e.out.post(&transfer.Pong{Seq: m.Seq})
	default:
		return e.broken("unexpected %T", m)
	}
	return nil
}

// finish is the end that the owner asks for when it has all results.
func (e *edge) finish() *ending {
	e.mu.Lock()
	phase, published := e.entry.phase, e.entry.published
	e.mu.Unlock()
	switch {
	case e.m.Options.Prepared: // nothing is on its way: the owner has all results
	case !e.scanned:
		return e.broken("finish before the end of the manifest")
	case phase == phaseWanted, phase == phaseCommitted && !published:
		return e.broken("finish without the result of the entry")
	}
	return &ending{finished: &transfer.Finished{Complete: true}}
}

// prepareData brings up a data plane by the first of the transports named that works
// here.
func (e *edge) prepareData(m *transfer.PrepareData) *ending {
	if err := e.fence(true); err != nil { // the one before it came to its end
		return &ending{err: e.unfenced(err)}
	}
	fail := func(reason transfer.Reason, err error) *ending {
		e.out.post(&transfer.DataReady{Err: e.t.refuse(reason, "", err)})
		return nil
	}
	if e.w == nil {
		return fail(transfer.BadState, errors.New("nothing is to be written"))
	}
	o := &e.m.Options
	var why transport.Reason
	for i, name := range m.Transports {
		a := e.t.cfg.Acceptors[name]
		if a == nil || name == transport.Local && !e.peer.SameNode {
			continue
		}
		in, err := a.Prepare(e.ctx, transport.Edge{UID: e.m.UID, Epoch: e.m.Epoch, Peer: string(e.m.Owner)}, &sink{edge: e},
			transport.PrepareOptions{
				Streams: min(max(m.Streams, 1), o.Streams), ChunkSize: o.ChunkSize, Verify: o.Verify != transfer.VerifyNone,
				Memory: &transport.Memory{Base: e.w.Memory(), Needed: e.layout.Ranges(), Pinned: e.w.Pinned}, Principal: e.m.Principal,
			})
		u, ok := errors.AsType[*transport.UnavailableError](err)
		switch {
		case ok && i < len(m.Transports)-1:
			e.log.Info("transport cannot be used now", "transport", name, "reason", u.Reason, "error", err)
			if why = u.Reason; why == transport.NoReason {
				why = transport.SessionFailed
			}
			continue
		case err != nil:
			e.log.Warn("prepare data plane", "transport", name, "error", err)
			reason := transfer.Internal
			if ok && name == transport.RDMA {
				reason = transfer.RDMAUnavailable // nothing else was asked for
			}
			return fail(reason, fmt.Errorf("prepare %s: %w", name, err))
		}
		e.incoming = transfer.Join(in, e.session, func(m *transfer.DataControl) { e.out.post(m) })
		if err := e.grants(name); err != nil {
			return fail(transfer.RegionGone, err)
		}
		e.out.post(&transfer.DataReady{Grant: in.Grant(), Why: why})
		return nil
	}
	return fail(transfer.Unsupported, fmt.Errorf("none of the transports %q works here", m.Transports))
}

// fence ends the data plane: when it returns no byte of it can land any more. An
// error says that some may all the same; the region is quarantined then. clean says
// that the owner heard of everything that it sent.
func (e *edge) fence(clean bool) error {
	if e.incoming == nil {
		return nil
	}
	err := e.incoming.Close()
	e.stats.Add(e.incoming.Stats())
	e.incoming = nil
	if err != nil {
		e.log.Error("the memory of a region could not be fenced", "region", e.m.Dest, "error", err)
		e.w.Quarantine(err)
		if !errors.Is(err, transport.ErrUnfenced) {
			err = fmt.Errorf("%w: %w", transport.ErrUnfenced, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spoil(clean)
	clear(e.entry.flying)
	e.entry.writers = 0
	return err
}
