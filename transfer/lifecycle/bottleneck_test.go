package lifecycle

import (
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestBottleneck(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		source, target transport.Stats
		took           time.Duration
		rate           int64
		want           string
	}{
		"nothing moved":        {want: ""},
		"tiny":                 {source: transport.Stats{ReadTime: 90 * time.Millisecond}, want: ""},
		"reading":              {source: transport.Stats{ReadTime: 3 * s, HashTime: s, WireTime: s}, target: transport.Stats{WireTime: 5 * s}, want: "source read"},
		"network":              {source: transport.Stats{WireTime: 3 * s, HashTime: s}, target: transport.Stats{WireTime: 2 * s}, want: "network"},
		"slow target":          {source: transport.Stats{WireTime: 9 * s}, target: transport.Stats{WireTime: s, PlaceTime: 8 * s}, want: "target write"},
		"hashing":              {source: transport.Stats{HashTime: 3 * s}, target: transport.Stats{HashTime: 2 * s}, want: "verify"},
		"held back":            {source: transport.Stats{PaceTime: 30 * s, ReadTime: 9 * s}, took: 10 * s, rate: 100, want: "rate limit"},
		"held back in sockets": {source: transport.Stats{WireTime: 30 * s, Bytes: 990}, target: transport.Stats{WireTime: 30 * s}, took: 10 * s, rate: 100, want: "rate limit"},
		"below the limit":      {source: transport.Stats{WireTime: 30 * s, Bytes: 500}, target: transport.Stats{WireTime: 30 * s}, took: 10 * s, rate: 100, want: "network"},
	} {
		if got := bottleneck(&transfer.Path{Source: tt.source, Target: tt.target}, tt.took, tt.rate); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
