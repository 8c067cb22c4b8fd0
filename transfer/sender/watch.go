package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/xferd/xferd/transfer"
)

const (
	progressEvery = 250 * time.Millisecond
	pingEvery     = 10 * time.Second
	// silence is how long the target may say nothing at all.
	silence = 30 * time.Second
)

// watch shows progress, and ends the edge when the target is not heard of any
// more: a control stream may stay open long after the other end is gone.
func (e *Edge) watch(ctx context.Context) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	pinged := time.Now()
	var seq uint64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		e.report()
		if quiet := time.Since(e.began) - time.Duration(e.heard.Load()); quiet > silence {
			return lost(&e.job, transfer.PhaseMove, fmt.Errorf("nothing was heard of the target for %v", quiet.Round(time.Second)))
		}
		if time.Since(pinged) >= pingEvery {
			pinged = time.Now()
			seq++
			e.out.post(&transfer.Ping{Seq: seq})
		}
	}
}

// report tells the progress when there was any.
func (e *Edge) report() {
	e.mu.Lock()
	p := e.progressLocked()
	changed := p != e.reported
	e.reported = p
	e.mu.Unlock()
	if changed {
		e.obs.Progress(p)
	}
}

// progressLocked returns the progress. Called with mu held.
func (e *Edge) progressLocked() Progress {
	p := e.progress
	p.Stats = e.past
	if e.outgoing != nil {
		p.Stats.Add(e.outgoing.Stats())
	}
	return p
}
