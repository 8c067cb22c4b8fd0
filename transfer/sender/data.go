package sender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

const (
	// maxTries is how many data planes in a row may fail without moving
	// anything, and demoteAfter how many of one transport before the next one
	// is taken.
	maxTries    = 5
	demoteAfter = 2
	firstRetry  = 100 * time.Millisecond
	lastRetry   = 2 * time.Second
)

// moveData keeps a data plane up until the feed is at its end. After a failure
// the old one is fenced at the target before the next one is asked for, so that
// what goes again cannot be overtaken by what was sent before.
func (e *Edge) moveData(ctx context.Context) error {
	if e.job.Spec.DryRun {
		return nil
	}
	defer e.settleUnsure(nil)
	tries, ofThis := 0, 0
	for {
		before := e.landings()
		err := e.session(ctx)
		switch {
		case e.over(): // how a data plane ends that has no more to do is the target's
			return nil
		case err == nil && e.turned():
			tries, ofThis = 0, 0
			continue
		case err == nil:
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		more, fenceErr := e.fence(ctx)
		if fenceErr != nil {
			return fenceErr
		}
		if more || e.landings() > before {
			tries, ofThis = 0, 0
		}
		tries++
		ofThis++
		e.log.Warn("data plane failed", "transport", e.transport(), "try", tries, "err", err)
		if tries >= maxTries {
			if t, ok := errors.AsType[*transfer.Error](err); ok {
				return t
			}
			return e.peerError(err)
		}
		if why := leaveFor(e.transport(), err); why != transport.NoReason {
			if e.job.Spec.Policy == transfer.PolicyRDMA && errors.As(err, new(*transport.UnavailableError)) {
				return e.noRDMA(why, err)
			}
			if e.demote(why, err) {
				ofThis, tries = 0, 1
			}
		}
		if ofThis >= demoteAfter && e.demote(transport.SessionFailed, err) {
			ofThis = 0
		}
		delay := min(lastRetry, firstRetry<<(tries-1))
		if _, err := awaitFor(ctx, (chan struct{})(nil), delay/2+rand.N(delay/2+1)); err != nil {
			return err
		}
	}
}

// session asks for one data plane and runs it. Its error is nil when the feed
// is at its end.
func (e *Edge) session(ctx context.Context) error {
	names := e.names()
	e.out.post(&transfer.PrepareData{Transports: names, Streams: e.streams()})
	answered := e.asks("PrepareData")
	ready, err := await(ctx, e.ready)
	answered()
	if err != nil {
		return err
	}
	if ready.Err != nil {
		if !e.job.Spec.Prepared {
			e.waitForWork(ctx)
		}
		if e.over() {
			return nil // nothing was to be moved anyway
		}
		return ready.Err
	}
	name := ready.Grant.Transport
	dialer := e.cfg.Dialers[name]
	if dialer == nil || !slices.Contains(names, name) {
		return broken(&e.job, "a grant for transport %q, which was not asked for", name)
	}
	if ready.Why != transport.NoReason {
		e.mu.Lock()
		if e.choice.why == transport.NoReason {
			e.choice.why = ready.Why
		}
		e.mu.Unlock()
	}
	e.use(name)
	// What needs no bytes at all needs no connection either. Posts find theirs.
	if !e.job.Spec.Prepared && !e.waitForWork(ctx) {
		return context.Cause(ctx)
	}
	if e.over() {
		return nil
	}
	e.mu.Lock()
	rate := e.maxRate
	e.mu.Unlock()
	out, err := dialer.Dial(ctx, transport.Edge{UID: e.job.UID, Epoch: e.job.Epoch, Peer: string(e.job.Spec.Target)}, ready.Grant,
		transport.DialOptions{Streams: e.streams(), ChunkSize: e.chunkSize, Verify: e.hash, MaxRate: rate, Control: e.control.open,
			Memory: e.memory(), Principal: e.job.Spec.Principal})
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.outgoing = out
	late := e.maxRate != rate
	rate = e.maxRate
	e.mu.Unlock()
	if late { // SetMaxRate came while it was dialled
		out.SetMaxRate(rate)
	}
	if e.job.Spec.Prepared {
		e.obs.Ready(name)
	}
	stop := e.watchBest(name, out)
	err = out.Run(ctx, feed{e})
	stop()
	closing := out.Close()
	e.noteUnfenced(err, closing)
	e.mu.Lock()
	e.outgoing = nil
	e.past.Add(out.Stats())
	e.mu.Unlock()
	if err == nil && closing != nil {
		e.log.Warn("close data plane", "err", closing)
	}
	return err
}

// use notes the transport that was granted.
func (e *Edge) use(name string) {
	e.mu.Lock()
	changed := e.used != name
	e.used = name
	why, detail := e.choice.why, e.choice.detail
	e.mu.Unlock()
	if changed {
		e.report() // what went by the one before is told before the next one is
		e.obs.Path(name, why, detail)
	}
}

// over reports whether the feed is at its end.
func (e *Edge) over() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.noMore
}

