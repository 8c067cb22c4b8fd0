package client

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

const (
	tries    = 4 // of one call
	firstGap = 100 * time.Millisecond
	maxGap   = 5 * time.Second
)

// passing reports whether a call failed on its way, so that making it again is
// likely to help soon. What a node decided is not among that.
func passing(e *Error) bool {
	switch e.Reason {
	case "":
		return e.Code == codes.Unavailable && e.Retryable
	case xferv1.Reason_REASON_NODE_STOPPING.Name(), xferv1.Reason_REASON_OWNER_UNREACHABLE.Name():
		return true
	}
	return false
}

// call makes a call, some times if it does not get through. All calls of this
// package can be repeated.
func call[Req, Resp any](ctx context.Context, method func(context.Context, Req) (Resp, error), req Req) (Resp, error) {
	gap := firstGap
	for try := 1; ; try++ {
		resp, err := method(ctx, req)
		if err == nil {
			return resp, nil
		}
		e := AsError(err)
		if try == tries || !passing(e) || sleep(ctx, gap) != nil {
			return resp, e
		}
		gap *= 2
	}
}

// outage tracks how long nothing answered.
type outage struct {
	patience time.Duration
	since    time.Time // zero while all is well
	gap      time.Duration
}

// over notes an answer.
func (o *outage) over() { o.since, o.gap = time.Time{}, 0 }

// wait pauses before the next try. It returns the error when there is to be
// none: it will not pass, patience is at its end, or ctx.
func (o *outage) wait(ctx context.Context, e *Error) error {
	if ctx.Err() != nil {
		return AsError(ctx.Err())
	}
	if !passing(e) && !e.Retryable {
		return e
	}
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.gap = now, firstGap
	}
	if o.patience > 0 && now.Sub(o.since) >= o.patience {
		return e
	}
	pause := max(o.gap, e.RetryAfter/2)
	if o.patience > 0 {
		pause = min(pause, max(o.patience-now.Sub(o.since), time.Millisecond))
	}
	if err := sleep(ctx, pause); err != nil {
		return AsError(err)
	}
	o.gap = min(2*o.gap, maxGap)
	return nil
}

// sleep waits about d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
