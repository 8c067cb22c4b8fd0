package verbs

import (
	"sync"
	"time"
)

// vigil calls due when something was owed for a while and nothing was heard
// meanwhile, and again after the same time. While nothing is owed it costs
// nothing.
type vigil struct {
	every time.Duration
	due   func()

	mu      sync.Mutex
	owed    int
	heard   time.Time
	timer   *time.Timer
	running bool
	over    bool
}

// owe notes that one more is owed.
func (v *vigil) owe() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owed++; v.owed > 1 || v.over {
		return
	}
	v.heard = time.Now()
	switch {
	case v.running:
	case v.timer == nil:
		v.timer = time.AfterFunc(v.every, v.look)
	default:
		v.timer.Reset(v.every)
	}
	v.running = true
}

// paid notes that one less is.
func (v *vigil) paid() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.owed--
	v.heard = time.Now()
}

// hear notes a sign of life.
func (v *vigil) hear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.heard = time.Now()
}

// stop ends it. due may still run for a moment.
func (v *vigil) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	if v.timer != nil {
		v.timer.Stop()
	}
}

func (v *vigil) look() {
	v.mu.Lock()
	if v.over || v.owed == 0 {
		v.running = false
		v.mu.Unlock()
		return
	}
	wait := v.every - time.Since(v.heard)
	due := wait <= 0
	if due {
		v.heard, wait = time.Now(), v.every
	}
	v.timer.Reset(wait)
	v.mu.Unlock()
	if due {
		v.due()
	}
}
