package lifecycle

import (
	"time"

	"github.com/xferd/xferd/transfer"
)

// tooLittle is how much time the busiest stage must have taken for it to mean
// anything.
const tooLittle = 100 * time.Millisecond

// bottleneck names the stage in which the streams of an edge spent most of
// their time, empty where there was too little to tell. took is how long the
// edge ran, maxRate its limit in bytes per second, 0 for none.
func bottleneck(p *transfer.Path, took time.Duration, maxRate int64) string {
	// The source waits on send for the network or for a target that does not
	// keep up. The target waits on receive for the network or the source.
	network := min(p.Source.WireTime, p.Target.WireTime)
	best, most := "network", network
	for _, s := range [...]struct {
		name string
		d    time.Duration
	}{
		{"source read", p.Source.ReadTime},
		{"target write", p.Target.PlaceTime},
		{"verify", max(p.Source.HashTime, p.Target.HashTime)},
		{"rate limit", p.Source.PaceTime},
	} {
		if s.d > most {
			best, most = s.name, s.d
		}
	}
	switch {
	case most < tooLittle:
		return ""
	case maxRate > 0 && float64(p.Source.Bytes) > 0.9*float64(maxRate)*took.Seconds():
		return "rate limit" // a limit is kept by the kernel, too, which looks like the network
	}
	return best
}
