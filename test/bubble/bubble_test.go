package bubble

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Timers that nobody waits for go off when somebody looks at their channels, while
// functions of others are started: with synctest.Test alone, on two processors and
// under the race detector, some seconds of this end the process.
func TestTimersOfMany(t *testing.T) {
	for range 3 {
		Test(t, func(t *testing.T) {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 100 {
						var timers [8]*time.Timer
						for i := range timers {
							timers[i] = time.NewTimer(time.Millisecond)
							time.AfterFunc(2*time.Millisecond, func() {})
						}
						time.Sleep(2 * time.Millisecond)
						for _, t := range timers {
							<-t.C
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func TestProcessorsComeBack(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	one, other := alone.enter(), alone.enter()
	one()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors while one is inside", n)
	}
	other()
	if n := runtime.GOMAXPROCS(0); n != 3 {
		t.Errorf("%d processors, not the 3 of before", n)
	}
}
