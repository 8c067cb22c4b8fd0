// Package bubble runs tests in bubbles of testing/synctest, also under the race
// detector.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Test is synctest.Test. Under the race detector the process has one processor
// meanwhile: all timers of a bubble share one context of the detector, and two that
// go off on two processors at a time corrupt it, which ends the process with
// "ThreadSanitizer: CHECK failed" or a segmentation violation (golang/go#78156).
// Races are found all the same: the detector looks at what is ordered and not at
// what met. It may be called by several tests at a time.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if raced {
		defer alone.enter()()
	}
	synctest.Test(t, f)
}

// single counts who needs one processor.
type single struct {
	mu     sync.Mutex
	n      int
	before int // processors
}

var alone single

// enter leaves one processor, until all who entered left by the function that it
// returns.
func (s *single) enter() (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.n == 1 {
		s.before = runtime.GOMAXPROCS(1)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.n--; s.n == 0 {
			runtime.GOMAXPROCS(s.before)
		}
	}
}