func (e *Edge) transport() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used
}

// leaveFor says why a transport is left at its first failure: another one has to
// take over from RDMA, whatever went wrong, but where it has other paths.
func leaveFor(name string, err error) transport.Reason {
	if name != transport.RDMA || errors.As(err, new(*transport.PathError)) {
		return transport.NoReason
	}
	if u, ok := errors.AsType[*transport.UnavailableError](err); ok && u.Reason != transport.NoReason {
		return u.Reason
	}
	return transport.QPError
}

// noRDMA is the end of a transfer that asked for RDMA alone.
func (e *Edge) noRDMA(why transport.Reason, err error) *transfer.Error {
	return &transfer.Error{Reason: transfer.RDMAUnavailable, Side: transfer.SideSource, Phase: transfer.PhaseConnect, Node: e.job.Spec.Source,
		Err: fmt.Errorf("rdma was required and cannot be had (%s): %w", why, err), Hint: "use --transport=auto to allow others"}
}

// demote leaves the best transport when there is another one.
func (e *Edge) demote(why transport.Reason, err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.choice.names) < 2 {
		return false
	}
	if e.choice.names[0] == transport.RDMA {
		e.back.later(time.Now(), e.cfg.Comeback)
	}
	e.choice.names = e.choice.names[1:]
	e.choice.why, e.choice.detail = why, detailOf(err)
	return true
}

// maxDetail is the length in bytes that the text of a change of transport may
// have: it is kept with the transfer.
const maxDetail = 300

func detailOf(err error) string {
	text := err.Error()
	return text[:min(len(text), maxDetail)]
}

// landings rises with every extent that is acknowledged.
func (e *Edge) landings() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.landed
}

// waitForWork waits until something is wanted or the feed is at its end. It
// reports false when ctx is over.
func (e *Edge) waitForWork(ctx context.Context) bool {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.work.Broadcast()
	})
	defer stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for !e.plan.Wanted() && !e.noMore {
		if ctx.Err() != nil {
			return false
		}
		e.work.Wait()
	}
	// The first one was woken for this, not for a stream.
	e.work.Broadcast()
	return true
}

// await takes one value.
func await[T any](ctx context.Context, from <-chan T) (v T, err error) {
	select {
	case v = <-from:
		return v, nil
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
}

// awaitFor waits for one value, d at most: then it returns none, and no error.
func awaitFor[T any](ctx context.Context, from <-chan T, d time.Duration) (v T, err error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case v = <-from:
		return v, nil
	case <-t.C:
		return v, nil
	case <-ctx.Done():
		select { // the value may be the last that was to come
		case v = <-from:
			return v, nil
		default:
			return v, context.Cause(ctx)
		}
	}
}

func asProtocol(err error) (*transport.ProtocolError, bool) {
	return errors.AsType[*transport.ProtocolError](err)
}
