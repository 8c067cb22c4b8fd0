package cluster

import (
	"testing"
	"time"
)

// A seed that is started anew right after somebody joined it, who still exchanges
// state with all he found, is found again at once all the same.
func TestSeedIsRestartedWhileOthersSettle(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		inBubble(t, func(f *fabric) {
			a := f.start("n1")
			b := f.start("n2")
			f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
			time.Sleep(after)
			a.leave()
			time.Sleep(500 * time.Millisecond)
			a = f.startAt("n1", a.at, func(c *Config) { c.Join = nil })
			d := f.eventually(12*time.Second, "join again", func() bool { return allSee([]*running{a, b}, Alive) })
			t.Logf("gone %v after the join: found again after %v", after, d)
		})
	}
}
