package lifecycle

import (
	"time"

	"github.com/xferd/xferd/transfer"
)

// Limits are what can be changed while an engine runs.
type Limits struct {
	MaxRunning int
	MaxQueued  int
	// Policy replaces the auto of a spec: PolicyTCP where the node's operator
	// wants no other transport. Empty is PolicyAuto. It is looked at when a
	// transfer is submitted.
	Policy transfer.Policy
	// MaxRate is the default and the upper bound of a transfer's rate, in bytes
	// per second; 0 is none.
	MaxRate   int64
	Stall     time.Duration // without progress; 0: 10 minutes
	Retention time.Duration // of ended transfers; 0: 30 days
}

func (l Limits) complete() Limits {
	if l.Stall == 0 {
		l.Stall = 10 * time.Minute
	}
	if l.Retention == 0 {
		l.Retention = 30 * 24 * time.Hour
	}
	return l
}

// rate is what a transfer gets that asks for so many bytes per second; 0 is no
// limit.
func (l *Limits) rate(asked int64) int64 {
	if l.MaxRate > 0 && (asked == 0 || asked > l.MaxRate) {
		return l.MaxRate
	}
	return asked
}

// SetLimits replaces the limits. Rates and patience hold for what runs as well;
// with fewer places, what runs goes on and nothing new starts until there is
// one.
func (e *Engine) SetLimits(l Limits) {
	l = l.complete()
	e.limits.Store(&l)
	for _, j := range e.snapshot() {
		j.mu.Lock()
		if now := l.rate(j.t.Spec.MaxRate); !j.t.State.Terminal() && now != j.snap.Load().Spec.MaxRate {
			if j.edge != nil {
				j.edge.SetMaxRate(now)
			}
			j.announce()
		}
		j.mu.Unlock()
	}
	e.poke()
}
