package verbs

import (
	"context"
	"runtime"
	"time"

	"github.com/xferd/xferd/rdma"
)

// spin is how often an empty queue is looked at, at the most, before the goroutine
// parks. A completion that comes within it costs no event. Each time that none did
// it is half as often, down to once: on a device whose completions are far apart
// the looks would only cost.
const spin = 64

// Small chunks that are written in place are steps of a program that waits for them,
// and being woken takes longer than the wire. After one of them the next is looked
// for this often, which is about half a millisecond, if those before came so close
// on each other; others go on meanwhile.
const (
	eagerSpin = 4096
	eagerGap  = 2 * time.Millisecond
)

// While small chunks are on their way the source does not have its device wake
// anybody, which would disturb what the target does where both are busy: it looks
// when the target answered, and after this time.
const lazyFor = 2 * time.Millisecond

// watch takes completions until ctx ends or the queue is lost. take is called
// for each, in order.
func (d *domain) watch(ctx context.Context, take func(*rdma.WorkCompletion)) error {
	var wcs [32]rdma.WorkCompletion
	empty, looks, armed, waited := 0, spin, false, false
	timer := time.NewTimer(lazyFor)
	timer.Stop()
	for {
		n, err := d.cq.Poll(wcs[:])
		d.account.polls.Add(1)
		if err != nil {
			return err
		}
		d.alone = n == 1
		for i := range wcs[:n] {
			take(&wcs[i])
		}
		switch {
		case n > 0:
			d.account.completions.Add(int64(n))
			if empty > 0 { // it paid
				looks = d.patience()
			}
			empty, armed, waited = 0, false, false
		case d.kick != nil && d.eager.Load() && !waited && !armed:
			timer.Reset(lazyFor)
			select {
			case <-d.kick:
				timer.Stop()
			case <-timer.C:
			case <-ctx.Done():
			}
			waited = true
		case empty < looks:
			if empty++; empty > spin {
				runtime.Gosched()
			}
		case !armed:
			// What came before this gives no event: one more look.
			if err := d.cq.RequestNotify(false); err != nil {
				return err
			}
			d.account.notifies.Add(1)
			armed = true
		default:
			parked := time.Now()
			if err := d.channel.Wait(ctx); err != nil {
				return err
			}
			d.account.waits.Add(1)
			if looks = max(looks/2, 1); d.kick == nil && d.eager.Load() && time.Since(parked) < eagerGap {
				looks = eagerSpin
			}
			empty, armed, waited = 0, false, false
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// patience is how often to look for a completion where that pays.
func (d *domain) patience() int {
	if d.kick == nil && d.eager.Load() {
		return eagerSpin
	}
	return spin
}
